//! The keys of one server with their values and how long they live, within limits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::Error;

/// What a key or an element is counted as beside its bytes, so that many short ones are not free.
pub(super) const ELEMENT_COST: usize = 32;

/// What a key holds. Lists, sets, hashes and sorted sets are never empty: the key is gone then.
#[derive(Debug)]
pub(super) enum Value {
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    List(VecDeque<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    Sorted(Sorted),
    Text(Vec<u8>),
}

impl Value {
    /// What Redis calls it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Hash(_) => "hash",
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::Sorted(_) => "zset",
            Value::Text(_) => "string",
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Value::Hash(fields) => fields.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Set(members) => members.is_empty(),
            Value::Sorted(sorted) => sorted.scores.is_empty(),
            Value::Text(_) => false,
        }
    }

    fn cost(&self) -> usize {
        match self {
            Value::Hash(fields) => fields.iter().map(|(field, value)| cost(field) + value.len()).sum(),
            Value::List(items) => items.iter().map(|item| cost(item)).sum(),
            Value::Set(members) => members.iter().map(|member| cost(member)).sum(),
            Value::Sorted(sorted) => sorted.scores.keys().map(|member| 2 * cost(member)).sum(),
            Value::Text(text) => text.len(),
        }
    }
}

/// What one element is counted as.
pub(super) fn cost(element: &[u8]) -> usize {
    element.len() + ELEMENT_COST
}

/// Members in the order of their scores.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    scores: BTreeMap<Vec<u8>, f64>,
    order: BTreeSet<(i64, Vec<u8>)>,
}

impl Sorted {
    pub(super) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Says whether the member is new.
    pub(super) fn insert(&mut self, member: &[u8], score: f64) -> bool {
        let old = self.scores.insert(member.to_vec(), score);
        if let Some(old) = old {
            self.order.remove(&(rank(old), member.to_vec()));
        }
        self.order.insert((rank(score), member.to_vec()));
        old.is_none()
    }

    /// Says whether the member was there.
    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let old = self.scores.remove(member);
        if let Some(old) = old {
            self.order.remove(&(rank(old), member.to_vec()));
        }
        old.is_some()
    }

    /// Takes the member with the lowest score.
    pub(super) fn pop_first(&mut self) -> Option<(Vec<u8>, f64)> {
        let (_, member) = self.order.pop_first()?;
        self.scores.remove(&member).map(|score| (member, score))
    }

    /// Takes the member with the highest score.
    pub(super) fn pop_last(&mut self) -> Option<(Vec<u8>, f64)> {
        let (_, member) = self.order.pop_last()?;
        self.scores.remove(&member).map(|score| (member, score))
    }

    /// The members with their scores, lowest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], f64)> {
        self.order.iter().map(|(_, member)| (member.as_slice(), self.scores[member]))
    }
}

/// A number that is ordered as the score is, which is never NaN: negative floats descend in their bits.
fn rank(score: f64) -> i64 {
    let bits = (score + 0.0).to_bits() as i64; // + 0.0 makes one zero of two
    if bits < 0 { !(bits & i64::MAX) } else { bits }
}

#[derive(Debug)]
struct Entry {
    value: Value,
    expires: Option<Timestamp>,
}

/// The keys of one server.
#[derive(Debug)]
pub(super) struct Data {
    entries: BTreeMap<Vec<u8>, Entry>,
    bytes: usize,
    keys_max: usize,
    bytes_max: usize,
    /// When the command is played that has the lock.
    pub(super) now: Timestamp,
}

impl Data {
    pub(super) fn new(keys_max: usize, bytes_max: usize) -> Data {
        Data { entries: BTreeMap::new(), bytes: 0, keys_max, bytes_max, now: Timestamp::UNIX_EPOCH }
    }

    /// Whose time is over is gone when somebody asks.
    fn entry(&mut self, key: &[u8]) -> Option<&mut Entry> {
        if self.entries.get(key)?.expires.is_some_and(|expires| expires <= self.now) {
            self.remove(key);
        }
        self.entries.get_mut(key)
    }

