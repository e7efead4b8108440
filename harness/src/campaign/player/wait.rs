//! Waiting for a target: until what is expected is whole, until it rests, until it has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::socket::Link;
use super::{Player, Trace};
use crate::event::OutputLine;
use crate::framing::Decoded;
use crate::matcher::{Input, Outcome, Pattern, Progress};
use crate::runner::Up;
use crate::runner::process::Exit;
use crate::runner::process::rest::{Rest, State};

/// How long a target may work on a message before it is no longer waited for.
const SETTLE_MAX: Duration = Duration::from_millis(20);

/// How much of a processor it may use after that, in ticks of 10 ms, before it is called busy.
const SETTLE_TICKS: u64 = 2;

/// How long a reply that is expected may take while the target works on it.
const REPLY_WITHIN: Duration = Duration::from_millis(500);

/// Between two looks at a target.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// How long a process may take to end after it has begun to.
const END_WITHIN: Duration = Duration::from_secs(3);

impl Player {
    /// How much time of a processor the target uses in that time, as a share.
    pub fn busy_share(&mut self, within: Duration) -> f64 {
        let Some(rest) = &mut self.rest else { return 0.0 };
        let before = rest.ticks();
        // The wait is the measurement; only the end of the process cuts it short.
        if let Some(up) = &self.up
            && let Some((_, process)) = up.processes().first()
        {
            up.wait_exit(process, within);
        }
        // A tick is 10 ms on every system that Rust's Linux targets have.
        let used = Duration::from_millis(10) * u32::try_from(rest.ticks().saturating_sub(before)).unwrap_or(u32::MAX);
        used.as_secs_f64() / within.as_secs_f64()
    }

    /// Waits for what is expected. What it took is added to `kept`.
    pub fn expect(&mut self, link: u16, pattern: &Pattern, kept: &mut Vec<u8>, trace: &mut Trace) -> bool {
        let Ok(matcher) = pattern.fill(&self.variables) else { return false };
        let plan = Arc::clone(&self.plan);
        let began = Instant::now();
        let mut progress = Progress::default();
        let mut asleep = 0;
        loop {
            let Some(open) = self.link(link) else { return false };
            let framing = plan.actors[open.actor].framing.as_deref();
            let over = open.end.is_some();
            // What is there of it, where its body stands, and how much is done with.
            let found = match (open.is_datagram(), framing) {
                (true, framing) => open.datagrams.front().map(|datagram| {
                    let body = match framing.map(|framing| framing.decode(datagram, 0)) {
                        Some(Ok(Decoded::Message { start, end, .. })) => start..end,
                        _ => 0..datagram.len(),
                    };
                    (Input::message(&datagram[body.clone()]), body.start, Some(datagram.len()))
                }),
                (false, Some(framing)) => match framing.decode(&open.stream, 0) {
                    Ok(Decoded::Message { start, end, consumed }) => {
                        Some((Input::message(&open.stream[start..end]), start, Some(consumed)))
                    }
                    Ok(Decoded::NeedMore) => None,
                    Err(_) => return false,
                },
                (false, None) => Some((Input::stream(&open.stream, over), 0, None)),
            };
            match found.map(|(input, start, whole)| (matcher.check(input, &mut progress), input.bytes, start, whole)) {
                Some((Outcome::Match(matched), bytes, _, whole)) => {
                    let mut set = Vec::new();
                    for (name, range) in &matched.captures {
                        set.push((Arc::clone(name), Bytes::copy_from_slice(&bytes[range.clone()])));
                    }
                    set.extend(matched.values.iter().cloned());
                    let consumed = whole.unwrap_or(matched.len);
                    self.variables.extend(set);
                    let Some(open) = self.link(link) else { return false };
                    if open.is_datagram() {
                        kept.extend(open.datagrams.pop_front().unwrap_or_default());
                    } else {
                        kept.extend(open.stream.drain(..consumed.min(open.stream.len())));
                    }
                    return true;
                }
                Some((Outcome::Mismatch { .. }, ..)) => return false,
                Some((Outcome::NeedMore, _, _, Some(_))) => return false,
                Some((Outcome::NeedMore, ..)) | None => {}
            }
            let watched = self.rest.is_some();
            let Some(open) = self.link(link) else { return false };
            if over {
                return false;
            }
            if open.read() {
                asleep = 0;
                continue;
            }
            let waiting = Instant::now();
            let patience = if watched { LOOK_EVERY } else { self.reply_within };
            let Some(open) = self.link(link) else { return false };
            let ready = open.wait(patience);
            self.waited += waiting.elapsed();
            if ready {
                asleep = 0;
                continue;
            }
            if !watched && began.elapsed() >= self.reply_within {
                return false;
            }
            let state = self.rest.as_mut().map_or(State::Busy, Rest::look);
            asleep = if state == State::Busy { 0 } else { asleep + 1 };
            // A target that rests and has not answered will not; unless it usually takes its time over that.
            if asleep >= 2 && began.elapsed() >= self.reply_within {
                return false;
            }
            if began.elapsed() >= REPLY_WITHIN.max(self.reply_within) {
                trace.busy |= state == State::Busy;
                return false;
            }
        }
    }

