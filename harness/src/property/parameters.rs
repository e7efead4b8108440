//! What a file and a command line say of properties: which are tested, and with what parameters.

use super::{PROPERTIES, Property};
use crate::document::{Node, Table, Value, did_you_mean, parse_duration};
use crate::event::Mistake;
use crate::scenario::Preset;

/// The parameters of a property, as a file has them.
#[derive(Clone, Debug)]
pub struct Parameters(Value);

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `"1s"`.
    Duration,
    /// `true` or `false`.
    Flag,
    /// A whole number from 1.
    Number,
    /// A text.
    Text,
    /// A list of texts. Where a property has such a parameter, the list may stand for its table.
    Texts,
}

impl Kind {
    fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Kind::Duration, Value::String(text)) => parse_duration(text).is_some(),
            (Kind::Flag, Value::Boolean(_)) | (Kind::Text, Value::String(_)) => true,
            (Kind::Number, Value::Integer(number)) => *number >= 1,
            (Kind::Texts, Value::Array(items)) => items.iter().all(|item| item.as_str().is_some()),
            _ => false,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Duration => "a duration: `\"1s\"`",
            Kind::Flag => "`true` or `false`",
            Kind::Number => "a number from 1",
            Kind::Text => "a string",
            Kind::Texts => "a list of strings",
        }
    }
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters(Value::Boolean(true))
    }
}

impl Parameters {
    fn table(&self) -> Option<&Table> {
        match &self.0 {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.table()?.get(key)?.value {
            Value::Integer(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.table()?.get(key)?.as_str()
    }

    /// A duration.
    pub fn duration(&self, key: &str) -> Option<std::time::Duration> {
        self.text(key).and_then(parse_duration)
    }

    /// A list of texts, which may stand for all parameters: `idempotent = ["get"]`.
    pub fn texts(&self, key: &str) -> Option<Vec<&str>> {
        let node = match &self.0 {
            Value::Array(items) => items.as_slice(),
            _ => self.table()?.get(key)?.as_array()?,
        };
        Some(node.iter().filter_map(Node::as_str).collect())
    }

    /// Whether a switch is on.
    pub fn is_on(&self, key: &str) -> bool {
        self.table().and_then(|table| table.get(key)).is_some_and(|node| node.value == Value::Boolean(true))
    }
}

/// A property that is to be tested.
#[derive(Clone, Debug)]
pub struct Selected {
    /// Which.
    pub property: &'static Property,
    /// With what parameters.
    pub parameters: Parameters,
    /// Whether somebody has asked for it.
    pub asked: bool,
}

/// What is tested: the properties that are named, with the parameters of the file; without names those of the file; and without
/// any there, all that need nothing and that every server should keep.
pub fn select(presets: &[Preset], names: &[String]) -> Result<Vec<Selected>, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut of_file = Vec::new();
    for preset in presets.iter().filter(|preset| preset.table == "properties") {
        let mut mistake = |message: String, hint: Option<String>| {
            mistakes.push(Mistake { place: preset.place.clone(), message, hint });
        };
        let Some(property) = super::find(&preset.key) else {
            let hint = did_you_mean(&preset.key, PROPERTIES.iter().map(|property| property.name));
            let hint = hint.or_else(|| Some("`harness list properties` shows them all".into()));
            mistake(format!("there is no property `{}`", preset.key), hint);
            continue;
        };
        match &preset.value {
            Value::Boolean(false) => continue,
            Value::Boolean(true) => {}
            Value::Array(_) | Value::Table(_) => {
                if let Err((message, hint)) = check(property, &preset.value) {
                    mistake(message, hint);
                }
            }
            value => {
                let hint = Some("`true`, or a table of its parameters".into());
                mistake(format!("`{}` is not {}", preset.key, value.kind()), hint);
            }
        }
        of_file.push(Selected { property, parameters: Parameters(preset.value.clone()), asked: true });
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    if !names.is_empty() {
        let named = names.iter().filter_map(|name| super::find(name)).map(|property| {
            let known = of_file.iter().find(|selected| selected.property.name == property.name).cloned();
            known.unwrap_or_else(|| Selected { property, parameters: Parameters::default(), asked: true })
        });
        return Ok(named.collect());
    }
    if !of_file.is_empty() {
        return Ok(of_file);
    }
    let all = PROPERTIES.iter().filter(|property| property.asked.is_none());
    Ok(all.map(|property| Selected { property, parameters: Parameters::default(), asked: false }).collect())
}

fn check(property: &Property, value: &Value) -> Result<(), (String, Option<String>)> {
    let name = property.name;
    let Value::Table(table) = value else {
        let lists = property.parameters.iter().any(|(_, kind, _)| *kind == Kind::Texts && Kind::Texts.is(value));
        return if lists {
            Ok(())
        } else {
            Err((format!("`{name}` takes no such list"), Some(format!("`{name} = true`"))))
        };
    };
    for entry in &table.entries {
        let key = entry.key.as_str();
        let Some((_, kind, _)) = property.parameters.iter().find(|(known, ..)| *known == key) else {
            let known = property.parameters.iter().map(|(known, ..)| *known);
            let hint = did_you_mean(key, known.clone()).unwrap_or_else(|| {
                let known: Vec<String> = known.map(|known| format!("`{known}`")).collect();
                if known.is_empty() { format!("`{name} = true`") } else { format!("it has {}", known.join(", ")) }
            });
            return Err((format!("`{name}` has no parameter `{key}`"), Some(hint)));
        };
        if !kind.is(&entry.node.value) {
            let message = format!("`{key}` of `{name}` is {}, not {}", kind.word(), entry.node.value.kind());
            return Err((message, None));
        }
    }
    Ok(())
}
