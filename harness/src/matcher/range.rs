//! A decimal number within bounds.

use super::{Bound, Facts, Input, Match, Matcher, Outcome, Pattern, Progress};
use crate::document::{Node, Reader};

/// The most digits that are read as one number.
const DIGITS_MAX: usize = 20;

/// A decimal number from `low` to `high`, both included. Of a stream its digits are taken.
#[derive(Debug)]
struct Range {
    low: i64,
    high: i64,
}

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    let [low, high] = reader.array(node, "`range`")? else {
        reader.mistake(&node.span, "`range` takes two numbers: the least and the greatest");
        return None;
    };
    let read = |reader: &mut Reader, node: &Node| {
        Bound::lower(reader, node, "`range`", |reader, node, what| reader.integer(node, what, i64::MIN, i64::MAX))
    };
    let (low, high) = (read(reader, low), read(reader, high));
    Pattern::of_bounds(reader, node, low?, high?, |low, high| match low > high {
        true => Err(format!("`range` goes from the least to the greatest, not from {low} to {high}")),
        false => Ok(Range { low, high }),
    })
}

impl Matcher for Range {
    fn describe(&self) -> String {
        format!("a number from {} to {}", self.low, self.high)
    }

    fn facts(&self, _: bool) -> Facts {
        Facts { first: Some(b"-0123456789"), ..Facts::default() }
    }

    fn check(&self, input: Input<'_>, _: &mut Progress) -> Outcome {
        let sign = usize::from(input.bytes.first() == Some(&b'-'));
        let digits = input.bytes[sign..].iter().take(DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
        let len = sign + digits;
        let rest = input.bytes.len() - len;
        if digits == 0 {
            let open = rest == 0 && !input.ended;
            return if open { Outcome::NeedMore } else { Outcome::mismatch(len, "that is no number") };
        }
        if input.message && rest > 0 {
            return Outcome::mismatch(len, "something follows the number");
        }
        let number = str::from_utf8(&input.bytes[..len]).ok().and_then(|text| text.parse::<i64>().ok());
        match number {
            Some(number) if (self.low..=self.high).contains(&number) => {
                Outcome::Match(Match { len, may_grow: rest == 0 && !input.ended, ..Match::default() })
            }
            // More digits could still bring a number into the range, or the sender is not done.
            _ if rest == 0 && !input.ended && digits < DIGITS_MAX => Outcome::NeedMore,
            Some(number) => Outcome::mismatch(0, format!("{number} is out of the range")),
            None => Outcome::mismatch(0, "the number does not fit 64 bits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::{message, stream};

    #[test]
    fn a_number_lies_within_both_bounds() {
        message("{ range = [1, 9] }", b"9", true);
        message("{ range = [1, 9] }", b"10", false);
        message("{ range = [-5, 0] }", b"-5", true);
        message("{ range = [1, 9] }", b"5x", false);
        message("{ range = [1, 9] }", b"", false);
        message("{ range = [1, 9] }", b"99999999999999999999", false);
    }

    #[test]
    fn of_a_stream_all_digits_are_taken() {
        stream("{ range = [1, 500] }", b"123 rest", Some(Ok(3)));
        stream("{ range = [10, 20] }", b"1 ", Some(Err(0)));
        stream("{ range = [1, 9] }", b"x", Some(Err(0)));
    }
}
