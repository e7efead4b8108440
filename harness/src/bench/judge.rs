//! Whether a result can be believed: what the load generator did wrong itself, what does not add up, what was not steady.
//!
//! Whether a result is good enough is another question, and `threshold` has it.

use super::figure::time;
use super::outcome::{Little, Outcome, Slice, Steady, over, rounded};
use super::statistics::{mann_whitney, median};
use super::tally::{LATENCY_MAX, Tally};

/// The largest part of a latency's 99th percentile that the load generator's own lateness may have.
pub const LATENESS_SHARE_MAX: f64 = 0.1;

/// The smallest part of the rate asked for that still counts as that rate.
pub const RATE_SHARE_MIN: f64 = 0.99;

/// How much of its slots a closed loop has to fill: what is missing is time that the load generator needs for itself.
pub const LITTLE_SHARE_MIN: f64 = 0.9;

/// How much more than there are slots may seem to be under way.
pub const LITTLE_SHARE_MAX: f64 = 1.05;

/// A change of the median that is none.
pub const STEADY_BAND: f64 = 0.02;

/// How improbable by chance a change has to be.
pub const STEADY_P_VALUE: f64 = 0.05;

/// With fewer intervals nothing can be told: three against three are never improbable enough.
pub const STEADY_INTERVALS_MIN: usize = 8;

/// How many times the floor on one core that between two is mostly the waking of idle cores.
const WAKING_RATIO: u64 = 5;

/// How busy the threads of a load generator are that may itself be the limit.
const BUSY_MIN: f64 = 0.95;

/// Fills in what follows from the rest of an outcome.
pub(super) fn judge(outcome: &mut Outcome, total: &Tally) {
    outcome.invalid = invalid(outcome, total);
    outcome.valid = outcome.invalid.is_empty();
    outcome.little = little(outcome);
    outcome.steady = steady(&outcome.intervals, outcome.duration_s);
    outcome.warnings = warnings(outcome);
}

fn invalid(outcome: &Outcome, total: &Tally) -> Vec<String> {
    let mut why = Vec::new();
    if outcome.counts.iterations == 0 {
        why.push("no iteration ended as it should".to_owned());
        return why;
    }
    let share = lateness(total);
    if outcome.arrivals.is_some() && share > LATENESS_SHARE_MAX {
        why.push(format!("the load generator was late itself: its p99 is {:.0} % of the latency's", share * 100.0));
    }
    if let Some(share) = missed(outcome) {
        why.push(format!("only {:.1} % of the rate that was asked for was reached", share * 100.0));
    }
    why
}

/// The 99th percentile of the load generator's own lateness, as a part of the latency's.
fn lateness(total: &Tally) -> f64 {
    over(total.lateness.value_at_quantile(0.99) as f64, total.latency.value_at_quantile(0.99) as f64)
}

/// Whether the load generator was later itself than a latency that is to be quoted allows.
pub(super) fn is_late(total: &Tally) -> bool {
    lateness(total) > LATENESS_SHARE_MAX
}

/// Which part of the rate asked for was reached, where that is not enough.
pub(super) fn missed(outcome: &Outcome) -> Option<f64> {
    let asked = outcome.asked_per_s?;
    let share = over(outcome.rate_per_s, asked);
    let due = asked * outcome.duration_s;
    // So many random arrivals are due in that time, give or take three standard deviations.
    let is_random = outcome.arrivals.as_deref() == Some("poisson");
    let enough = if is_random { RATE_SHARE_MIN.min(1.0 - 3.0 / due.max(1.0).sqrt()) } else { RATE_SHARE_MIN };
    (share < enough).then_some(share)
}

