//! Waiting for a target: until what is expected is whole, until it rests, until it has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::case::REST;
use super::super::oracle::is_reporting;
use super::super::socket::{Heard, Link};
use super::{Children, Player, Told, Trace};
use crate::event::OutputLine;
use crate::framing::Decoded;
use crate::matcher::{Input, Outcome, Pattern, Progress};
use crate::runner::Up;
use crate::runner::process::{Activity, Came, Exit, Follow, Rest};

/// How long a target may work on a message before it is no longer waited for.
const SETTLE_MAX: Duration = Duration::from_millis(20);

/// How much of a processor it may use after that, in ticks of 10 ms, before it is called busy.
const SETTLE_TICKS: u64 = 2;

/// How long a reply that is expected may take while the target works on it.
const REPLY_WITHIN: Duration = Duration::from_millis(500);

/// How long a target is waited for that has work and is given no processor: others use them.
const STARVED_WITHIN: Duration = Duration::from_secs(3);

/// Between two looks at a target that is waited for: the first time, and at most. Each time it is twice as long.
const LOOK_FIRST: Duration = Duration::from_micros(25);
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// How long an answer is waited for before its target is looked at: most are there by then, and a look takes time, too.
const ANSWER_FIRST: Duration = Duration::from_micros(60);

/// How often in a row a target has to be seen asleep to rest.
const LOOKS: u32 = 2;

/// How often a target that works is looked at in a row, before there is a pause between two looks.
const LOOKS_AT_ONCE: u32 = 4;

/// Between two looks meanwhile.
const SILENT_LOOK: Duration = Duration::from_millis(10);

/// How much of a processor a target may use, in ticks of 10 ms, before it is said not to answer.
const SILENT_TICKS: u64 = 50;

/// How long a process may take to end after it has begun to.
const END_WITHIN: Duration = Duration::from_secs(3);

/// How long a sanitizer may take over its report: of a large program it looks for the names of functions.
const REPORT_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks at what it has told by then.
const REPORT_LOOK: Duration = Duration::from_millis(5);

impl Player {
    /// Whether the target uses so much time of a processor without coming to rest in between.
    pub fn works_on(&mut self, work: Duration) -> bool {
        self.rest.as_mut().is_some_and(|rest| self.ground.wait(rest.come(work)) == Came::Working)
    }

    /// Waits for what seeds expect, by its number, as long as this answer is worth it.
    pub(super) fn expect_numbered(&mut self, link: u16, number: u32, kept: &mut Vec<u8>, trace: &mut Trace) -> bool {
        if number == REST {
            self.drain(link, kept, trace);
            return true;
        }
        let at = number as usize;
        let patterns = Arc::clone(&self.patterns);
        let Some(pattern) = patterns.get(at) else { return true };
        let Some(patience) = self.patience.get(at).filter(|_| self.rest.is_some()) else {
            return self.expect(link, pattern, kept, trace);
        };
        let within = std::mem::replace(&mut self.reply_within, patience.within());
        let met = self.expect(link, pattern, kept, trace);
        self.reply_within = within;
        self.patience[at].note(met);
        met
    }

    /// Takes all that comes until the target rests; it is added to `kept`.
    pub fn drain(&mut self, link: u16, kept: &mut Vec<u8>, trace: &mut Trace) {
        self.settle(trace);
        let Some(open) = self.link(link) else { return };
        kept.append(&mut open.stream);
        kept.extend(open.datagrams.drain(..).flatten());
    }

