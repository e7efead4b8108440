//! Conditions on earlier fields: `flags.retain`, `qos != 0 && type == "publish"`.

use std::sync::Arc;

/// Another field, as it is found from the one that speaks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// How many structures further out.
    pub up: usize,
    /// Which field there, then which of its fields, and so on.
    pub path: Vec<usize>,
    /// Which of its bits.
    pub bits: Option<usize>,
    /// As it is written.
    pub text: Arc<str>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// Both.
    And(Box<Expression>, Box<Expression>),
    /// A comparison with a number.
    Compare(Reference, Comparison, i128),
    /// Not.
    Not(Box<Expression>),
    /// Either.
    Or(Box<Expression>, Box<Expression>),
}

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `&`: some of these bits are set.
    Mask,
    /// `!=`
    NotEqual,
}

const OPERATORS: &[(&str, Comparison)] = &[
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    (">=", Comparison::GreaterEqual),
    ("<=", Comparison::LessEqual),
    (">", Comparison::Greater),
    ("<", Comparison::Less),
    ("&", Comparison::Mask),
];

impl Expression {
    /// Whether it holds; `None` where a field that it speaks of is not there.
    pub fn holds(&self, value: &impl Fn(&Reference) -> Option<i128>) -> Option<bool> {
        Some(match self {
            Expression::And(a, b) => a.holds(value)? && b.holds(value)?,
            Expression::Compare(of, comparison, with) => {
                let value = value(of)?;
                match comparison {
                    Comparison::Equal => value == *with,
                    Comparison::Greater => value > *with,
                    Comparison::GreaterEqual => value >= *with,
                    Comparison::Less => value < *with,
                    Comparison::LessEqual => value <= *with,
                    Comparison::Mask => value & *with != 0,
                    Comparison::NotEqual => value != *with,
                }
            }
            Expression::Not(inner) => !inner.holds(value)?,
            Expression::Or(a, b) => a.holds(value)? || b.holds(value)?,
        })
    }

    /// The one bit or field that has to be set, where that is all that it says.
    pub fn as_flag(&self) -> Option<&Reference> {
        match self {
            Expression::Compare(of, Comparison::NotEqual, 0) => Some(of),
            _ => None,
        }
    }

    /// Reads a condition. `find` finds a field by its path; `name` the number of an enum's name for it.
    pub(super) fn parse(
        text: &str,
        find: &mut dyn FnMut(&str) -> Result<Reference, String>,
        name: &dyn Fn(&Reference, &str) -> Option<i128>,
    ) -> Result<Expression, String> {
        // `||` binds less than `&&`.
        for (operator, make) in
            [("||", Expression::Or as fn(Box<Expression>, Box<Expression>) -> Expression), ("&&", Expression::And)]
        {
            if let Some((a, b)) = text.split_once(operator) {
                let (a, b) = (Expression::parse(a, find, name)?, Expression::parse(b, find, name)?);
                return Ok(make(Box::new(a), Box::new(b)));
            }
        }
        let text = text.trim();
        if let Some(inner) = text.strip_prefix('!').filter(|inner| !inner.starts_with('=')) {
            return Ok(Expression::Not(Box::new(Expression::parse(inner, find, name)?)));
        }
        let operator = OPERATORS.iter().filter_map(|row| Some((text.find(row.0)?, row))).min_by_key(|(at, _)| *at);
        let Some((at, (sign, comparison))) = operator else {
            return Ok(Expression::Compare(find(text)?, Comparison::NotEqual, 0));
        };
        let of = find(text[..at].trim())?;
        let with = text[at + sign.len()..].trim().trim_matches(['"', '\'']);
        let value = parse_number(with).or_else(|| name(&of, with));
        match value {
            Some(value) => Ok(Expression::Compare(of, *comparison, value)),
            None => Err(format!("`{with}` is no number, and no name that `{}` has", of.text)),
        }
    }
}

/// Reads `12`, `-3`, `0x1f`, `true`.
pub(super) fn parse_number(text: &str) -> Option<i128> {
    let clean = text.replace('_', "");
    match clean.as_str() {
        "true" => return Some(1),
        "false" => return Some(0),
        _ => {}
    }
    let (sign, digits) = match clean.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, clean.as_str()),
    };
    let value = match digits.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    // A sign inside the digits is none of ours.
    value.ok().filter(|_| digits.starts_with(|c: char| c.is_ascii_digit())).map(|value| sign * value)
}
