//! `delay`, `jitter` and `stall`: echoes whose answers come at times that are known beforehand, to try on them what
//! measures time.
//!
//! A message is what one read brings, or one datagram. Beyond what an echo takes, the latency of a message is, counted
//! from when it should have been sent and at a constant rate:
//!
//! - `delay`: the setting `delay`, at every percentile.
//! - `jitter`: uniform, `from + q (to - from)` at the quantile `q`: with 1 ms to 3 ms p50 is 2 ms, p99 2.98 ms. On a
//!   stream an answer never overtakes the one before, so this holds there for one message at a time.
//! - `stall`: for the first `pause` of each `period` nothing is answered, and all of that at its end in its order, so
//!   `pause - (1 - q) period` at each quantile `q` above `1 - pause / period`, and nothing below. With 100 ms of each
//!   second p95 is 50 ms, p99 90 ms, the maximum 100 ms, and p90 is the echo's own. Whoever sends a message only when
//!   the one before was answered meets the pause once a period, and finds 0 at p99 at any rate above 100 a second.
//!
//! Periods begin when the server does. Who serves decides how exactly a time is kept: on threads of its own, within some
//! microseconds; by a runtime, within a millisecond or two. Bytes that wait count like unwritten output.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::chance::draw;
use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Clock, Setting, SettingError, Settings, Setup, parse_duration};

pub(crate) const DELAY: &[Setting] =
    &[Setting { name: "delay", default: "10ms", about: "after how long each message is answered" }];

pub(crate) const JITTER: &[Setting] = &[
    Setting { name: "from", default: "1ms", about: "after how long a message is answered at the earliest" },
    Setting { name: "seed", default: "1", about: "what the times are drawn from" },
    Setting { name: "to", default: "3ms", about: "and before how long" },
];

pub(crate) const STALL: &[Setting] = &[
    Setting { name: "pause", default: "100ms", about: "for how long nothing is answered" },
    Setting { name: "period", default: "1s", about: "from the beginning of one pause to that of the next" },
];

/// When answers are due.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Delay(Duration),
    Jitter { from: Duration, to: Duration, seed: u64 },
    Stall { pause: Duration, period: Duration },
}

impl Rule {
    /// How long an answer waits for what arrives `now`, as the message `index` of the connection `number`.
    fn wait(&self, now: Duration, number: u64, index: u64) -> Duration {
        match *self {
            Rule::Delay(delay) => delay,
            Rule::Jitter { from, to, seed } => {
                let span = (to - from).as_nanos() * u128::from(draw(seed, number, index));
                from + Duration::from_nanos((span >> 64) as u64)
            }
            Rule::Stall { pause, period } => {
                let phase = Duration::from_nanos((now.as_nanos() % period.as_nanos()) as u64);
                pause.saturating_sub(phase)
            }
        }
    }
}

/// What all connections of a server share.
struct Plan {
    rule: Rule,
    clock: Clock,
    began: jiff::Timestamp,
}

impl Plan {
    /// The time since the server began.
    fn now(&self) -> Duration {
        Duration::try_from((self.clock)().duration_since(self.began)).unwrap_or_default() // nothing if it was set back
    }
}

struct Timed {
    plan: Arc<Plan>,
    peer: Peer,
    /// How many messages there were.
    messages: u64,
    /// The answers that wait: when they are due, and how many bytes they have.
    waiting: VecDeque<(Duration, usize)>,
    bytes: VecDeque<u8>,
    /// The time, which never goes back.
    now: Duration,
}

impl Service for Timed {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.now = self.now.max(self.plan.now());
        let wait = self.plan.rule.wait(self.now, self.peer.number, self.messages);
        self.messages += 1;
        if self.peer.transport.is_datagram() {
            reply.send(input);
            match self.plan.rule {
                Rule::Jitter { .. } => reply.after(wait),
                Rule::Delay(_) | Rule::Stall { .. } => reply.after_in_order(wait),
            }
            return;
        }
        let due = match self.waiting.back() {
            None if wait.is_zero() => return reply.send(input),
            None => self.now + wait,
            Some((last, _)) => (self.now + wait).max(*last),
        };
        if self.waiting.is_empty() {
            reply.wake_after(wait);
        }
        self.waiting.push_back((due, input.len()));
        self.bytes.extend(input);
        reply.withhold(self.bytes.len());
    }

    fn timed_out(&mut self, reply: &mut Reply) {
        let Some((due, _)) = self.waiting.front() else { return };
        // It was woken for the first: that one is due, whatever the clock says.
        self.now = self.now.max(self.plan.now()).max(*due);
        let is_due = |(due, _): &(Duration, usize)| *due <= self.now;
        let mut len = 0;
        while self.waiting.front().is_some_and(is_due) {
            len += self.waiting.pop_front().map_or(0, |(_, len)| len);
        }
        let (front, back) = self.bytes.as_slices();
        reply.send(&front[..len.min(front.len())]);
        reply.send(&back[..len.saturating_sub(front.len())]);
        self.bytes.drain(..len);
        reply.withhold(self.bytes.len());
        if let Some((next, _)) = self.waiting.front() {
            reply.wake_after(*next - self.now);
        }
    }
}

