//! Which variables a step can use: those known before the run, those of targets, those that earlier steps set.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::document::{Node, Reader, Value, did_you_mean};

/// The names that have, or by then will have, a value.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    names: BTreeSet<String>,
    /// Names that the step in hand has used.
    pub(super) used: BTreeSet<String>,
}

impl Scope {
    /// Knows where these targets are.
    pub(super) fn new<'n>(targets: impl Iterator<Item = &'n str>) -> Scope {
        let names = super::TLS_VARIABLES.iter().map(|name| (*name).to_owned()).collect();
        let mut scope = Scope { names, used: BTreeSet::new() };
        targets.for_each(|name| scope.set_target(name));
        scope
    }

    /// The target of this name will be up.
    pub(super) fn set_target(&mut self, name: &str) {
        self.names.extend(["port", "address", "url", "dir"].map(|part| format!("{name}.{part}")));
    }

    /// What it knows.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn set(&mut self, name: &str) {
        self.names.insert(name.into());
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Adds whatever a step below `node` will set.
    pub(super) fn set_by(&mut self, node: &Node) {
        match &node.value {
            Value::Array(items) => items.iter().for_each(|item| self.set_by(item)),
            Value::Table(table) => {
                for entry in &table.entries {
                    match (entry.key.as_str(), &entry.node.value) {
                        ("save", Value::String(name)) => self.set(name),
                        ("set", Value::Table(table)) => table.entries.iter().for_each(|entry| self.set(&entry.key)),
                        ("regex", Value::String(text)) => {
                            crate::matcher::group_names(text).iter().for_each(|name| self.set(name));
                        }
                        _ => self.set_by(&entry.node),
                    }
                }
            }
            _ => {}
        }
    }

    /// Notes every name that will have no value.
    pub(super) fn check<'n>(&mut self, reader: &mut Reader, span: &Range<usize>, uses: impl Iterator<Item = &'n str>) {
        for name in uses {
            self.used.insert(name.into());
            if self.names.contains(name) {
                continue;
            }
            let message = match name.strip_prefix("env.") {
                Some(name) => format!("the environment has no variable `{name}`"),
                None => format!("unknown variable `{name}`"),
            };
            let near = did_you_mean(
                name,
                self.names.iter().map(String::as_str).chain(reader.statics.keys().map(String::as_str)),
            );
            let hint = self.owners(name).or(near).unwrap_or_else(|| match name.starts_with("env.") {
                true => "set it, or use `[vars]` and `--var`".into(),
                false => {
                    "`[vars]`, `--var`, or `save`, `set` and named groups of an earlier step give one a value".into()
                }
            });
            let span = reader.span_of_variable(span, name);
            reader.mistake_with_hint(&span, message, hint);
        }
    }

    /// Whose variable it is, for a `port` or an `address` that is nobody's.
    fn owners(&self, name: &str) -> Option<String> {
        let is_of = |known: &&String| known.strip_suffix(name).is_some_and(|owner| owner.ends_with('.'));
        let known: Vec<_> = self.names.iter().filter(is_of).take(3).map(|known| format!("`${{{known}}}`")).collect();
        (!known.is_empty())
            .then(|| format!("each target and each actor that listens has its own: {}", known.join(", ")))
    }
}