/// Little's law. Without a schedule every slot is always taken, with one the slots are what there is room for.
fn little(outcome: &Outcome) -> Option<Little> {
    let ended = outcome.counts.iterations + outcome.failed;
    // What has failed took a slot for a time that nobody knows.
    if outcome.counts.iterations == 0 || outcome.failed as f64 > ended as f64 / 100.0 {
        return None;
    }
    let is_open = outcome.arrivals.is_some();
    let depth = if outcome.fresh { 1 } else { outcome.depth };
    let slots = (outcome.connections * depth) as f64;
    // What waits for a slot has none yet, so an open loop is held against the time after that.
    let times = if is_open && outcome.service_ns.count > 0 { &outcome.service_ns } else { &outcome.latency_ns };
    let under_way = outcome.rate_per_s * times.mean / 1e9;
    let ratio = over(under_way, slots);
    // A connection of one's own has to be opened first, and slots are free meanwhile.
    let least = if is_open || outcome.fresh { 0.0 } else { LITTLE_SHARE_MIN };
    let holds = (least..=LITTLE_SHARE_MAX).contains(&ratio);
    Some(Little { slots, under_way: rounded(under_way, 4), ratio: rounded(ratio, 4), holds })
}

/// The first half of the whole intervals against the second.
fn steady(intervals: &[Slice], seconds: f64) -> Option<Steady> {
    // The last one may have been cut, and what came late has one of its own.
    let whole = |slice: &&Slice| slice.iterations > 0 && slice.t_s + slice.length_s <= seconds * 1.000_001;
    let medians: Vec<f64> = intervals.iter().filter(whole).map(|slice| slice.p50 as f64).collect();
    if medians.len() < STEADY_INTERVALS_MIN {
        return None;
    }
    let (first, second) = medians.split_at(medians.len() / 2);
    let ranks = mann_whitney(first, second)?;
    let ratio = over(median(second)?, median(first)?);
    let differs = (ratio - 1.0).abs() > STEADY_BAND && ranks.p_value < STEADY_P_VALUE;
    Some(Steady { ratio: rounded(ratio, 4), p_value: rounded(ranks.p_value, 6), holds: !differs })
}

fn warnings(outcome: &Outcome) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(little) = outcome.little.as_ref().filter(|little| !little.holds) {
        warnings.push(match little.ratio < 1.0 {
            true => format!(
                "connections were idle {:.0} % of the time: the load generator, not the server, may be the limit",
                (1.0 - little.ratio) * 100.0
            ),
            false => format!(
                "{:.2} iterations seem to have been under way with room for {}: do not believe these figures",
                little.under_way, little.slots
            ),
        });
    }
    if let Some(steady) = outcome.steady.as_ref().filter(|steady| !steady.holds) {
        let change = (steady.ratio - 1.0) * 100.0;
        warnings.push(format!("not steady: the median of the second half is {change:+.1} %; warm up longer"));
    }
    // A schedule is kept by spinning, and says nothing.
    if outcome.arrivals.is_none() && outcome.processor_share > BUSY_MIN * outcome.threads as f64 {
        warnings.push("the load generator was busy all the time: it, not the server, may be the limit".into());
    }
    if outcome.counts.overflows > 0 {
        let lost = outcome.counts.overflows;
        warnings.push(format!("{lost} datagrams were lost here, for want of room in this side's own socket"));
    }
    if outcome.counts.server_overflows > 0 {
        let lost = outcome.counts.server_overflows;
        warnings
            .push(format!("{lost} datagrams were lost for want of room in the server's socket: it reads too slowly"));
    }
    if outcome.latency_ns.max >= LATENCY_MAX {
        warnings.push("something took a minute or longer, and counts as a minute".into());
    }
    if outcome.interrupted {
        warnings.push("it was ended early".into());
    }
    warnings
}

