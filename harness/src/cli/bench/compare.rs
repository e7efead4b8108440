//! The two sides of `harness bench --compare`, measured in turn.

use std::time::Duration;

use super::args::BenchArgs;
use super::run::Run;
use crate::bench::compare::{BAND_CROSS_CORE, BAND_SAME_CORE, Comparison, PAIRS, Sample, Side, order};
use crate::bench::engine::Pace;
use crate::bench::modes::Load;
use crate::bench::session::{Session, SessionError, Settings};
use crate::cli::files;
use crate::scenario::{Case, Known, Scenario};

/// The shortest measurement of a comparison.
const PAIR_MIN: Duration = Duration::from_millis(100);

/// What a benchmark is compared with.
pub(super) struct Other {
    pub(super) scenario: Scenario,
    pub(super) settings: Settings,
    /// What both are called.
    pub(super) names: [String; 2],
}

/// The scenario and settings of one side of a comparison: with another target, or another value of a variable.
pub(super) fn variant(
    args: &BenchArgs,
    known: &Known,
    settings: &Settings,
    side: &str,
) -> Result<(Scenario, Settings), String> {
    let (mut known, mut settings) = (known.clone(), settings.clone());
    if side.contains("://") {
        settings.targets.insert(0, crate::cli::run::target(side)?);
    } else if !side.is_empty() {
        known.vars.push(crate::cli::run::pair(side)?);
    }
    let loaded = files::load_all(&[(args.path.clone(), true)], &known).remove(0);
    match loaded.result {
        Ok(scenario) => Ok((*scenario, settings)),
        Err(mistakes) => Err(mistakes.first().map_or_else(String::new, |mistake| mistake.message.clone())),
    }
}

impl Run {
    /// Measures two of the same case in turn, a pair after the other.
    pub(super) async fn compare(
        &self,
        sides: [(&Session, &Scenario, &Case); 2],
        names: [&str; 2],
    ) -> Result<Option<Comparison>, SessionError> {
        let mut plans = Vec::new();
        for (session, scenario, case) in sides {
            let subject = session.prepare(scenario, case).await?;
            let mut plan = subject.plan;
            plan.duration = (self.settings.duration / (2 * PAIRS as u32)).max(PAIR_MIN);
            plan.warmup = plan.duration / 10;
            plan.interval = plan.duration;
            if let Load::Open(rate) = self.load {
                plan.pace = Pace::Open(rate, self.wanted.arrivals.clone());
            }
            plans.push(plan);
        }
        let (first, case) = (sides[0].0, sides[0].2);
        let is_same_core = first.cores().0.len() == 1 && first.cores().0 == first.cores().1;
        let band = if is_same_core { BAND_SAME_CORE } else { BAND_CROSS_CORE };
        let mut samples = Vec::new();
        let mut halves: [Option<Sample>; 2] = [None, None];
        for side in order(PAIRS) {
            let at = usize::from(side == Side::Second);
            let measured = sides[at].0.measure(plans[at].clone(), |_| {}).await?;
            if measured.total.counts.failed() > 0 {
                return Err(SessionError::Rehearsal(measured.failures));
            }
            halves[at] = Sample::of(&measured);
            if let [Some(one), Some(two)] = halves {
                samples.push([one, two]);
                halves = [None, None];
            }
            if first.is_stopped() {
                break;
            }
        }
        Ok(Comparison::of(names, &case.name, samples, band, self.seed))
    }
}
