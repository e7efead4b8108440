//! One measurement: threads are started together, their counts are collected, and what they add up to is given.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::clock::now;
use super::drops::Drops;
use super::engine::Worker;
use super::packed::Packed;
use super::plan::{Pace, Plan, Report, Signals};
use super::tally::{Counts, Tally};
use super::watch::Watch;
use crate::event::TlsSession;
use crate::runner::Address;

/// The most failures that are told in words.
const TOLD_MAX: usize = 10;

/// How long after all connections are open the measurement begins.
const START_AFTER: u64 = 2_000_000;

/// What was counted in one interval.
#[derive(Clone, Debug)]
pub struct Interval {
    /// When it began, in nanoseconds from the beginning of what is counted.
    pub begins: u64,
    /// How long it was.
    pub length: u64,
    /// The latencies.
    pub latency: Packed,
    /// The median, the 99th percentile and the maximum, in nanoseconds.
    pub shown: [u64; 3],
    /// How many of what.
    pub counts: Counts,
}

/// What a measurement gives.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Everything together.
    pub total: Tally,
    /// Interval by interval.
    pub intervals: Vec<Interval>,
    /// How long was counted, in nanoseconds.
    pub window: u64,
    /// What failed, in words; the first few.
    pub failures: Vec<String>,
    /// Processor time that the threads used, in nanoseconds, warming up included.
    pub processor: u64,
    /// Whether it was ended early.
    pub interrupted: bool,
    /// What the first connection has agreed on with TLS.
    pub tls: Option<TlsSession>,
    /// What TCP did about congestion.
    pub congestion: Option<String>,
}

/// What is told while it goes on: how long it has, and what the last interval had.
pub type Progress<'a> = &'a mut dyn FnMut(&Interval);

/// Makes a measurement. `stop` ends it early.
pub fn measure(plan: &Plan, stop: &AtomicBool, progress: Progress<'_>) -> io::Result<Measured> {
    let plan = Arc::new(plan.clone());
    let signals = Arc::new(Signals {
        begin: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        drops: OnceLock::new(),
        watches: (0..plan.load.threads).map(|_| Watch::default()).collect(),
    });
    let (reports, inbox) = channel();
    let mut spares: Vec<Sender<Box<Tally>>> = Vec::new();
    let mut threads = Vec::new();
    for number in 0..plan.load.threads {
        let (spare, spare_inbox) = channel();
        // The first ones are made here: a thread that measures allocates nothing as long as we keep up.
        (0..2).for_each(|_| {
            let _ = spare.send(Box::new(Tally::new(plan.workload.steps.len())));
        });
        spares.push(spare);
        let (plan, reports, signals) = (Arc::clone(&plan), reports.clone(), Arc::clone(&signals));
        let thread = std::thread::Builder::new().name(format!("load {number}"));
        threads.push(thread.spawn(move || match Worker::new(plan, number, reports.clone(), spare_inbox, signals) {
            Ok(worker) => worker.run(),
            Err(error) => {
                let _ = reports.send(Report::Failed(format!("cannot start: {error}")));
                let _ = reports.send(Report::Ready);
            }
        })?);
    }
    drop(reports);
    let mut collected = Collected::new(&plan);
    let mut ready = 0;
    let (mut begin, mut last_end) = (0, 0);
    loop {
        if stop.load(Ordering::Relaxed) {
            signals.stop.store(true, Ordering::Relaxed);
        }
        let overdue = now().saturating_sub(nanos(plan.timeout));
        signals.watches.iter().for_each(|watch| watch.end(overdue));
        let mut patience = Duration::from_millis(50);
        if let (Address::Udp(server), None, 1..) = (plan.address(), signals.drops.get(), begin) {
            // What is dropped while it warms up does not count.
            match (begin + nanos(plan.load.warmup)).saturating_sub(now()) {
                0 => _ = signals.drops.set(Drops::look(*server)),
                left => patience = patience.min(Duration::from_nanos(left)),
            }
        }
        match inbox.recv_timeout(patience) {
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => continue,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Ok(Report::Ready) => {
                ready += 1;
                if ready == plan.load.threads {
                    if let (Address::Udp(server), true) = (plan.address(), plan.load.warmup.is_zero()) {
                        let _ = signals.drops.set(Drops::look(*server));
                    }
                    begin = now() + START_AFTER;
                    signals.begin.store(begin, Ordering::Release);
                }
            }
            Ok(Report::Interval(number, tally)) => {
                if let Some(done) = collected.add(number, *tally) {
                    progress(done);
                }
                // Emptied tallies go round; which thread has one is all the same.
                if let Some(empty) = collected.empty.take() {
                    let at = collected.next_spare % spares.len();
                    collected.next_spare += 1;
                    let _ = spares[at].send(Box::new(empty));
                }
            }
            Ok(Report::Failed(text)) => {
                if collected.failures.len() < TOLD_MAX && !collected.failures.contains(&text) {
                    collected.failures.push(text);
                }
            }
            Ok(Report::Ended { at, processor, overflows, tls, congestion }) => {
                last_end = last_end.max(at);
                collected.processor += processor;
                collected.total.counts.overflows += overflows;
                collected.tls = collected.tls.take().or(tls);
                collected.congestion = collected.congestion.take().or(congestion);
            }
        }
    }
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a thread ended early"))?;
    }
    if let (Address::Udp(server), Some(before)) = (plan.address(), signals.drops.get()) {
        collected.total.counts.server_overflows = Drops::look(*server).server_since(before);
    }
    let counted_from = begin + nanos(plan.load.warmup);
    let ran = last_end.saturating_sub(counted_from);
    // An open loop waits for answers after its last iteration was due: that is no part of what was asked.
    let is_open = matches!(plan.pace, Pace::Open(..));
    let asked = nanos(plan.load.duration);
    let window = if plan.load.iterations.is_none() && (is_open || ran > asked) { asked.min(ran) } else { ran };
    let interrupted = signals.stop.load(Ordering::Relaxed);
    Ok(collected.finish(window.max(1), interrupted, progress))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

