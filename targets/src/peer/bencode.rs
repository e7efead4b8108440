//! Bencoding (BEP 3), read in its one canonical form only: what is written again is the same bytes, and so is its hash.

use std::collections::BTreeMap;
use std::fmt;

/// How deep lists and dictionaries may be in each other.
const NESTING_MAX: usize = 32;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Bytes(Vec<u8>),
    /// Its keys are sorted as raw bytes.
    Dictionary(BTreeMap<Vec<u8>, Value>),
    Integer(i64),
    List(Vec<Value>),
}

impl Value {
    pub(super) fn text(text: &str) -> Value {
        Value::Bytes(text.as_bytes().to_vec())
    }

    /// A count or a length; the limits on them are far below what is lost here.
    pub(super) fn count(count: u64) -> Value {
        Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(super) fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Value {
        Value::Dictionary(entries.into_iter().map(|(key, value)| (key.as_bytes().to_vec(), value)).collect())
    }

    /// What a dictionary has under `key`.
    pub(super) fn entry(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dictionary(entries) => entries.get(key.as_bytes()),
            _ => None,
        }
    }

    pub(super) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A number that is not negative.
    pub(super) fn as_count(&self) -> Option<u64> {
        match self {
            Value::Integer(integer) => u64::try_from(*integer).ok(),
            _ => None,
        }
    }

    pub(super) fn emit(&self) -> Vec<u8> {
        let mut output = Vec::new();
        self.emit_to(&mut output);
        output
    }

    fn emit_to(&self, output: &mut Vec<u8>) {
        match self {
            Value::Bytes(bytes) => emit_bytes(bytes, output),
            Value::Dictionary(entries) => {
                output.push(b'd');
                for (key, value) in entries {
                    emit_bytes(key, output);
                    value.emit_to(output);
                }
                output.push(b'e');
            }
            Value::Integer(integer) => output.extend(format!("i{integer}e").as_bytes()),
            Value::List(values) => {
                output.push(b'l');
                values.iter().for_each(|value| value.emit_to(output));
                output.push(b'e');
            }
        }
    }
}

fn emit_bytes(bytes: &[u8], output: &mut Vec<u8>) {
    output.extend(format!("{}:", bytes.len()).as_bytes());
    output.extend_from_slice(bytes);
}

/// Reads one value that is all of `input`.
pub(super) fn parse(input: &[u8]) -> Result<Value, BencodeError> {
    let mut parser = Parser { input, at: 0 };
    let value = parser.value(0)?;
    match input.len() == parser.at {
        true => Ok(value),
        false => Err(BencodeError { at: parser.at }),
    }
}

struct Parser<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, BencodeError> {
        let wrong = Err(BencodeError { at: self.at });
        match self.input.get(self.at) {
            Some(b'0'..=b'9') => Ok(Value::Bytes(self.bytes()?.to_vec())),
            Some(b'i') => {
                self.at += 1;
                Ok(Value::Integer(self.number(b'e')?))
            }
            Some(b'd' | b'l') if depth == NESTING_MAX => wrong,
            Some(b'l') => {
                self.at += 1;
                let mut values = Vec::new();
                while !self.ends() {
                    values.push(self.value(depth + 1)?);
                }
                Ok(Value::List(values))
            }
            Some(b'd') => {
                self.at += 1;
                let mut entries = BTreeMap::new();
                while !self.ends() {
                    let at = self.at;
                    let key = self.bytes()?;
                    if entries.last_key_value().is_some_and(|(last, _): (&Vec<u8>, _)| last.as_slice() >= key) {
                        return Err(BencodeError { at });
                    }
                    entries.insert(key.to_vec(), self.value(depth + 1)?);
                }
                Ok(Value::Dictionary(entries))
            }
            _ => wrong,
        }
    }

    /// Whether a list or dictionary ends here; then that is behind us.
    fn ends(&mut self) -> bool {
        let ends = self.input.get(self.at) == Some(&b'e');
        self.at += usize::from(ends);
        ends
    }

    fn bytes(&mut self) -> Result<&'a [u8], BencodeError> {
        let at = self.at;
        let len: i64 = self.number(b':')?;
        let bytes = usize::try_from(len).ok().and_then(|len| self.input[self.at..].get(..len));
        let bytes = bytes.ok_or(BencodeError { at })?;
        self.at += bytes.len();
        Ok(bytes)
    }

    /// A number up to `end`: no leading zeros, and no `-0`.
    fn number(&mut self, end: u8) -> Result<i64, BencodeError> {
        let wrong = BencodeError { at: self.at };
        let rest = &self.input[self.at..];
        let len = rest.iter().take(21).position(|byte| *byte == end).ok_or(wrong)?;
        let number = str::from_utf8(&rest[..len]).ok().and_then(|text| text.parse::<i64>().ok()).ok_or(wrong)?;
        if number.to_string().as_bytes() != &rest[..len] {
            return Err(wrong);
        }
        self.at += len + 1;
        Ok(number)
    }
}

/// Something that is not bencoded, or not in its canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BencodeError {
    /// Where, from 0.
    at: usize,
}

impl fmt::Display for BencodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is not bencoded, or not canonically, at byte {}", self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again() {
        for text in ["4:spam", "0:", "i3e", "i-3e", "i0e", "l4:spam4:eggse", "d3:cow3:moo4:spam4:eggse", "le", "de"] {
            assert_eq!(parse(text.as_bytes()).map(|value| value.emit()), Ok(text.as_bytes().to_vec()), "{text}");
        }
        let value = parse(b"d4:spaml1:a1:bee").unwrap();
        assert_eq!(value.entry("spam"), Some(&Value::List(vec![Value::text("a"), Value::text("b")])));
    }

    #[track_caller]
    fn check(input: &str, at: usize) {
        assert_eq!(parse(input.as_bytes()), Err(BencodeError { at }), "{input}");
    }

    #[test]
    fn what_is_cut_or_not_canonical_is_refused_with_its_place() {
        for (input, at) in [("", 0), ("i", 1), ("i-0e", 1), ("i03e", 1), ("i3", 1), ("ie", 1), ("i+3e", 1), ("x", 0)] {
            check(input, at);
        }
        for (input, at) in [("4:spa", 0), ("04:spam", 0), ("-1:", 0), ("9223372036854775807:a", 0), ("l", 1)] {
            check(input, at);
        }
        check("i99999999999999999999e", 1);
        check("4:spamx", 6);
        check("d1:b0:1:a0:e", 6); // not sorted
        check("d1:a0:1:a0:e", 6); // twice
        check("di1ei2ee", 1); // a key is a string
        check("d1:ae", 4);
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let nested = |depth: usize| "l".repeat(depth) + &"e".repeat(depth);
        assert!(parse(nested(NESTING_MAX).as_bytes()).is_ok());
        check(&nested(NESTING_MAX + 1), NESTING_MAX);
        check(&"l".repeat(1_000_000), NESTING_MAX);
    }
}
