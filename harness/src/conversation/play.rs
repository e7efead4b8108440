//! Steps, one after the other: how each begins and ends, and how a case goes on from its last.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::lane::{At, Clocks, Frame, Lane, Looping, Running};
use super::link::{Ending, Link, State};
use super::script::{Repeat, Step, Verb};
use super::verdict::Failing;
use super::waiting::{Doing, Flow};
use super::{Action, CONNECTIONS_MAX, Conversation, Ended, Phase};
use crate::event::{End, EventKind, FailureKind, Side};
use crate::time::Time;

/// How many steps are played before the world gets its turn again.
const STEPS_IN_A_ROW_MAX: u32 = 4096;

/// How long all that a case has deferred may take after its deadline.
const DEFERRED_MAX: Duration = Duration::from_secs(10);

impl Conversation {
    pub(super) fn advance(&mut self, now: Time) {
        loop {
            match &self.phase {
                Phase::Over(_) => return,
                Phase::Settling { since } => {
                    let since = *since;
                    self.settle(now, since);
                    if matches!(self.phase, Phase::Settling { .. }) {
                        break;
                    }
                    continue;
                }
                Phase::Playing | Phase::Deferring { .. } => {}
            }
            if let Err((at, failing)) = self.play_lanes(now) {
                let (failure, unreached) = self.failure(at, *failing);
                let running = self.lanes[at].running();
                let (step, started) =
                    running.map_or((None, now), |running| (Some(running.step().id), running.clocks.started));
                self.fail_step(now, step, started, failure, unreached);
                continue;
            }
            if self.lanes.iter().any(|lane| lane.yielded) {
                break;
            }
            if self.lanes.iter().all(Lane::is_done) {
                match self.phase {
                    Phase::Deferring { .. } => self.next_deferred(now),
                    _ => self.phase = Phase::Settling { since: now },
                }
                continue;
            }
            if let Some((at, failing)) = self.deadlock() {
                let (failure, unreached) = self.failure(at, *failing);
                let running = self.lanes[at].running().expect("it waits");
                let (step, started) = (Some(running.step().id), running.clocks.started);
                self.fail_step(now, step, started, failure, unreached);
                continue;
            }
            break;
        }
        self.check_deadline(now);
    }

    /// Plays every lane as far as it goes, again and again while one of them moves.
    fn play_lanes(&mut self, now: Time) -> Result<(), (usize, Box<Failing>)> {
        loop {
            let mut moved = false;
            // The lanes leave their place while they are played: moving each of them costs more than all else here.
            let mut lanes = std::mem::take(&mut self.lanes);
            let several = lanes.len() > 1;
            let mut failed = None;
            for (at, lane) in lanes.iter_mut().enumerate() {
                if several {
                    lane.enter(&mut self.variables);
                }
                match self.play(lane, now) {
                    Ok(some) => moved |= some,
                    Err(failing) => failed = Some((at, failing)),
                }
                if several {
                    lane.leave(&mut self.variables, &mut self.set);
                } else {
                    self.set.clear();
                }
                if failed.is_some() {
                    break;
                }
            }
            let (alone, yielded) = (lanes.len() == 1, lanes.iter().any(|lane| lane.yielded));
            self.lanes = lanes;
            if let Some(failed) = failed {
                return Err(failed);
            }
            // One lane cannot wait for what it did itself.
            if !moved || alone || yielded {
                return Ok(());
            }
        }
    }

    fn check_deadline(&mut self, now: Time) {
        if let Phase::Deferring { until, ended } = &self.phase
            && now >= *until
        {
            let ended = ended.clone();
            self.deferred.clear();
            self.close_all(now);
            self.phase = Phase::Over(ended);
            return;
        }
        let Some(limit) = &self.script.deadline else { return };
        let bound = matches!(self.phase, Phase::Playing | Phase::Settling { .. });
        if !bound || now < self.started + limit.duration {
            return;
        }
        let shown = crate::time::show_duration(limit.duration);
        let set_by = Arc::clone(&limit.set_by);
        let mut failure = self.failure_now(FailureKind::Timeout, format!("the case was not done within {shown}"));
        failure.notes.push(format!("deadline: {shown} for the whole case, {set_by}"));
        self.fail(now, failure, None);
        self.advance(now);
    }

