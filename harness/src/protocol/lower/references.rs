//! Names of fields that stand before, as they are found.

use std::sync::Arc;

use crate::document::did_you_mean;
use crate::protocol::description::{Field, Kind, Number, Structure};
use crate::protocol::expression::Reference;

pub(super) fn names_of(fields: &[Field]) -> Vec<Arc<str>> {
    fields.iter().map(|field| Arc::clone(&field.name)).filter(|name| !name.is_empty()).collect()
}

/// A field that stands before, in this structure or in one around it.
pub(super) fn find_up(levels: &[Vec<Field>], path: &str) -> Result<Reference, String> {
    for (up, fields) in levels.iter().rev().enumerate() {
        if let Some(reference) = find_in(fields, path, up) {
            return Ok(reference);
        }
    }
    let known: Vec<Arc<str>> = levels.iter().flat_map(|fields| names_of(fields)).collect();
    let near = did_you_mean(path, known.iter().map(|name| &**name)).map(|near| format!("; {near}")).unwrap_or_default();
    Err(format!("no field `{path}` stands before this one{near}"))
}

pub(super) fn find_in(fields: &[Field], path: &str, up: usize) -> Option<Reference> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let text: Arc<str> = path.into();
    let bits_of = |at: usize, name: &str| match &fields[at].kind {
        Kind::Integer(integer) => integer.bits.iter().position(|bits| *bits.name == *name),
        _ => None,
    };
    if let Some(at) = fields.iter().position(|field| *field.name == *first) {
        let Some(rest) = rest else { return Some(Reference { up, path: vec![at], bits: None, text }) };
        if let Some(bits) = bits_of(at, rest) {
            return Some(Reference { up, path: vec![at], bits: Some(bits), text });
        }
        let Kind::Struct(Structure::Own(inner)) = &fields[at].kind else { return None };
        let inner = find_in(inner, rest, up)?;
        let path = std::iter::once(at).chain(inner.path).collect();
        return Some(Reference { path, text, ..inner });
    }
    if rest.is_some() || first.is_empty() {
        return None;
    }
    // Bits can be spoken of without their integer's name.
    let found = (0..fields.len()).find_map(|at| Some((at, bits_of(at, first)?)));
    found.map(|(at, bits)| Reference { up, path: vec![at], bits: Some(bits), text })
}

/// What the field of a reference may be.
pub(super) fn number_of<'l>(levels: &'l [Vec<Field>], reference: &Reference) -> Option<&'l Number> {
    let mut fields: &[Field] = levels.get(levels.len().checked_sub(1 + reference.up)?)?;
    let (last, outer) = reference.path.split_last()?;
    for at in outer {
        let Kind::Struct(Structure::Own(inner)) = &fields.get(*at)?.kind else { return None };
        fields = inner;
    }
    match &fields.get(*last)?.kind {
        Kind::Integer(integer) => match reference.bits {
            Some(bits) => Some(&integer.bits.get(bits)?.number),
            None => Some(&integer.number),
        },
        Kind::Digits { number, .. } => Some(number),
        _ => None,
    }
}
