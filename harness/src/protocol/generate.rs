//! Valid messages by chance: every field within what its description allows, with a liking for bounds.

use std::sync::Arc;

use bytes::Bytes;

use super::description::{Default, Extent, Field, Fields, Kind, NESTING_MAX, Number, Protocol};
use super::encode::is_size;
use super::expression::Reference;
use super::value::Given;
use crate::random::Random;

/// The longest text or bytes that are made up, unless a field has a fixed length.
const BYTES_LEN_MAX: u64 = 40;

/// The most elements that are made up for an array.
const ELEMENTS_MAX: u64 = 4;

/// The most that are made up because there have to be so many.
const ELEMENTS_MIN_MAX: i128 = 64;

/// What is tried where a text has a pattern.
const TEXTS: &[&str] = &["a", "x-y", "GET", "get", "incr", "0", "HTTP/1.1", "2026-01-31T12:00:00Z"];

impl Protocol {
    /// The fields of a valid message. What is computed is left to [`Protocol::encode`].
    ///
    /// `None` where the description allows none that is found: a text whose pattern nothing here fits.
    pub fn generate(&self, message: usize, random: &mut Random) -> Option<Vec<(Arc<str>, Given)>> {
        table(self, &self.messages[message].fields, random, 0)
    }
}

fn table(protocol: &Protocol, fields: &Fields, random: &mut Random, depth: usize) -> Option<Vec<(Arc<str>, Given)>> {
    let mut given = Vec::new();
    // The numbers so far, for conditions and switches.
    let mut numbers: Vec<Option<i128>> = Vec::with_capacity(fields.len());
    for (at, field) in fields.iter().enumerate() {
        let number_of = |reference: &Reference| {
            let [at] = reference.path[..] else { return None };
            let number = (*numbers.get(at)?)?;
            match (&fields[at].kind, reference.bits) {
                (Kind::Integer(integer), Some(bits)) => Some(integer.bits[bits].of(number)),
                _ => Some(number),
            }
        };
        let present = field.only_if.as_ref().is_none_or(|condition| condition.holds(&number_of) == Some(true));
        if !present || field.compute.is_some() || is_size(fields, at) {
            numbers.push(None);
            continue;
        }
        let cases: Vec<i128> = fields[at + 1..].iter().find_map(|later| cases_of(later, at)).unwrap_or_default();
        let value = match &field.kind {
            Kind::Switch { on, cases, default } => {
                let value = number_of(on)?;
                let case = cases.iter().find(|(values, _)| values.contains(&value)).map(|(_, fields)| fields);
                Some(Given::Table(table(protocol, case.or(default.as_ref())?, random, depth + 1)?))
            }
            _ => value(protocol, field, &cases, elements_min(fields, field), random, depth)?,
        };
        numbers.push(match &value {
            Some(Given::Number(number)) => Some(*number),
            None => constant_of(field),
            _ => None,
        });
        if let Some(value) = value.filter(|_| !field.name.is_empty()) {
            given.push((Arc::clone(&field.name), value));
        }
    }
    Some(given)
}

/// The fewest elements of an array, where the field that counts them has a least number.
fn elements_min(fields: &Fields, array: &Field) -> usize {
    let Kind::Array { extent: Extent::Count(count, more), .. } = &array.kind else { return 0 };
    let ([at], 0) = (&count.path[..], count.up) else { return 0 };
    let least = match fields.get(*at).map(|field| &field.kind) {
        Some(Kind::Digits { number, .. }) => number.min,
        Some(Kind::Integer(integer)) => integer.number.min,
        _ => 0,
    };
    usize::try_from(least.saturating_add(i128::from(*more)).clamp(0, ELEMENTS_MIN_MAX)).unwrap_or_default()
}

/// The values for which a later field has a case of its own, if it goes by the field with this number.
fn cases_of(later: &Field, at: usize) -> Option<Vec<i128>> {
    match &later.kind {
        Kind::Switch { on, cases, default }
            if on.up == 0 && on.path == [at] && on.bits.is_none() && default.is_none() =>
        {
            Some(cases.iter().flat_map(|(values, _)| values.iter().copied()).collect())
        }
        _ => None,
    }
}

fn constant_of(field: &Field) -> Option<i128> {
    match &field.kind {
        Kind::Integer(integer) => integer.number.constant,
        Kind::Digits { number, .. } => number.constant,
        _ => None,
    }
}

