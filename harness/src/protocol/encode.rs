//! Values to bytes. What is not given is computed, has its default, or is zero and empty; what is given is sent as it is
//! given, also where it is a lie.

use std::sync::Arc;

use bytes::Bytes;

use super::checksum::Summed;
use super::description::{
    Compute, Default, Extent, Field, How, Integer, Kind, Layout, NESTING_MAX, Number, Protocol, only_field,
};
use super::error::{EncodeError, push_front};
use super::expression::{Reference, parse_number};
use super::integers::{digits, write_integer};
use super::names::write_domain_name;
use super::value::Given;
use crate::text::quote;

type Table = [(Arc<str>, Given)];

/// A field that is being encoded.
#[derive(Default)]
struct Part {
    /// Its bytes, once they are known.
    bytes: Option<Vec<u8>>,
    /// Its number, once that is known; bits are part of it.
    number: Option<i128>,
    /// How many bytes it holds without prefix and delimiter, or how many elements.
    size: usize,
    present: bool,
}

/// The fields around a field, from the innermost.
struct Around<'a> {
    fields: &'a [Field],
    parts: &'a [Part],
    parent: Option<&'a Around<'a>>,
}

impl Around<'_> {
    fn number(&self, reference: &Reference) -> Option<i128> {
        let mut around = self;
        for _ in 0..reference.up {
            around = around.parent?;
        }
        // What stands inside another structure is not looked up on the way out: its structure is encoded as a whole.
        let [at] = reference.path[..] else { return None };
        let number = around.parts.get(at)?.number?;
        match (reference.bits, &around.fields.get(at)?.kind) {
            (Some(bits), Kind::Integer(integer)) => Some(integer.bits.get(bits)?.of(number)),
            _ => Some(number),
        }
    }
}

impl Protocol {
    /// The bytes of a message, without its framing.
    pub fn encode(&self, message: usize, given: &Table) -> Result<Vec<u8>, EncodeError> {
        let mut output = Vec::new();
        Encoder { protocol: self, depth: 0 }.fields(&self.messages[message].fields, given, None, 0, &mut output)?;
        Ok(output)
    }
}

struct Encoder<'p> {
    protocol: &'p Protocol,
    depth: usize,
}

pub(super) fn wrong<T>(why: impl Into<String>) -> Result<T, EncodeError> {
    Err(EncodeError { path: String::new(), why: why.into() })
}

fn named(mut error: EncodeError, name: &str) -> EncodeError {
    push_front(&mut error.path, name);
    error
}

