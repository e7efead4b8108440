//! A case as requests and answers, and the same requests in another order, number or form.

use super::edit::{speakers, with_steps};
use super::{Base, Variant};
use crate::document::{Node, Value};
use crate::event::Transport;
use crate::testcase::TestCase;
use crate::testcase::step::{parts, verb};

/// A conversation of requests and answers on one connection.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    /// What comes before the first request: a greeting.
    pub(super) opening: Vec<Node>,
    /// Each request and its answers.
    pub(super) exchanges: Vec<Exchange>,
    /// How it ends.
    pub(super) closing: Vec<Node>,
}

/// A request, with what is expected before the next one.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// The `send`.
    pub(super) send: Node,
    /// What is expected in return.
    pub(super) answers: Vec<Node>,
}

impl Exchange {
    /// The request and its answers.
    pub(super) fn steps(&self) -> Vec<Node> {
        std::iter::once(&self.send).chain(&self.answers).cloned().collect()
    }

    /// Whose it is.
    pub(super) fn speaker(&self) -> Option<&str> {
        parts(&self.send)?.0
    }
}

impl Talk {
    /// What is said before the exchange with this number.
    pub(super) fn before(&self, number: usize) -> Vec<Node> {
        let said = self.exchanges[..number].iter().flat_map(Exchange::steps);
        self.opening.iter().cloned().chain(said).collect()
    }

    /// The case with each exchange as `each` has it, by its number.
    pub(super) fn with_each(&self, case: &TestCase, each: impl Fn(usize, &Exchange) -> Vec<Node>) -> TestCase {
        let mut steps = self.opening.clone();
        for (at, exchange) in self.exchanges.iter().enumerate() {
            steps.extend(each(at, exchange));
        }
        steps.extend(self.closing.clone());
        with_steps(case, steps)
    }

    /// Whether the server closes the connection in the end.
    pub(super) fn ends_itself(&self) -> bool {
        self.closing.iter().any(|node| verb(node) == Some("expect_eof"))
    }
}

/// The requests and answers of a case that speaks on a stream.
pub(super) fn on_stream(base: &Base) -> Result<Talk, String> {
    is_stream(base)?;
    exchanges(&base.case)
}

/// The requests and answers of a case that speaks in datagrams.
pub(super) fn in_datagrams(base: &Base) -> Result<Talk, String> {
    if base.transport != Transport::Udp {
        return Err("it is about UDP, and the case speaks on streams".into());
    }
    exchanges(&base.case)
}

/// Why a property of streams is none of a case.
pub(super) fn is_stream(base: &Base) -> Result<(), String> {
    match base.transport.is_datagram() {
        true => Err("it is about streams, and the case speaks in datagrams".into()),
        false => Ok(()),
    }
}

/// Why a property of several connections is none of a case.
pub(super) fn repeats(base: &Base) -> Result<(), String> {
    match base.repeatable {
        true => Ok(()),
        false => Err("the case does not hold twice on the same server, so what follows would tell nothing".into()),
    }
}

/// Variants, if there are any.
pub(super) fn some(variants: Vec<Variant>, or: &str) -> Result<Vec<Variant>, String> {
    if variants.is_empty() { Err(or.into()) } else { Ok(variants) }
}

/// Takes a case apart into requests and answers, or says why it is none of these.
pub(super) fn exchanges(case: &TestCase) -> Result<Talk, String> {
    let lanes = case.lanes();
    let ([(_, steps)], true, 1) = (lanes.as_slice(), case.is_one_order(), speakers(case).len()) else {
        return Err("it is for cases with one connection".into());
    };
    let mut talk = Talk { opening: Vec::new(), exchanges: Vec::new(), closing: Vec::new() };
    for node in *steps {
        let Some((_, table)) = parts(node) else { continue };
        let word = verb(node).unwrap_or_default();
        if !talk.closing.is_empty() && !matches!(word, "close" | "drain" | "expect_eof" | "expect_silence" | "log") {
            return Err(format!("it is for requests and answers, and `{word}` comes after the last of them"));
        }
        match word {
            "send" => {
                let plain = |key: &str| matches!(key, "send" | "note" | "within");
                if let Some(entry) = table.entries.iter().find(|entry| !plain(&entry.key)) {
                    return Err(format!("a message is sent with `{}` already", entry.key));
                }
                talk.exchanges.push(Exchange { send: node.clone(), answers: Vec::new() });
            }
            "expect" | "expect_set" => {
                if table.get("save").is_some() || keeps(node) {
                    return Err("what is sent depends on what was answered before".into());
                }
                match talk.exchanges.last_mut() {
                    Some(exchange) => exchange.answers.push(node.clone()),
                    None => talk.opening.push(node.clone()),
                }
            }
            "connect" | "log" if talk.exchanges.is_empty() => talk.opening.push(node.clone()),
            "log" => {}
            "close" | "drain" | "expect_eof" | "expect_silence" if !talk.exchanges.is_empty() => {
                talk.closing.push(node.clone());
            }
            word => return Err(format!("it is for requests and answers, and `{word}` is neither")),
        }
    }
    if talk.exchanges.is_empty() { Err("the case sends nothing".into()) } else { Ok(talk) }
}

/// Whether a step sets variables.
pub(super) fn keeps(node: &Node) -> bool {
    match &node.value {
        Value::Table(table) => table.entries.iter().any(|entry| {
            let named = entry.node.as_str().is_some_and(|text| text.contains("(?P<") || text.contains("(?<"));
            entry.key == "save" || (entry.key == "regex" && named) || keeps(&entry.node)
        }),
        Value::Array(items) => items.iter().any(keeps),
        _ => false,
    }
}