/// What to know where the floor between two cores is so much longer than on one.
pub(super) fn waking(apart: u64, same: u64) -> Option<String> {
    let [apart_shown, same_shown] = [apart, same].map(|p50| time(p50 as f64));
    (apart > same.saturating_mul(WAKING_RATIO)).then(|| {
        format!(
            "most of a round trip between cores is the waking of idle ones: {apart_shown}, and {same_shown} on one core"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{intervals, outcome, with};
    use super::*;

    #[test]
    fn a_late_load_generator_has_no_headline() {
        let fine = outcome(|plan, _| with::rate(plan, 1000.0), |tally| with::lateness(tally, 900));
        assert_eq!(fine.invalid, [""; 0]);
        let late = outcome(|plan, _| with::rate(plan, 1000.0), |tally| with::lateness(tally, 2_000));
        assert!(!late.valid);
        assert_eq!(late.invalid, ["the load generator was late itself: its p99 is 20 % of the latency's"]);
        // Without a schedule nothing can be late.
        assert!(outcome(|_, _| (), |tally| with::lateness(tally, 2_000)).valid);
    }

    #[test]
    fn a_rate_that_was_not_reached_is_said() {
        // 1000 iterations in a second.
        assert!(outcome(|plan, _| with::rate(plan, 1010.0), |_| ()).valid);
        let behind = outcome(|plan, _| with::rate(plan, 1020.0), |_| ());
        assert_eq!(behind.invalid, ["only 98.0 % of the rate that was asked for was reached"]);
        // Of random arrivals there may be fewer by chance.
        assert!(outcome(|plan, _| with::poisson(plan, 1020.0), |_| ()).valid);
        assert!(!outcome(|plan, _| with::poisson(plan, 1200.0), |_| ()).valid);
    }

    #[test]
    fn nothing_measured_is_no_result() {
        let none = outcome(|_, _| (), |tally| *tally = Tally::new(1));
        assert_eq!((none.valid, none.little), (false, None));
        assert_eq!(none.invalid, ["no iteration ended as it should"]);
    }

    #[test]
    fn a_closed_loop_keeps_its_connections_busy() {
        // 1000 a second, of 10 us each, are a hundredth under way.
        let idle = outcome(|_, _| (), |_| ());
        let little = idle.little.expect("there are iterations");
        assert_eq!((little.slots, little.holds), (1.0, false));
        assert!((little.under_way - 0.01).abs() < 1e-4, "{little:?}");
        assert!(idle.warnings[0].starts_with("connections were idle 99 % of the time"), "{:?}", idle.warnings);
        let busy = outcome(|_, window| *window = 10_000_000, |_| ());
        assert!(busy.little.expect("there are iterations").holds);
        let impossible = outcome(|_, window| *window = 5_000_000, |_| ());
        assert!(impossible.warnings[0].ends_with("do not believe these figures"), "{:?}", impossible.warnings);
        // With a schedule there may be more room than is needed.
        let open = outcome(|plan, _| with::rate(plan, 1000.0), |_| ());
        assert!(open.little.expect("there are iterations").holds);
    }

    #[test]
    fn a_load_with_failures_is_not_held_against_littles_law() {
        assert_eq!(outcome(|_, _| (), |tally| tally.counts.timeouts = 20).little, None);
    }

    #[test]
    fn halves_that_differ_are_not_steady() {
        let steady = |medians: &[u64]| steady(&intervals(medians), medians.len() as f64);
        assert_eq!(steady(&[100; 7]), None);
        assert!(steady(&[100; 8]).expect("there are enough").holds);
        let warming = steady(&[150, 140, 130, 120, 100, 101, 99, 100]).expect("there are enough");
        assert_eq!((warming.holds, warming.ratio), (false, 0.7407));
        // Significant, and nobody would notice.
        assert!(steady(&[1000, 1001, 1002, 1003, 1010, 1011, 1012, 1013]).expect("there are enough").holds);
        // A large difference that chance makes all the time.
        assert!(steady(&[100, 200, 100, 200, 210, 110, 210, 90]).expect("there are enough").holds);
    }

    #[test]
    fn an_interval_that_was_cut_says_nothing_about_steadiness() {
        let mut slices = intervals(&[100; 9]);
        slices[8].p50 = 900;
        assert_eq!(steady(&slices[..8], 7.5), None);
        assert!(steady(&slices, 8.5).expect("there are enough").holds);
    }
}
