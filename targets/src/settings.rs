//! What can be changed about a target, as text from a command line or a scenario.

use std::fmt;
use std::time::Duration;

/// Where a server asks for the time.
pub type Clock = fn() -> jiff::Timestamp;

/// Something that can be changed.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its value unless said.
    pub default: &'static str,
    /// What it changes, in one line.
    pub about: &'static str,
}

/// What a target is made from.
#[derive(Debug)]
pub struct Setup {
    /// Its settings.
    pub settings: Settings,
    /// The longest message that it takes.
    pub frame_len_max: usize,
    /// Where it asks for the time.
    pub clock: Clock,
}

/// The settings of one server: every one that its table names has a value.
#[derive(Clone, Debug)]
pub struct Settings(Vec<(&'static str, String)>);

impl Settings {
    /// The defaults of `table`, changed by `pairs`.
    pub fn new<S: AsRef<str>>(table: &'static [Setting], pairs: &[(S, S)]) -> Result<Settings, SettingError> {
        let mut values: Vec<_> = table.iter().map(|setting| (setting.name, setting.default.to_owned())).collect();
        for (name, value) in pairs {
            let name = name.as_ref();
            let Some(slot) = values.iter_mut().find(|(known, _)| *known == name) else {
                return Err(SettingError::Unknown {
                    name: name.to_owned(),
                    known: table.iter().map(|setting| setting.name).collect(),
                });
            };
            value.as_ref().clone_into(&mut slot.1);
        }
        Ok(Settings(values))
    }

    /// The number that `name` is set to.
    pub fn number(&self, name: &'static str) -> Result<usize, SettingError> {
        parse_number(name, self.text(name))
    }

    /// The text that `name` is set to.
    pub fn text(&self, name: &'static str) -> &str {
        let (_, value) = self.0.iter().find(|(known, _)| *known == name).expect("a target asks for what its table has");
        value
    }
}

/// Reads a count or a size: `4096`, `10_000`, `64KiB`, `1MiB`.
pub(crate) fn parse_number(name: &str, value: &str) -> Result<usize, SettingError> {
    let (digits, unit) = match value {
        _ if value.ends_with("KiB") => (&value[..value.len() - 3], 1 << 10),
        _ if value.ends_with("MiB") => (&value[..value.len() - 3], 1 << 20),
        _ => (value, 1),
    };
    let number = digits.replace('_', "").parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    number.ok_or_else(|| SettingError::NotANumber { name: name.to_owned(), value: value.to_owned() })
}

/// Reads a duration: `250ms`, `60s`, and `0` for none.
pub(crate) fn parse_duration(name: &str, value: &str) -> Result<Duration, SettingError> {
    let (digits, unit) = match value {
        "0" => ("0", 1),
        _ if value.ends_with("ms") => (&value[..value.len() - 2], 1),
        _ if value.ends_with('s') => (&value[..value.len() - 1], 1_000),
        _ => ("", 1),
    };
    let millis = digits.replace('_', "").parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match millis {
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => Err(SettingError::NotADuration { name: name.to_owned(), value: value.to_owned() }),
    }
}

/// Why a setting or a limit cannot be what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingError {
    /// Its value is not what it has to be.
    Expected {
        /// Its name.
        name: String,
        /// What it has to be.
        expected: &'static str,
        /// The value.
        value: String,
    },
    /// Its value is no duration.
    NotADuration {
        /// Its name.
        name: String,
        /// The value.
        value: String,
    },
    /// Its value is no number.
    NotANumber {
        /// Its name.
        name: String,
        /// The value.
        value: String,
    },
    /// It names no user with a password.
    NotAUser {
        /// What stands there.
        value: String,
    },
    /// Its value is none of those that there are.
    NotOneOf {
        /// Its name.
        name: String,
        /// The value.
        value: String,
        /// The values that there are.
        known: Vec<&'static str>,
    },
    /// Its value is too large for another's.
    OutOfRange {
        /// Its name.
        name: String,
        /// The value.
        value: usize,
        /// It has to be less than this.
        below: usize,
    },
    /// What its value names cannot be used.
    Unusable {
        /// Its name.
        name: &'static str,
        /// The value.
        value: String,
        /// Why.
        why: String,
    },
    /// There is none of this name.
    Unknown {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
}

impl SettingError {
    /// The value of `name` is not what it has to be.
    pub(crate) fn expected(name: &str, expected: &'static str, value: &str) -> SettingError {
        SettingError::Expected { name: name.to_owned(), expected, value: value.to_owned() }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingError::Expected { name, expected, value } => {
                write!(f, "`{name}`: expected {expected}, got `{value}`")
            }
            SettingError::NotADuration { name, value } => {
                write!(f, "`{name}`: expected a duration like `250ms` or `60s`, or `0`, got `{value}`")
            }
            SettingError::NotANumber { name, value } => {
                write!(f, "`{name}`: expected a number like `4096` or `64KiB`, got `{value}`")
            }
            SettingError::NotAUser { value } => write!(f, "expected a user like `name:password`, got `{value}`"),
            SettingError::NotOneOf { name, value, known } => {
                write!(f, "`{name}`: expected one of `{}`, got `{value}`", known.join("`, `"))
            }
            SettingError::OutOfRange { name, value, below } => {
                write!(f, "`{name}`: expected a number below {below}, got {value}")
            }
            SettingError::Unusable { name, value, why } => write!(f, "`{name}`: cannot use `{value}`: {why}"),
            SettingError::Unknown { name, known } if known.is_empty() => {
                write!(f, "expected no settings, got `{name}`")
            }
            SettingError::Unknown { name, known } => {
                write!(f, "expected one of `{}`, got `{name}`", known.join("`, `"))
            }
        }
    }
}

impl std::error::Error for SettingError {}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Setting] = &[Setting { name: "bytes", default: "1KiB", about: "how many" }];

    #[track_caller]
    fn check(pairs: &[(&str, &str)], expected: Result<usize, &str>) {
        let number = Settings::new(TABLE, pairs).and_then(|settings| settings.number("bytes"));
        assert_eq!(number.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn a_number_may_have_a_unit() {
        check(&[], Ok(1_024));
        check(&[("bytes", "10_000")], Ok(10_000));
        check(&[("bytes", "2MiB")], Ok(2 << 20));
    }

    #[test]
    fn a_value_that_is_no_number_is_named() {
        for value in ["", "-1", "KiB", "1GiB", "18446744073709551615KiB"] {
            let message = format!("`bytes`: expected a number like `4096` or `64KiB`, got `{value}`");
            check(&[("bytes", value)], Err(&message));
        }
    }

    #[test]
    fn an_unknown_setting_is_named_with_those_that_there_are() {
        check(&[("byte", "1")], Err("expected one of `bytes`, got `byte`"));
    }

    #[test]
    fn a_duration_has_a_unit_or_is_zero() {
        assert_eq!(parse_duration("idle", "0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("idle", "250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("idle", "60s"), Ok(Duration::from_secs(60)));
        for value in ["", "5", "s", "1.5s", "18446744073709551615s"] {
            assert!(parse_duration("idle", value).is_err(), "{value}");
        }
    }
}
