//! `echo`: what is sent comes back.

use super::edit::framing_of;
use super::{Base, Kind, Parameters, Property, Variant};
use crate::document::Node;
use crate::random::Random;
use crate::testcase::TestCase;
use crate::testcase::step::{expect, parts, send, verb};

/// The longest message to a server that reads lines or datagrams, unless somebody says otherwise.
const SHORT_MAX: usize = 1000;

/// The longest to any other.
const LONG_MAX: usize = 70_000;

/// How many messages have random lengths.
const RANDOM: usize = 32;

/// Lengths at which buffers end.
const LENGTHS: &[usize] = &[
    1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 999, 1000, 1023,
    1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, 8191, 8192, 8193, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769,
    65_535, 65_536, 65_537, 70_000,
];

pub(super) const PROPERTY: Property = Property {
    name: "echo",
    about: "every message comes back as it was sent",
    sends: "messages of lengths around the sizes of buffers, with every value of a byte, and random ones; with the actor's framing",
    judges: "that the same bytes come back, and no others",
    cost: "some 80 plays, side by side; up to 70000 bytes each",
    asked: Some("it is for servers that echo"),
    parameters: &[("max", Kind::Number, "the longest message; 1000 for lines and datagrams, 70000 otherwise")],
    reduces: true,
    disturbs: false,
    plan,
    controls,
};

fn plan(base: &Base, parameters: &Parameters, random: &mut Random) -> Result<Vec<Variant>, String> {
    let framing = framing_of(&base.case);
    // A line ends at its end; what has no framing here is a line if the case's messages are.
    let is_line = base.sends.iter().all(|sent| sent.bytes.ends_with(b"\n"));
    let terminator: &[u8] = if framing.is_none() && is_line && !base.transport.is_datagram() { b"\n" } else { b"" };
    let is_text = is_line || !terminator.is_empty() || framing.is_some_and(|name| !name.starts_with("raw"));
    let short = is_text || base.transport.is_datagram();
    let max = parameters.number("max").map_or(if short { SHORT_MAX } else { LONG_MAX }, |max| max as usize);
    let [speaker] = super::edit::speakers(&base.case).try_into().map_err(|_| "it is for cases with one connection")?;
    let is_free = |byte: u8| !is_text || !(matches!(byte, b'\n' | b'\r' | 0) || byte >= 0x80);
    let alphabet: Vec<u8> = (0..=255).filter(|byte| is_free(*byte) && (!is_text || *byte >= b' ')).collect();
    let mut payloads: Vec<(String, Vec<u8>)> = Vec::new();
    for len in LENGTHS.iter().copied().filter(|len| *len <= max) {
        let bytes = (0..len).map(|at| alphabet[(b'a' as usize + at) % alphabet.len()]).collect();
        payloads.push((format!("a message of {}", crate::text::count(len, "byte")), bytes));
    }
    payloads.push(("every value of a byte".into(), alphabet.clone()));
    for _ in 0..RANDOM {
        let len = 1 + random.below(max.min(4096) as u64) as usize;
        let bytes = (0..len).map(|_| alphabet[random.below(alphabet.len() as u64) as usize]).collect();
        payloads.push((format!("{len} random bytes"), bytes));
    }
    let make = |(what, mut bytes): (String, Vec<u8>)| {
        bytes.extend_from_slice(terminator);
        let steps = vec![send(speaker.as_deref(), &bytes), expect(speaker.as_deref(), &bytes)];
        let mut case = base.case.like(&format!("echo: {what}"), steps);
        case.case_mut().remove("strict_end");
        Variant::new(what, case)
    };
    Ok(payloads.into_iter().map(make).collect())
}

/// A message that comes back is expected to be the one that was sent.
fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let lanes = case.lanes();
    let [(_, steps)] = lanes.as_slice() else { return None };
    let payload = |node: &Node| parts(node).and_then(|(_, table)| table.get(verb(node)?).cloned());
    let echoes = |pair: &[Node]| match pair {
        [first, second] => {
            let (Some(sent), Some(expected)) = (payload(first), payload(second)) else { return false };
            // Runs of one byte are counted where they are sent, and not where they are expected.
            let same = sent.value == expected.value || (sent.as_table().is_some() && expected.as_str().is_some());
            verb(first) == Some("send") && verb(second) == Some("expect") && same
        }
        _ => false,
    };
    (!steps.is_empty() && steps.chunks(2).all(echoes)).then(Vec::new)
}
