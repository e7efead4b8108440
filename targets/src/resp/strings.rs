//! Commands for strings, which may be numbers.

use super::answer::Answer;
use super::data::{Data, Value};
use super::keys::after;
use super::{Command, Error, MANY, integer, key, slice};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("append", 2, 2, append),
    Command::new("decr", 1, 1, |data, words, answer| add(data, words[0], -1, answer)),
    Command::new("decrby", 2, 2, |data, words, answer| {
        let by = integer(words[1])?.checked_neg().ok_or(Error::DecrementOverflow)?;
        add(data, words[0], by, answer)
    }),
    Command::new("get", 1, 1, |data, words, answer| {
        answer.optional(text(data, words[0])?);
        Ok(())
    }),
    Command::new("getdel", 1, 1, |data, words, answer| {
        answer.optional(text(data, words[0])?);
        data.delete(words[0]);
        Ok(())
    }),
    Command::new("getrange", 3, 3, |data, words, answer| {
        let text = text(data, words[0])?.unwrap_or_default();
        answer.bulk(&text[slice(text.len(), integer(words[1])?, integer(words[2])?)]);
        Ok(())
    }),
    Command::new("getset", 2, 2, |data, words, answer| {
        answer.optional(text(data, words[0])?);
        data.set(key(words[0])?, words[1].to_vec())
    }),
    Command::new("incr", 1, 1, |data, words, answer| add(data, words[0], 1, answer)),
    Command::new("incrby", 2, 2, |data, words, answer| add(data, words[0], integer(words[1])?, answer)),
    Command::new("mget", 1, MANY, |data, words, answer| {
        answer.array(words.len());
        words.iter().for_each(|key| answer.optional(text(data, key).unwrap_or(None)));
        Ok(())
    }),
    Command::new("mset", 2, MANY, mset),
    Command::new("psetex", 3, 3, |data, words, answer| set_for(data, words, "psetex", 1, answer)),
    Command::new("set", 2, 8, set),
    Command::new("setex", 3, 3, |data, words, answer| set_for(data, words, "setex", 1_000, answer)),
    Command::new("setnx", 2, 2, |data, words, answer| {
        let is_new = data.value(words[0]).is_none();
        if is_new {
            data.set(key(words[0])?, words[1].to_vec())?;
        }
        answer.integer(is_new.into());
        Ok(())
    }),
    Command::new("strlen", 1, 1, |data, words, answer| {
        answer.count(text(data, words[0])?.map_or(0, <[u8]>::len));
        Ok(())
    }),
];

/// The string that a key holds.
fn text<'a>(data: &'a mut Data, key: &[u8]) -> Result<Option<&'a [u8]>, Error> {
    match data.value(key) {
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(Error::WrongType),
        None => Ok(None),
    }
}

/// Sets a string that lives as long as the one before it.
fn replace(data: &mut Data, word: &[u8], text: Vec<u8>) -> Result<(), Error> {
    let expires = data.expires(word).flatten();
    data.set(key(word)?, text)?;
    data.expire(word, expires);
    Ok(())
}

fn append(data: &mut Data, words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
    let text = [text(data, words[0])?.unwrap_or_default(), words[1]].concat();
    let len = text.len();
    replace(data, words[0], text)?;
    answer.count(len);
    Ok(())
}

fn add(data: &mut Data, word: &[u8], by: i64, answer: &mut Answer) -> Result<(), Error> {
    let old = text(data, word)?.map_or(Ok(0), integer)?;
    let new = old.checked_add(by).ok_or(Error::Overflow)?;
    replace(data, word, new.to_string().into_bytes())?;
    answer.integer(new);
    Ok(())
}

/// All or, where there is no room, those before the one that is too many.
fn mset(data: &mut Data, words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
    if !words.len().is_multiple_of(2) {
        return Err(Error::Arguments("mset"));
    }
    for pair in words.chunks_exact(2) {
        data.set(key(pair[0])?, pair[1].to_vec())?;
    }
    answer.ok();
    Ok(())
}

fn set_for(
    data: &mut Data,
    words: &[&[u8]],
    name: &'static str,
    unit_ms: i64,
    answer: &mut Answer,
) -> Result<(), Error> {
    let count = integer(words[1])?;
    let expires = after(data.now, count, unit_ms).filter(|_| count > 0).ok_or(Error::WrongTime(name))?;
    data.set(key(words[0])?, words[2].to_vec())?;
    data.expire(words[0], Some(expires));
    answer.ok();
    Ok(())
}

/// `SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL]`
fn set(data: &mut Data, words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
    let (name, value) = (key(words[0])?, words[1]);
    let (mut only_if, mut get, mut keep, mut expires) = (None, false, false, None);
    let mut options = words[2..].iter();
    while let Some(option) = options.next() {
        match option.to_ascii_lowercase().as_slice() {
            b"nx" if only_if.is_none() => only_if = Some(false),
            b"xx" if only_if.is_none() => only_if = Some(true),
            b"get" => get = true,
            b"keepttl" if expires.is_none() => keep = true,
            unit @ (b"ex" | b"px") if expires.is_none() && !keep => {
                let count = integer(options.next().ok_or(Error::Syntax)?)?;
                let unit_ms = if unit == b"ex" { 1_000 } else { 1 };
                let ends = after(data.now, count, unit_ms).filter(|_| count > 0);
                expires = Some(ends.ok_or(Error::WrongTime("set"))?);
            }
            _ => return Err(Error::Syntax),
        }
    }
    let is_set = only_if.is_none_or(|there| data.value(name).is_some() == there);
    let kept = if keep { data.expires(name).flatten() } else { None };
    if get {
        answer.optional(text(data, name)?);
    } else if is_set {
        answer.ok();
    } else {
        answer.optional(None);
    }
    if is_set {
        data.set(name, value.to_vec())?;
        data.expire(name, expires.or(kept));
    }
    Ok(())
}
