//! Commands for sorted sets.

use super::answer::Answer;
use super::data::{Data, Sorted, Value, cost};
use super::{Command, Error, MANY, integer, key, slice};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("zadd", 3, MANY, |data, words, answer| {
        if words.len().is_multiple_of(2) {
            return Err(Error::Syntax);
        }
        let pairs: Vec<(f64, &[u8])> =
            words[1..].chunks_exact(2).map(|pair| Ok((float(pair[0])?, pair[1]))).collect::<Result<_, Error>>()?;
        answer.count(add(data, words[0], &pairs)?);
        Ok(())
    }),
    Command::new("zcard", 1, 1, |data, words, answer| {
        answer.count(sorted(data, words[0])?.map_or(0, Sorted::len));
        Ok(())
    }),
    Command::new("zincrby", 3, 3, |data, words, answer| {
        let old = sorted(data, words[0])?.and_then(|sorted| sorted.score(words[2])).unwrap_or(0.0);
        let new = old + float(words[1])?;
        if new.is_nan() {
            return Err(Error::MinMax);
        }
        add(data, words[0], &[(new, words[2])])?;
        answer.bulk(show(new).as_bytes());
        Ok(())
    }),
    Command::new("zpopmax", 1, 2, |data, words, answer| pop(data, words, Sorted::pop_last, answer)),
    Command::new("zpopmin", 1, 2, |data, words, answer| pop(data, words, Sorted::pop_first, answer)),
    Command::new("zrange", 3, 4, |data, words, answer| {
        let (start, stop) = (integer(words[1])?, integer(words[2])?);
        let with_scores = match words.get(3) {
            Some(word) if word.eq_ignore_ascii_case(b"withscores") => true,
            Some(_) => return Err(Error::Syntax),
            None => false,
        };
        let Some(sorted) = sorted(data, words[0])? else {
            answer.array(0);
            return Ok(());
        };
        let range = slice(sorted.len(), start, stop);
        answer.array(range.len() * if with_scores { 2 } else { 1 });
        for (member, score) in sorted.iter().skip(range.start).take(range.len()) {
            answer.bulk(member);
            if with_scores {
                answer.bulk(show(score).as_bytes());
            }
        }
        Ok(())
    }),
    Command::new("zrem", 2, MANY, |data, words, answer| {
        if sorted(data, words[0])?.is_none() {
            answer.count(0);
            return Ok(());
        }
        let removed = data.change(words[0], Value::Sorted(Sorted::default()), 0, |value| {
            let Value::Sorted(sorted) = value else { return Err(Error::WrongType) };
            let removed: Vec<_> = words[1..].iter().filter(|member| sorted.remove(member)).collect();
            Ok((removed.len(), -removed.iter().map(|member| 2 * cost(member) as isize).sum::<isize>()))
        })?;
        answer.count(removed);
        Ok(())
    }),
    Command::new("zscore", 2, 2, |data, words, answer| {
        let score = sorted(data, words[0])?.and_then(|sorted| sorted.score(words[1]));
        answer.optional(score.map(show).as_ref().map(String::as_bytes));
        Ok(())
    }),
];

fn sorted<'a>(data: &'a mut Data, key: &[u8]) -> Result<Option<&'a Sorted>, Error> {
    match data.value(key) {
        Some(Value::Sorted(sorted)) => Ok(Some(sorted)),
        Some(_) => Err(Error::WrongType),
        None => Ok(None),
    }
}

fn add(data: &mut Data, word: &[u8], pairs: &[(f64, &[u8])]) -> Result<usize, Error> {
    let room = pairs.iter().map(|(_, member)| 2 * cost(member)).sum();
    data.change(key(word)?, Value::Sorted(Sorted::default()), room, |value| {
        let Value::Sorted(sorted) = value else { return Err(Error::WrongType) };
        let added: Vec<_> = pairs.iter().filter(|(score, member)| sorted.insert(member, *score)).collect();
        Ok((added.len(), added.iter().map(|(_, member)| 2 * cost(member) as isize).sum()))
    })
}

/// Takes a member and its score from one end.
type Pop = fn(&mut Sorted) -> Option<(Vec<u8>, f64)>;

fn pop(data: &mut Data, words: &[&[u8]], pop: Pop, answer: &mut Answer) -> Result<(), Error> {
    let count = words.get(1).map_or(Ok(1), |word| usize::try_from(integer(word)?).map_err(|_| Error::NotPositive))?;
    if sorted(data, words[0])?.is_none() {
        answer.array(0);
        return Ok(());
    }
    data.change(words[0], Value::Sorted(Sorted::default()), 0, |value| {
        let Value::Sorted(sorted) = value else { return Err(Error::WrongType) };
        let count = count.min(sorted.len());
        answer.array(2 * count);
        let mut freed = 0;
        for _ in 0..count {
            let Some((member, score)) = pop(sorted) else { break };
            freed += 2 * cost(&member) as isize;
            answer.bulk(&member);
            answer.bulk(show(score).as_bytes());
        }
        Ok(((), -freed))
    })
}

fn float(word: &[u8]) -> Result<f64, Error> {
    let number = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok());
    number.filter(|number: &f64| !number.is_nan()).ok_or(Error::NotAFloat)
}

/// A score as Redis writes it: whole numbers without a point, others with as few digits as tell them apart.
fn show(score: f64) -> String {
    if score == 0.0 { "0".into() } else { score.to_string() }
}
