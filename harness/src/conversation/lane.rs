//! Steps in an order of their own: where a lane stands, which loops it is in, and which values are its alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::script::{Step, Verb};
use super::waiting::Doing;
use crate::template::Variables;
use crate::time::Time;

/// A place in a list of steps.
pub(super) type At = (Arc<[Step]>, usize);

/// Steps in an order of their own.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: Arc<str>,
    pub(super) frames: Vec<Frame>,
    pub(super) running: Option<Running>,
    /// When the step before ended.
    pub(super) ended: Time,
    /// Whether it gave the world a turn although it could go on.
    pub(super) yielded: bool,
    /// How many notices of each name it has taken.
    pub(super) awaited: HashMap<Arc<str>, u64>,
    own: Vec<Own>,
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) steps: Arc<[Step]>,
    pub(super) next: usize,
    pub(super) looping: Option<Looping>,
}

#[derive(Debug)]
pub(super) struct Looping {
    /// The loop's own step.
    pub(super) step: At,
    pub(super) clocks: Clocks,
    pub(super) earliest: Option<Time>,
    /// When all rounds have to be done, where the loop says so.
    pub(super) bound: Option<Time>,
    pub(super) times: u64,
    pub(super) done: u64,
    /// What the loop's variables were outside of it, and whether the lane had none of its own by that name.
    pub(super) outer: Vec<(Arc<str>, Option<Bytes>, bool)>,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) step: At,
    pub(super) clocks: Clocks,
    pub(super) earliest: Option<Time>,
    pub(super) doing: Doing,
}

/// The times of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub(super) started: Time,
    /// What its durations are counted from: its start, or a mark.
    pub(super) base: Time,
    pub(super) deadline: Time,
}

impl Clocks {
    /// How long the step may take.
    pub(super) fn allowed(&self) -> Duration {
        self.deadline.since(self.base)
    }
}

/// A variable that has another value in this lane than elsewhere. While the lane plays, `value` is what the others see;
/// while it waits for its turn, `value` is its own.
#[derive(Debug)]
struct Own {
    name: Arc<str>,
    value: Option<Bytes>,
}

impl Running {
    pub(super) fn step(&self) -> &Step {
        &self.step.0[self.step.1]
    }
}

impl Looping {
    /// The loop's own step, as one that is played.
    pub(super) fn running(&self) -> Running {
        Running { step: self.step.clone(), clocks: self.clocks, earliest: self.earliest, doing: Doing::Wait }
    }

    /// How long all rounds may take, and what says so.
    pub(super) fn allowed(&self) -> (Duration, &str) {
        let (allowed, limit) = (self.clocks.allowed(), &self.step.0[self.step.1].limit);
        (allowed, if limit.duration == allowed { &limit.set_by } else { "`between` of the loop" })
    }
}

impl Lane {
    pub(super) fn new(name: Arc<str>, steps: Arc<[Step]>, now: Time) -> Lane {
        let frames = vec![Frame { steps, next: 0, looping: None }];
        Lane { name, frames, running: None, ended: now, yielded: false, awaited: HashMap::new(), own: Vec::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.running.is_none() && self.frames.is_empty()
    }

    pub(super) fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    /// The loop around the step in hand that has to be done first.
    pub(super) fn bound(&self) -> Option<(Time, &Looping)> {
        let loops = self.frames.iter().filter_map(|frame| frame.looping.as_ref());
        loops.filter_map(|looping| Some((looping.bound?, looping))).min_by_key(|(bound, _)| *bound)
    }

    /// Which repetition it is in, for the report: the outermost first.
    pub(super) fn repetitions(&self) -> impl Iterator<Item = (u64, u64)> {
        let loops = self.frames.iter().filter_map(|frame| frame.looping.as_ref());
        loops.filter(|looping| looping.times > 1).map(|looping| (looping.done, looping.times))
    }

    /// How many more steps like this are still to come; `None` where a loop makes it any number.
    pub(super) fn to_come(&self, is: &dyn Fn(&Verb) -> bool) -> Option<u64> {
        let mut total = 0;
        if let Some(Running { step, .. }) = &self.running
            && let Verb::Alt(branches) = &step.0[step.1].verb
        {
            for branch in branches {
                total += count(branch, is)?;
            }
        }
        for frame in &self.frames {
            match &frame.looping {
                Some(looping) if looping.done + 1 < looping.times && count(&frame.steps, is) != Some(0) => return None,
                _ => total += count(&frame.steps[frame.next..], is)?,
            }
        }
        Some(total)
    }

    /// The lane's turn: its own values are there.
    pub(super) fn enter(&mut self, variables: &mut Variables) {
        for own in &mut self.own {
            swap(variables, own);
        }
    }

    /// The end of its turn: its own values go with it, and what it has `set` is for all.
    pub(super) fn leave(&mut self, variables: &mut Variables, set: &mut Vec<Arc<str>>) {
        for name in set.drain(..) {
            let value = variables.get(&name).cloned();
            match self.own.iter_mut().find(|own| own.name == name) {
                Some(own) => own.value = value,
                None => self.own.push(Own { name, value }),
            }
        }
        for own in &mut self.own {
            swap(variables, own);
        }
    }

    /// Makes a loop's variable the lane's own. `true` if there was none of that name.
    pub(super) fn hide(&mut self, name: &Arc<str>, variables: &Variables) -> bool {
        let new = !self.own.iter().any(|own| own.name == *name);
        if new {
            self.own.push(Own { name: Arc::clone(name), value: variables.get(name).cloned() });
        }
        new
    }

    /// Forgets what [`Lane::hide`] did, and says what the others see by that name.
    pub(super) fn unhide(&mut self, name: &str) -> Option<Bytes> {
        let at = self.own.iter().position(|own| *own.name == *name)?;
        self.own.swap_remove(at).value
    }
}

fn swap(variables: &mut Variables, own: &mut Own) {
    own.value = match own.value.take() {
        Some(value) => variables.insert(Arc::clone(&own.name), value),
        None => variables.remove(&own.name),
    };
}

/// How many steps there are like this, those in loops and alternatives included.
fn count(steps: &[Step], is: &dyn Fn(&Verb) -> bool) -> Option<u64> {
    let mut total = 0;
    for step in steps {
        total += u64::from(is(&step.verb));
        match &step.verb {
            Verb::Repeat(repeat) => match count(&repeat.steps, is)? {
                0 => {}
                _ => return None,
            },
            // Any of them may be played: what all could do is what counts.
            Verb::Alt(branches) => {
                for branch in branches {
                    total += count(branch, is)?;
                }
            }
            _ => {}
        }
    }
    Some(total)
}
