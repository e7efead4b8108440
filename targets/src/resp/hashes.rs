//! Commands for hashes.

use std::collections::BTreeMap;

use super::data::{Data, Value, cost};
use super::{Command, Error, MANY, integer, key};

type Hash = BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) const COMMANDS: &[Command] = &[
    Command::new("hdel", 2, MANY, |data, words, answer| {
        if hash(data, words[0])?.is_none() {
            answer.count(0);
            return Ok(());
        }
        let removed = data.change(words[0], Value::Hash(Hash::new()), 0, |value| {
            let Value::Hash(hash) = value else { return Err(Error::WrongType) };
            let (mut removed, mut freed) = (0, 0);
            for field in &words[1..] {
                if let Some(old) = hash.remove(*field) {
                    removed += 1;
                    freed += (cost(field) + old.len()) as isize;
                }
            }
            Ok((removed, -freed))
        })?;
        answer.count(removed);
        Ok(())
    }),
    Command::new("hexists", 2, 2, |data, words, answer| {
        answer.integer(hash(data, words[0])?.is_some_and(|hash| hash.contains_key(words[1])).into());
        Ok(())
    }),
    Command::new("hget", 2, 2, |data, words, answer| {
        let value = hash(data, words[0])?.and_then(|hash| hash.get(words[1]));
        answer.optional(value.map(Vec::as_slice));
        Ok(())
    }),
    Command::new("hgetall", 1, 1, |data, words, answer| {
        let hash = hash(data, words[0])?;
        answer.array(hash.map_or(0, |hash| 2 * hash.len()));
        for (field, value) in hash.into_iter().flatten() {
            answer.bulk(field);
            answer.bulk(value);
        }
        Ok(())
    }),
    Command::new("hincrby", 3, 3, |data, words, answer| {
        let by = integer(words[2])?;
        let old = hash(data, words[0])?
            .and_then(|hash| hash.get(words[1]))
            .map_or(Ok(0), |old| integer(old).map_err(|_| Error::HashValue))?;
        let new = old.checked_add(by).ok_or(Error::Overflow)?;
        put(data, words[0], &[words[1], new.to_string().as_bytes()])?;
        answer.integer(new);
        Ok(())
    }),
    Command::new("hkeys", 1, 1, |data, words, answer| {
        match hash(data, words[0])? {
            Some(hash) => answer.bulks(hash.keys().map(Vec::as_slice)),
            None => answer.array(0),
        }
        Ok(())
    }),
    Command::new("hlen", 1, 1, |data, words, answer| {
        answer.count(hash(data, words[0])?.map_or(0, BTreeMap::len));
        Ok(())
    }),
    Command::new("hmget", 2, MANY, |data, words, answer| {
        let hash = hash(data, words[0])?;
        answer.array(words.len() - 1);
        for field in &words[1..] {
            answer.optional(hash.and_then(|hash| hash.get(*field)).map(Vec::as_slice));
        }
        Ok(())
    }),
    Command::new("hmset", 3, MANY, |data, words, answer| {
        hset(data, words, "hmset")?;
        answer.ok();
        Ok(())
    }),
    Command::new("hset", 3, MANY, |data, words, answer| {
        answer.count(hset(data, words, "hset")?);
        Ok(())
    }),
    Command::new("hvals", 1, 1, |data, words, answer| {
        match hash(data, words[0])? {
            Some(hash) => answer.bulks(hash.values().map(Vec::as_slice)),
            None => answer.array(0),
        }
        Ok(())
    }),
];

fn hash<'a>(data: &'a mut Data, key: &[u8]) -> Result<Option<&'a Hash>, Error> {
    match data.value(key) {
        Some(Value::Hash(hash)) => Ok(Some(hash)),
        Some(_) => Err(Error::WrongType),
        None => Ok(None),
    }
}

fn hset(data: &mut Data, words: &[&[u8]], name: &'static str) -> Result<usize, Error> {
    if words.len().is_multiple_of(2) {
        return Err(Error::Arguments(name));
    }
    put(data, words[0], &words[1..])
}

/// Sets fields to values, which stand in pairs, and says how many are new.
fn put(data: &mut Data, word: &[u8], pairs: &[&[u8]]) -> Result<usize, Error> {
    let room = pairs.chunks_exact(2).map(|pair| cost(pair[0]) + pair[1].len()).sum();
    data.change(key(word)?, Value::Hash(Hash::new()), room, |value| {
        let Value::Hash(hash) = value else { return Err(Error::WrongType) };
        let (mut added, mut delta) = (0, 0);
        for pair in pairs.chunks_exact(2) {
            delta += pair[1].len() as isize;
            match hash.insert(pair[0].to_vec(), pair[1].to_vec()) {
                Some(old) => delta -= old.len() as isize,
                None => {
                    added += 1;
                    delta += cost(pair[0]) as isize;
                }
            }
        }
        Ok((added, delta))
    })
}
