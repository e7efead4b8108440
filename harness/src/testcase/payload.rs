//! Bytes as a scenario's payload, so that a person can read it.

use crate::document::{Node, Table};

/// From how many equal bytes on they are counted and not written.
const RUN_MIN: usize = 17;

/// Bytes as a payload: as text where they are one, else in hexadecimal; as a number and a byte where all are the same.
pub fn payload(bytes: &[u8]) -> Node {
    if let [first, rest @ ..] = bytes
        && bytes.len() >= RUN_MIN
        && rest.iter().all(|byte| byte == first)
    {
        let times = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        return Table::of([("repeat", vec![Node::from(times), text_or_hex(&[*first])])]).into();
    }
    text_or_hex(bytes)
}

fn text_or_hex(bytes: &[u8]) -> Node {
    match str::from_utf8(bytes) {
        Ok(text) if is_readable(text) => text.replace("${", "$${").into(),
        _ => Table::of([("hex", hex(bytes))]).into(),
    }
}

/// Whether a text says more as a text: few characters of it are none that are printed.
pub(crate) fn is_readable(text: &str) -> bool {
    let strange = text.chars().filter(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t')).count();
    strange == 0 || strange * 4 < text.chars().count()
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::write;

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let step = Node::from(Table::of([("send", payload(bytes))]));
        assert_eq!(write(&Table::of([("x", vec![step])]), &()), format!("x = [\n  {{ send = {expected} }},\n]\n"));
    }

    #[test]
    fn text_stays_text() {
        check(b"", "\"\"");
        check(b"GET a\r\n", "\"GET a\\r\\n\"");
        check(b"${a}", "\"$${a}\"");
        check("서버".as_bytes(), "\"서버\"");
        check(b"USER abc\0\r\n", "\"USER abc\\u0000\\r\\n\"");
    }

    #[test]
    fn other_bytes_are_in_hexadecimal() {
        check(&[0, 1, 0xff], "{ hex = \"00 01 ff\" }");
    }

    #[test]
    fn many_of_one_are_counted() {
        check(&[b'a'; 1000], "{ repeat = [1000, \"a\"] }");
        check(&[0; 20], "{ repeat = [20, { hex = \"00\" }] }");
    }
}
