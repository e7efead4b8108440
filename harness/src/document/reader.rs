//! What lowering a tree needs again and again: typed values, unknown keys, mistakes with their place.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{MISTAKES_MAX, Node, Source, Table, Value};
use crate::event::Mistake;
use crate::template::Template;

/// Reads values out of a tree and gathers every mistake on the way.
///
/// A method that returns `None` has said why.
#[derive(Debug)]
pub struct Reader {
    source: Arc<Source>,
    /// Variables whose values are known before anything runs.
    pub statics: HashMap<String, String>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    /// A reader of `source`.
    pub fn new(source: Arc<Source>) -> Reader {
        Reader { source, statics: HashMap::new(), mistakes: Vec::new() }
    }

    /// The folder that a relative path starts from which stands there.
    pub fn folder(&self, span: &Range<usize>) -> PathBuf {
        self.source.folder(span)
    }

    /// The file.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Takes in another file, and says where its spans begin.
    pub fn add_source(&mut self, other: &Source) -> usize {
        let (source, base) = self.source.with(other);
        self.source = source;
        base
    }

    /// Takes in mistakes that were found elsewhere.
    pub fn add_mistakes(&mut self, mistakes: Vec<Mistake>) {
        self.mistakes.extend(mistakes);
    }

    /// All mistakes so far, in the order of the file.
    pub fn into_mistakes(mut self) -> Vec<Mistake> {
        let main = Arc::clone(self.source.file());
        self.mistakes.sort_by(|a, b| {
            let key = |mistake: &Mistake| {
                let place = &mistake.place;
                (place.file != main, Arc::clone(&place.file), place.line, place.column)
            };
            key(a).cmp(&key(b))
        });
        self.mistakes.dedup();
        self.mistakes.truncate(MISTAKES_MAX);
        self.mistakes
    }

    /// Whether there are as many mistakes as are told: what is wrong further down is of no interest then.
    pub fn has_enough(&self) -> bool {
        self.mistakes.len() >= MISTAKES_MAX
    }

    /// Notes a mistake.
    pub fn mistake(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.push(span, message.into(), None);
    }

    /// Notes a mistake, and what to try.
    pub fn mistake_with_hint(&mut self, span: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.push(span, message.into(), Some(hint.into()));
    }

    fn push(&mut self, span: &Range<usize>, message: String, hint: Option<String>) {
        self.mistakes.push(Mistake { place: self.source.place(span.clone()), message, hint });
    }

    /// How many mistakes there are so far.
    pub fn mistake_count(&self) -> usize {
        self.mistakes.len()
    }

    /// Notes every key of `table` that is not in `known`. `what` has the keys: "a step", "`[target]`".
    ///
    /// `false` if there was one.
    pub fn check_keys(&mut self, table: &Table, known: &[&str], what: &str) -> bool {
        self.check_keys_but(table, known, &[], what)
    }

    /// [`Reader::check_keys`], where a key of `later` is said to be unsupported instead of unknown.
    pub fn check_keys_but(&mut self, table: &Table, known: &[&str], later: &[&str], what: &str) -> bool {
        let mistakes = self.mistakes.len();
        self.check_later(table, later);
        for entry in table.entries.iter().filter(|entry| !later.contains(&entry.key.as_str())) {
            if !known.contains(&entry.key.as_str()) {
                let hint = did_you_mean(&entry.key, known.iter().copied())
                    .unwrap_or_else(|| format!("{what} takes {}", list(known)));
                self.mistake_with_hint(&entry.key_span, format!("unknown key `{}` in {what}", entry.key), hint);
            }
        }
        self.mistakes.len() == mistakes
    }

    /// Notes every key of `table` that this version does not know yet.
    pub fn check_later(&mut self, table: &Table, later: &[&str]) {
        for entry in table.entries.iter().filter(|entry| later.contains(&entry.key.as_str())) {
            self.mistake(&entry.key_span, format!("`{}` is not supported by this version", entry.key));
        }
    }

    /// The part of `span` in which `${name}` stands, or all of it.
    pub fn span_of_variable(&self, span: &Range<usize>, name: &str) -> Range<usize> {
        let wanted = format!("${{{name}}}");
        match self.source.get(span.clone()).and_then(|text| text.find(&wanted)) {
            Some(at) => span.start + at..span.start + at + wanted.len(),
            None => span.clone(),
        }
    }

