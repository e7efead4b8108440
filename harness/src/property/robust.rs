//! `robust`: after any invalid message a good one is still answered, on an old and on a new connection.

use std::time::Duration;

use super::edit::{beside, spoken_by, with_steps, without};
use super::prefix_close::GONE;
use super::talk::{repeats, some};
use super::{Base, Kind, Parameters, Property, Variant};
use crate::document::Node;
use crate::mutator::lies;
use crate::random::Random;
use crate::testcase::TestCase;
use crate::testcase::step::{close, connect, drain, send_raw};

/// The most lies in the fields of one message that a description brings.
const LIES_MAX: usize = 256;

/// How many messages are spoilt by chance.
pub(super) const RANDOM: u64 = 64;

/// How many bytes of one message are changed one by one.
const PLACES: usize = 48;

/// The longest invalid message: as much as a socket takes from somebody whom nobody reads.
const LONG: usize = 60_000;

/// The longest datagram that is sent: as much as one packet takes anywhere.
pub(super) const DATAGRAM_LEN_MAX: usize = 1_400;

/// How long the server has to be quiet before the good message follows.
pub(super) const QUIET: Duration = Duration::from_millis(15);

pub(super) const PROPERTY: Property = Property {
    name: "robust",
    about: "after an invalid message on one connection the case still holds on one that was open already and on a new one",
    sends: "on one connection the case up to a message and that message spoilt (where the protocol is described: bounds of each field and \
            just beyond, lengths that lie; then bounds in each byte, numbers that lie, long runs, nesting, zeros, cuts, chance); then \
            the whole case on an old and on a new connection",
    judges: "the case's own expectations on the two others; what the first one hears is nobody's business",
    cost: "some 200 plays for each message, or as many as `cases` says; up to 256 more with a description",
    asked: None,
    parameters: &[("cases", Kind::Number, "how many invalid messages there are by chance: 64")],
    reduces: true,
    disturbs: true,
    plan,
    controls,
};

fn plan(base: &Base, parameters: &Parameters, random: &mut Random) -> Result<Vec<Variant>, String> {
    repeats(base)?;
    let (case, names) = beside(&base.case, 3).ok_or("it is for cases with one connection and without loops")?;
    let (gone, old, new) = (names[0].as_str(), names[1].as_str(), names[2].as_str());
    let own = base.case.lanes().first().map(|(_, steps)| steps.to_vec()).unwrap_or_default();
    let mut variants = Vec::new();
    for (number, sent) in base.sends.iter().enumerate() {
        let lies = base.protocol.as_ref().map(|protocol| lies(protocol, &sent.bytes, base.transport.is_datagram()));
        let lies = lies.into_iter().flatten().take(LIES_MAX);
        let spoilt = spoilt(&sent.bytes, parameters.number("cases").unwrap_or(RANDOM), random);
        for (what, bytes) in lies.chain(spoilt) {
            let bytes =
                if base.transport.is_datagram() { bytes[..bytes.len().min(DATAGRAM_LEN_MAX)].to_vec() } else { bytes };
            let mut steps = Vec::new();
            if base.side_by_side {
                steps.push(connect(Some(old)));
            }
            steps.push(connect(Some(gone)));
            steps.extend(own[..sent.at].iter().filter(|node| !is_connect(node)).map(|node| spoken_by(node, gone)));
            steps.push(send_raw(Some(gone), &bytes));
            steps.push(drain(Some(gone), QUIET));
            steps.push(close(Some(gone)));
            let speak = |node: &Node, name: &str| spoken_by(node, name);
            if base.side_by_side {
                steps.extend(own.iter().filter(|node| !is_connect(node)).map(|node| speak(node, old)));
            }
            steps.extend(own.iter().map(|node| speak(node, new)));
            let case = with_steps(&case, steps);
            variants.push(Variant::new(format!("message {} spoilt: {what}", number + 1), case));
        }
    }
    some(variants, "the case sends nothing")
}

fn is_connect(node: &Node) -> bool {
    crate::testcase::step::verb(node) == Some("connect")
}

/// A message, spoilt in many ways.
fn spoilt(message: &[u8], chance: u64, random: &mut Random) -> Vec<(String, Vec<u8>)> {
    let mut spoilt: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: String, bytes: Vec<u8>| {
        if bytes != message && !bytes.is_empty() && !spoilt.iter().any(|(_, known)| *known == bytes) {
            spoilt.push((what, bytes));
        }
    };
    let tail = message.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    let (body, end) = message.split_at(tail);
    let ended = |bytes: &[u8]| [bytes, end].concat();
    for (what, bytes) in [
        ("nothing but its end", Vec::new()),
        ("its first half", body[..body.len() / 2].to_vec()),
        ("twice over", [body, body].concat()),
        ("without its first byte", body.get(1..).unwrap_or_default().to_vec()),
        ("nested deep", b"[{(".repeat(3000)),
        ("a very long word", vec![b'A'; LONG]),
        ("its last word very long", [body, &[b'A'; 4096]].concat()),
        ("zeros", vec![0; 64]),
        ("all bits set", vec![0xff; 64]),
        ("directives of a format", b"%s%n%x%d".repeat(8)),
        ("no UTF-8", [body, &[0xc3, 0x28, 0xf0, 0x9f]].concat()),
    ] {
        add(what.into(), ended(&bytes));
    }
    // Whatever is a number lies.
    let digits = body.iter().position(u8::is_ascii_digit);
    if let Some(first) = digits {
        let last = body[first..].iter().position(|byte| !byte.is_ascii_digit()).map_or(body.len(), |len| first + len);
        for lie in ["-1", "0", "4294967296", "99999999999999999999", "1e9", ""] {
            let bytes = [&body[..first], lie.as_bytes(), &body[last..]].concat();
            add(format!("its number is `{lie}`"), ended(&bytes));
        }
    }
    // Each word is none, or in its place comes another kind of thing.
    for (number, word) in body.split(|byte| *byte == b' ').enumerate().take(8) {
        let words: Vec<&[u8]> = body.split(|byte| *byte == b' ').collect();
        for (what, other) in [("missing", &b""[..]), ("a number", b"-1"), ("very long", &[b'w'; 2048])] {
            let mut others = words.clone();
            others[number] = other;
            add(
                format!("word {} is {what}, and was `{}`", number + 1, String::from_utf8_lossy(word)),
                ended(&others.join(&b' ')),
            );
        }
    }
    let step = message.len().div_ceil(PLACES).max(1);
    for at in (0..message.len()).step_by(step) {
        for value in [0, 0xff, 0x7f, 0x80, message[at].wrapping_add(1), message[at] ^ 0x20] {
            let mut bytes = message.to_vec();
            bytes[at] = value;
            add(format!("byte {at} is 0x{value:02x}"), bytes);
        }
    }
    for _ in 0..chance {
        let mut bytes = message.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.next_u64() as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, random.next_u64() as u8),
                _ => {
                    let piece = bytes[at..].to_vec();
                    bytes.extend(piece);
                }
            }
        }
        add("by chance".into(), bytes);
    }
    spoilt
}

fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let others = without(case, |actor| actor.is_some_and(|actor| actor.ends_with(GONE)));
    (others.content() != case.content()).then_some(vec![others])
}
