//! Two things measured in turn, a pair after the other: what a comparison is made of.

use std::time::Duration;

use super::compare::{SIDE, Sample, Side, order, split};
use super::plan::{Load, Plan};
use super::session::{Session, SessionError};

/// Measures pairs for so long in all. Fewer where it is ended early.
///
/// How long a side of a pair is measured depends on how fast they are, which a first look at each says. It is not counted.
pub async fn pairs(sides: [(&Session, Plan); 2], duration: Duration) -> Result<Vec<[Sample; 2]>, SessionError> {
    let mut rate = f64::INFINITY;
    for side in [Side::First, Side::Second] {
        if let Some(sample) = measure(&sides, side, SIDE).await? {
            rate = rate.min(sample.rate);
        }
    }
    let (count, each) = split(duration, rate);
    let mut samples = Vec::new();
    let mut halves: [Option<Sample>; 2] = [None, None];
    for side in order(count) {
        halves[side as usize] = measure(&sides, side, each).await?;
        if let [Some(one), Some(two)] = halves {
            samples.push([one, two]);
            halves = [None, None];
        }
        if sides[0].0.is_stopped() || sides[1].0.is_stopped() {
            break;
        }
    }
    Ok(samples)
}

/// One side, for so long.
async fn measure(sides: &[(&Session, Plan); 2], side: Side, each: Duration) -> Result<Option<Sample>, SessionError> {
    let (session, plan) = &sides[side as usize];
    let load = Load { duration: each, warmup: each / 10, interval: each, ..plan.load.clone() };
    let measured = session.measure(Plan { load, ..plan.clone() }, |_| {}).await?;
    if measured.total.counts.failed() > 0 {
        return Err(SessionError::Rehearsal(measured.failures));
    }
    Ok(Sample::of(&measured))
}