    /// After the last step: nobody may have said more than was asked for.
    fn settle(&mut self, now: Time, since: Time) {
        if self.script.strict_end {
            let noisy = self.links.iter().position(|link| link.state != State::Closed && link.has_unread());
            if let Some(at) = noisy {
                let failure = self.leftover_at_end(at);
                return self.fail_step(now, None, now, failure, None);
            }
            if self.quiet_at(since).is_some_and(|quiet| now < quiet) {
                return;
            }
        }
        self.end_with(now, Ended::Passed);
    }

    /// What is played has come to its end: what was deferred follows, the last first.
    pub(super) fn end_with(&mut self, now: Time, ended: Ended) {
        self.phase = Phase::Deferring { until: now + DEFERRED_MAX, ended };
        self.next_deferred(now);
    }

    pub(super) fn next_deferred(&mut self, now: Time) {
        let Phase::Deferring { ended, .. } = &self.phase else { return };
        match self.deferred.pop() {
            Some(steps) => self.lanes = vec![Lane::new(Arc::from("defer"), steps, now)],
            None => {
                let ended = ended.clone();
                self.lanes.clear();
                self.close_all(now);
                self.phase = Phase::Over(ended);
            }
        }
    }

    fn close_all(&mut self, now: Time) {
        for at in 0..self.links.len() {
            if self.links[at].state != State::Closed {
                self.close(now, at);
            }
        }
    }

    pub(super) fn close(&mut self, now: Time, at: usize) {
        let link = &mut self.links[at];
        // A datagram socket closes without a word, and a connection that was reset or shut down has had its last.
        let silent = link.transport.is_datagram() || link.shut || link.ending == Some(Ending::Reset);
        let told = silent || !matches!(link.state, State::Open | State::Securing);
        link.state = State::Closed;
        self.actions.push_back(Action::Close(at as u32));
        if !told {
            self.tell(now, EventKind::Ended { connection: at as u32, by: Side::Local, how: End::Fin });
        }
    }

    pub(super) fn reset(&mut self, now: Time, at: usize) {
        self.links[at].state = State::Closed;
        self.actions.push_back(Action::Reset(at as u32));
        self.tell(now, EventKind::Ended { connection: at as u32, by: Side::Local, how: End::Reset });
    }

    pub(super) fn shutdown(&mut self, now: Time, at: usize) {
        if !std::mem::replace(&mut self.links[at].shut, true) {
            self.actions.push_back(Action::Shutdown(at as u32));
            self.tell(now, EventKind::Ended { connection: at as u32, by: Side::Local, how: End::Fin });
        }
    }

    pub(super) fn dial(&mut self, now: Time, actor: usize) -> Result<(), Box<Failing>> {
        if self.links.len() >= CONNECTIONS_MAX {
            return Err(Failing::new(FailureKind::Limit, format!("a case has at most {CONNECTIONS_MAX} connections")));
        }
        let url = match &self.script.actors[actor].connect {
            Some(template) => {
                let url = template.fill_text(&self.variables).map_err(|unset| Failing::unset(&unset.0))?;
                Some(url)
            }
            None => None,
        };
        let connection = self.links.len() as u32;
        self.current[actor] = Some(self.links.len());
        self.links.push(Link::new(actor, self.transports[actor], false, now));
        self.actions.push_back(Action::Connect { connection, actor, url });
        Ok(())
    }

    /// Plays a lane as far as it goes, and says whether it went any further.
    fn play(&mut self, lane: &mut Lane, now: Time) -> Result<bool, Box<Failing>> {
        let mut moved = false;
        lane.yielded = false;
        for _ in 0..STEPS_IN_A_ROW_MAX {
            if lane.running.is_none() {
                let was_done = lane.is_done();
                let Some(step) = self.next_step(lane, now)? else {
                    self.order.changed |= !was_done;
                    return Ok(moved);
                };
                moved = true;
                if let Some(step) = step {
                    self.begin(lane, step, now)?;
                }
                continue;
            }
            let running = lane.running.as_mut().expect("just seen");
            let step = &running.step.0[running.step.1];
            let flow = match &running.doing {
                doing @ (Doing::Barrier(_) | Doing::Wait) if step.verb.waits_for_others() => {
                    self.wait_for_others(&mut lane.awaited, &step.verb, doing)
                }
                _ => self.attempt(now, step, &running.clocks, &mut running.doing)?,
            };
            match flow {
                Flow::Done => self.finish(lane, now)?,
                Flow::Chosen(steps) => {
                    self.finish(lane, now)?;
                    lane.frames.push(Frame { steps, next: 1, looping: None });
                }
                Flow::Waiting => {
                    if step.verb.waits_for_others() && now >= running.clocks.deadline {
                        return Err(self.waited_in_vain(&step.verb));
                    }
                    return Ok(moved);
                }
            }
            moved = true;
        }
        lane.yielded = true;
        Ok(moved)
    }

