//! Commands for sets.

use std::collections::BTreeSet;

use super::answer::Answer;
use super::data::{Data, Value, cost};
use super::{Command, Error, MANY, integer, key};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("sadd", 2, MANY, |data, words, answer| {
        let room = words[1..].iter().map(|member| cost(member)).sum();
        let added = data.change(key(words[0])?, Value::Set(BTreeSet::new()), room, |value| {
            let Value::Set(set) = value else { return Err(Error::WrongType) };
            let added: Vec<_> = words[1..].iter().filter(|member| set.insert(member.to_vec())).collect();
            Ok((added.len(), added.iter().map(|member| cost(member) as isize).sum()))
        })?;
        answer.count(added);
        Ok(())
    }),
    Command::new("scard", 1, 1, |data, words, answer| {
        answer.count(set(data, words[0])?.map_or(0, BTreeSet::len));
        Ok(())
    }),
    Command::new("sismember", 2, 2, |data, words, answer| {
        answer.integer(set(data, words[0])?.is_some_and(|set| set.contains(words[1])).into());
        Ok(())
    }),
    Command::new("smembers", 1, 1, |data, words, answer| {
        match set(data, words[0])? {
            Some(set) => answer.bulks(set.iter().map(Vec::as_slice)),
            None => answer.array(0),
        }
        Ok(())
    }),
    Command::new("spop", 1, 2, spop),
    Command::new("srem", 2, MANY, |data, words, answer| {
        if set(data, words[0])?.is_none() {
            answer.count(0);
            return Ok(());
        }
        let removed = data.change(words[0], Value::Set(BTreeSet::new()), 0, |value| {
            let Value::Set(set) = value else { return Err(Error::WrongType) };
            let removed: Vec<_> = words[1..].iter().filter(|member| set.remove(**member)).collect();
            Ok((removed.len(), -removed.iter().map(|member| cost(member) as isize).sum::<isize>()))
        })?;
        answer.count(removed);
        Ok(())
    }),
];

fn set<'a>(data: &'a mut Data, key: &[u8]) -> Result<Option<&'a BTreeSet<Vec<u8>>>, Error> {
    match data.value(key) {
        Some(Value::Set(set)) => Ok(Some(set)),
        Some(_) => Err(Error::WrongType),
        None => Ok(None),
    }
}

fn spop(data: &mut Data, words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
    let count = words.get(1).map(|word| usize::try_from(integer(word)?).map_err(|_| Error::NotPositive)).transpose()?;
    if set(data, words[0])?.is_none() {
        match count {
            Some(_) => answer.array(0),
            None => answer.optional(None),
        }
        return Ok(());
    }
    data.change(words[0], Value::Set(BTreeSet::new()), 0, |value| {
        let Value::Set(set) = value else { return Err(Error::WrongType) };
        let mut freed = 0;
        if let Some(count) = count {
            answer.array(count.min(set.len()));
        }
        for _ in 0..count.unwrap_or(1).min(set.len()) {
            let Some(member) = set.pop_first() else { break };
            freed += cost(&member) as isize;
            answer.bulk(&member);
        }
        Ok(((), -freed))
    })
}
