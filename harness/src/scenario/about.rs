//! `[about]`: what is known of a stored case. Steps do not depend on it; `harness replay` reads it.

use crate::document::{Node, Reader, Table, Value};

/// What `[about]` can hold, and what that is.
pub const ABOUT: &[(&str, &str)] = &[
    ("kind", "what went wrong: `crash`, `hang`, `leak`, `panic`, `property`, `wrong-answer`"),
    ("fingerprint", "where and how, in words that stay the same while a case is made smaller"),
    ("property", "the property that it violates"),
    ("message", "what the failing step said"),
    ("verdict", "`deterministic`, `flaky` or `needs-history`"),
    ("probability", "how often it fails, from 0 to 1, where it is flaky"),
    ("first_seen", "when it was found"),
    ("harness", "the version that found it"),
    ("found_by", "the command that found it"),
    ("status", "`known` for a failure that somebody knows of already; `open` otherwise"),
    ("issue", "where it is being dealt with"),
    ("until", "the day, `\"2027-01-31\"`, after which a known failure is a failure again"),
];

/// What is known of a stored case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// What went wrong.
    pub kind: Option<String>,
    /// Where and how.
    pub fingerprint: Option<String>,
    /// The property that it violates.
    pub property: Option<String>,
    /// What the failing step said.
    pub message: Option<String>,
    /// `deterministic`, `flaky` or `needs-history`.
    pub verdict: Option<String>,
    /// How often it fails, where it is flaky.
    pub probability: Option<f64>,
    /// When it was found.
    pub first_seen: Option<String>,
    /// The version that found it.
    pub harness: Option<String>,
    /// The command that found it.
    pub found_by: Option<String>,
    /// `known` or `open`.
    pub status: Option<String>,
    /// Where it is being dealt with.
    pub issue: Option<String>,
    /// The last day, as `2027-01-31`, on which a known failure is none.
    pub until: Option<String>,
}

impl About {
    /// As it stands in a file.
    pub fn table(&self) -> Table {
        let texts = [
            ("kind", &self.kind),
            ("fingerprint", &self.fingerprint),
            ("property", &self.property),
            ("message", &self.message),
            ("verdict", &self.verdict),
            ("first_seen", &self.first_seen),
            ("harness", &self.harness),
            ("found_by", &self.found_by),
            ("status", &self.status),
            ("issue", &self.issue),
            ("until", &self.until),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, Node::from(literal(text.as_ref()?)))));
        let mut table = Table::of(texts);
        if let Some(probability) = self.probability {
            table.set("probability", Value::Float(probability));
        }
        let place = |key: &str| ABOUT.iter().position(|(name, _)| *name == key);
        table.entries.sort_by_key(|entry| place(&entry.key));
        table
    }

    /// Whether the failure is known and may be there on this day, `2026-11-21`.
    pub fn is_known(&self, today: &str) -> bool {
        self.status.as_deref() == Some("known") && self.until.as_deref().is_none_or(|until| today <= until)
    }
}

/// Text in which nothing is a variable.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

/// Reads `[about]`.
pub(super) fn lower(reader: &mut Reader, table: &Table) -> Option<About> {
    let entry = table.entry("about")?;
    let table = reader.table(&entry.node, "`[about]`")?;
    let keys: Vec<&str> = ABOUT.iter().map(|(key, _)| *key).collect();
    reader.check_keys(table, &keys, "`[about]`");
    let mut about = About::default();
    for entry in &table.entries {
        let key = entry.key.as_str();
        if key == "probability" {
            about.probability = match &entry.node.value {
                Value::Float(float) if (0.0..=1.0).contains(float) => Some(*float),
                Value::Integer(0) => Some(0.0),
                Value::Integer(1) => Some(1.0),
                _ => {
                    reader.mistake(&entry.node.span, "`probability` is a number from 0 to 1");
                    None
                }
            };
            continue;
        }
        // A date needs no quotes in TOML.
        let text = match &entry.node.value {
            Value::Datetime(datetime) => Some(datetime.clone()),
            _ => reader.static_string(&entry.node, &format!("`{key}`")),
        };
        let Some(text) = text else { continue };
        let mut one_of = |known: &[&str]| {
            if !known.contains(&text.as_str()) {
                let known: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
                reader.mistake(&entry.node.span, format!("`{key}` is one of {}, not `{text}`", known.join(", ")));
            }
        };
        match key {
            "kind" => one_of(&KINDS),
            "status" => one_of(&["known", "open"]),
            "verdict" => one_of(&["deterministic", "flaky", "needs-history"]),
            "until" if text.parse::<jiff::civil::Date>().is_err() => {
                reader.mistake_with_hint(&entry.node.span, format!("`until` is a day, not `{text}`"), "`2027-01-31`");
            }
            _ => {}
        }
        let into = match key {
            "kind" => &mut about.kind,
            "fingerprint" => &mut about.fingerprint,
            "property" => &mut about.property,
            "message" => &mut about.message,
            "verdict" => &mut about.verdict,
            "first_seen" => &mut about.first_seen,
            "harness" => &mut about.harness,
            "found_by" => &mut about.found_by,
            "status" => &mut about.status,
            "issue" => &mut about.issue,
            "until" => &mut about.until,
            _ => continue,
        };
        *into = Some(text);
    }
    Some(about)
}

/// The kinds of failure.
const KINDS: [&str; 6] = ["crash", "hang", "leak", "panic", "property", "wrong-answer"];