    /// Waits for what is expected. What it took is added to `kept`.
    pub fn expect(&mut self, link: u16, pattern: &Pattern, kept: &mut Vec<u8>, trace: &mut Trace) -> bool {
        let Ok(matcher) = pattern.fill(&self.variables) else { return false };
        let plan = Arc::clone(&self.plan);
        let began = Instant::now();
        let mut progress = Progress::default();
        let (mut state, mut asleep, mut at_once) = (Activity::Busy, 0, 0);
        let mut patience = ANSWER_FIRST;
        // Since when the target rests, as far as is known; and how long it has rested before it went on with its answer.
        let mut rests: Option<Instant> = None;
        let mut late = Duration::ZERO;
        let mut ticks = None;
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
                    self.late = self.late.max(late);
                    self.late_now = self.late_now.max(late);
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
            if open.read() != Heard::Nothing {
                asleep = 0;
                if let Some(since) = rests.take() {
                    late = late.max(since.elapsed());
                }
                continue;
            }
            // A target that rests and has not answered will not; unless it usually takes its time over that.
            if asleep >= LOOKS {
                rests.get_or_insert_with(Instant::now);
                if began.elapsed() >= self.reply_within {
                    self.idle = Some(state);
                    return false;
                }
            }
            // What is on its way to it arrives meanwhile, if it is this processor that carries it there; and who waits for this
            // processor to answer has it sooner so than after a sleep.
            if asleep == 1 || (asleep == 0 && watched && self.processor.is_some() && at_once < LOOKS_AT_ONCE) {
                at_once += 1;
                std::thread::yield_now();
                if self.link(link).is_some_and(|open| open.read() != Heard::Nothing) {
                    asleep = 0;
                    continue;
                }
            } else {
                let waiting = Instant::now();
                let within = if watched { patience } else { self.reply_within };
                patience = (patience * 2).min(LOOK_EVERY);
                let Some(open) = self.link(link) else { return false };
                let ready = open.wait(within);
                self.waited += waiting.elapsed();
                if ready {
                    asleep = 0;
                    continue;
                }
                if !watched && began.elapsed() >= self.reply_within {
                    return false;
                }
            }
            let is_done;
            (state, is_done) = match (&mut self.rest, self.ran) {
                (None, _) => (Activity::Busy, false),
                (Some(rest), None) => (rest.look(), false),
                (Some(rest), Some(since)) => rest.look_since(since),
            };
            asleep = match (state, is_done) {
                (Activity::Busy, _) => 0,
                (_, true) => LOOKS,
                (_, false) => asleep + 1,
            };
            if began.elapsed() >= REPLY_WITHIN.max(self.reply_within) {
                let used = self.rest.as_mut().map_or(0, Rest::ticks);
                let since = *ticks.get_or_insert(used);
                let is_starved = state == Activity::Busy && used.saturating_sub(since) < SETTLE_TICKS;
                if !is_starved || !watched || began.elapsed() >= STARVED_WITHIN.max(self.reply_within) {
                    trace.busy |= state == Activity::Busy;
                    return false;
                }
            }
        }
    }

    pub(super) fn read_all(&mut self) -> Heard {
        self.links.iter_mut().flatten().map(Link::read).max().unwrap_or(Heard::Nothing)
    }

    /// Waits for any answer on a connection.
    pub(super) fn hear(&mut self, link: u16) {
        let began = Instant::now();
        let mut rests: Option<Instant> = None;
        let heard = self.link(link).map_or(0, |open| open.received);
        let before = self.rest.as_mut().map_or(0, Rest::ticks);
        while began.elapsed() < self.reply_within {
            let Some(open) = self.link(link) else { break };
            // What TLS says for itself is no answer.
            open.read();
            if open.received > heard || open.end.is_some() {
                break;
            }
            match self.rest.as_mut().map_or(Activity::Busy, Rest::look) {
                Activity::Gone => break,
                Activity::Busy => {
                    rests = None;
                    let used = self.rest.as_mut().map_or(0, Rest::ticks).saturating_sub(before);
                    if used >= SILENT_TICKS {
                        break;
                    }
                }
                Activity::Asleep if rests.get_or_insert_with(Instant::now).elapsed() >= self.silent_for => break,
                Activity::Asleep => {}
            }
            let Some(open) = self.link(link) else { break };
            open.wait(SILENT_LOOK);
        }
        self.waited += began.elapsed();
    }

    /// Waits until the target rests, and reads what comes meanwhile.
    pub fn settle(&mut self, trace: &mut Trace) -> Activity {
        if self.read_all() != Heard::Nothing {
            self.idle = None;
        }
        if let Some(state) = self.idle {
            return state;
        }
        let began = Instant::now();
        let (mut looked, mut ticks) = (1, None);
        let (mut asleep, mut at_once, mut worked) = (0, 0, false);
        let state = loop {
            let Some(rest) = &mut self.rest else {
                self.read_all();
                // Nobody can be watched: what comes, comes within the time that answers usually take.
                let within = self.reply_within;
                let open = self.links.iter().flatten().find(|link| link.end.is_none());
                match open {
                    Some(link) if link.wait(within) => {}
                    _ => break Activity::Asleep,
                }
                if began.elapsed() >= REPLY_WITHIN {
                    break Activity::Busy;
                }
                continue;
            };
            // Who has heard what was done to it last, and sleeps with all its threads at once, is done with that.
            let heard = match self.told {
                Told::Answer(link, before) => {
                    let link = self.links.get(usize::from(link)).and_then(Option::as_ref);
                    link.is_some_and(|link| link.received > before)
                }
                Told::Nobody => true,
                Told::Unseen => false,
            };
            let (state, is_done) = match (heard, self.ran) {
                (false, None) => (rest.look(), false),
                (true, _) => rest.look_since(Duration::ZERO),
                (false, Some(since)) => rest.look_since(since),
            };
            match state {
                Activity::Gone => break Activity::Gone,
                Activity::Asleep => asleep = if is_done { LOOKS } else { asleep + 1 },
                Activity::Busy => (asleep, worked) = (0, true),
            }
            worked |= is_done;
            if asleep >= LOOKS {
                // What has come was written before it fell asleep, if it was seen to work; but who waited for room to say more
                // goes on.
                match self.read_all() {
                    Heard::Nothing => break Activity::Asleep,
                    Heard::Little if worked => {
                        // What was said last may be that it is the end.
                        self.read_all();
                        break Activity::Asleep;
                    }
                    Heard::Little | Heard::Much => {}
                }
                asleep = 0;
                continue;
            }
            // What is on its way to it arrives meanwhile, if it is this processor that carries it there.
            std::thread::yield_now();
            if asleep == 0 {
                // Who has not had a processor is not busy, but waits for one.
                if began.elapsed() >= SETTLE_MAX * looked {
                    looked += 1;
                    let used = rest.ticks();
                    let since = *ticks.get_or_insert(used);
                    if used.saturating_sub(since) >= SETTLE_TICKS {
                        trace.busy = true;
                        break Activity::Busy;
                    }
                    if began.elapsed() >= STARVED_WITHIN {
                        break Activity::Busy;
                    }
                }
                at_once += 1;
                if at_once < LOOKS_AT_ONCE {
                    continue;
                }
                match self.links.iter().flatten().find(|link| link.end.is_none()) {
                    Some(link) => {
                        link.wait(LOOK_FIRST);
                    }
                    // No event tells that threads have come to rest; `STARVED_WITHIN` bounds how often they are looked at.
                    None => std::thread::sleep(LOOK_FIRST),
                }
            }
        };
        if state == Activity::Asleep && self.rest.is_some() {
            self.idle = Some(state);
        }
        self.waited += began.elapsed();
        state
    }

    /// Ends a case: what has become of the target, and its connections closed.
    pub fn finish(&mut self, trace: &mut Trace, close: bool) {
        // What was said last is read before it is cut off.
        let state = self.settle(trace);
        let lost = self.links.iter().flatten().any(|link| link.end.is_some());
        // Who sleeps with all its threads does not end.
        let sleeps = self.rest.is_some() && state == Activity::Asleep;
        trace.ended = self.ended(trace.refused.is_some() || state == Activity::Gone || (lost && !sleeps));
        self.follow_children();
        self.faults(trace);
        self.lines(&mut trace.lines);
        self.hear_out(trace);
        if close {
            self.touch();
            if self.links.iter().flatten().all(|link| link.end.is_some()) {
                self.told = Told::Nobody;
            }
            self.links.drain(..).flatten().for_each(Link::reset);
        }
    }

    /// Follows what the target starts, from the moment on that it is seen to start processes.
    fn follow_children(&mut self) {
        if self.children != Children::None || !self.rest.as_ref().is_some_and(Rest::forks) {
            return;
        }
        let processes = self.up.iter().flat_map(Up::processes);
        let followed = processes.map(|(_, process)| process.follow(Follow::Processes, &self.files));
        self.children = if followed.fold(true, |all, one| all & one) { Children::Followed } else { Children::Unseen };
    }

    /// Notes which signals have said that a process did something wrong: the last of the target's own, the first of what it started.
    fn faults(&mut self, trace: &mut Trace) {
        let processes = self.up.iter().flat_map(Up::processes);
        for (name, process) in processes {
            for fault in process.faults() {
                let own = fault.pid == process.pid();
                // That it ends by it may be seen only a moment later.
                if own && (fault.ends || trace.ended.is_some()) {
                    trace.stack = self.names.frames(&fault.stack);
                } else if !own && fault.ends && trace.child.is_none() && trace.ended.is_none() {
                    trace.child = Some((name.clone(), Exit::Signal { number: fault.signal, core: false }));
                    trace.stack = self.names.frames(&fault.stack);
                }
            }
        }
    }

    /// Waits for the end of a sanitizer's report that has begun. Whoever makes it seems to rest meanwhile, because another process
    /// looks for the names; and only then it is known where it happened, and whether the target ends by it.
    fn hear_out(&mut self, trace: &mut Trace) {
        let began = Instant::now();
        let mut reports = false;
        while trace.ended.is_none() && is_reporting(&trace.lines) && began.elapsed() < REPORT_WITHIN {
            reports = true;
            // Most targets end by it. Nobody tells of the end of a report that one survives: `REPORT_WITHIN` bounds how often it is
            // looked for.
            if let Some(up) = &self.up {
                up.processes().iter().for_each(|(_, process)| up.wait_exit(process, REPORT_LOOK));
            }
            trace.ended = self.ended(true);
            self.lines(&mut trace.lines);
        }
        if reports && trace.ended.is_none() {
            // It is over: now the target ends, or goes on and rests again.
            self.touch();
            let state = self.settle(&mut Trace::default());
            trace.ended = self.ended(state == Activity::Gone);
            self.lines(&mut trace.lines);
        }
    }

    /// Adds what the processes have written since the last time.
    fn lines(&mut self, lines: &mut Vec<OutputLine>) {
        let processes = self.up.iter().flat_map(Up::processes);
        for (at, (_, process)) in processes.enumerate() {
            if self.lines_seen.len() <= at {
                self.lines_seen.push(0);
            }
            let (newest, new) = process.lines_since(self.lines_seen[at]);
            self.lines_seen[at] = newest;
            lines.extend(new);
        }
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
