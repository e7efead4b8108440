//! Steps made by a program: each a node of a scenario, as a person would have written it.
//!
//! `actor` is whose step it is; `None` where a file names no actor, and for what no connection is needed.

use std::time::Duration;

use super::payload::payload;
use crate::document::{Node, Table, Value};

/// A step of this verb.
pub fn step(actor: Option<&str>, verb: &str, node: impl Into<Node>) -> Node {
    let inner = Table::of([(verb, node)]);
    match actor {
        Some(actor) => Table::of([(actor, inner)]).into(),
        None => inner.into(),
    }
}

/// Opens a connection, which the first step of an actor does by itself.
pub fn connect(actor: Option<&str>) -> Node {
    step(actor, "connect", true)
}

/// Closes the connection.
pub fn close(actor: Option<&str>) -> Node {
    step(actor, "close", true)
}

/// Closes it abruptly.
pub fn reset(actor: Option<&str>) -> Node {
    step(actor, "reset", true)
}

/// Says that no more will be sent.
pub fn half_close(actor: Option<&str>) -> Node {
    step(actor, "shutdown", "write")
}

/// Sends these bytes as one message: with the actor's framing, if it has one.
pub fn send(actor: Option<&str>, bytes: &[u8]) -> Node {
    step(actor, "send", payload(bytes))
}

/// Sends these bytes and no others, whatever the actor's framing is.
pub fn send_raw(actor: Option<&str>, bytes: &[u8]) -> Node {
    step(actor, "send", Table::of([("raw", payload(bytes))]))
}

/// Sends a message of the actor's protocol: fields as a scenario has them.
pub fn send_message(actor: Option<&str>, message: &str, fields: Table) -> Node {
    step(actor, "send", Table::of([(message, fields)]))
}

/// Reads whatever comes until the peer is quiet for so long, or closes.
pub fn drain(actor: Option<&str>, quiet: Duration) -> Node {
    with(step(actor, "drain", true), "quiet", duration(quiet))
}

/// Waits for exactly these bytes, or on a framed actor for this message.
pub fn expect(actor: Option<&str>, bytes: &[u8]) -> Node {
    // What is exact is a string, or in hexadecimal: matchers count nothing.
    let exact = match payload(bytes).value {
        Value::Table(table) if table.get("repeat").is_some() => match str::from_utf8(bytes) {
            Ok(text) if super::payload::is_readable(text) => text.replace("${", "$${").into(),
            _ => Table::of([("hex", hex(bytes))]).into(),
        },
        value => Node::from(value),
    };
    step(actor, "expect", exact)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits for anything.
pub fn expect_any(actor: Option<&str>) -> Node {
    step(actor, "expect", Table::of([("any", true)]))
}

/// Waits for the peer to close.
pub fn expect_eof(actor: Option<&str>) -> Node {
    step(actor, "expect_eof", true)
}

/// Waits.
pub fn sleep(time: Duration) -> Node {
    step(None, "sleep", duration(time))
}

/// Says something in the report.
pub fn log(text: &str) -> Node {
    step(None, "log", text.replace("${", "$${"))
}

/// Puts an option beside a step's verb: `within`, `split`, `pace`, `then`, ...
#[must_use]
pub fn with(mut step: Node, option: &str, value: impl Into<Node>) -> Node {
    if let Value::Table(table) = &mut step.value {
        match table.entries.as_mut_slice() {
            [only] if matches!(only.node.value, Value::Table(_)) && !is_verb(&only.key) => {
                if let Value::Table(inner) = &mut only.node.value {
                    inner.set(option, value);
                }
            }
            _ => table.set(option, value),
        }
    }
    step
}

/// Cuts a `send` into writes of these sizes, and the rest.
#[must_use]
pub fn split(step: Node, sizes: &[usize]) -> Node {
    with(step, "split", sizes.iter().map(|size| Node::from(*size as i64)).collect::<Vec<_>>())
}

/// A duration as a scenario has it: exact to the nanosecond.
pub fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)]
        .into_iter()
        .find(|(_, unit)| nanos > 0 && nanos.is_multiple_of(*unit))
        .map_or_else(|| format!("{nanos}ns"), |(name, unit)| format!("{}{name}", nanos / unit))
}

/// The part of a step that holds its verb and options, and whose it is: `{ alice.send = ".." }`.
pub fn parts(step: &Node) -> Option<(Option<&str>, &Table)> {
    let table = step.as_table()?;
    if table.entries.iter().any(|entry| is_verb(&entry.key)) {
        return Some((None, table));
    }
    let entry = table.entries.iter().find(|entry| entry.node.as_table().is_some())?;
    Some((Some(&entry.key), entry.node.as_table()?))
}

/// [`parts`], to be changed.
pub fn table_mut(step: &mut Node) -> Option<&mut Table> {
    let Value::Table(table) = &mut step.value else { return None };
    if table.entries.iter().any(|entry| is_verb(&entry.key)) {
        return Some(table);
    }
    table.entries.iter_mut().find_map(|entry| match &mut entry.node.value {
        Value::Table(inner) => Some(inner),
        _ => None,
    })
}

/// What a step does.
pub fn verb(step: &Node) -> Option<&str> {
    let (_, table) = parts(step)?;
    table.entries.iter().map(|entry| entry.key.as_str()).find(|key| is_verb(key))
}

fn is_verb(key: &str) -> bool {
    crate::scenario::VERBS.iter().any(|word| word.name == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::write;

    #[track_caller]
    fn check(step: Node, expected: &str) {
        let text = write(&Table::of([("steps", vec![step])]), &());
        assert_eq!(text, format!("steps = [\n  {expected},\n]\n"));
    }

    #[test]
    fn steps_look_as_people_write_them() {
        check(send(None, b"hello\n"), r#"{ send = "hello\n" }"#);
        check(split(send(Some("alice"), b"hello"), &[1, 3]), r#"{ alice = { send = "hello", split = [1, 3] } }"#);
        check(with(send_raw(None, &[0]), "then", "reset"), r#"{ send = { raw = { hex = "00" } }, then = "reset" }"#);
        check(
            drain(Some("client[0]"), Duration::from_millis(5)),
            r#"{ "client[0]" = { drain = true, quiet = "5ms" } }"#,
        );
        check(sleep(Duration::from_micros(1500)), r#"{ sleep = "1500us" }"#);
        check(expect(None, &[b'a'; 20]), &format!("{{ expect = \"{}\" }}", "a".repeat(20)));
    }

    #[test]
    fn a_step_is_taken_apart() {
        let step = with(close(Some("alice")), "within", "1s");
        let (actor, table) = parts(&step).expect("it is one");
        assert_eq!((actor, table.entries.len(), verb(&step)), (Some("alice"), 2, Some("close")));
    }
}
