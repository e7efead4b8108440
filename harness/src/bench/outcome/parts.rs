//! What an outcome is made of.

use serde::{Deserialize, Serialize};

use super::{over, rounded};
use crate::bench::quantiles::Quantiles;
use crate::bench::tally::Tally;
use crate::bench::wire::Stamps;

/// An expectation of the case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it is called.
    pub name: String,
    /// How long it took.
    pub ns: Quantiles,
}

/// What went one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneWay {
    /// Which way, from here: `sent` or `received`.
    pub direction: String,
    /// How many bytes a second.
    pub bytes_per_s: f64,
    /// How many between two processes that do nothing else, in the same place over TCP.
    pub floor_bytes_per_s: Option<f64>,
    /// How much of that it was.
    pub ratio: Option<f64>,
    /// What TCP did about congestion.
    pub congestion_control: Option<String>,
}

/// Where the time of an iteration went, by the kernel's timestamps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Which there were.
    pub kind: Stamps,
    /// The share of iterations that have them, from 0 to 1.
    pub share: f64,
    /// From when it began until its first bytes left the kernel; nothing without stamps of what leaves.
    pub sending_ns: Quantiles,
    /// From then, or from when it began, until its last answer came to the kernel.
    pub away_ns: Quantiles,
    /// From then until it had been read.
    pub waking_ns: Quantiles,
}

impl Split {
    pub(super) fn of(kind: Stamps, total: &Tally) -> Split {
        Split {
            kind,
            share: rounded(over(total.waking.len() as f64, total.counts.iterations as f64), 6),
            sending_ns: Quantiles::of(&total.sending),
            away_ns: Quantiles::of(&total.away),
            waking_ns: Quantiles::of(&total.waking),
        }
    }
}

/// A latency against what the machine itself takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The floor: the median of a round trip between two processes that do nothing else.
    pub p50_ns: u64,
    /// How many times as long the median here is; `None` without a median.
    pub ratio: Option<f64>,
    /// The floor with both processes on one core, where it was measured on two.
    pub same_core_p50_ns: Option<u64>,
    /// Bytes of the floor's request.
    pub request: usize,
    /// Bytes of its answer.
    pub response: usize,
}

/// Little's law: what is under way on the average is the rate times the mean time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Little {
    /// How many iterations can be under way.
    pub slots: f64,
    /// How many were, by rate and mean.
    pub under_way: f64,
    /// How much of the slots that is.
    pub ratio: f64,
    /// Whether figures and load agree.
    pub holds: bool,
}

/// The first half of the intervals against the second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steady {
    /// The second half's median latency over the first half's.
    pub ratio: f64,
    /// How probable so large a difference is by chance.
    pub p_value: f64,
    /// Whether there is no difference to speak of.
    pub holds: bool,
}

/// A threshold and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// As it was written.
    pub text: String,
    /// What was measured, in the threshold's own unit; `None` where there was too little to say.
    pub value: Option<f64>,
    /// The same as a person writes it.
    pub shown: String,
    /// Whether it held.
    pub held: bool,
}

/// A piece of a measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// When it began, in seconds from the beginning of what is counted.
    pub t_s: f64,
    /// How long it was, in seconds.
    pub length_s: f64,
    /// Iterations that ended as they should in it.
    pub iterations: u64,
    /// Iterations that did not.
    pub failed: u64,
    /// The median, in nanoseconds; 0 without iterations, as are the next two.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

/// What a search for the highest rate has found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// What had to hold.
    pub objective: String,
    /// The highest rate at which it was seen to hold, confirmed; `None` where it never did.
    pub rate_per_s: Option<f64>,
    /// The lowest rate above it at which it was seen not to; `None` where it always did.
    pub fails_at_per_s: Option<f64>,
    /// Whether the load generator itself was late there, as often as it was tried: the server may keep more.
    #[serde(default)]
    pub was_late: bool,
}