struct Collected {
    threads: usize,
    length: u64,
    open: BTreeMap<u64, (Tally, usize)>,
    total: Tally,
    intervals: Vec<Interval>,
    failures: Vec<String>,
    processor: u64,
    tls: Option<TlsSession>,
    congestion: Option<String>,
    empty: Option<Tally>,
    next_spare: usize,
}

impl Collected {
    fn new(plan: &Plan) -> Collected {
        Collected {
            threads: plan.load.threads,
            length: nanos(plan.load.interval),
            open: BTreeMap::new(),
            total: Tally::new(plan.workload.steps.len()),
            intervals: Vec::new(),
            failures: Vec::new(),
            processor: 0,
            tls: None,
            congestion: None,
            empty: None,
            next_spare: 0,
        }
    }

    /// Takes what a thread counted. Gives the interval, once every thread's part is there.
    ///
    /// It may run on a core that makes load, in the pauses of that: it gives way again and again, so that it is not in the way
    /// for longer than a thread that keeps a schedule is awake before it has to be.
    fn add(&mut self, number: u64, mut tally: Tally) -> Option<&Interval> {
        let give_way = std::thread::yield_now;
        let steps = tally.steps.len();
        let (whole, parts) = self.open.entry(number).or_insert_with(|| (Tally::new(steps), 0));
        whole.latency.add(&tally.latency).expect("the bounds are the same");
        whole.counts.add(&tally.counts);
        give_way();
        *parts += 1;
        let is_whole = *parts == self.threads;
        self.total.take(&mut tally, give_way);
        self.empty = Some(tally);
        if !is_whole {
            return None;
        }
        let (whole, _) = self.open.remove(&number).expect("it was just there");
        self.intervals.push(interval(number, self.length, &whole));
        self.intervals.last()
    }

    fn finish(mut self, window: u64, interrupted: bool, progress: Progress<'_>) -> Measured {
        for (number, (whole, _)) in std::mem::take(&mut self.open) {
            self.intervals.push(interval(number, self.length, &whole));
            progress(self.intervals.last().expect("just pushed"));
        }
        self.intervals.sort_by_key(|interval| interval.begins);
        // Answers that came after the end belong to the last interval that was counted.
        let Collected { total, intervals, failures, processor, tls, congestion, .. } = self;
        Measured { total, intervals, window, failures, processor, interrupted, tls, congestion }
    }
}

fn interval(number: u64, length: u64, tally: &Tally) -> Interval {
    let latency = &tally.latency;
    Interval {
        begins: number * length,
        length,
        latency: Packed::of(latency),
        shown: shown(latency),
        counts: tally.counts,
    }
}

/// What is told of an interval.
pub(super) fn shown(latency: &Histogram<u64>) -> [u64; 3] {
    [latency.value_at_quantile(0.5), latency.value_at_quantile(0.99), latency.max()]
}
