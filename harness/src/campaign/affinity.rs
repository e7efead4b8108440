//! One processor for a worker and its target: who is told something wakes on the processor of who has told it, which no other one has
//! to be woken for. That is most of what a short exchange takes.

#![expect(clippy::disallowed_methods, reason = "a target's threads are listed here")]

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::runner::process::family;

/// The processors that a campaign may use.
#[derive(Clone, Copy, Debug)]
pub struct Processors(CpuSet);

/// The processor of one worker and its target.
#[derive(Debug)]
pub struct Processor {
    own: CpuSet,
    all: CpuSet,
}

impl Processors {
    /// Those that the calling thread may run on; `None` where the system does not say.
    pub fn of_this_thread() -> Option<Processors> {
        sched_getaffinity(None).ok().map(Processors)
    }

    /// Those of a worker: workers take them in turns. Campaigns side by side begin with different ones, by `offset`.
    pub fn processor(&self, worker: usize, offset: usize) -> Option<Processor> {
        let numbers: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|number| self.0.is_set(*number)).collect();
        let number = numbers.get(worker.wrapping_add(offset).checked_rem(numbers.len())?)?;
        let mut own = CpuSet::new();
        own.set(*number);
        Some(Processor { own, all: self.0 })
    }
}

impl Processor {
    /// Puts the calling thread there, and all threads of these processes and of those that they have started; what they start
    /// later is there, too. Who was put elsewhere by somebody else stays there.
    pub fn take(&self, roots: &[u32]) {
        let _ = sched_setaffinity(None, &self.own);
        for pid in family(roots) {
            let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            let numbers = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse::<i32>().ok());
            for thread in numbers.filter_map(Pid::from_raw) {
                if sched_getaffinity(Some(thread)).is_ok_and(|set| set == self.all) {
                    let _ = sched_setaffinity(Some(thread), &self.own);
                }
            }
        }
    }
}

impl Drop for Processor {
    /// Gives the calling thread, which took it, all of them back.
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.all);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn waits() -> Child {
        Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat")
    }

    fn processors_of(child: &Child) -> CpuSet {
        sched_getaffinity(Pid::from_raw(child.id().cast_signed())).expect("it runs")
    }

    fn end(mut child: Child) {
        drop(child.stdin.take());
        child.wait().expect("it ends");
    }

    #[test]
    fn a_worker_and_its_target_share_one_processor_until_it_is_given_back() {
        let all = Processors::of_this_thread().expect("the system says");
        let child = waits();
        let processor = all.processor(0, 1).expect("there is one");
        processor.take(&[child.id()]);
        let (own, of_child) = (sched_getaffinity(None).expect("this thread runs"), processors_of(&child));
        drop(processor);
        let given_back = sched_getaffinity(None).expect("this thread runs");
        end(child);
        assert_eq!((own.count(), of_child, given_back), (1, own, all.0));
    }

    #[test]
    fn who_was_put_elsewhere_stays_there() {
        let all = Processors::of_this_thread().expect("the system says");
        let child = waits();
        let elsewhere = all.processor(1, 0).expect("there is one").own;
        sched_setaffinity(Pid::from_raw(child.id().cast_signed()), &elsewhere).expect("it is ours");
        all.processor(0, 0).expect("there is one").take(&[child.id()]);
        let stays = processors_of(&child);
        end(child);
        assert_eq!(stays, elsewhere);
    }

    #[test]
    fn workers_take_processors_in_turns() {
        let all = Processors::of_this_thread().expect("the system says");
        let of = |worker| all.processor(worker, 7).expect("there is one").own;
        let count = all.0.count() as usize;
        assert_eq!(of(0), of(count));
        assert!((1..count).all(|worker| of(worker) != of(0)));
    }
}
