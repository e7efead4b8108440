use super::super::fixture::{bench, measured, outcome, plan, with};
use super::super::floor::Floor;
use super::super::tally::histogram;
use super::*;

#[test]
fn an_outcome_has_rates_by_the_window() {
    let found = outcome(|_, window| *window = 2_000_000_000, |tally| tally.counts.syscalls = 6000);
    assert_eq!((found.duration_s, found.rate_per_s), (2.0, 500.0));
    assert_eq!((found.sent_bytes_per_s, found.received_bytes_per_s), (32_000.0, 32_000.0));
    assert_eq!((found.syscalls_per_message, found.processor_share), (Some(3.0), 0.12));
    assert_eq!((found.label().as_str(), found.target.as_str()), ("closed 1x1", "tcp://127.0.0.1:7001"));
}

#[test]
fn what_is_answered_after_the_schedule_has_ended_is_no_rate() {
    let mut plan = plan();
    with::rate(&mut plan, 1000.0);
    let mut measured = measured(&plan);
    measured.intervals[0].counts.iterations = 600;
    let mut after = measured.intervals[0].clone();
    (after.begins, after.counts.iterations) = (1_000_000_000, 400);
    measured.intervals.push(after);
    let found = Outcome::of(&measured, &plan, Mode::Open, None);
    assert_eq!((found.rate_per_s, found.latency_ns.count), (600.0, 1000));
    assert_eq!(found.invalid, ["only 60.0 % of the rate that was asked for was reached"]);
    plan.pace = Pace::Closed;
    assert_eq!(Outcome::of(&measured, &plan, Mode::Closed, None).rate_per_s, 1000.0);
}

#[test]
fn what_was_never_answered_is_loss_and_what_was_answered_wrongly_is_not() {
    let found = outcome(|_, _| (), |tally| (tally.counts.timeouts, tally.counts.mismatches) = (250, 750));
    assert_eq!((found.failed, found.loss), (1000, 0.125));
}

#[test]
fn a_floor_makes_a_ratio() {
    let floor = Floor { p50: 4_000, all: histogram(), request: 64, response: 64 };
    let ratio = outcome(|_, _| (), |_| ()).with_floor(&floor, None).floor.expect("just given");
    assert_eq!((ratio.p50_ns, ratio.ratio), (4_000, Some(2.502)));
    let none = outcome(|_, _| (), |tally| with::latencies(tally, [])).with_floor(&floor, None);
    assert_eq!(none.floor.expect("just given").ratio, None);
}

#[test]
fn cores_that_have_to_be_woken_are_told_of() {
    let floor = |p50| Floor { p50, all: histogram(), request: 64, response: 64 };
    let busy = || outcome(|_, window| *window = 10_000_000, |_| ());
    let warnings = |same: Option<u64>| busy().with_floor(&floor(20_000), same.map(floor).as_ref()).warnings;
    assert_eq!(warnings(Some(5_000)), [""; 0]);
    assert_eq!(warnings(None), [""; 0]);
    let told = "most of a round trip between cores is the waking of idle ones: 20.0us, and 3.00us on one core";
    assert_eq!(warnings(Some(3_000)), [told]);
}

#[test]
fn a_benchmark_reads_as_it_was_written() {
    let open = outcome(|plan, _| with::rate(plan, 1000.0), |_| ());
    let written = bench(vec![outcome(|_, _| (), |_| ()), open]);
    let text = serde_json::to_string(&written).expect("it has no strange keys");
    assert_eq!(serde_json::from_str::<Bench>(&text).expect("it was just written"), written);
}

/// Every key of an object, and of what is in it.
fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
    if let Some(object) = value.as_object() {
        found.extend(object.keys().cloned());
        object.values().for_each(|value| keys(value, found));
    }
    value.as_array().into_iter().flatten().for_each(|value| keys(value, found));
}

#[test]
fn every_field_and_measure_stands_on_its_page() {
    let page = include_str!("../../../../docs/bench.md");
    let floor = Floor { p50: 4_000, all: histogram(), request: 64, response: 64 };
    let mut whole = bench(vec![outcome(|_, _| (), |_| ()).with_floor(&floor, Some(&floor))]);
    whole.results[0].steady = Some(Steady { ratio: 1.0, p_value: 1.0, holds: true });
    whole.results[0].thresholds = vec![Judged { text: String::new(), value: None, shown: String::new(), held: true }];
    whole.found = Some(Found { objective: String::new(), rate_per_s: None, fails_at_per_s: None, was_late: false });
    let sample = super::super::compare::Sample { p50: 1.0, p99: 1.0, rate: 1.0 };
    let pairs = vec![[sample; 2]; 8];
    whole.comparisons.extend(Comparison::of(["a", "b"], "echo", pairs, 0.01, 1));
    let mut found = Vec::new();
    keys(&serde_json::to_value(&whole).expect("it has no strange keys"), &mut found);
    assert!(found.iter().any(|key| key == "verdict"), "{found:?}");
    found.extend(super::super::threshold::MEASURES.iter().map(|(name, _)| (*name).to_owned()));
    for key in found {
        assert!(page.contains(&format!("`{key}`")), "`{key}` does not stand in docs/bench.md");
    }
}

#[test]
fn a_benchmark_without_anything_in_it_has_no_figure_that_json_cannot_say() {
    let empty = outcome(|plan, window| (with::rate(plan, 0.0), *window = 0).0, |tally| with::latencies(tally, []));
    let text = serde_json::to_string(&bench(vec![empty.clone()])).expect("it has no strange keys");
    assert_eq!(serde_json::from_str::<Bench>(&text).expect("it was just written").results, [empty]);
}
