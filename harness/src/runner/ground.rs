//! Targets for threads that are not the runtime's: what [`Starter`] and [`Fixture`] do, done before the call returns.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::fixture::{Fixture, FixtureOptions, Starter};
use super::process::{Address, Guard, Process};
use crate::event::Failure;
use crate::scenario::{Scenario, Target};
use crate::template::Variables;
use crate::url::Url;

/// What targets of one worker are started on.
#[derive(Debug)]
pub struct Ground {
    starter: Starter,
    /// Where the processes are watched. Some thread drives it.
    handle: Handle,
}

/// Targets that are up. Dropping it kills what is left of them.
#[derive(Debug)]
pub struct Up {
    fixture: Fixture,
    handle: Handle,
}

impl Ground {
    /// A ground below `folder`; the rest is as in [`FixtureOptions`].
    pub fn new(
        handle: Handle,
        guard: Guard,
        allow_remote: bool,
        targets: Vec<(Option<String>, Url)>,
        folder: PathBuf,
        env: Vec<(String, String)>,
    ) -> Ground {
        let starter = Starter::new(FixtureOptions { guard, folder, targets, allow_remote, env });
        Ground { starter, handle }
    }

    /// Starts targets, as [`Starter::start`] does.
    pub fn start(
        &self,
        scenario: &Scenario,
        known: &Variables,
        wanted: impl Fn(&Target) -> bool,
    ) -> Result<Up, Box<Failure>> {
        let fixture = self.handle.block_on(self.starter.start(scenario, known, wanted))?;
        Ok(Up { fixture, handle: self.handle.clone() })
    }

    /// Waits for something to be done.
    pub(crate) fn wait<T>(&self, doing: impl Future<Output = T>) -> T {
        self.handle.block_on(doing)
    }

    /// Who starts them, and knows how TLS is done with them.
    pub fn starter(&self) -> &Starter {
        &self.starter
    }

    /// The address that a URL stands for.
    pub fn resolve(&self, url: &str) -> Result<Address, String> {
        self.handle.block_on(self.starter.resolve(url))
    }
}

impl Up {
    /// Where a target serves.
    pub fn address(&self, target: &str) -> Option<&Address> {
        self.fixture.address(target)
    }

    /// The processes, with the names of their targets.
    pub fn processes(&self) -> Vec<(String, Rc<Process>)> {
        self.fixture.processes().map(|(name, process)| (name.to_owned(), process)).collect()
    }

    /// What is known once they are up: their addresses and ports.
    pub fn variables(&self) -> &Variables {
        self.fixture.variables()
    }

    /// Waits until one of the processes has ended, at most for so long.
    pub fn wait_exit(&self, process: &Process, within: Duration) {
        // Whoever is late is told by `Process::exited`, as whoever was in time is.
        let _ = self.handle.block_on(async { tokio::time::timeout(within, process.wait_exit()).await });
    }

    /// Ends them in order.
    pub fn stop(self) {
        self.handle.block_on(self.fixture.stop());
    }
}
