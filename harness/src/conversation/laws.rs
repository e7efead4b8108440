//! What holds for every conversation, whatever its peer does. One function with three callers: the fuzz target, the replay of
//! the corpus, and a property test.
//!
//! The peer's bytes and how they are cut come from outside. No input panics; every conversation ends in bounded time and
//! memory; and where no step asks for "what has arrived", the verdict does not depend on how the bytes were cut.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::script::Script;
use super::{Conversation, Ended, UNREAD_MAX};
use crate::conversation::memory::{self, Answer, Peer};
use crate::event::{EventKind, Transport};
use crate::random::Random;
use crate::scenario::{Known, load};
use crate::template::Variables;
use crate::time::Time;

/// Scripts that between them hold every verb, matcher and framing. Those above the line do not depend on cuts.
const SCRIPTS: &str = r#"
actor.raw = { connect = "tcp://127.0.0.1:1" }
actor.line = { connect = "tcp://127.0.0.1:1", framing = "line" }
actor.crlf = { connect = "tcp://127.0.0.1:1", framing = "crlf" }
actor.dashes = { connect = "tcp://127.0.0.1:1", framing = { delimiter = "--", max = 64 } }
actor.four = { connect = "tcp://127.0.0.1:1", framing = { fixed = 4 } }
actor.u16 = { connect = "tcp://127.0.0.1:1", framing = { length_prefix = "u16be", max = 4096 } }
actor.varint = { connect = "tcp://127.0.0.1:1", framing = { length_prefix = "varint", includes_prefix = true } }

[[case]]
name = "exact"
tags = ["invariant"]
steps = [{ raw.send = "a" }, { raw.expect = "hello" }, { raw.expect = { hex = "00 ?? 2? ff" } }, { raw.expect = { prefix = "+" } }]
[[case]]
name = "searched"
tags = ["invariant"]
steps = [
  { raw.expect = { regex = '^(?P<code>\d{3}) (?P<rest>[^\r\n]*)\r\n' } }, { raw.send = "${code}${rest}" },
  { raw.expect = { contains = "END" } }, { raw.expect = { suffix = "\n" }, save = "last" }, { raw.send = { concat = ["${last}", { random = 3 }] } },
]
[[case]]
name = "chosen"
tags = ["invariant"]
steps = [
  { raw.expect = { one_of = ["+OK\n", { hex = "00 01" }, { prefix = "-ERR" }] } },
  { raw.expect = { all = [{ prefix = "a" }, { suffix = "z" }, { not = { contains = "x" } }] } },
  { raw.expect = { length = 3 }, save = "three" }, { raw.expect = "${three}" }, { raw.expect_eof = true },
]
[[case]]
name = "lines"
tags = ["invariant"]
steps = [
  { line.send = "hello" }, { line.expect = { save = "first" } }, { line.expect = "${first}" },
  { line.expect = { regex = "a+b" } }, { line.expect = { length = { min = 1, max = 9 } } }, { line.expect = { range = [-5, 500] } },
]
[[case]]
name = "crlf"
tags = ["invariant"]
steps = [{ crlf.expect = { prefix = "2" } }, { crlf.expect = { not = { prefix = "5" } } }, { crlf.expect_eof = true }]
[[case]]
name = "delimited"
tags = ["invariant"]
steps = [{ dashes.expect = { json = { id = 7, list = [1, 2] } } }, { dashes.expect = { any = true } }, { dashes.expect = { suffix = "." } }]
[[case]]
name = "fixed"
tags = ["invariant"]
steps = [{ repeat = { times = 3, steps = [{ four.expect = { any = true }, save = "x" }, { four.send = "${x}" }] } }, { four.expect_eof = true }]
[[case]]
name = "prefixed"
tags = ["invariant"]
steps = [{ u16.send = "ping" }, { u16.expect = { save = "x" } }, { u16.send = "${x}" }, { u16.expect = { length = { max = 100 } } }]
[[case]]
name = "varint"
tags = ["invariant"]
steps = [{ varint.expect = { any = true } }, { varint.expect = { contains = "a" } }]
[[case]]
name = "any order"
tags = ["invariant"]
steps = [
  { line.expect_set = ["a", { regex = '^(?<x>.)$' }, { prefix = "c" }] }, { line.send = "${x}" },
  { crlf.expect_set = [{ prefix = "1" }, { prefix = "2" }], extra = "allow" },
]
[[case]]
name = "any order, raw"
tags = ["invariant"]
steps = [{ raw.expect_set = ["ab", "abc", { hex = "00 ??" }] }, { raw.expect = { length = 1 } }]
[[case]]
name = "one of several outcomes"
tags = ["invariant"]
steps = [
  { line.alt = [[{ expect = "yes" }, { send = "1" }], { expect = { prefix = "no" } }, { expect_eof = true }] },
  { line.alt = [{ expect_reset = true }, [{ expect_eof = true }, { log = "over" }]] },
  { defer = [{ line.send = "bye" }, { line.expect = "bye" }] },
]
[[case]]
name = "arrived"
steps = [{ raw.expect = { any = true } }, { raw.expect = { length = { min = 2, max = 5 } } }, { raw.expect = { range = [0, 99] } }, { raw.drain = true }]
[[case]]
name = "waiting"
steps = [
  { raw.send = "x", split = "every-byte", pace = "1B/1ms" }, { raw.expect_silence = "20ms" }, { raw.sleep = "5ms" },
  { raw.expect = "a", within = "10ms", mark = "m" }, { raw.expect = { regex = "b*" }, after = "m", between = ["0ms", "1s"] },
]
[[case]]
name = "ending"
steps = [{ raw.send = "bye", then = "half-close" }, { raw.drain = true }, { raw.expect_reset = true, within = "1s" }]
[[case]]
name = "side by side"
strict_end = false
play.raw = [{ expect = { any = true }, save = "x" }, { notify = "n" }, { barrier = "b" }, { defer = [{ send = "${x}" }] }]
play.line = [{ await = "n" }, { send = "${x}" }, { expect = { save = "x" } }, { barrier = "b" }, { log = "${x}" }]
play.four = [{ repeat = { times = 2, steps = [{ expect = { any = true } }, { set = { x = "${i}" } }] } }, { await = "n" }]
[[case]]
name = "again"
strict_end = false
steps = [
  { raw.send = "a" }, { raw.reset = true }, { raw.connect = true }, { raw.expect = { json = { a = 1 } } }, { raw.close = true },
  { raw.connect = true }, { for = { key = ["a", "b"] }, steps = [{ raw.send = "${key}${i}" }, { raw.expect = { base64 = "AAE=" } }] },
]
"#;

