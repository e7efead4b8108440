//! What may be said when: `[state]`.

use super::Lowering;
use super::references::find_in;
use crate::document::{Node, Table, Value, did_you_mean};
use crate::protocol::description::{Field, Message, State, States, Transition};
use crate::protocol::expression::{Expression, Reference};

impl Lowering<'_> {
    pub(super) fn states(&mut self, table: &Table, messages: &[Message]) -> Option<States> {
        let node = table.get("state")?;
        let table = self.reader.table(node, "`state`")?;
        let names: Vec<&str> = messages.iter().map(|message| &*message.name).collect();
        let states: Vec<&str> =
            table.entries.iter().map(|entry| entry.key.as_str()).filter(|key| *key != "start").collect();
        let find = |lowering: &mut Lowering<'_>, node: &Node, what: &str| {
            let name = lowering.reader.static_string(node, what)?;
            let at = states.iter().position(|known| *known == name);
            if at.is_none() {
                let hint = did_you_mean(&name, states.iter().copied()).unwrap_or_default();
                lowering.reader.mistake_with_hint(&node.span, format!("there is no state `{name}`"), hint);
            }
            at
        };
        let start = match table.get("start") {
            Some(node) => find(self, node, "`start`")?,
            None => {
                self.reader.mistake_with_hint(&node.span, "`[state]` says where it starts", "`start = \"ready\"`");
                return None;
            }
        };
        let mut all = Vec::new();
        for (number, entry) in table.entries.iter().filter(|entry| entry.key != "start").enumerate() {
            let mut transitions = Vec::new();
            let inner = self.reader.table(&entry.node, "a state")?;
            for said in &inner.entries {
                let Some(message) = names.iter().position(|known| *known == said.key) else {
                    let hint = did_you_mean(&said.key, names.iter().copied()).unwrap_or_default();
                    self.reader.mistake_with_hint(&said.key_span, format!("there is no message `{}`", said.key), hint);
                    continue;
                };
                // One message may lead on in several ways, each under its own condition.
                let ways = match &said.node.value {
                    Value::Array(ways) => ways.iter().collect(),
                    _ => vec![&said.node],
                };
                for way in ways {
                    let Some(table) = self.reader.table(way, "what a message leads to") else { continue };
                    self.reader.check_keys(table, &["reply", "next", "if"], "what a message leads to");
                    let replies = self.message_list(table.get("reply"), &names);
                    let next = match table.get("next") {
                        Some(node) => find(self, node, "`next`").unwrap_or(number),
                        None => number,
                    };
                    let only_if = table.get("if").and_then(|node| {
                        // The condition speaks of the message's fields.
                        self.guard(node, &messages[message].fields)
                    });
                    transitions.push(Transition { message, only_if, replies, next });
                }
            }
            all.push(State { name: entry.key.as_str().into(), transitions });
        }
        Some(States { start, states: all })
    }

    fn guard(&mut self, node: &Node, fields: &[Field]) -> Option<Expression> {
        let text = self.reader.static_string(node, "`if`")?;
        let enums = &self.enums;
        let mut find = |path: &str| find_in(fields, path, 0).ok_or_else(|| format!("there is no field `{path}`"));
        let name = |_: &Reference, name: &str| enums.iter().find_map(|names| names.value_of(name));
        match Expression::parse(&text, &mut find, &name) {
            Ok(expression) => Some(expression),
            Err(why) => {
                self.reader.mistake(&node.span, why);
                None
            }
        }
    }
}
