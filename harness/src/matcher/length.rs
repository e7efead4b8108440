//! So many bytes.

use super::{Bound, Facts, Input, Matcher, Outcome, Pattern, Progress};
use crate::document::{Node, Reader, Value};
use crate::text::count;

/// From `min` to `max` bytes. Of a stream, a fixed length takes just that; a range takes what has arrived, up to its end.
#[derive(Debug)]
struct Length {
    min: usize,
    max: usize,
}

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    let read = |reader: &mut Reader, node: &Node, what: &str| {
        Bound::lower(reader, node, what, |reader, node, what| {
            reader.size(node, what, 0, i64::MAX as u64).map(|size| size as i64)
        })
    };
    let (min, max) = match &node.value {
        Value::Table(table) => {
            reader.check_keys(table, &["min", "max"], "`length`");
            let mut bound = |key: &str, default| match table.get(key) {
                Some(node) => read(reader, node, &format!("`{key}`")),
                None => Some(Bound::Known(default)),
            };
            (bound("min", 0)?, bound("max", i64::MAX)?)
        }
        _ => {
            let len = read(reader, node, "`length`")?;
            (len.clone(), len)
        }
    };
    Pattern::of_bounds(reader, node, min, max, |min, max| {
        if let Some(negative) = [min, max].into_iter().find(|bound| *bound < 0) {
            return Err(format!("a length is 0 or more, not {negative}"));
        }
        if min > max {
            return Err(format!("`min` is at most `max`, and {min} is more than {max}"));
        }
        let max = if max == i64::MAX { usize::MAX } else { max as usize };
        Ok(Length { min: min as usize, max })
    })
}

impl Matcher for Length {
    fn describe(&self) -> String {
        match (self.min, self.max) {
            (min, max) if min == max => count(min, "byte"),
            (min, usize::MAX) => format!("{} or more", count(min, "byte")),
            (min, max) => format!("{min} to {max} bytes"),
        }
    }

    fn facts(&self, message: bool) -> Facts {
        match message {
            true => Facts { len_min: self.min, len_max: self.max, ..Facts::default() },
            false => Facts::default(),
        }
    }

    fn check(&self, input: Input<'_>, _: &mut Progress) -> Outcome {
        let len = input.bytes.len();
        match input.message {
            true if len < self.min => Outcome::mismatch(len, format!("it has {len} bytes")),
            true if len > self.max => Outcome::mismatch(self.max, format!("it has {len} bytes")),
            false if len < self.min.max(usize::from(self.max > 0)) => Outcome::NeedMore,
            _ => Outcome::matched(len.min(self.max)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::{message, stream};

    #[test]
    fn a_message_has_a_length() {
        message("{ length = 4 }", b"abcd", true);
        message("{ length = 4 }", b"abc", false);
        message("{ length = { min = 1, max = 3 } }", b"abcd", false);
        message("{ length = { max = 3 } }", b"", true);
        message("{ length = { min = 2 } }", b"abcdef", true);
    }

    #[test]
    fn a_stream_gives_what_is_wanted_and_no_more() {
        stream("{ length = 2 }", b"abc", Some(Ok(2)));
        stream("{ length = { min = 2, max = 3 } }", b"abcd", Some(Ok(2)));
        stream("{ length = 2 }", b"a", None);
    }
}