    /// The value of `key`.
    pub(super) fn value(&mut self, key: &[u8]) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// When `key` ends: `None` without a key, and `Some(None)` for one that stays.
    pub(super) fn expires(&mut self, key: &[u8]) -> Option<Option<Timestamp>> {
        self.entry(key).map(|entry| entry.expires)
    }

    /// Sets when `key` ends, and says whether it is there.
    pub(super) fn expire(&mut self, key: &[u8], expires: Option<Timestamp>) -> bool {
        self.entry(key).map(|entry| entry.expires = expires).is_some()
    }

    /// Removes `key` and says whether it was there.
    pub(super) fn delete(&mut self, key: &[u8]) -> bool {
        self.entry(key).is_some() && self.remove(key).is_some()
    }

    fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.bytes -= cost(key) + entry.value.cost();
        Some(entry)
    }

    /// Removes everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// What lives, in the order of the keys' bytes.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        let live = |entry: &Entry| entry.expires.is_none_or(|expires| expires > self.now);
        let entries = self.entries.iter().filter(move |(_, entry)| live(entry));
        entries.map(|(key, entry)| (key.as_slice(), &entry.value))
    }

    /// Gives what `from` holds, and how long it lives, to `to`, in the place of what that held.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        if self.entry(from).is_none() {
            return Err(Error::NoSuchKey);
        }
        if to.len() > from.len() {
            self.has_room(self.bytes + to.len() - from.len(), false)?;
        }
        let Some(entry) = self.remove(from) else { return Err(Error::NoSuchKey) };
        self.remove(to);
        self.bytes += cost(to) + entry.value.cost();
        self.entries.insert(to.to_vec(), entry);
        Ok(())
    }

    /// Puts `text` in the place of whatever `key` held. It stays until it is told otherwise.
    pub(super) fn set(&mut self, key: &[u8], text: Vec<u8>) -> Result<(), Error> {
        let old = self.entry(key).map(|entry| entry.value.cost());
        let bytes = self.bytes - old.map_or(0, |old| cost(key) + old) + cost(key) + text.len();
        self.has_room(bytes, old.is_none())?;
        self.bytes = bytes;
        self.entries.insert(key.to_vec(), Entry { value: Value::Text(text), expires: None });
        Ok(())
    }

    /// Changes the value of `key`, which is made by `new` if there is none and is gone if it is empty afterwards.
    ///
    /// `room` is the most that the change adds to the costs; `change` says by how much it did change them.
    pub(super) fn change<R>(
        &mut self,
        key: &[u8],
        new: Value,
        room: usize,
        change: impl FnOnce(&mut Value) -> Result<(R, isize), Error>,
    ) -> Result<R, Error> {
        let is_new = self.entry(key).is_none();
        let added = if is_new { cost(key) } else { 0 };
        if room > 0 {
            self.has_room(self.bytes + added + room, is_new)?;
        }
        self.bytes += added;
        let entry = self.entries.entry(key.to_vec()).or_insert(Entry { value: new, expires: None });
        let changed = change(&mut entry.value);
        let is_empty = entry.value.is_empty();
        if let Ok((_, delta)) = changed {
            self.bytes = self.bytes.saturating_add_signed(delta);
        }
        if is_empty {
            self.remove(key);
        }
        changed.map(|(result, _)| result)
    }

    fn has_room(&self, bytes: usize, is_new: bool) -> Result<(), Error> {
        let keys = self.entries.len() + usize::from(is_new);
        if bytes > self.bytes_max || keys > self.keys_max { Err(Error::Full) } else { Ok(()) }
    }

    /// Whether the costs are what they are counted as.
    #[cfg(test)]
    pub(super) fn is_counted(&self) -> bool {
        self.bytes == self.entries.iter().map(|(key, entry)| cost(key) + entry.value.cost()).sum::<usize>()
    }
}
