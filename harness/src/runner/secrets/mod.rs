//! Values that no output may show: `secret = ["token"]`.
//!
//! They are masked in the events, before any report or capture is made of them, by as many `*` as they have bytes, so that
//! lengths and offsets stay true. In a stream they are found however it was cut. What a target writes to its own log
//! files is not touched.

mod texts;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use memchr::memmem;

use self::texts::Texts;
use crate::event::{Event, EventKind};

/// The most values of a file that steps have found and that are masked in what comes later; the last ones are.
const FOUND_MAX: usize = 1_000;

/// The most bytes of a value that stand before the `…` of a text which was cut in the middle of it.
const CUT_LEN_MAX: usize = 2_000;

/// The values to be masked.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    /// The longest first, so that one that holds another is masked as a whole.
    values: Vec<Bytes>,
    /// Variables whose values are secret, too, once a step has set them.
    names: Vec<String>,
    /// Those of the values that steps have set, in that order.
    found: VecDeque<Bytes>,
    /// How all of them may stand in a text.
    forms: Vec<String>,
}

impl Secrets {
    pub(super) fn new(values: impl IntoIterator<Item = Bytes>, names: impl IntoIterator<Item = String>) -> Secrets {
        let values = values.into_iter().filter(|value| !value.is_empty()).collect();
        let mut secrets = Secrets { values, names: names.into_iter().collect(), ..Secrets::default() };
        secrets.sort();
        secrets
    }

    fn sort(&mut self) {
        self.values.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        self.values.dedup();
        self.forms = self.values.iter().flat_map(|value| forms(value)).collect();
    }

    /// Takes in what the steps of a case have found, as its events tell.
    pub(super) fn learn(&mut self, events: &[Event]) {
        let known = self.found.len();
        for event in events {
            if let EventKind::VariableSet { name, value } = &event.kind
                && self.names.iter().any(|secret| **secret == **name)
                && !value.is_empty()
                && !self.values.contains(value)
            {
                self.values.push(value.clone());
                self.found.push_back(value.clone());
            }
        }
        if self.found.len() > known {
            let forgotten: Vec<Bytes> = self.found.drain(..self.found.len().saturating_sub(FOUND_MAX)).collect();
            self.values.retain(|value| !forgotten.contains(value));
            self.sort();
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
            self.mask_texts(&mut event.kind);
        }
    }

    /// The events as they may be shown, while the case goes on.
    pub(super) fn masked<'e>(&self, events: &'e [Event]) -> Cow<'e, [Event]> {
        let mut secrets = Cow::Borrowed(self);
        if !self.names.is_empty() {
            secrets.to_mut().learn(events);
        }
        if secrets.values.is_empty() {
            return Cow::Borrowed(events);
        }
        let mut events = events.to_vec();
        secrets.mask(&mut events);
        Cow::Owned(events)
    }

    /// Masks every text of something.
    pub(super) fn mask_texts(&self, masked: &mut impl Texts) {
        if self.values.is_empty() {
            return;
        }
        masked.visit(&mut |text| {
            for form in &self.forms {
                if text.contains(form) {
                    *text = text.replace(form, &"*".repeat(form.len()));
                }
            }
            if text.contains('…') {
                mask_cut(text, &self.forms);
            }
        });
    }

    /// A text without them.
    pub(super) fn masked_text(&self, mut text: String) -> String {
        self.mask_texts(&mut text);
        text
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

    /// Masks what was sent and received on each connection, looked at as streams.
    fn mask_streams(&self, events: &mut [Event]) {
        let mut streams: HashMap<(u32, Stream), (Vec<u8>, Vec<usize>)> = HashMap::new();
        for (at, event) in events.iter().enumerate() {
            let (key, data) = match &event.kind {
                EventKind::Sent { connection, data } => ((*connection, Stream::Sent), data),
                EventKind::Received { connection, data } => ((*connection, Stream::Received), data),
                EventKind::WireSent { connection, data } => ((*connection, Stream::WireSent), data),
                EventKind::WireReceived { connection, data } => ((*connection, Stream::WireReceived), data),
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
                if let EventKind::Sent { data, .. }
                | EventKind::Received { data, .. }
                | EventKind::WireSent { data, .. }
                | EventKind::WireReceived { data, .. } = &mut events[at].kind
                {
                    *data = rest.split_to(data.len());
                }
            }
        }
    }
}

/// What goes over a connection, below TLS and in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Stream {
    Received,
    Sent,
    WireReceived,
    WireSent,
}