struct Scripts {
    cases: Vec<(Arc<Script>, bool)>,
    actors: usize,
}

static LOADED: LazyLock<Scripts> = LazyLock::new(|| {
    let scenario = load("laws.toml", SCRIPTS, &Known::default()).expect("the scripts are valid");
    let invariant = |tags: &[String]| tags.iter().any(|tag| tag == "invariant");
    let cases = scenario.cases.iter().map(|case| (Arc::clone(&case.script), invariant(&case.tags))).collect();
    Scripts { cases, actors: scenario.actors.len() }
});

/// Says the same whatever it gets: bytes, cut as told, and then an end.
struct Liar<'a> {
    data: &'a [u8],
    /// How many bytes the next pieces have, again and again.
    cuts: &'a [u8],
    ending: u8,
    begun: bool,
}

impl Peer for Liar<'_> {
    fn open(&mut self, _: u32, answer: &mut Answer) {
        if !std::mem::replace(&mut self.begun, true) {
            let mut rest = self.data;
            let mut cuts = self.cuts.iter().cycle();
            while !rest.is_empty() {
                let len = cuts.next().map_or(rest.len(), |cut| usize::from(*cut).clamp(1, rest.len()));
                answer.pieces.push(Bytes::copy_from_slice(&rest[..len]));
                rest = &rest[len..];
            }
        }
        // Half of all endings are a close: with silence, deadlines decide.
        answer.closes = self.ending.is_multiple_of(2);
        answer.resets = self.ending % 4 == 3;
    }

    fn receive(&mut self, _: u32, _: &[u8], _: &mut Answer) {}

    fn end(&mut self, _: u32, answer: &mut Answer) {
        answer.closes = true;
    }
}

/// Plays one of the scripts against a peer that `bytes` describe: which script, how it ends, how it is cut, what it says.
pub fn check_bytes(bytes: &[u8]) {
    let [which, ending, cuts, rest @ ..] = bytes else { return };
    let (cuts, data) = rest.split_at(usize::from(*cuts % 16).min(rest.len()));
    let scripts = &*LOADED;
    let (script, invariant) = &scripts.cases[usize::from(*which) % scripts.cases.len()];
    let cut = play(script, scripts.actors, data, cuts, *ending);
    if *invariant && ending.is_multiple_of(2) {
        let whole = play(script, scripts.actors, data, &[], *ending);
        assert_eq!(cut, whole, "the verdict depends on how the bytes were cut");
    }
}

/// What must not depend on cuts: which step failed, how, and at which byte.
type Verdict = Option<(Option<u32>, crate::event::FailureKind, Option<u64>)>;

fn play(script: &Arc<Script>, actors: usize, data: &[u8], cuts: &[u8], ending: u8) -> Verdict {
    let mut peer = Liar { data, cuts, ending, begun: false };
    let transports = vec![Transport::Tcp; actors];
    let random = Random::new(1, "laws");
    let mut conversation = Conversation::new(Arc::clone(script), transports, Variables::new(), random, 0, Time::ZERO);
    let ended = memory::play(&mut conversation, &mut peer, Time::ZERO);
    assert!(ended.is_some(), "every conversation ends");
    assert!(conversation.unread() <= UNREAD_MAX + data.len(), "what is unread is bounded");
    let mut received = 0;
    let mut verdict = None;
    let mut last = Time::ZERO;
    while let Some(event) = conversation.poll_event() {
        assert!(event.at >= last, "time does not go back");
        last = event.at;
        match event.kind {
            EventKind::Received { data, .. } => received += data.len(),
            EventKind::StepFailed { step, failure, .. } => {
                assert!(verdict.is_none(), "one failure ends a case");
                verdict = Some((step, failure.kind, failure.difference_at));
            }
            _ => {}
        }
    }
    assert!(received <= data.len(), "nothing is received that was not sent");
    let failed = matches!(conversation.ended(), Some(Ended::Failed { .. }));
    assert_eq!(failed, verdict.is_some(), "a failure is told, and only then");
    verdict
}