impl Encoder<'_> {
    fn fields(
        &mut self,
        fields: &[Field],
        given: &Table,
        parent: Option<&Around<'_>>,
        start: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return wrong(format!("there are at most {NESTING_MAX} structures in each other"));
        }
        for (name, _) in given {
            let is_bits = |field: &Field| match &field.kind {
                Kind::Integer(integer) => integer.bits.iter().any(|bits| bits.name == *name),
                _ => false,
            };
            if !fields.iter().any(|field| field.name == *name || is_bits(field)) {
                return wrong(format!("there is no field `{name}`"));
            }
        }
        let mut parts: Vec<Part> = fields.iter().map(|_| Part::default()).collect();
        // What is not computed, in its order, so that conditions find what they speak of.
        for (number, field) in fields.iter().enumerate() {
            let own = find(given, &field.name);
            if own.is_none() && field.only_if.is_some() {
                // Its condition may speak of a length, as that of the end of a bulk string does.
                self.advance(fields, number, &mut parts, start)?;
            }
            if own.is_none() && (field.compute.is_some() || is_size(fields, number)) && !has_bits_given(field, given) {
                parts[number].present = self.is_present(field, None, fields, &parts, parent);
                if parts[number].present {
                    continue;
                }
                parts[number].bytes = Some(Vec::new());
                continue;
            }
            parts[number].present = self.is_present(field, own, fields, &parts, parent);
            let mut bytes = Vec::new();
            if parts[number].present {
                let base =
                    start + parts[..number].iter().filter_map(|part| part.bytes.as_ref()).map(Vec::len).sum::<usize>();
                let around = Around { fields, parts: &parts, parent };
                let (written, size) = self
                    .field(number, field, own, given, &around, base, &mut bytes)
                    .map_err(|error| named(error, &field.name))?;
                parts[number].number = written;
                parts[number].size = size;
            }
            parts[number].bytes = Some(bytes);
        }
        self.compute(fields, &mut parts, start)?;
        parts.iter().filter_map(|part| part.bytes.as_ref()).for_each(|bytes| output.extend_from_slice(bytes));
        self.depth -= 1;
        Ok(())
    }

    /// Whether a field is there: where its condition holds, and wherever it is given.
    fn is_present(
        &self,
        field: &Field,
        own: Option<&Given>,
        fields: &[Field],
        parts: &[Part],
        parent: Option<&Around<'_>>,
    ) -> bool {
        let around = Around { fields, parts, parent };
        match &field.only_if {
            Some(condition) => own.is_some() || condition.holds(&|reference| around.number(reference)) == Some(true),
            None => true,
        }
    }

    /// Computes what is left.
    fn compute(&self, fields: &[Field], parts: &mut [Part], start: usize) -> Result<(), EncodeError> {
        self.advance(fields, fields.len(), parts, start)?;
        match parts.iter().position(|part| part.bytes.is_none()) {
            None => Ok(()),
            Some(stuck) => wrong("it is computed from something that is computed from it")
                .map_err(|error| named(error, &fields[stuck].name)),
        }
    }

    /// Computes what can be of the first `known` fields: each as soon as everything that it is computed from is there.
    fn advance(&self, fields: &[Field], known: usize, parts: &mut [Part], start: usize) -> Result<(), EncodeError> {
        loop {
            let mut moved = false;
            for (number, field) in fields.iter().enumerate().take(known) {
                if parts[number].bytes.is_some() {
                    continue;
                }
                let value = match &field.compute {
                    Some(compute) => computed(number, field, compute, parts, start),
                    None => sized(fields, number, known, parts).map(Summed2::Number),
                };
                let Some(value) = value else { continue };
                let mut bytes = Vec::new();
                match value {
                    Summed2::Number(value) => {
                        write_number(field, value, &mut bytes).map_err(|error| named(error, &field.name))?;
                        parts[number].number = Some(value);
                    }
                    Summed2::Digest(digest) => bytes = digest,
                }
                parts[number].bytes = Some(bytes);
                moved = true;
            }
            if !moved {
                return Ok(());
            }
        }
    }

    /// Writes one field; its number if it is one, and how much it holds.
    #[expect(clippy::too_many_arguments, reason = "a field is written from what is around it")]
    fn field(
        &mut self,
        number: usize,
        field: &Field,
        own: Option<&Given>,
        table: &Table,
        around: &Around<'_>,
        base: usize,
        output: &mut Vec<u8>,
    ) -> Result<(Option<i128>, usize), EncodeError> {
        match &field.kind {
            Kind::Align(to) => {
                let pad = base.next_multiple_of(*to) - base;
                output.resize(pad, 0);
                Ok((None, pad))
            }
            Kind::Array { of, extent } => {
                let elements = match own {
                    None => &[],
                    Some(Given::List(elements)) => elements.as_slice(),
                    Some(other) => return wrong(format!("an array is a list, not {}", kind(other))),
                };
                let mut inner = Vec::new();
                for (at, element) in elements.iter().enumerate() {
                    let mut bytes = Vec::new();
                    let base = base + inner.len();
                    self.field(number, of, Some(element), &[], around, base, &mut bytes)
                        .map_err(|error| named(error, &format!("[{at}]")))?;
                    inner.extend_from_slice(&bytes);
                }
                let counted = matches!(extent, Extent::Count(..) | Extent::Fixed(_));
                let size = if counted { elements.len() } else { inner.len() };
                wrap(extent, &inner, output)?;
                Ok((None, size))
            }
            Kind::Bytes { extent, text, constant, .. } => {
                let bytes = match (own, constant, &field.default) {
                    (Some(Given::Bytes(bytes)), ..) => bytes.clone(),
                    (Some(Given::Number(number)), ..) if text.is_some() => number.to_string().into(),
                    (Some(other), ..) => return wrong(format!("expected bytes or text, got {}", kind(other))),
                    (None, Some(constant), _) => constant.clone(),
                    (None, None, Some(Default::Bytes(bytes))) => bytes.clone(),
                    (None, None, _) => match extent {
                        Extent::Fixed(len) => vec![0; *len].into(),
                        _ => Bytes::new(),
                    },
                };
                let pad = text.as_ref().and_then(|text| text.pad);
                let padded: Bytes = match pad {
                    Some(pad) => [&[pad][..], &bytes].concat().into(),
                    None => bytes,
                };
                wrap(extent, &padded, output)?;
                Ok((None, padded.len()))
            }
            Kind::DomainName => {
                match own {
                    Some(Given::Bytes(name)) => write_domain_name(name, output)?,
                    None => output.push(0),
                    Some(other) => return wrong(format!("expected a domain name, got {}", kind(other))),
                }
                Ok((None, output.len()))
            }
            Kind::Digits { number, .. } => {
                let value = match own {
                    Some(given) => self.number_of(given, number)?,
                    None => initial(number, field.default.as_ref()),
                };
                write_number(field, value, output)?;
                Ok((Some(value), output.len()))
            }
            Kind::Integer(integer) => {
                let value = self.integer(field, integer, own, table, around, number)?;
                write_number(field, value, output)?;
                Ok((Some(value), output.len()))
            }
            Kind::Struct(structure) => {
                let fields = self.protocol.fields_of(structure);
                let wrapped;
                let inner: &Table = match own {
                    None => &[],
                    Some(Given::Table(table)) => table,
                    Some(other) => match only_field(fields) {
                        Some(only) => {
                            wrapped = [(Arc::clone(&only.name), other.clone())];
                            &wrapped
                        }
                        None => return wrong(format!("expected fields in a table, got {}", kind(other))),
                    },
                };
                self.fields(fields, inner, Some(around), base, output)?;
                Ok((None, output.len()))
            }
            Kind::Switch { on, cases, default } => {
                let inner: &Table = match own {
                    None => &[],
                    Some(Given::Table(table)) => table,
                    Some(other) => return wrong(format!("expected fields in a table, got {}", kind(other))),
                };
                let value = around.number(on);
                let case = value.and_then(|value| cases.iter().find(|(values, _)| values.contains(&value)));
                let fields = case.map(|(_, fields)| fields).or(default.as_ref());
                match fields {
                    Some(fields) => self.fields(fields, inner, Some(around), base, output)?,
                    // Sent so, nothing follows: that may be what is meant.
                    None if inner.is_empty() => {}
                    None => return wrong(format!("`{}` has no case for its value, so it has no fields", on.text)),
                }
                Ok((None, output.len()))
            }
        }
    }

    fn integer(
        &self,
        field: &Field,
        integer: &Integer,
        own: Option<&Given>,
        table: &Table,
        around: &Around<'_>,
        number: usize,
    ) -> Result<i128, EncodeError> {
        if integer.bits.is_empty() {
            return match own {
                Some(given) => self.number_of(given, &integer.number),
                None => Ok(initial(&integer.number, field.default.as_ref())),
            };
        }
        let inner: &Table = match own {
            Some(Given::Table(inner)) => inner,
            Some(given) => return self.number_of(given, &integer.number),
            None => &[],
        };
        if let Some((name, _)) = inner.iter().find(|(name, _)| !integer.bits.iter().any(|bits| bits.name == *name)) {
            return wrong(format!("there are no bits `{name}`"));
        }
        let mut value = 0;
        for (at, bits) in integer.bits.iter().enumerate() {
            let part = match find(inner, &bits.name).or_else(|| find(table, &bits.name)) {
                Some(given) => self.number_of(given, &bits.number).map_err(|error| named(error, &bits.name))?,
                None => match bits.number.constant {
                    Some(constant) => constant,
                    None if bits.width == 1 && self.is_flag_of_given(around, table, number, at) => 1,
                    None => bits.default,
                },
            };
            if !(0..=bits.mask()).contains(&part) {
                return wrong(format!("{part} does not fit into {} bits", bits.width))
                    .map_err(|error| named(error, &bits.name));
            }
            value |= part << bits.shift;
        }
        Ok(value)
    }

    /// Whether a bit says that another field is there, and that field is given.
    fn is_flag_of_given(&self, around: &Around<'_>, table: &Table, number: usize, bits: usize) -> bool {
        around.fields.iter().any(|field| {
            let flag = field.only_if.as_ref().and_then(super::expression::Expression::as_flag);
            flag.is_some_and(|flag| flag.up == 0 && flag.path == [number] && flag.bits == Some(bits))
                && find(table, &field.name).is_some()
        })
    }

    /// A number, as a number, in digits or by its name.
    fn number_of(&self, given: &Given, number: &Number) -> Result<i128, EncodeError> {
        match given {
            Given::Number(value) => Ok(*value),
            Given::Bytes(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                let names = number.names.map(|at| &self.protocol.enums[at]);
                let value = names.and_then(|names| names.value_of(&text)).or_else(|| parse_number(&text));
                value.map_or_else(
                    || match names {
                        Some(names) => {
                            wrong(format!("expected a number or a name of `{}`, got {}", names.name, quote(bytes)))
                        }
                        None => wrong(format!("expected a number, got {}", quote(bytes))),
                    },
                    Ok,
                )
            }
            other => wrong(format!("expected a number, got {}", kind(other))),
        }
    }
}

