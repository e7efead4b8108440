//! A scenario's own `limits` of its targets, held against what they use while cases are played.
//!
//! What grows from play to play is not here: that is a leak, whatever the scenario allows.

use std::fmt;
use std::time::Duration;

use super::player::Player;
use crate::runner::process::{usage, work};
use crate::scenario::{Limits, Scenario};
use crate::text::show_size;
use crate::time::show_duration;

/// A limit that a target's use can break in one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Work with nothing to do.
    IdleWork,
    /// Memory at its peak.
    Memory,
    /// Work for a case.
    Work,
}

/// The limits of a scenario's targets, by the names of these.
#[derive(Clone, Debug, Default)]
pub struct Limited(Vec<(String, Limits)>);

/// How much targets had worked when a case began.
#[derive(Clone, Debug, Default)]
pub struct Worked(Vec<(u32, Duration)>);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::IdleWork => "idle_work",
            Limit::Memory => "memory",
            Limit::Work => "work",
        })
    }
}

impl Limited {
    /// The limits of a scenario's targets.
    pub fn of(scenario: &Scenario) -> Limited {
        let limits =
            |target: &crate::scenario::Target| Some((target.name.clone(), (**target.limits.as_ref()?).clone()));
        Limited(scenario.targets.iter().filter_map(limits).collect())
    }

    fn of_target(&self, name: &str) -> Option<&Limits> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, limits)| limits)
    }

    /// How much those have worked whose work is limited.
    pub fn worked(&self, player: &Player) -> Worked {
        if !self.0.iter().any(|(_, limits)| limits.work_ms.is_some()) {
            return Worked::default();
        }
        Worked(player.processes().into_iter().map(|(_, pid)| (pid, work(pid))).collect())
    }

    /// A limit that is broken, and how, in the words of `harness run`. `busy`: it went on working when the case was over.
    pub fn broken(&self, player: &mut Player, before: &Worked, busy: bool) -> Option<(Limit, String)> {
        if self.0.is_empty() {
            return None;
        }
        for (name, pid) in player.processes() {
            let Some(limits) = self.of_target(&name) else { continue };
            let peak = limits.memory.as_ref().and_then(|limit| Some((limit.most, usage(pid)?.memory_peak)));
            if let Some((most, peak)) = peak.filter(|(most, peak)| peak > most) {
                let (peak, most) = (show_size(peak), show_size(most));
                let told = format!("the target `{name}` used {peak} of memory at its peak, and `memory` allows {most}");
                return Some((Limit::Memory, told));
            }
            if let Some(limit) = &limits.work_ms {
                let most = Duration::from_millis(limit.most);
                let since = before.0.iter().find(|(known, _)| *known == pid).map_or(Duration::ZERO, |(_, work)| *work);
                if work(pid).saturating_sub(since) > most || (busy && player.works_on(most)) {
                    let most = show_duration(most);
                    let told = format!(
                        "the target `{name}` used more than {most} of a processor for the case, and `work` allows no more"
                    );
                    return Some((Limit::Work, told));
                }
            }
            if let Some(limit) = limits.idle_work_ms.as_ref().filter(|_| busy) {
                let most = Duration::from_millis(limit.most);
                if player.works_on(most) {
                    let most = show_duration(most);
                    let told = format!(
                        "the target `{name}` used more than {most} of a processor after the case, and `idle_work` allows no more"
                    );
                    return Some((Limit::IdleWork, told));
                }
            }
        }
        None
    }
}