    fn waited_in_vain(&self, verb: &Verb) -> Box<Failing> {
        let message = match verb {
            Verb::Await(name, _) => format!("awaited the notice `{name}`, and it was not given"),
            Verb::Barrier(name, _) => format!("stood at the barrier `{name}`, and the others did not come"),
            _ => "waited for the others".to_owned(),
        };
        Failing::new(FailureKind::Timeout, message).timed_out()
    }

    /// The step to begin next: `None` at the end, `Some(None)` where a loop only turned.
    fn next_step(&mut self, lane: &mut Lane, now: Time) -> Result<Option<Option<At>>, Box<Failing>> {
        let Some(frame) = lane.frames.last_mut() else { return Ok(None) };
        if frame.next < frame.steps.len() {
            frame.next += 1;
            return Ok(Some(Some((Arc::clone(&frame.steps), frame.next - 1))));
        }
        let Some(looping) = &mut frame.looping else {
            lane.frames.pop();
            self.order.changed = true;
            return Ok(Some(None));
        };
        looping.done += 1;
        let (step, done, times) = (looping.step.clone(), looping.done, looping.times);
        if lane.frames.iter().filter(|frame| frame.looping.is_some()).count() == 1 {
            self.actions.push_back(Action::Looped);
        }
        if done < times {
            if let Some((bound, around)) = lane.bound()
                && now >= bound
            {
                let (allowed, set_by) = around.allowed();
                let shown = crate::time::show_duration(allowed);
                let (done, times) = (around.done, around.times);
                let message = format!("the loop was not done within {shown}: {done} of {times} rounds");
                let mut failing = Failing::new(FailureKind::Timeout, message);
                failing.notes.push(format!("deadline: {shown}, {set_by}"));
                lane.running = Some(around.running());
                return Err(failing);
            }
            let frame = lane.frames.last_mut().expect("it was there");
            frame.next = 0;
            self.set_loop_variables(&step.0[step.1], done)?;
            return Ok(Some(None));
        }
        let frame = lane.frames.pop().expect("it was there");
        let looping = frame.looping.expect("it loops");
        let running = looping.running();
        for (name, value, new) in looping.outer {
            let value = if new { lane.unhide(&name) } else { value };
            match value {
                Some(value) => self.variables.insert(name, value),
                None => self.variables.remove(&name),
            };
        }
        lane.running = Some(running);
        self.finish(lane, now)?;
        Ok(Some(None))
    }

    fn set_loop_variables(&mut self, step: &Step, done: u64) -> Result<(), Box<Failing>> {
        let Verb::Repeat(repeat) = &step.verb else { return Ok(()) };
        if repeat.counts {
            self.variables.insert("i".into(), done.to_string().into());
        }
        for (name, values) in &repeat.values {
            let value = values[done as usize].fill(&self.variables).map_err(|unset| Failing::unset(&unset.0))?;
            self.variables.insert(Arc::clone(name), value);
        }
        Ok(())
    }

    fn begin(&mut self, lane: &mut Lane, at: At, now: Time) -> Result<(), Box<Failing>> {
        let list = Arc::clone(&at.0);
        let step = &list[at.1];
        let marked = step.after.as_ref().and_then(|mark| self.marks.get(mark)).copied();
        let unmarked = step.after.clone().filter(|_| marked.is_none());
        let base = marked.unwrap_or(now);
        let mut deadline = base + step.limit.duration;
        let (mut bounded, around) = (false, lane.bound().map(|(bound, _)| bound));
        let mut earliest = None;
        if let Some((from, to)) = step.between {
            let since = marked.unwrap_or(lane.ended);
            earliest = Some(since + from);
            deadline = deadline.min(since + to);
            bounded = true;
        }
        deadline = around.map_or(deadline, |around| deadline.min(around));
        let clocks = Clocks { started: now, base, deadline };
        // What fails from here on fails in this step.
        let running = lane.running.insert(Running { step: at, clocks, earliest, doing: Doing::Wait });
        if let Some(mark) = unmarked {
            return Err(Failing::no_mark(&mark));
        }
        if let Verb::Repeat(repeat) = &step.verb {
            let bound = (repeat.bounded || bounded).then_some(deadline);
            return self.begin_loop(lane, bound, now);
        }
        running.doing = self.start(now, step, &clocks)?;
        Ok(())
    }

