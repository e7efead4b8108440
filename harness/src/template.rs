//! Text with variables in it: `GET ${key}`.
//!
//! A template is read once; `$${` stands for a literal `${`. Variables that are known when the file is read are filled
//! in there and then, the others when a step runs. Values are bytes and go in as they are.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Bytes with holes for variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Bytes),
    Variable(Arc<str>),
}

/// The values of variables while a case runs.
pub type Variables = HashMap<Arc<str>, Bytes>;

/// A variable that has no value yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unset(pub Arc<str>);

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// What stands between the braces is no name.
    Name(String),
    /// A `${` has no `}`.
    Unterminated,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateError::Name(name) => write!(f, "`${{{name}}}` holds no variable's name"),
            TemplateError::Unterminated => f.write_str("`${` has no closing `}`"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Reads `text`, filling in what `statics` knows.
    pub fn parse(text: &str, statics: &HashMap<String, String>) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                literal.push_str(&rest[..at - 1]);
                literal.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            literal.push_str(&rest[..at]);
            let end = rest[at..].find('}').ok_or(TemplateError::Unterminated)?;
            let name = &rest[at + 2..at + end];
            rest = &rest[at + end + 1..];
            if !is_name(name) {
                return Err(TemplateError::Name(name.into()));
            }
            if let Some(value) = statics.get(name) {
                literal.push_str(value);
                continue;
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(Bytes::from(std::mem::take(&mut literal))));
            }
            parts.push(Part::Variable(name.into()));
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(Bytes::from(literal)));
        }
        Ok(Template { parts })
    }

    /// A template without variables.
    pub fn literal(bytes: impl Into<Bytes>) -> Template {
        Template { parts: vec![Part::Literal(bytes.into())] }
    }

    /// The bytes, if there is no variable left in them.
    pub fn as_literal(&self) -> Option<&Bytes> {
        match self.parts.as_slice() {
            [Part::Literal(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// The text that it is read from, with what was filled in already.
    pub fn source(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Literal(bytes) => String::from_utf8_lossy(bytes).replace("${", "$${"),
            Part::Variable(name) => format!("${{{name}}}"),
        });
        parts.collect()
    }

    /// The bytes before the first variable.
    pub fn beginning(&self) -> &[u8] {
        match self.parts.first() {
            Some(Part::Literal(bytes)) => bytes,
            _ => &[],
        }
    }

    /// The names of the variables that are left, in their order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(&**name),
            Part::Literal(_) => None,
        })
    }

    /// The bytes with all variables filled in.
    pub fn fill(&self, variables: &Variables) -> Result<Bytes, Unset> {
        if let Some(bytes) = self.as_literal() {
            return Ok(bytes.clone());
        }
        let value = |name: &Arc<str>| variables.get(name).ok_or_else(|| Unset(Arc::clone(name)));
        if let [Part::Variable(name)] = self.parts.as_slice() {
            return value(name).cloned();
        }
        let mut filled = Vec::new();
        for part in &self.parts {
            filled.extend_from_slice(match part {
                Part::Literal(bytes) => bytes,
                Part::Variable(name) => value(name)?,
            });
        }
        Ok(filled.into())
    }

    /// [`Template::fill`] where text is wanted.
    pub fn fill_text(&self, variables: &Variables) -> Result<String, Unset> {
        self.fill(variables).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Names are identifiers, dotted (`kv.port`) and indexed (`alice[0]`) ones included.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let statics = HashMap::from([("host".to_owned(), "here".to_owned())]);
        let variables = Variables::from([("key".into(), Bytes::from("colour"))]);
        let filled = Template::parse(text, &statics).expect("a template").fill(&variables).expect("all set");
        assert_eq!(filled, expected);
    }

    #[test]
    fn variables_are_filled_in() {
        check("", "");
        check("plain", "plain");
        check("GET ${key}\n", "GET colour\n");
        check("${key}${key}", "colourcolour");
        check("${host}: ${key}", "here: colour");
    }

    #[test]
    fn a_doubled_dollar_stands_for_itself() {
        check("$${key} costs $5", "${key} costs $5");
        check("$$ $", "$$ $");
    }

    #[test]
    fn what_is_no_template_is_refused() {
        let parse = |text| Template::parse(text, &HashMap::new());
        assert_eq!(parse("${key"), Err(TemplateError::Unterminated));
        assert_eq!(parse("${}"), Err(TemplateError::Name(String::new())));
        assert_eq!(parse("${a b}"), Err(TemplateError::Name("a b".into())));
    }

    #[test]
    fn a_variable_without_a_value_is_named() {
        let template = Template::parse("x${key}", &HashMap::new()).expect("a template");
        assert_eq!(template.fill(&Variables::new()), Err(Unset("key".into())));
    }
}