fn server(setup: &Setup, rule: Rule) -> Arc<dyn Server> {
    let plan = Arc::new(Plan { rule, clock: setup.clock, began: (setup.clock)() });
    Arc::new(move |peer: &Peer| Timed {
        plan: Arc::clone(&plan),
        peer: *peer,
        messages: 0,
        waiting: VecDeque::new(),
        bytes: VecDeque::new(),
        now: Duration::ZERO,
    })
}

pub(crate) fn make_delay(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    Ok(server(setup, Rule::Delay(duration(&setup.settings, "delay")?)))
}

pub(crate) fn make_jitter(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let (from, to) = (duration(&setup.settings, "from")?, duration(&setup.settings, "to")?);
    at_most(("from", from), ("to", to))?;
    Ok(server(setup, Rule::Jitter { from, to, seed: setup.settings.number("seed")? as u64 }))
}

pub(crate) fn make_stall(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let (pause, period) = (duration(&setup.settings, "pause")?, duration(&setup.settings, "period")?);
    if period.is_zero() {
        return Err(SettingError::NotADuration { name: "period".into(), value: "0".into() });
    }
    at_most(("pause", pause), ("period", period))?;
    Ok(server(setup, Rule::Stall { pause, period }))
}

/// No answer is kept back for longer.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

fn duration(settings: &Settings, name: &'static str) -> Result<Duration, SettingError> {
    let duration = parse_duration(name, settings.text(name))?;
    at_most((name, duration), ("an hour", WAIT_MAX)).map(|()| duration)
}

