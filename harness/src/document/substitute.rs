//! Values in place of `${name}`, anywhere in a tree.

use std::collections::HashMap;

use super::{Entry, Node, Table, Value};

/// Values by name.
pub type Values = HashMap<String, Node>;

/// A value that cannot stand in the middle of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoText {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: &'static str,
    /// Where the text stands.
    pub span: std::ops::Range<usize>,
}

/// `node` with every `${name}` of `values` filled in, keys left as they are. A text that is nothing but `${name}` becomes the
/// value itself, be it a table or a number. Names that `values` has not stay for later, `$${` stays what it is.
pub fn substitute(node: &Node, values: &Values, problems: &mut Vec<NoText>) -> Node {
    let value = match &node.value {
        Value::String(text) if text.contains("${") => match whole(text).and_then(|name| values.get(name)) {
            // A value that is no text knows best where its own mistakes are.
            Some(value) if !matches!(value.value, Value::String(_)) => return value.clone(),
            Some(value) => value.value.clone(),
            None => Value::String(fill(node, text, values, problems)),
        },
        Value::Array(items) => Value::Array(items.iter().map(|item| substitute(item, values, problems)).collect()),
        Value::Table(table) => Value::Table(substitute_table(table, values, problems)),
        value => value.clone(),
    };
    Node { span: node.span.clone(), value }
}

/// [`substitute`] in every value of a table.
pub fn substitute_table(table: &Table, values: &Values, problems: &mut Vec<NoText>) -> Table {
    let entries = table.entries.iter().map(|entry| Entry {
        key: entry.key.clone(),
        key_span: entry.key_span.clone(),
        node: substitute(&entry.node, values, problems),
    });
    Table { entries: entries.collect() }
}

/// The name, if a text is nothing but `${name}`.
fn whole(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    (!name.contains(['$', '{', '}'])).then_some(name)
}

fn fill(node: &Node, text: &str, values: &Values, problems: &mut Vec<NoText>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        let end = rest[at..].find('}').filter(|_| !escaped);
        let known = end.and_then(|end| Some((values.get(&rest[at + 2..at + end])?, end)));
        let Some((value, end)) = known else {
            filled.push_str(&rest[..at + 2]);
            rest = &rest[at + 2..];
            continue;
        };
        filled.push_str(&rest[..at]);
        match value.text() {
            Some(text) => filled.push_str(&text),
            None => problems.push(NoText {
                name: rest[at + 2..at + end].to_owned(),
                kind: value.value.kind(),
                span: node.span.clone(),
            }),
        }
        rest = &rest[at + end + 1..];
    }
    filled.push_str(rest);
    filled
}

impl Node {
    /// The text of a string, a number or a boolean.
    pub fn text(&self) -> Option<String> {
        match &self.value {
            Value::Boolean(boolean) => Some(boolean.to_string()),
            Value::Float(float) => Some(float.to_string()),
            Value::Integer(integer) => Some(integer.to_string()),
            Value::String(text) => Some(text.clone()),
            Value::Array(_) | Value::Datetime(_) | Value::Table(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(value: Value) -> Node {
        Node { span: 0..1, value }
    }

    #[track_caller]
    fn check(text: &str, expected: Value) {
        let values = HashMap::from([
            ("who".to_owned(), node(Value::String("me".into()))),
            ("n".to_owned(), node(Value::Integer(7))),
            ("list".to_owned(), node(Value::Array(vec![node(Value::Integer(1))]))),
        ]);
        let mut problems = Vec::new();
        let filled = substitute(&node(Value::String(text.into())), &values, &mut problems);
        assert_eq!((filled.value, problems.len()), (expected, 0));
    }

    #[test]
    fn values_stand_in_texts() {
        check("I am ${who}, ${n}", Value::String("I am me, 7".into()));
        check("${who}${who}", Value::String("meme".into()));
    }

    #[test]
    fn a_text_that_is_a_name_becomes_the_value() {
        check("${n}", Value::Integer(7));
        check("${list}", Value::Array(vec![node(Value::Integer(1))]));
    }

    #[test]
    fn what_is_not_known_and_what_is_escaped_stays() {
        check("${later} $${who} ${who", Value::String("${later} $${who} ${who".into()));
    }

    #[test]
    fn a_list_in_a_text_is_a_mistake() {
        let values = HashMap::from([("list".to_owned(), node(Value::Array(Vec::new())))]);
        let mut problems = Vec::new();
        substitute(&node(Value::String("x${list}".into())), &values, &mut problems);
        assert_eq!(problems, [NoText { name: "list".into(), kind: "an array", span: 0..1 }]);
    }
}
