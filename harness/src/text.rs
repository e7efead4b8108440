//! Bytes and names as text in messages.

/// The most characters of data that a one-line message quotes.
const QUOTE_LEN_MAX: usize = 60;

/// Bytes in backticks, escaped as in a scenario's string, or as hexadecimal where they are no text; cut where they are long.
pub fn quote(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".into();
    }
    let cut = bytes.len() > QUOTE_LEN_MAX;
    let shown = &bytes[..bytes.len().min(QUOTE_LEN_MAX)];
    let strange = shown.iter().filter(|byte| !matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')).count();
    let text = String::from_utf8_lossy(shown);
    let readable = strange == 0
        || (str::from_utf8(bytes).is_ok() && !text.chars().any(|c| c.is_control() && !"\t\r\n".contains(c)));
    let mut quoted = String::from("`");
    if readable {
        for c in text.trim_end_matches(char::REPLACEMENT_CHARACTER).chars() {
            match c {
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                c => quoted.push(c),
            }
        }
    } else {
        let digits: Vec<String> = shown[..shown.len().min(16)].iter().map(|byte| format!("{byte:02x}")).collect();
        quoted.push_str(&digits.join(" "));
    }
    if cut || (!readable && bytes.len() > 16) {
        quoted.push('…');
    }
    quoted.push('`');
    if cut || !readable {
        quoted.push_str(&format!(" ({} bytes)", bytes.len()));
    }
    quoted
}

/// `17 B`, `1.5 KiB`, `256 MiB`.
pub fn show_size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let Some((unit, shift)) = units.into_iter().find(|(_, shift)| bytes >> shift > 0) else {
        return format!("{bytes} B");
    };
    let text = format!("{:.1}", bytes as f64 / (1_u64 << shift) as f64);
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// A number with commas: `70,000`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut output = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            output.push(',');
        }
        output.push(digit);
    }
    output
}

/// `1 byte`, `2 bytes`, `70,000 bytes`.
pub fn count(number: usize, what: &str) -> String {
    format!("{} {what}{}", self::number(number as u64), if number == 1 { "" } else { "s" })
}

/// Reads pairs of hexadecimal digits, white space between them or not.
pub fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let mut digits = Vec::new();
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        digits.push(c.to_digit(16).ok_or_else(|| format!("`{c}` is no hexadecimal digit"))? as u8);
    }
    if !digits.len().is_multiple_of(2) {
        return Err(format!("`hex` has {}, and a byte is two", count(digits.len(), "digit")));
    }
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Reads base64 with its padding.
pub fn parse_base64(text: &[u8]) -> Result<Vec<u8>, String> {
    use base64::{DecodeError, Engine as _};
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| match error {
        DecodeError::InvalidByte(at, byte) => {
            format!("no base64: {} at character {} is no digit of it", quote(&[byte]), at + 1)
        }
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => {
            "no base64: it comes in groups of four characters, the last one filled up with `=`".to_owned()
        }
        DecodeError::InvalidLastSymbol { .. } => "no base64: its last digit says more than there are bytes".to_owned(),
    })
}

/// Whether it may be the name of an actor, a capture or a variable.
pub fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_text_and_other_bytes_in_hexadecimal() {
        assert_eq!(quote(b"PONG\r\n"), "`PONG\\r\\n`");
        assert_eq!(quote("서버".as_bytes()), "`서버`");
        assert_eq!(quote(&[0, 1, 0xff]), "`00 01 ff` (3 bytes)");
        assert_eq!(quote(b""), "nothing");
        assert_eq!(quote(&[b'a'; 100]), format!("`{}…` (100 bytes)", "a".repeat(60)));
    }

    #[test]
    fn hexadecimal_reads_with_and_without_spaces() {
        assert_eq!(parse_hex("00 ff\n2A"), Ok(vec![0, 0xff, 0x2a]));
        assert_eq!(parse_hex("0"), Err("`hex` has 1 digit, and a byte is two".into()));
        assert_eq!(parse_hex("0g"), Err("`g` is no hexadecimal digit".into()));
    }
}