    pub(super) fn read_all(&mut self) -> bool {
        let mut any = false;
        for link in self.links.iter_mut().flatten() {
            any |= link.read();
        }
        any
    }

    /// Waits until the target rests, and reads what comes meanwhile.
    pub fn settle(&mut self, trace: &mut Trace) -> State {
        let began = Instant::now();
        let (mut looked, mut ticks) = (1, None);
        let mut asleep = 0;
        let state = loop {
            if self.read_all() {
                asleep = 0;
            }
            let Some(rest) = &mut self.rest else {
                // Nobody can be watched: what comes, comes within the time that answers usually take.
                let within = self.reply_within;
                let open = self.links.iter().flatten().find(|link| link.end.is_none());
                match open {
                    Some(link) if link.wait(within) => {}
                    _ => break State::Asleep,
                }
                if began.elapsed() >= REPLY_WITHIN {
                    break State::Busy;
                }
                continue;
            };
            match rest.look() {
                State::Gone => break State::Gone,
                State::Asleep => asleep += 1,
                State::Busy => asleep = 0,
            }
            if asleep >= 2 {
                self.read_all();
                break State::Asleep;
            }
            if asleep == 0 {
                // Who has not had a processor is not busy, but waits for one.
                if began.elapsed() >= SETTLE_MAX * looked {
                    looked += 1;
                    let used = rest.ticks();
                    let since = *ticks.get_or_insert(used);
                    if used.saturating_sub(since) >= SETTLE_TICKS {
                        trace.busy = true;
                        break State::Busy;
                    }
                    if began.elapsed() >= REPLY_WITHIN {
                        break State::Busy;
                    }
                }
                std::thread::yield_now();
                match self.links.iter().flatten().find(|link| link.end.is_none()) {
                    Some(link) => {
                        link.wait(LOOK_EVERY / 4);
                    }
                    // No event tells that threads have come to rest; `REPLY_WITHIN` bounds how often they are looked at.
                    None => std::thread::sleep(LOOK_EVERY / 4),
                }
            }
        };
        self.waited += began.elapsed();
        state
    }

    /// Ends a case: what has become of the target, and its connections closed.
    pub fn finish(&mut self, trace: &mut Trace, close: bool) {
        // What was said last is read before it is cut off.
        let state = self.settle(trace);
        let lost = self.links.iter().flatten().any(|link| link.end.is_some()) || trace.refused.is_some();
        trace.ended = self.ended(lost || state == State::Gone);
        let (seen, lines) = self.lines();
        self.lines_seen = seen;
        trace.lines.extend(lines);
        if close {
            self.links.drain(..).flatten().for_each(Link::reset);
        }
    }

    fn lines(&self) -> (u64, Vec<OutputLine>) {
        // The numbers are each process's own; a second one is rare, and its lines are read with the first one's number.
        let mut all = Vec::new();
        let mut seen = self.lines_seen;
        for (_, process) in self.up.iter().flat_map(Up::processes) {
            let (newest, lines) = process.lines_since(self.lines_seen);
            seen = seen.max(newest);
            all.extend(lines);
        }
        (seen, all)
    }

    /// Which process of the target has ended, and how. Where a connection was lost there is more reason to wait for that.
    pub fn ended(&self, lost: bool) -> Option<(String, Exit)> {
        let up = self.up.as_ref()?;
        up.processes().into_iter().find_map(|(name, process)| {
            if lost && process.is_exiting() {
                up.wait_exit(&process, END_WITHIN);
            }
            Some((name, process.exited()?))
        })
    }
}