    /// Notes a name that is not in a table of names.
    pub fn unknown(&mut self, span: &Range<usize>, what: &str, name: &str, known: &[&str], list_command: &str) {
        let hint = match did_you_mean(name, known.iter().copied()) {
            Some(hint) => format!("{hint} `{list_command}` shows them all"),
            None => format!("`{list_command}` shows them all"),
        };
        self.mistake_with_hint(span, format!("unknown {what} `{name}`"), hint);
    }

    fn wrong_kind(&mut self, node: &Node, what: &str, expected: &str) {
        self.mistake(&node.span, format!("{what} is {expected}, not {}", node.value.kind()));
    }

    /// A table.
    pub fn table<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Table> {
        if let Value::Table(table) = &node.value {
            return Some(table);
        }
        self.wrong_kind(node, what, "a table");
        None
    }

    /// An array.
    pub fn array<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        if let Value::Array(items) = &node.value {
            return Some(items);
        }
        self.wrong_kind(node, what, "an array");
        None
    }

    /// A boolean.
    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        if let Value::Boolean(boolean) = node.value {
            return Some(boolean);
        }
        self.wrong_kind(node, what, "`true` or `false`");
        None
    }

    /// A string as it stands, variables not filled in.
    pub fn string<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        if let Value::String(string) = &node.value {
            return Some(string);
        }
        self.wrong_kind(node, what, "a string");
        None
    }

    /// A string with `${..}` in it. What is known before anything runs is filled in.
    pub fn template(&mut self, node: &Node, what: &str) -> Option<Template> {
        let text = self.string(node, what)?;
        match Template::parse(text, &self.statics) {
            Ok(template) => Some(template),
            Err(error) => {
                self.mistake_with_hint(&node.span, error.to_string(), "`$${` stands for a literal `${`");
                None
            }
        }
    }

    /// A string that must be known before anything runs.
    pub fn static_string(&mut self, node: &Node, what: &str) -> Option<String> {
        let template = self.template(node, what)?;
        match template.as_literal() {
            Some(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            None => {
                let name = template.variables().next().unwrap_or_default().to_owned();
                let span = self.span_of_variable(&node.span, &name);
                match name.strip_prefix("env.") {
                    Some(name) => {
                        let message = format!("the environment has no variable `{name}`");
                        self.mistake_with_hint(&span, message, "set it, or use `[vars]` and `--var`");
                    }
                    None => {
                        let near = did_you_mean(&name, self.statics.keys().map(String::as_str));
                        let hint = "only `[vars]` further up, `--var` and `${env.NAME}` can stand here";
                        let hint = near.map_or(hint.to_owned(), |near| format!("{near} {hint}"));
                        let message = format!("`${{{name}}}` is not known where {what} is read");
                        self.mistake_with_hint(&span, message, hint);
                    }
                }
                None
            }
        }
    }

    /// Whether it is a string with a variable in it whose value is not known yet.
    pub fn holds_variable(&self, node: &Node) -> bool {
        let Value::String(text) = &node.value else { return false };
        Template::parse(text, &self.statics).is_ok_and(|template| template.as_literal().is_none())
    }

    /// Strings that must be known before anything runs; one string stands for a list of one.
    pub fn static_strings(&mut self, node: &Node, what: &str) -> Option<Vec<String>> {
        if let Value::String(_) = node.value {
            return Some(vec![self.static_string(node, what)?]);
        }
        let items = self.array(node, what)?;
        let strings: Vec<_> = items.iter().map(|item| self.static_string(item, what)).collect();
        strings.into_iter().collect()
    }

    /// A whole number of at least `min` and at most `max`; a string of digits will do.
    pub fn integer(&mut self, node: &Node, what: &str, min: i64, max: i64) -> Option<i64> {
        let integer = match &node.value {
            Value::Integer(integer) => *integer,
            Value::String(_) => {
                let text = self.static_string(node, what)?;
                match text.trim().parse() {
                    Ok(integer) => integer,
                    Err(_) => {
                        self.mistake(&node.span, format!("{what} is a number, not `{text}`"));
                        return None;
                    }
                }
            }
            _ => {
                self.wrong_kind(node, what, "a number");
                return None;
            }
        };
        if (min..=max).contains(&integer) {
            return Some(integer);
        }
        let range = if max == i64::MAX { format!("{min} or more") } else { format!("{min} to {max}") };
        self.mistake(&node.span, format!("{what} is {range}, not {integer}"));
        None
    }

    /// A duration: `"50ms"`, `"1.5s"`.
    pub fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let (Value::String(_) | Value::Integer(_) | Value::Float(_)) = &node.value else {
            self.wrong_kind(node, what, "a duration such as `\"50ms\"`");
            return None;
        };
        let Value::String(_) = &node.value else {
            self.mistake_with_hint(
                &node.span,
                format!("{what} is a duration with its unit, not a number"),
                "write it as a string: `\"50ms\"`, `\"1.5s\"`",
            );
            return None;
        };
        let text = self.static_string(node, what)?;
        let duration = parse_duration(&text);
        if duration.is_none() {
            self.mistake_with_hint(
                &node.span,
                format!("{what} is a duration, not `{text}`"),
                "a number and one of `ns`, `us`, `ms`, `s`, `m`, `h`: `\"50ms\"`, `\"1.5s\"`",
            );
        }
        duration
    }

    /// A size in bytes, of at least `min` and at most `max`: `64`, `"64KiB"`.
    pub fn size(&mut self, node: &Node, what: &str, min: u64, max: u64) -> Option<u64> {
        let size = match &node.value {
            Value::Integer(integer) => u64::try_from(*integer).ok(),
            Value::String(_) => {
                let size = parse_size(&self.static_string(node, what)?);
                if size.is_none() {
                    let hint = "a number of bytes, or a string with one of `B`, `kB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`";
                    self.mistake_with_hint(&node.span, format!("{what} is a size, and this is none"), hint);
                    return None;
                }
                size
            }
            _ => {
                self.wrong_kind(node, what, "a size such as `64` or `\"64KiB\"`");
                return None;
            }
        };
        let size = size.filter(|size| (min..=max).contains(size));
        if size.is_none() {
            let bounds = match max >= i64::MAX as u64 {
                true => format!("{min} bytes or more"),
                false => format!("{min} to {max} bytes"),
            };
            let shown = self.source.get(node.span.clone()).unwrap_or_default().trim_matches('"').to_owned();
            self.mistake(&node.span, format!("{what} is {bounds}, not `{shown}`"));
        }
        size
    }
}

