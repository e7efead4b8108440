//! The two sides of `harness bench --compare`, measured in turn.

use super::args::BenchArgs;
use super::run::Run;
use crate::bench::compare::{Comparison, band};
use crate::bench::modes::Load;
use crate::bench::pairs::pairs;
use crate::bench::plan::Pace;
use crate::bench::session::{Session, SessionError, Settings};
use crate::cli::files;
use crate::scenario::{Case, Known, Scenario};

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
    let loaded = files::load_all(&[(args.path().to_owned(), true)], &known).remove(0);
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
            let mut plan = session.prepare(scenario, case).await?.plan;
            if let Load::Open(rate) = self.load {
                plan.pace = Pace::Open(rate, self.wanted.arrivals.clone());
            }
            plans.push((session, plan));
        }
        let (first, case) = (sides[0].0, sides[0].2);
        let band = band(first.cores());
        let sides = plans.try_into().expect("there are two");
        let samples = pairs(sides, self.settings.load.duration).await?;
        Ok(Comparison::of(names, &case.name, samples, band, self.seed))
    }
}
