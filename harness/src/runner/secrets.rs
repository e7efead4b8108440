//! Values that no output may show: `secret = ["token"]`.
//!
//! They are masked in the events, before any report or capture is made of them, by as many `*` as they have bytes, so that
//! lengths and offsets stay true. In a stream they are found however it was cut. What a target writes to its own log
//! files is not touched.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use memchr::memmem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::event::{Event, EventKind};
use crate::text::quote;

/// The values to be masked.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    values: Vec<Bytes>,
    /// Variables whose values are secret, too, once a step has set them.
    names: Vec<String>,
}

impl Secrets {
    /// The longest first, so that one that holds another is masked as a whole.
    pub(super) fn new(values: impl IntoIterator<Item = Bytes>, names: impl IntoIterator<Item = String>) -> Secrets {
        let mut values: Vec<Bytes> = values.into_iter().filter(|value| !value.is_empty()).collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        values.dedup();
        Secrets { values, names: names.into_iter().collect() }
    }

    /// These and what the steps of a case have found, as its events tell.
    pub(super) fn with_found(&self, events: &[Event]) -> Cow<'_, Secrets> {
        let found = |event: &Event| match &event.kind {
            EventKind::VariableSet { name, value } if self.names.iter().any(|secret| **secret == **name) => {
                Some(value.clone())
            }
            _ => None,
        };
        let found: Vec<Bytes> = events.iter().filter_map(found).collect();
        match found.is_empty() {
            true => Cow::Borrowed(self),
            false => Cow::Owned(Secrets::new(found.into_iter().chain(self.values.iter().cloned()), self.names.clone())),
        }
    }

    /// Masks all events of one case, or one of the run.
    pub(super) fn mask(&self, events: &mut [Event]) {
        if self.values.is_empty() {
            return;
        }
        self.mask_streams(events);
        for event in events {
            match &mut event.kind {
                EventKind::Sent { .. } | EventKind::Received { .. } => continue,
                EventKind::VariableSet { value, .. } => self.mask_bytes(value),
                EventKind::StepFailed { failure, .. } => {
                    failure
                        .expected_bytes
                        .iter_mut()
                        .chain(&mut failure.received)
                        .for_each(|bytes| self.mask_bytes(bytes));
                }
                _ => {}
            }
            self.mask_texts(event);
        }
    }

    /// The events as they may be shown, while the case goes on.
    pub(super) fn masked<'e>(&self, events: &'e [Event]) -> Cow<'e, [Event]> {
        let secrets = self.with_found(events);
        if secrets.values.is_empty() {
            return Cow::Borrowed(events);
        }
        let mut events = events.to_vec();
        secrets.mask(&mut events);
        Cow::Owned(events)
    }

    /// Masks every text in a value that can be written as JSON.
    pub(super) fn mask_texts<T: Serialize + DeserializeOwned>(&self, value: &mut T) {
        if self.values.is_empty() {
            return;
        }
        let mut json = serde_json::to_value(&*value).expect("events are plain data");
        self.mask_json(&mut json);
        *value = serde_json::from_value(json).expect("a masked text is still a text");
    }

    /// A text without them.
    pub(super) fn masked_text(&self, mut text: String) -> String {
        self.mask_texts(&mut text);
        text
    }

    fn mask_json(&self, json: &mut Value) {
        match json {
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_json(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.mask_json(member)),
            Value::String(text) => {
                for value in &self.values {
                    // Messages hold it as it is quoted.
                    let quoted = quote(value);
                    let quoted = quoted.trim_matches('`');
                    if let Ok(value) = str::from_utf8(value) {
                        *text = text.replace(value, &"*".repeat(value.len()));
                    }
                    *text = text.replace(quoted, &"*".repeat(quoted.len()));
                }
            }
            _ => {}
        }
    }

    fn mask_bytes(&self, bytes: &mut Bytes) {
        let places = self.find(bytes);
        if !places.is_empty() {
            let mut masked = bytes.to_vec();
            places.into_iter().for_each(|place| masked[place].fill(b'*'));
            *bytes = masked.into();
        }
    }

    fn find(&self, bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
        let places = |value: &Bytes| {
            let len = value.len();
            memmem::find_iter(bytes, value).map(move |at| at..at + len).collect::<Vec<_>>()
        };
        self.values.iter().flat_map(places).collect()
    }

    /// Masks what was sent and received on each connection, looked at as two streams.
    fn mask_streams(&self, events: &mut [Event]) {
        let mut streams: HashMap<(u32, bool), (Vec<u8>, Vec<usize>)> = HashMap::new();
        for (at, event) in events.iter().enumerate() {
            let (key, data) = match &event.kind {
                EventKind::Sent { connection, data } => ((*connection, true), data),
                EventKind::Received { connection, data } => ((*connection, false), data),
                _ => continue,
            };
            let (bytes, parts) = streams.entry(key).or_default();
            bytes.extend_from_slice(data);
            parts.push(at);
        }
        for (mut bytes, parts) in streams.into_values() {
            let places = self.find(&bytes);
            if places.is_empty() {
                continue;
            }
            places.into_iter().for_each(|place| bytes[place].fill(b'*'));
            let mut rest = Bytes::from(bytes);
            for at in parts {
                if let EventKind::Sent { data, .. } | EventKind::Received { data, .. } = &mut events[at].kind {
                    *data = rest.split_to(data.len());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn masked(kinds: Vec<EventKind>) -> String {
        let mut events: Vec<Event> =
            kinds.into_iter().map(|kind| Event { at: Time::ZERO, case: Some(0), kind }).collect();
        let secrets = Secrets::new(["s3cret".into(), "a\nb".into(), Bytes::new()], ["session".into()]);
        secrets.with_found(&events).mask(&mut events);
        serde_json::to_string(&events).expect("events are plain data")
    }

    #[test]
    fn a_secret_is_found_however_its_stream_was_cut() {
        let sent = |data: &'static [u8]| EventKind::Sent { connection: 0, data: Bytes::from_static(data) };
        let shown = masked(vec![sent(b"PASS s3"), sent(b"cr"), sent(b"et\xff\r\n")]);
        assert!(shown.contains(r#""data":"PASS **""#) && shown.contains(r#""data":"**""#), "{shown}");
        assert!(!shown.contains("cr") && !shown.contains("s3"), "{shown}");
    }

    #[test]
    fn what_a_step_has_found_is_masked_before_and_after() {
        let received = EventKind::Received { connection: 0, data: Bytes::from_static(b"id=t0ken;\xff") };
        let set = |name: &str, value| EventKind::VariableSet { name: name.into(), value: Bytes::from_static(value) };
        let logged = EventKind::Logged { message: "it is t0ken".into() };
        let shown = masked(vec![received, set("session", b"t0ken"), set("other", b"stays"), logged]);
        assert!(shown.contains("it is *****") && shown.contains("stays"), "{shown}");
        assert!(!shown.contains("t0ken"), "{shown}");
    }

    #[test]
    fn directions_are_streams_of_their_own() {
        let sent = EventKind::Sent { connection: 0, data: Bytes::from_static(b"s3c") };
        let received = EventKind::Received { connection: 0, data: Bytes::from_static(b"ret") };
        assert!(masked(vec![sent, received]).contains("s3c"));
    }

    #[test]
    fn texts_and_values_are_masked_quoted_or_not() {
        let set = EventKind::VariableSet { name: "x".into(), value: Bytes::from_static(b"\xffs3cret") };
        let logged = EventKind::Logged { message: "expected `a\\nb`, received s3cret".into() };
        let shown = masked(vec![set, logged]);
        assert!(shown.contains("expected `****`, received ******"), "{shown}");
        assert!(!shown.contains("czNjcmV0"), "not in base64 either: {shown}");
    }
}