/// A number or bytes that were computed.
enum Summed2 {
    Digest(Vec<u8>),
    Number(i128),
}

/// What a computed field has, if everything that it is computed from is there.
fn computed(number: usize, field: &Field, compute: &Compute, parts: &[Part], start: usize) -> Option<Summed2> {
    let span = compute.from..=compute.to;
    let own_len = match &field.kind {
        Kind::Integer(Integer { layout: Layout::Fixed { len, .. }, .. }) => Some(usize::from(*len)),
        Kind::Bytes { extent: Extent::Fixed(len), .. } => Some(*len),
        _ => None,
    };
    let len_of = |at: usize| match &parts[at].bytes {
        Some(bytes) => Some(bytes.len()),
        None if at == number => own_len,
        // A number of a fixed width has its length before it has its value; the caller knows only its own.
        None => None,
    };
    let value = match compute.how {
        How::Count => {
            parts[compute.from].bytes.as_ref()?;
            parts[compute.from].size as i128
        }
        How::Length => span.map(len_of).sum::<Option<usize>>()? as i128,
        How::Offset => (start + (0..compute.from).map(len_of).sum::<Option<usize>>()?) as i128,
        How::Sum(sum) => {
            let mut whole = Vec::new();
            for at in span {
                match &parts[at].bytes {
                    Some(bytes) => whole.extend_from_slice(bytes),
                    None if at == number => whole.resize(whole.len() + own_len?, 0),
                    None => return None,
                }
            }
            match sum.of(&whole) {
                Summed::Number(number) => i128::from(number),
                Summed::Digest(digest) => return Some(Summed2::Digest(digest)),
            }
        }
    };
    Some(Summed2::Number(value + i128::from(compute.plus)))
}

