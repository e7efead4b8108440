//! Two things measured in turn, a pair after the other: what a comparison is made of.

use std::time::Duration;

use super::compare::{Sample, Side, order};
use super::plan::{Load, Plan};
use super::session::{Session, SessionError};

/// Measures so many pairs, each side for as long as `each`. Fewer where it is ended early.
pub async fn pairs(
    sides: [(&Session, Plan); 2],
    each: Duration,
    count: usize,
) -> Result<Vec<[Sample; 2]>, SessionError> {
    let sides = sides.map(|(session, plan)| {
        let load = Load { duration: each, warmup: each / 10, interval: each, ..plan.load };
        (session, Plan { load, ..plan })
    });
    let mut samples = Vec::new();
    let mut halves: [Option<Sample>; 2] = [None, None];
    for side in order(count) {
        let at = usize::from(side == Side::Second);
        let (session, plan) = &sides[at];
        let measured = session.measure(plan.clone(), |_| {}).await?;
        if measured.total.counts.failed() > 0 {
            return Err(SessionError::Rehearsal(measured.failures));
        }
        halves[at] = Sample::of(&measured);
        if let [Some(one), Some(two)] = halves {
            samples.push([one, two]);
            halves = [None, None];
        }
        if session.is_stopped() {
            break;
        }
    }
    Ok(samples)
}
