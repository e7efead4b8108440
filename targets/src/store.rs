//! Keys and values that all connections of a server share, with limits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::settings::{SettingError, Settings};

/// The store of one server.
#[derive(Debug)]
pub(crate) struct Store {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
    keys_max: usize,
    bytes_max: usize,
}

/// The store has no room for this value. What was there before stays.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Store {
    /// An empty store for at most `keys_max` keys, and `bytes_max` bytes of keys and values together.
    pub(crate) fn new(keys_max: usize, bytes_max: usize) -> Store {
        Store { values: BTreeMap::new(), bytes: 0, keys_max, bytes_max }
    }

    /// An empty store with the limits that the settings `keys` and `bytes` say, for many connections.
    pub(crate) fn shared(settings: &Settings) -> Result<Shared, SettingError> {
        let store = Store::new(settings.number("keys")?, settings.number("bytes")?);
        Ok(Shared(Arc::new(Mutex::new(store))))
    }

    /// The value of `key`.
    pub(crate) fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice)
    }

    /// Sets the value of `key`.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Full> {
        let old = self.values.get(key);
        let keys = self.values.len() + usize::from(old.is_none());
        let bytes = self.bytes - old.map_or(0, |old| key.len() + old.len()) + key.len() + value.len();
        if keys > self.keys_max || bytes > self.bytes_max {
            return Err(Full);
        }
        self.bytes = bytes;
        self.values.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    /// Removes `key` and says whether it was there.
    pub(crate) fn delete(&mut self, key: &[u8]) -> bool {
        let old = self.values.remove(key);
        self.bytes -= old.as_ref().map_or(0, |old| key.len() + old.len());
        old.is_some()
    }

    /// The keys that begin with `prefix`, in the order of their bytes.
    pub(crate) fn keys<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.values
            .range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .map(|(key, _)| key.as_slice())
            .take_while(move |key| key.starts_with(prefix))
    }
}

/// A store and its lock.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Store>>);

impl Shared {
    /// Waits for the store. Every change is made as a whole, so one that a panic left behind is sound.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_one_too_many_is_refused_until_another_goes() {
        let mut store = Store::new(1, 100);
        assert_eq!(store.put(b"a", b"1"), Ok(()));
        assert_eq!(store.put(b"b", b"2"), Err(Full));
        assert_eq!(store.put(b"a", b"3"), Ok(()), "the same key is no new one");
        assert!(store.delete(b"a"));
        assert_eq!(store.put(b"b", b"2"), Ok(()));
    }

    #[test]
    fn bytes_are_counted_over_replacing_and_deleting() {
        let mut store = Store::new(10, 4);
        assert_eq!(store.put(b"a", b"123"), Ok(()));
        assert_eq!(store.put(b"a", b"1234"), Err(Full));
        assert_eq!(store.value(b"a"), Some(&b"123"[..]), "the old value stays");
        assert_eq!(store.put(b"a", b""), Ok(()));
        assert_eq!(store.put(b"b", b"12"), Ok(()));
        assert!(!store.delete(b"c"));
        assert!(store.delete(b"b"));
        assert_eq!(store.put(b"c", b"12"), Ok(()));
    }

    #[test]
    fn keys_with_a_prefix_come_in_order() {
        let mut store = Store::new(10, 100);
        for key in ["b", "ab", "a", "c", "aa"] {
            store.put(key.as_bytes(), b"").unwrap();
        }
        assert_eq!(store.keys(b"a").collect::<Vec<_>>(), [&b"a"[..], b"aa", b"ab"]);
        assert_eq!(store.keys(b"").count(), 5);
        assert_eq!(store.keys(b"d").count(), 0);
    }
}
