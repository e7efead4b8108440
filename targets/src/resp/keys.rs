//! Commands for keys, whatever they hold.

use jiff::{SignedDuration, Timestamp};

use super::answer::Answer;
use super::data::{Data, Value};
use super::{Command, Error, MANY, integer};

/// The longest pattern: one that is full of stars costs its length for each byte of a key.
const PATTERN_LEN_MAX: usize = 64;

pub(super) const COMMANDS: &[Command] = &[
    Command::new("dbsize", 0, 0, |data, _, answer| {
        answer.count(data.entries().count());
        Ok(())
    }),
    Command::new("del", 1, MANY, del),
    Command::new("exists", 1, MANY, |data, words, answer| {
        answer.count(words.iter().filter(|key| data.value(key).is_some()).count());
        Ok(())
    }),
    Command::new("expire", 2, 2, |data, words, answer| expire(data, words, answer, "expire", 1_000)),
    Command::new("flushall", 0, 1, flush),
    Command::new("flushdb", 0, 1, flush),
    Command::new("keys", 1, 1, |data, words, answer| {
        let found = matching(data, words[0], None)?;
        answer.bulks(found.into_iter());
        Ok(())
    }),
    Command::new("persist", 1, 1, |data, words, answer| {
        let ends = matches!(data.expires(words[0]), Some(Some(_)));
        answer.integer((ends && data.expire(words[0], None)).into());
        Ok(())
    }),
    Command::new("pexpire", 2, 2, |data, words, answer| expire(data, words, answer, "pexpire", 1)),
    Command::new("pttl", 1, 1, |data, words, answer| ttl(data, words, answer, 1)),
    Command::new("rename", 2, 2, rename),
    Command::new("scan", 1, MANY, scan),
    Command::new("ttl", 1, 1, |data, words, answer| ttl(data, words, answer, 1_000)),
    Command::new("type", 1, 1, |data, words, answer| {
        answer.simple(data.value(words[0]).map_or("none", Value::kind));
        Ok(())
    }),
    Command::new("unlink", 1, MANY, del),
];

fn del(data: &mut Data, words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
    answer.count(words.iter().filter(|key| data.delete(key)).count());
    Ok(())
}

fn flush(data: &mut Data, words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
    if !words.iter().all(|word| word.eq_ignore_ascii_case(b"async") || word.eq_ignore_ascii_case(b"sync")) {
        return Err(Error::Syntax);
    }
    data.clear();
    answer.ok();
    Ok(())
}

fn expire(
    data: &mut Data,
    words: &[&[u8]],
    answer: &mut Answer,
    name: &'static str,
    unit_ms: i64,
) -> Result<(), Error> {
    let expires = after(data.now, integer(words[1])?, unit_ms).ok_or(Error::WrongTime(name))?;
    answer.integer(data.expire(words[0], Some(expires)).into());
    Ok(())
}

/// When `count` units after `now` are over.
pub(super) fn after(now: Timestamp, count: i64, unit_ms: i64) -> Option<Timestamp> {
    now.checked_add(SignedDuration::from_millis(count.checked_mul(unit_ms)?)).ok()
}

fn ttl(data: &mut Data, words: &[&[u8]], answer: &mut Answer, unit_ms: i64) -> Result<(), Error> {
    answer.integer(match data.expires(words[0]) {
        None => -2,
        Some(None) => -1,
        Some(Some(expires)) => {
            let left_ms = expires.as_millisecond() - data.now.as_millisecond();
            (left_ms + unit_ms / 2) / unit_ms // rounded, as in Redis
        }
    });
    Ok(())
}

fn rename(data: &mut Data, words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
    data.rename(words[0], super::key(words[1])?)?;
    answer.ok();
    Ok(())
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
fn scan(data: &mut Data, words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
    integer(words[0]).map_err(|_| Error::Cursor)?;
    let (mut pattern, mut kind): (&[u8], _) = (b"*", None);
    for option in words[1..].chunks(2) {
        let [name, value] = option else { return Err(Error::Syntax) };
        match name.to_ascii_lowercase().as_slice() {
            b"match" => pattern = value,
            b"count" if integer(value)? > 0 => {}
            b"type" => kind = Some(value.to_ascii_lowercase()),
            _ => return Err(Error::Syntax),
        }
    }
    let found = matching(data, pattern, kind.as_deref())?;
    answer.array(2);
    answer.bulk(b"0");
    answer.bulks(found.into_iter());
    Ok(())
}

fn matching<'a>(data: &'a Data, pattern: &[u8], kind: Option<&[u8]>) -> Result<Vec<&'a [u8]>, Error> {
    if pattern.len() > PATTERN_LEN_MAX {
        return Err(Error::PatternTooLong);
    }
    let is_kind = |value: &Value| kind.is_none_or(|kind| value.kind().as_bytes() == kind);
    let entries = data.entries().filter(|(key, value)| is_kind(value) && matches(pattern, key));
    Ok(entries.map(|(key, _)| key).collect())
}

/// Whether `text` is what `pattern` says: `?` is any byte, `*` any bytes, `[a-c]` one of these and `[^a]` none, `\` takes
/// what follows as it is.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to go on with one byte more for the last star: earlier ones need not be tried again.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            star = Some((rest, text));
            pattern = rest;
            continue;
        }
        match text {
            [] if pattern.is_empty() => return true,
            [byte, others @ ..] => {
                if let Some(rest) = one(pattern, *byte) {
                    (pattern, text) = (rest, others);
                    continue;
                }
            }
            [] => {}
        }
        let Some((after, [_, others @ ..])) = star else { return false };
        star = Some((after, others));
        (pattern, text) = (after, others);
    }
}

/// What is left of the pattern if its first part takes `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => {
            let (negated, mut rest) = match rest {
                [b'^', rest @ ..] => (true, rest),
                rest => (false, rest),
            };
            let mut found = false;
            loop {
                rest = match rest {
                    [] => return (found != negated).then_some(rest),
                    [b']', rest @ ..] => return (found != negated).then_some(rest),
                    [b'\\', one, rest @ ..] => {
                        found |= *one == byte;
                        rest
                    }
                    [low, b'-', high, rest @ ..] => {
                        found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                        rest
                    }
                    [one, rest @ ..] => {
                        found |= *one == byte;
                        rest
                    }
                };
            }
        }
        [b'\\', one, rest @ ..] => (*one == byte).then_some(rest),
        [one, rest @ ..] => (*one == byte).then_some(rest),
    }
}