/// `Some(None)` for a field that has only one value.
fn value(
    protocol: &Protocol,
    field: &Field,
    cases: &[i128],
    elements_min: usize,
    random: &mut Random,
    depth: usize,
) -> Option<Option<Given>> {
    Some(match &field.kind {
        Kind::Align(_) => None,
        Kind::Array { of, extent } => {
            let most = if depth >= 3 { 1 } else { ELEMENTS_MAX };
            let count = match extent {
                Extent::Fixed(count) => *count,
                _ if depth + 2 >= NESTING_MAX => 0,
                _ => (random.below(most) as usize).max(elements_min),
            };
            let mut elements = Vec::new();
            for _ in 0..count {
                elements.extend(value(protocol, of, &[], 0, random, depth + 1)?);
            }
            Some(Given::List(elements))
        }
        Kind::Bytes { constant: Some(_), .. } => None,
        Kind::Bytes { extent, max, text, .. } => {
            let len = match extent {
                Extent::Fixed(len) => *len,
                _ => random.below(BYTES_LEN_MAX.min(*max as u64) + 1) as usize,
            };
            if let Some(pattern) = text.as_ref().and_then(|text| text.pattern.as_ref()) {
                let mut texts: Vec<Bytes> = TEXTS.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
                if let Some(Default::Bytes(default)) = &field.default {
                    texts.push(default.clone());
                }
                texts.retain(|text| pattern.is_match(&**text));
                let at = random.below(texts.len().max(1) as u64) as usize;
                return Some(Some(Given::Bytes(texts.get(at)?.clone())));
            }
            let mut bytes = vec![0; len];
            random.fill(&mut bytes);
            if text.is_some() || matches!(extent, Extent::Until(_)) {
                // Letters and digits are in no delimiter, and are UTF-8.
                const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
                bytes.iter_mut().for_each(|byte| *byte = LETTERS[usize::from(*byte) % LETTERS.len()]);
            }
            Some(Given::Bytes(bytes.into()))
        }
        Kind::DomainName => {
            let labels: Vec<String> = (0..=random.below(3)).map(|_| format!("l{}", random.below(1_000))).collect();
            Some(Given::Bytes(labels.join(".").into()))
        }
        Kind::Digits { extent, number: of, .. } => {
            let most = match extent {
                Extent::Fixed(digits) => 10_i128.saturating_pow(*digits as u32) - 1,
                _ => i128::from(i64::MAX),
            };
            number(protocol, of, cases, (of.min.max(-most), of.max.min(most)), random)
        }
        Kind::Integer(integer) if integer.bits.is_empty() => {
            number(protocol, &integer.number, cases, (integer.number.min, integer.number.max), random)
        }
        Kind::Integer(integer) => {
            let mut value = 0;
            for bits in &integer.bits {
                let part = number(protocol, &bits.number, &[], (bits.number.min, bits.number.max), random);
                let part = match part {
                    Some(Given::Number(part)) => part,
                    _ => bits.number.constant.unwrap_or(0),
                };
                value |= part << bits.shift;
            }
            Some(Given::Number(value))
        }
        Kind::Struct(structure) => {
            Some(Given::Table(table(protocol, protocol.fields_of(structure), random, depth + 1)?))
        }
        Kind::Switch { .. } => None,
    })
}

fn number(
    protocol: &Protocol,
    number: &Number,
    cases: &[i128],
    (least, most): (i128, i128),
    random: &mut Random,
) -> Option<Given> {
    if number.constant.is_some() {
        return None;
    }
    let mut of = |values: &[i128]| values[random.below(values.len() as u64) as usize];
    if !cases.is_empty() {
        return Some(Given::Number(of(cases)));
    }
    let names: Vec<i128> =
        number.names.iter().flat_map(|at| protocol.enums[*at].values.iter().map(|(_, value)| *value)).collect();
    let value = match of(&[0, 1, 2, 3]) {
        0 if !names.is_empty() => of(&names),
        1 => of(&[least, most]),
        2 => of(&[least + (most - least) / 2, (least + 1).min(most), (most - 1).max(least)]),
        _ => {
            let range = u64::try_from(most - least).unwrap_or(u64::MAX).saturating_add(1);
            least + i128::from(random.below(range.max(1)))
        }
    };
    Some(Given::Number(value.clamp(least, most)))
}