/// How a value stands in a text: as it is, and as messages quote it, be it among text or among other bytes.
fn forms(value: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    if let Ok(text) = str::from_utf8(value) {
        let escaped = text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
        forms.extend((escaped != text).then_some(escaped));
        forms.push(text.to_owned());
    }
    // Two digits alone may be any number.
    if value.len() > 1 {
        forms.push(value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "));
    }
    forms
}

/// Masks the beginnings of values that stand where a text was cut.
fn mask_cut(text: &mut String, forms: &[String]) {
    let mut masked = std::mem::take(text).into_bytes();
    let places: Vec<usize> = memmem::find_iter(&masked, "…").collect();
    for end in places {
        let begins = |form: &&String| {
            let most = form.len().min(end).min(CUT_LEN_MAX);
            (1..=most).rev().find(|len| masked[..end].ends_with(&form.as_bytes()[..*len]))
        };
        if let Some(len) = forms.iter().filter_map(|form| begins(&form)).max() {
            masked[end - len..end].fill(b'*');
        }
    }
    *text = String::from_utf8(masked).expect("whole characters were masked");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{End, Endpoint, Side, Transport};
    use crate::text::quote;
    use crate::time::Time;

    fn masked(kinds: Vec<EventKind>) -> String {
        let mut events: Vec<Event> =
            kinds.into_iter().map(|kind| Event { at: Time::ZERO, case: Some(0), kind }).collect();
        let mut secrets = Secrets::new(["s3cret".into(), "a\nb".into(), Bytes::new()], ["session".into()]);
        secrets.learn(&events);
        secrets.mask(&mut events);
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

    #[track_caller]
    fn check(value: &'static [u8], text: &str, expected: &str) {
        let secrets = Secrets::new([Bytes::from_static(value)], []);
        assert_eq!(secrets.masked_text(text.into()), expected);
    }

    #[test]
    fn what_is_cut_in_the_middle_of_a_secret_is_masked_up_to_there() {
        let long = b"0123456789012345678901234567890123456789012345678901234567890123456789";
        check(long, &format!("received {}", quote(long)), &format!("received `{}…` (70 bytes)", "*".repeat(60)));
        check(b"s3cret", "`id=s3c…` (90 bytes), s3c", "`id=***…` (90 bytes), s3c");
        check("s\u{e9}cret".as_bytes(), "`s\u{e9}…`", "`***…`");
        check(b"s3cret", "more than…", "more than…");
    }

    #[test]
    fn a_secret_is_found_in_hexadecimal() {
        check(b"s3cret", &quote(b"\0s3cret\xff"), "`00 ***************** ff` (8 bytes)");
        check(b"\0\x01\xff", &quote(b"a\0\x01\xffb"), "`61 ******** 62` (5 bytes)");
        check(b"s3crets3crets3cret!", &quote(&[b"\0", &b"s3crets3crets3cret!"[..]].concat()), &{
            format!("`00 {}…` (20 bytes)", "*".repeat(44))
        });
    }

    #[test]
    fn words_of_the_stream_stay_whatever_is_secret() {
        let kinds = || {
            vec![
                EventKind::Ended { connection: 0, by: Side::Peer, how: End::Reset },
                EventKind::WireSent { connection: 0, data: Bytes::from_static(b"\xffpeer\0") },
                EventKind::ConnectionFailed {
                    connection: 0,
                    actor: "client".into(),
                    transport: Transport::Tcp,
                    peer: Endpoint::Path("/peer".into()),
                    refused: true,
                    reason: "no peer at tcp".into(),
                },
            ]
        };
        let mut events: Vec<Event> =
            kinds().into_iter().map(|kind| Event { at: Time::ZERO, case: Some(0), kind }).collect();
        Secrets::new(["peer".into(), "tcp".into(), "e".into()], []).mask(&mut events);
        assert_eq!(events[0].kind, kinds()[0]);
        assert_eq!(events[1].kind, EventKind::WireSent { connection: 0, data: Bytes::from_static(b"\xff****\0") });
        let EventKind::ConnectionFailed { transport, peer, reason, .. } = &events[2].kind else { unreachable!() };
        assert_eq!((*transport, &**reason), (Transport::Tcp, "no **** at ***"));
        assert_eq!(*peer, Endpoint::Path("/****".into()));
    }

    #[test]
    fn what_was_found_last_is_kept_and_so_is_what_was_given() {
        let set = |number: usize| Event {
            at: Time::ZERO,
            case: Some(0),
            kind: EventKind::VariableSet { name: "session".into(), value: format!("<{number}>").into() },
        };
        let mut secrets = Secrets::new(["given".into()], ["session".into()]);
        for number in 0..=FOUND_MAX {
            secrets.learn(&[set(number)]);
        }
        assert_eq!(secrets.masked_text(format!("given <0> <1> <{FOUND_MAX}>")), "***** <0> *** ******");
        assert_eq!(secrets.values.len(), FOUND_MAX + 1);
    }
}