/// The nearest of `known` as a hint, if one is near.
pub fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    let nearest = known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min()?;
    let (distance, known) = nearest;
    (distance <= (name.chars().count() / 3).max(1) || (name.len() >= 3 && known.starts_with(name)))
        .then(|| format!("did you mean `{known}`?"))
}

/// "`a`, `b` and `c`".
fn list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "no keys".into(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// Reads `50ms`, `1.5s`, `2m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ')?;
    let (number, unit) = text.split_at(unit_at);
    let scale = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        _ => return None,
    };
    let nanos = decimal(number)? * scale;
    // A year bounds what a person can mean, and keeps sums of durations in range.
    (nanos <= 366.0 * 24.0 * 3600e9).then(|| Duration::from_nanos(nanos.round() as u64))
}

/// Reads `64`, `64KiB`, `1.5 MB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let scale = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let size = decimal(number)? * scale;
    (size < 1e18).then_some(size.round() as u64)
}

/// Digits, underscores between them, and at most one point.
fn decimal(text: &str) -> Option<f64> {
    let text = text.trim().replace('_', "");
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.starts_with(|c: char| c.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, expected) in [
            ("50ms", Some(Duration::from_millis(50))),
            ("1.5s", Some(Duration::from_millis(1500))),
            ("2m", Some(Duration::from_secs(120))),
            ("1_000us", Some(Duration::from_millis(1))),
            ("0s", Some(Duration::ZERO)),
            ("5", None),
            ("-5s", None),
            ("1e9s", None),
            ("5 parsecs", None),
            ("", None),
            ("999999999h", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, expected) in [
            ("64", Some(64)),
            ("64KiB", Some(65_536)),
            ("1.5 MB", Some(1_500_000)),
            ("20kB", Some(20_000)),
            ("x", None),
            ("1TB", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(did_you_mean("prefx", ["prefix", "suffix"].into_iter()).as_deref(), Some("did you mean `prefix`?"));
        assert_eq!(did_you_mean("zebra", ["prefix", "suffix"].into_iter()), None);
    }
}
