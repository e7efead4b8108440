//! Targets for those who do not play conversations: a campaign's workers start, watch and end theirs here, from threads that
//! are not the runtime's.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::address::Url;
use super::process::{Address, Guard, Ports, Process};
use super::target::{Group, Owner, Setting};
use crate::event::Failure;
use crate::random::Random;
use crate::scenario::{Scenario, Target};
use crate::template::Variables;

/// What targets of one worker are started on.
#[derive(Debug)]
pub struct Ground {
    setting: Setting,
    /// Where the processes are watched. Some thread drives it.
    handle: Handle,
}

/// Targets that are up. Dropping it kills what is left of them.
#[derive(Debug)]
pub struct Up {
    group: Group,
    handle: Handle,
}

impl Ground {
    /// A ground below `folder`. `overrides` are as in [`Options::targets`](super::Options::targets), `env` is what processes find
    /// in their environment in addition.
    pub fn new(
        handle: Handle,
        guard: Guard,
        allow_remote: bool,
        overrides: Vec<(Option<String>, Url)>,
        folder: PathBuf,
        env: Vec<(String, String)>,
    ) -> Ground {
        // Which ports are free is chance already, and no draw of the campaign.
        let mut random = Random::new(u64::from(std::process::id()), "ports");
        let mut setting = Setting::new(Ports::new(&mut random), guard, allow_remote, overrides, folder);
        (setting.env, setting.apart) = (env, true);
        Ground { setting, handle }
    }

    /// Starts those targets of a scenario that `wanted` selects. `known` are variables that they may use.
    pub fn start(
        &self,
        scenario: &Scenario,
        known: &Variables,
        wanted: impl Fn(&Target) -> bool,
    ) -> Result<Up, Box<Failure>> {
        let folder = PathBuf::from(&scenario.file).parent().map(PathBuf::from).unwrap_or_default();
        let owner = Owner { scenario: &scenario.name, case: None, folder: &folder, family: None };
        let targets: Vec<&Target> = scenario.targets.iter().filter(|target| wanted(target)).collect();
        let group = self.handle.block_on(super::target::start(&targets, known, owner, &self.setting))?;
        Ok(Up { group, handle: self.handle.clone() })
    }

    /// The address that a URL stands for.
    pub fn resolve(&self, url: &str) -> Result<Address, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        self.handle.block_on(url.resolve(self.setting.allow_remote)).map_err(|error| error.to_string())
    }
}

impl Up {
    /// Where a target serves.
    pub fn address(&self, target: &str) -> Option<&Address> {
        self.group.running.iter().find(|running| running.name == target)?.address.as_ref()
    }

    /// The processes, with the names of their targets.
    pub fn processes(&self) -> Vec<(String, Rc<Process>)> {
        let running = self.group.running.iter();
        running.filter_map(|running| Some((running.name.clone(), running.process()?))).collect()
    }

    /// What is known once they are up: their addresses and ports.
    pub fn variables(&self) -> &Variables {
        &self.group.variables
    }

    /// Waits until one of the processes has ended, at most for so long.
    pub fn wait_exit(&self, process: &Process, within: Duration) {
        // Whoever is late is told by `Process::exited`, as whoever was in time is.
        let _ = self.handle.block_on(async { tokio::time::timeout(within, process.wait_exit()).await });
    }

    /// Ends them in order.
    pub fn stop(self) {
        self.handle.block_on(self.group.stop());
    }
}
