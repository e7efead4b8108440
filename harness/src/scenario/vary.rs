//! `vary`: one case for each combination of values.

use std::net::IpAddr;

use crate::document::{Entry, Node, Reader, Table, Value, Values, substitute_table};

/// The most combinations of one case.
pub const COMBINATIONS_MAX: usize = 1_000;

/// A case as it is to be read, once for each combination.
pub(super) struct Variant {
    pub(super) table: Table,
    /// What is added to its name.
    pub(super) suffix: String,
    pub(super) family: Option<Family>,
}

/// Which of the two loopbacks a case uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 127.0.0.1.
    V4,
    /// `[::1]`.
    V6,
}

impl Family {
    /// `url` with a loopback address of this family, where it has one of the other.
    pub fn apply(self, url: &str) -> String {
        let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, port)) => (host, port),
                None => return url.to_owned(),
            },
            None => match rest.rfind(':') {
                Some(at) => (&rest[..at], &rest[at..]),
                None => return url.to_owned(),
            },
        };
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match (loopback, self, host.contains(':')) {
            (true, Family::V4, true) => format!("{scheme}://127.0.0.1{port}"),
            (true, Family::V6, false) => format!("{scheme}://[::1]{port}"),
            _ => url.to_owned(),
        }
    }
}

/// Every variant of a case; one, if it does not vary.
pub(super) fn variants(reader: &mut Reader, case: &Table) -> Vec<Variant> {
    let bare = || Table { entries: case.entries.iter().filter(|entry| entry.key != "vary").cloned().collect() };
    let alone = || vec![Variant { table: bare(), suffix: String::new(), family: None }];
    let Some(entry) = case.entry("vary") else { return alone() };
    let Some(axes) = reader.table(&entry.node, "`vary`") else { return alone() };
    let mut lists: Vec<(&Entry, &[Node])> = Vec::new();
    for axis in &axes.entries {
        if !crate::text::is_identifier(&axis.key) {
            reader.mistake(&axis.key_span, format!("`{}` is no name for a variable", axis.key));
        }
        let Some(values) = reader.array(&axis.node, &format!("`{}`", axis.key)) else { return alone() };
        if values.is_empty() {
            reader.mistake(&axis.node.span, format!("`{}` has at least one value", axis.key));
            return alone();
        }
        if axis.key == "ip" {
            values.iter().for_each(|value| _ = family(reader, value));
        }
        lists.push((axis, values));
    }
    if lists.is_empty() {
        reader.mistake_with_hint(&entry.node.span, "nothing varies", "`vary = { size = [1, 1_000] }`");
        return alone();
    }
    let total = lists.iter().try_fold(1usize, |total, (_, values)| total.checked_mul(values.len()));
    if total.is_none_or(|total| total > COMBINATIONS_MAX) {
        reader.mistake(&entry.key_span, format!("a case has at most {COMBINATIONS_MAX} combinations"));
        return alone();
    }
    let bare = bare();
    (0..total.unwrap_or(1)).map(|number| variant(reader, &bare, &lists, number)).collect()
}

/// The combination of this number: the last list changes fastest.
fn variant(reader: &mut Reader, case: &Table, lists: &[(&Entry, &[Node])], number: usize) -> Variant {
    let (mut values, mut shown, mut rest) = (Values::new(), Vec::new(), number);
    let (mut split, mut chosen) = (None, None);
    for (axis, nodes) in lists.iter().rev() {
        let node = &nodes[rest % nodes.len()];
        rest /= nodes.len();
        match axis.key.as_str() {
            "split" => split = Some(node),
            "ip" => chosen = family(reader, node),
            _ => {}
        }
        shown.push(format!("{}={}", axis.key, show(node)));
        values.insert(axis.key.clone(), node.clone());
    }
    shown.reverse();
    let mut problems = Vec::new();
    let mut table = substitute_table(case, &values, &mut problems);
    for problem in problems {
        let message = format!("`{}` is {}, which has no place in a text", problem.name, problem.kind);
        reader.mistake(&problem.span, message);
    }
    if let Some(split) = split {
        for key in ["steps", "play"] {
            if let Some(entry) = table.entries.iter_mut().find(|entry| entry.key == key) {
                split_sends(&mut entry.node, split);
            }
        }
    }
    Variant { table, suffix: format!(" [{}]", shown.join(", ")), family: chosen }
}

fn family(reader: &mut Reader, node: &Node) -> Option<Family> {
    match &node.value {
        Value::String(text) if text == "v4" => Some(Family::V4),
        Value::String(text) if text == "v6" => Some(Family::V6),
        _ => {
            reader.mistake(&node.span, "`ip` is `\"v4\"` or `\"v6\"`");
            None
        }
    }
}

/// A value in a case's name.
fn show(node: &Node) -> String {
    match &node.value {
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Table(table) => {
            let entries = table.entries.iter().map(|entry| format!("{} {}", entry.key, show(&entry.node)));
            entries.collect::<Vec<_>>().join(" ")
        }
        _ => node.text().unwrap_or_default(),
    }
}

/// Gives every `send` that does not say how it is cut this `split`.
fn split_sends(node: &mut Node, split: &Node) {
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| split_sends(item, split)),
        Value::Table(table) => {
            if let (Some(send), None) = (table.entry("send"), table.get("split")) {
                let key_span = send.key_span.clone();
                table.entries.push(Entry { key: "split".into(), key_span, node: split.clone() });
                return;
            }
            table.entries.iter_mut().for_each(|entry| split_sends(&mut entry.node, split));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_changes_loopbacks_and_nothing_else() {
        for (url, v4, v6) in [
            ("tcp://127.0.0.1:80", "tcp://127.0.0.1:80", "tcp://[::1]:80"),
            ("udp://[::1]:0", "udp://127.0.0.1:0", "udp://[::1]:0"),
            ("tcp://localhost:1", "tcp://localhost:1", "tcp://[::1]:1"),
            ("tcp://10.0.0.1:1", "tcp://10.0.0.1:1", "tcp://10.0.0.1:1"),
            ("unix:///run/x", "unix:///run/x", "unix:///run/x"),
        ] {
            assert_eq!((Family::V4.apply(url).as_str(), Family::V6.apply(url).as_str()), (v4, v6));
        }
    }
}