    fn begin_loop(&mut self, lane: &mut Lane, bound: Option<Time>, now: Time) -> Result<(), Box<Failing>> {
        let running = lane.running.as_ref().expect("a loop was begun");
        let (step, clocks, earliest) = (running.step.clone(), running.clocks, running.earliest);
        let Verb::Repeat(Repeat { times, values, steps, counts, .. }) = &step.0[step.1].verb else {
            unreachable!("only loops are begun here")
        };
        let times = match values.first() {
            Some((_, values)) => values.len() as u64,
            None => times.fill(&self.variables).map_err(|error| Failing::payload(&error))?,
        };
        if times == 0 {
            return self.finish(lane, now);
        }
        let names = values.iter().map(|(name, _)| Arc::clone(name)).chain(counts.then(|| "i".into()));
        let several = self.script.lanes.len() > 1;
        let mut outer = Vec::new();
        for name in names {
            let value = self.variables.get(&name).cloned();
            let new = several && lane.hide(&name, &self.variables);
            outer.push((name, value, new));
        }
        self.set_loop_variables(&step.0[step.1], 0)?;
        let looping = Looping { step: step.clone(), clocks, earliest, bound, times, done: 0, outer };
        lane.running = None;
        lane.frames.push(Frame { steps: Arc::clone(steps), next: 0, looping: Some(looping) });
        Ok(())
    }

    pub(super) fn set_variable(&mut self, now: Time, name: Arc<str>, value: Bytes) {
        self.record(now, value.len(), || EventKind::VariableSet { name: Arc::clone(&name), value: value.clone() });
        self.set.push(Arc::clone(&name));
        self.variables.insert(name, value);
    }

    fn finish(&mut self, lane: &mut Lane, now: Time) -> Result<(), Box<Failing>> {
        let running = lane.running.as_ref().expect("it was played");
        let step = running.step();
        if let Some(earliest) = running.earliest {
            let link = self.current[step.slot].map(|at| &self.links[at]);
            let done = match (&step.verb, link) {
                (Verb::Accept(_) | Verb::Expect(_) | Verb::ExpectEof | Verb::ExpectReset, Some(link)) => link.arrived,
                _ => now,
            };
            if done < earliest {
                let shown = crate::time::show_duration(earliest.since(done));
                let from = step.between.map(|(from, _)| crate::time::show_duration(from)).unwrap_or_default();
                let since = match &step.after {
                    Some(mark) => format!("the mark `{mark}`"),
                    None => "the step before".to_owned(),
                };
                let message = format!("expected no earlier than {from} after {since}, came {shown} too early");
                return Err(Failing::new(FailureKind::Mismatch, message));
            }
        }
        if let Some(mark) = &step.mark {
            self.marks.insert(Arc::clone(mark), now);
            self.actions.push_back(Action::Marked(Arc::clone(mark)));
        }
        let (id, started) = (step.id, running.clocks.started);
        let connection = self.told_connection(step);
        self.passed(id, started, now, connection);
        lane.running = None;
        lane.ended = now;
        Ok(())
    }

    pub(super) fn passed(&mut self, step: u32, started: Time, now: Time, connection: Option<u32>) {
        self.record(now, 0, || EventKind::StepPassed { step, started, connection });
    }

    /// The connection that a step has to do with, for the events.
    pub(super) fn told_connection(&self, step: &Step) -> Option<u32> {
        let at = match &step.verb {
            Verb::Accept(slot) => self.current[slot.unwrap_or(step.slot)],
            verb if verb.needs_connection() || matches!(verb, Verb::Connect | Verb::ExpectRefused) => {
                self.current[step.slot].or_else(|| self.reading(step.slot))
            }
            _ if step.dials => self.current[step.slot],
            _ => None,
        };
        at.map(|at| at as u32)
    }

    /// When a lane has to be looked at again.
    pub(super) fn lane_timeout(&self, lane: &Lane) -> Option<Time> {
        if lane.yielded {
            return Some(Time::ZERO);
        }
        let running = lane.running.as_ref()?;
        Some(self.wake(running.step(), &running.clocks, &running.doing))
    }
}
