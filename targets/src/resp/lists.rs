//! Commands for lists.

use std::collections::VecDeque;

use super::answer::Answer;
use super::data::{Data, Value, cost};
use super::{Command, Error, MANY, integer, key, slice};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("lindex", 2, 2, |data, words, answer| {
        let at = integer(words[1])?;
        let item = list(data, words[0])?.and_then(|list| {
            let at = if at < 0 { at.checked_add(list.len() as i64)? } else { at }; // its length is less
            list.get(usize::try_from(at).ok()?)
        });
        answer.optional(item.map(Vec::as_slice));
        Ok(())
    }),
    Command::new("llen", 1, 1, |data, words, answer| {
        answer.count(list(data, words[0])?.map_or(0, VecDeque::len));
        Ok(())
    }),
    Command::new("lpop", 1, 2, |data, words, answer| pop(data, words, VecDeque::pop_front, answer)),
    Command::new("lpush", 2, MANY, |data, words, answer| push(data, words, VecDeque::push_front, answer)),
    Command::new("lrange", 3, 3, |data, words, answer| {
        let (start, stop) = (integer(words[1])?, integer(words[2])?);
        match list(data, words[0])? {
            Some(list) => answer.bulks(list.range(slice(list.len(), start, stop)).map(Vec::as_slice)),
            None => answer.array(0),
        }
        Ok(())
    }),
    Command::new("rpop", 1, 2, |data, words, answer| pop(data, words, VecDeque::pop_back, answer)),
    Command::new("rpush", 2, MANY, |data, words, answer| push(data, words, VecDeque::push_back, answer)),
];

fn list<'a>(data: &'a mut Data, key: &[u8]) -> Result<Option<&'a VecDeque<Vec<u8>>>, Error> {
    match data.value(key) {
        Some(Value::List(list)) => Ok(Some(list)),
        Some(_) => Err(Error::WrongType),
        None => Ok(None),
    }
}

fn push(
    data: &mut Data,
    words: &[&[u8]],
    push: fn(&mut VecDeque<Vec<u8>>, Vec<u8>),
    answer: &mut Answer,
) -> Result<(), Error> {
    let room = words[1..].iter().map(|item| cost(item)).sum();
    let len = data.change(key(words[0])?, Value::List(VecDeque::new()), room, |value| {
        let Value::List(list) = value else { return Err(Error::WrongType) };
        words[1..].iter().for_each(|item| push(list, item.to_vec()));
        Ok((list.len(), room as isize))
    })?;
    answer.count(len);
    Ok(())
}

fn pop(
    data: &mut Data,
    words: &[&[u8]],
    pop: fn(&mut VecDeque<Vec<u8>>) -> Option<Vec<u8>>,
    answer: &mut Answer,
) -> Result<(), Error> {
    let count = words.get(1).map(|word| usize::try_from(integer(word)?).map_err(|_| Error::NotPositive)).transpose()?;
    if list(data, words[0])?.is_none() {
        match count {
            Some(_) => answer.no_array(),
            None => answer.optional(None),
        }
        return Ok(());
    }
    data.change(words[0], Value::List(VecDeque::new()), 0, |value| {
        let Value::List(list) = value else { return Err(Error::WrongType) };
        let mut freed = 0;
        if let Some(count) = count {
            answer.array(count.min(list.len()));
        }
        for _ in 0..count.unwrap_or(1).min(list.len()) {
            let Some(item) = pop(list) else { break };
            freed += cost(&item) as isize;
            answer.bulk(&item);
        }
        Ok(((), -freed))
    })
}