fn at_most((name, value): (&str, Duration), (other, max): (&'static str, Duration)) -> Result<(), SettingError> {
    match value <= max {
        true => Ok(()),
        false => Err(SettingError::TooLong { name: name.to_owned(), value, other, max }),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::Limits;
    use crate::connection::{Connection, Ending};
    use crate::service::Transport;

    const MS: Duration = Duration::from_millis(1);

    thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    fn clock() -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH + NOW.get()
    }

    fn open(name: &str, settings: &[(&str, &str)], output_len_max: usize) -> Connection {
        NOW.set(Duration::ZERO);
        let target = crate::find(name).unwrap();
        let server = target.make(settings, &Limits::default(), clock).unwrap();
        Connection::open(&*server, &Peer::new(0, Transport::Tcp, None), output_len_max)
    }

    fn written(connection: &mut Connection) -> String {
        let output = str::from_utf8(connection.output()).unwrap().to_owned();
        if !output.is_empty() {
            connection.written(output.len());
        }
        output
    }

    #[test]
    fn each_answer_comes_after_the_delay() {
        let mut connection = open("delay", &[("delay", "10ms")], 1 << 16);
        connection.receive(b"one ");
        assert_eq!(connection.take_alarm(), Some(10 * MS));
        NOW.set(4 * MS);
        connection.receive(b"two ");
        connection.receive(b"two again ");
        assert_eq!((written(&mut connection).as_str(), connection.take_alarm()), ("", None), "it waits for the first");
        NOW.set(10 * MS);
        connection.time_out();
        assert_eq!(written(&mut connection), "one ");
        assert_eq!(connection.take_alarm(), Some(4 * MS));
        NOW.set(Duration::from_micros(13_999)); // its clock is behind that of who wakes it
        connection.time_out();
        assert_eq!((written(&mut connection).as_str(), connection.take_alarm()), ("two two again ", None));
    }

    #[test]
    fn a_peer_that_ends_gets_its_answers_when_they_are_due() {
        let mut connection = open("delay", &[], 1 << 16);
        connection.receive(b"one");
        connection.end();
        assert_eq!(connection.ending(), None);
        connection.time_out();
        assert_eq!(connection.ending(), None);
        assert_eq!(written(&mut connection), "one");
        assert_eq!(connection.ending(), Some(Ending::Close));
    }

    #[test]
    fn what_waits_counts_like_unwritten_output() {
        let mut connection = open("delay", &[], 4);
        connection.receive(b"one");
        assert!(connection.wants_input());
        connection.receive(b"two");
        assert!(!connection.wants_input());
        connection.time_out();
        assert_eq!(written(&mut connection), "onetwo");
        assert!(connection.wants_input());
    }

    #[test]
    fn a_stall_answers_all_of_a_pause_at_its_end_and_the_rest_at_once() {
        let mut connection = open("stall", &[("pause", "100ms"), ("period", "1s")], 1 << 16);
        NOW.set(30 * MS);
        connection.receive(b"one ");
        assert_eq!(connection.take_alarm(), Some(70 * MS));
        NOW.set(99 * MS);
        connection.receive(b"two ");
        NOW.set(100 * MS);
        connection.time_out();
        assert_eq!((written(&mut connection).as_str(), connection.take_alarm()), ("one two ", None));
        connection.receive(b"three");
        assert_eq!(written(&mut connection), "three");
        NOW.set(1_999 * MS);
        connection.receive(b"four");
        assert_eq!(written(&mut connection), "four");
        NOW.set(2_001 * MS);
        connection.receive(b"five");
        assert_eq!((written(&mut connection).as_str(), connection.take_alarm()), ("", Some(99 * MS)));
    }

    #[test]
    fn a_stalls_latencies_have_the_percentiles_that_are_promised() {
        let rule = Rule::Stall { pause: 100 * MS, period: 1_000 * MS };
        let mut waits: Vec<_> = (0..10_000_u32).map(|n| rule.wait(n * MS, 0, n.into())).collect();
        waits.sort_unstable();
        let quantile = |per_mille: usize| waits[10 * per_mille];
        assert_eq!([900, 950, 990].map(quantile), [MS, 51 * MS, 91 * MS], "to the millisecond between two messages");
        assert_eq!((waits[8_999], waits[9_999]), (Duration::ZERO, 100 * MS));
    }

    #[test]
    fn jitter_is_uniform_between_its_bounds_and_repeats_with_its_seed() {
        let rule = |seed| Rule::Jitter { from: MS, to: 3 * MS, seed };
        let waits = |seed| (0..10_000).map(|n| rule(seed).wait(MS, 7, n)).collect::<Vec<_>>();
        let mut sorted = waits(1);
        assert_eq!(sorted, waits(1));
        assert_ne!(sorted, waits(2));
        sorted.sort_unstable();
        assert!(sorted[0] >= MS && sorted[9_999] < 3 * MS);
        for (quantile, expected) in [(0.01, 1.02), (0.5, 2.0), (0.9, 2.8), (0.99, 2.98)] {
            let got = sorted[(quantile * 10_000.0) as usize].as_secs_f64() * 1e3;
            assert!((got - expected).abs() < 0.04, "{quantile}: {got}");
        }
    }

    #[test]
    fn on_a_stream_no_answer_overtakes_the_one_before() {
        let mut connection = open("jitter", &[("from", "0"), ("to", "100ms")], 1 << 16);
        let (mut all, mut heard) = (String::new(), String::new());
        for n in 0..100 {
            let message = format!("{n} ");
            connection.receive(message.as_bytes());
            all.push_str(&message);
        }
        while let Some(alarm) = connection.take_alarm() {
            NOW.set(NOW.get() + alarm);
            connection.time_out();
            heard.push_str(&written(&mut connection));
        }
        assert_eq!(heard, all);
    }

    #[track_caller]
    fn check_refused(name: &str, settings: &[(&str, &str)], expected: &str) {
        let made = crate::find(name).unwrap().make(settings, &Limits::default(), clock);
        assert_eq!(made.err().map(|error| error.to_string()).as_deref(), Some(expected));
    }

    #[test]
    fn times_that_cannot_be_are_refused() {
        check_refused("stall", &[("pause", "2s")], "`pause`: expected no more than `period` (1s), got 2s");
        check_refused("jitter", &[("from", "4ms")], "`from`: expected no more than `to` (3ms), got 4ms");
        check_refused("delay", &[("delay", "3601s")], "`delay`: expected no more than an hour (3600s), got 3601s");
        let expected = "`period`: expected a duration like `250ms` or `60s`, or `0`, got `0`";
        check_refused("stall", &[("period", "0")], expected);
    }
}
