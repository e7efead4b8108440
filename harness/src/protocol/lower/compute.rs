//! `compute = "length(key..data) + 4"`.

use super::Lowering;
use super::references::names_of;
use crate::document::{Node, did_you_mean};
use crate::protocol::checksum::SUMS;
use crate::protocol::description::{Compute, Extent, How, Kind};
use crate::protocol::expression::parse_number;

impl Lowering<'_> {
    /// Reads `length(key..data) + 4`.
    pub(super) fn compute(&mut self, span: &Span<'_>) -> Option<Compute> {
        let Span { field, node, text } = span;
        let functions = || {
            let sums = SUMS.iter().map(|(name, _)| *name);
            ["count", "length", "offset"].into_iter().chain(sums).collect::<Vec<_>>()
        };
        let parsed = text.split_once('(').and_then(|(name, rest)| {
            let (inside, after) = rest.split_once(')')?;
            Some((name.trim(), inside.trim(), after.trim()))
        });
        let Some((name, inside, after)) = parsed else {
            let hint = "`compute = \"length(key)\"`, `\"crc32(op..data)\"`, `\"count(topics)\"`";
            self.reader.mistake_with_hint(&node.span, format!("`{text}` computes nothing"), hint);
            return None;
        };
        let how = match name {
            "count" => How::Count,
            "length" => How::Length,
            "offset" => How::Offset,
            _ => match SUMS.iter().find(|(known, _)| *known == name) {
                Some((_, sum)) => How::Sum(*sum),
                None => {
                    let hint = did_you_mean(name, functions().into_iter())
                        .unwrap_or_else(|| format!("there are: {}", functions().join(", ")));
                    self.reader.mistake_with_hint(&node.span, format!("unknown function `{name}`"), hint);
                    return None;
                }
            },
        };
        let plus = match after {
            "" => 0,
            after => match parse_number(&after.replace([' ', '+'], "")) {
                Some(plus) => plus as i64,
                None => {
                    self.reader.mistake(&node.span, format!("`{after}` is nothing to add"));
                    return None;
                }
            },
        };
        let level = self.levels.last().expect("a list has its level");
        let names = names_of(level);
        let last = level.len() - 1;
        let find = |name: &str| level.iter().position(|field| *field.name == *name);
        let (from, to) = match inside.split_once("..") {
            Some((from, "")) => (find(from), Some(last)),
            Some((from, to)) => (find(from), find(to)),
            None => (find(inside), find(inside)),
        };
        let (Some(from), Some(to)) = (from, to) else {
            let parts = inside.split("..").filter(|part| !part.is_empty());
            let missing = parts.clone().find(|part| find(part).is_none()).unwrap_or(inside).to_owned();
            let hint = did_you_mean(&missing, names.iter().map(|name| &**name))
                .unwrap_or_else(|| "a span names fields that stand beside this one".into());
            self.reader.mistake_with_hint(&node.span, format!("there is no field `{missing}` here"), hint);
            return None;
        };
        if from > to {
            self.reader.mistake(&node.span, format!("`{inside}` ends before it begins"));
            return None;
        }
        let kind = &level[*field].kind;
        let fits = match (how, kind) {
            (How::Sum(sum), Kind::Bytes { extent, .. }) => {
                !sum.is_number() && *extent == Extent::Fixed(sum.digest_len())
            }
            (How::Sum(sum), _) => sum.is_number() && matches!(kind, Kind::Integer(_) | Kind::Digits { .. }),
            (_, Kind::Integer(_) | Kind::Digits { .. }) => true,
            _ => false,
        };
        if !fits {
            let expected = match how {
                How::Sum(sum) if !sum.is_number() => format!("`bytes` with `length = {}`", sum.digest_len()),
                _ => "a number".to_owned(),
            };
            self.reader.mistake(&node.span, format!("`{name}` is computed into {expected}"));
            return None;
        }
        Some(Compute { how, from, to, plus, text: text.as_str().into() })
    }
}

/// A computation whose span is still names.
pub(super) struct Span<'n> {
    pub(super) field: usize,
    pub(super) node: &'n Node,
    pub(super) text: String,
}
