//! A JSON value that has at least these members.

use serde_json::Value as Json;

use super::{BuildError, Facts, Input, Match, Matcher, Outcome, Pattern, Progress, State};
use crate::document::{Node, Reader, Value};
use crate::template::{Template, Variables};
use std::sync::Arc;

/// A JSON value. Members of objects may be more than are named here; arrays are compared item by item.
#[derive(Debug)]
struct Subset(Json);

/// The value as written, variables open.
#[derive(Debug)]
enum Shape {
    Array(Vec<Shape>),
    Object(Vec<(String, Shape)>),
    Plain(Json),
    Text(Template),
}

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    let mut uses = Vec::new();
    let shape = shape(reader, node, &mut uses)?;
    if uses.is_empty() {
        let json = fill(&shape, &Variables::new()).expect("no variable is open");
        return Some(Pattern::ready(Subset(json)));
    }
    let build = move |variables: &Variables| -> Result<Arc<dyn Matcher>, BuildError> {
        Ok(Arc::new(Subset(fill(&shape, variables)?)))
    };
    Some(Pattern { state: State::Open(Arc::new(build)), uses, sets: Vec::new() })
}

fn shape(reader: &mut Reader, node: &Node, uses: &mut Vec<String>) -> Option<Shape> {
    Some(match &node.value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shape(reader, item, uses)).collect();
            Shape::Array(items.into_iter().collect::<Option<_>>()?)
        }
        Value::Boolean(boolean) => Shape::Plain(Json::Bool(*boolean)),
        Value::Float(float) => Shape::Plain(Json::from(*float)),
        Value::Integer(integer) => Shape::Plain(Json::from(*integer)),
        Value::String(_) => {
            let template = reader.template(node, "a JSON string")?;
            uses.extend(template.variables().map(str::to_owned));
            Shape::Text(template)
        }
        Value::Table(table) => {
            let mut members = Vec::new();
            for entry in &table.entries {
                members.push((entry.key.clone(), shape(reader, &entry.node, uses)?));
            }
            Shape::Object(members)
        }
        Value::Datetime(_) => {
            reader.mistake(&node.span, "JSON has no dates: write a string");
            return None;
        }
    })
}

fn fill(shape: &Shape, variables: &Variables) -> Result<Json, BuildError> {
    Ok(match shape {
        Shape::Array(items) => Json::Array(items.iter().map(|item| fill(item, variables)).collect::<Result<_, _>>()?),
        Shape::Object(members) => {
            let member = |(key, shape): &(String, Shape)| Ok((key.clone(), fill(shape, variables)?));
            Json::Object(members.iter().map(member).collect::<Result<_, BuildError>>()?)
        }
        Shape::Plain(json) => json.clone(),
        Shape::Text(template) => Json::String(template.fill_text(variables)?),
    })
}

/// Where `found` lacks something of `wanted`, as a path.
fn difference(wanted: &Json, found: &Json, path: &str) -> Option<String> {
    match (wanted, found) {
        (Json::Object(wanted), Json::Object(found)) => wanted.iter().find_map(|(key, wanted)| {
            let path = format!("{path}.{key}");
            match found.get(key) {
                Some(found) => difference(wanted, found, &path),
                None => Some(format!("`{path}` is missing")),
            }
        }),
        (Json::Array(wanted), Json::Array(found)) if wanted.len() == found.len() => {
            let mut pairs = wanted.iter().zip(found).enumerate();
            pairs.find_map(|(at, (wanted, found))| difference(wanted, found, &format!("{path}[{at}]")))
        }
        (Json::Number(wanted), Json::Number(found)) if wanted.as_f64() == found.as_f64() => None,
        (wanted, found) if wanted == found => None,
        (wanted, found) => Some(format!("`{path}` is {found}, not {wanted}")),
    }
}

impl Matcher for Subset {
    fn describe(&self) -> String {
        format!("JSON with {}", self.0)
    }

    fn facts(&self, _: bool) -> Facts {
        let first: &[u8] = match &self.0 {
            Json::Array(_) => b"[ \t\r\n",
            Json::Bool(_) => b"tf \t\r\n",
            Json::Null => b"n \t\r\n",
            Json::Number(_) => b"-0123456789 \t\r\n",
            Json::Object(_) => b"{ \t\r\n",
            Json::String(_) => b"\" \t\r\n",
        };
        Facts { first: Some(first), ..Facts::default() }
    }

    fn check(&self, input: Input<'_>, progress: &mut Progress) -> Outcome {
        // A value is not parsed again before the input has grown by half, which bounds the work.
        let len = input.bytes.len();
        if !input.ended && len < progress.position + progress.position / 2 && !input.bytes.ends_with(b"}") {
            return Outcome::NeedMore;
        }
        let mut values = serde_json::Deserializer::from_slice(input.bytes).into_iter::<Json>();
        let found = match values.next() {
            Some(Ok(found)) => found,
            Some(Err(error)) if error.is_eof() && !input.ended => {
                progress.position = len;
                return Outcome::NeedMore;
            }
            None if !input.ended => return Outcome::NeedMore,
            Some(Err(error)) => return Outcome::mismatch(values.byte_offset().min(len), format!("no JSON: {error}")),
            None => return Outcome::mismatch(0, "no JSON: it is empty"),
        };
        let end = values.byte_offset();
        if input.message && !input.bytes[end..].iter().all(u8::is_ascii_whitespace) {
            return Outcome::mismatch(end, "something follows the JSON value");
        }
        match difference(&self.0, &found, "$") {
            Some(why) => Outcome::mismatch(0, why),
            // Only a bare number can go on.
            None => Outcome::Match(Match {
                len: end,
                may_grow: found.is_number() && end == len && !input.ended,
                ..Match::default()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::{message, stream};

    #[test]
    fn members_that_are_not_named_do_not_matter() {
        message(r#"{ json = { id = 7, ok = true } }"#, br#"{"ok": true, "id": 7, "more": []}"#, true);
        message(r#"{ json = { id = 7 } }"#, br#"{"id": 8}"#, false);
        message(r#"{ json = { a = { b = [1, "x"] } } }"#, br#"{"a": {"b": [1, "x"], "c": 0}}"#, true);
        message(r#"{ json = { a = [1] } }"#, br#"{"a": [1, 2]}"#, false);
        message(r#"{ json = { id = 7 } }"#, b"not json", false);
        message(r#"{ json = { id = 7.0 } }"#, br#"{"id": 7}"#, true);
    }

    #[test]
    fn of_a_stream_one_value_is_taken() {
        stream(r#"{ json = { id = 7 } }"#, br#"{"id": 7}{"id": 8}"#, Some(Ok(9)));
        stream(r#"{ json = { id = 7 } }"#, br#"{"id": "#, None);
    }
}