/// Whether a field says how much another one beside it holds.
pub(super) fn is_size(fields: &[Field], number: usize) -> bool {
    fields
        .iter()
        .any(|field| size_of(field).is_some_and(|(of, ..)| of.up == 0 && of.path == [number] && of.bits.is_none()))
}

/// What an earlier field beside it says of this field.
fn size_of(field: &Field) -> Option<(&Reference, i64)> {
    match &field.kind {
        Kind::Array { extent, .. } | Kind::Bytes { extent, .. } | Kind::Digits { extent, .. } => match extent {
            Extent::Count(of, plus) | Extent::Field(of, plus) => Some((of, *plus)),
            _ => None,
        },
        _ => None,
    }
}

/// What a field says that is the size of another.
fn sized(fields: &[Field], number: usize, known: usize, parts: &[Part]) -> Option<i128> {
    let of = |field: &Field| size_of(field).filter(|(of, _)| of.up == 0 && of.path == [number]).map(|(_, plus)| plus);
    // Of several, the first that is there says it; where none is, that is sure only when all are known.
    let all = fields.iter().enumerate().filter_map(|(at, field)| Some((at, of(field)?)));
    let (at, plus) = all
        .clone()
        .find(|(at, _)| parts[*at].present)
        .or_else(|| all.clone().next().filter(|_| known == fields.len()))?;
    parts[at].bytes.as_ref()?;
    Some(parts[at].size as i128 - i128::from(plus))
}

fn has_bits_given(field: &Field, given: &Table) -> bool {
    match &field.kind {
        Kind::Integer(integer) => integer.bits.iter().any(|bits| find(given, &bits.name).is_some()),
        _ => false,
    }
}

fn find<'g>(table: &'g Table, name: &str) -> Option<&'g Given> {
    if name.is_empty() {
        return None;
    }
    table.iter().find(|(known, _)| **known == *name).map(|(_, given)| given)
}

fn initial(number: &Number, default: Option<&Default>) -> i128 {
    match (number.constant, default) {
        (Some(constant), _) => constant,
        (None, Some(Default::Number(value))) => *value,
        _ => 0.clamp(number.min, number.max),
    }
}

/// Puts an extent around its content.
fn wrap(extent: &Extent, inner: &[u8], output: &mut Vec<u8>) -> Result<(), EncodeError> {
    match extent {
        Extent::Prefix(layout) => {
            write_integer(*layout, inner.len() as i128, output)?;
            output.extend_from_slice(inner);
        }
        Extent::Until(delimiter) => {
            output.extend_from_slice(inner);
            output.extend_from_slice(delimiter);
        }
        _ => output.extend_from_slice(inner),
    }
    Ok(())
}

fn write_number(field: &Field, value: i128, output: &mut Vec<u8>) -> Result<(), EncodeError> {
    match &field.kind {
        Kind::Integer(Integer { layout, .. }) => write_integer(*layout, value, output),
        Kind::Digits { extent, radix, .. } => {
            let width = if let Extent::Fixed(len) = extent { *len } else { 0 };
            let text = digits(value, *radix, width);
            wrap(extent, text.as_bytes(), output)
        }
        Kind::Bytes { extent, .. } => wrap(extent, value.to_string().as_bytes(), output),
        _ => wrong("a number is computed, and this is none"),
    }
}

fn kind(given: &Given) -> &'static str {
    match given {
        Given::Bytes(_) => "bytes",
        Given::List(_) => "a list",
        Given::Number(_) => "a number",
        Given::Table(_) => "fields",
    }
}
