//! A scenario's targets, up for somebody who drives them himself: a benchmark, a fuzzing campaign.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::process::{Address, Exit, Guard, Ports, Process};
use super::target::{Group, Owner, Running, Setting, start};
use super::tls::{TlsClient, TlsServer};
use crate::event::{Failure, FailureKind, OutputLine, Place};
use crate::random::Random;
use crate::scenario::{Scenario, Target, Tls};
use crate::template::Variables;
use crate::url::Url;

/// What starting targets needs to know.
#[derive(Debug)]
pub struct FixtureOptions {
    /// Whose child processes they are.
    pub guard: Guard,
    /// Where their outputs and folders are kept.
    pub folder: PathBuf,
    /// Where targets are instead: by name, or the only one.
    pub targets: Vec<(Option<String>, Url)>,
    /// Whether anything may be sent off this machine.
    pub allow_remote: bool,
    /// What processes find in their environment in addition.
    pub env: Vec<(String, String)>,
}

/// Starts a scenario's targets, as often as it is asked to. Reference servers have processes of their own, as programs have.
#[derive(Debug)]
pub struct Starter {
    setting: Setting,
}

/// Targets that are up until [`Fixture::stop`]. Dropping it kills what is left of them.
#[derive(Debug)]
pub struct Fixture {
    group: Group,
}

impl Starter {
    /// One that has started nothing yet.
    pub fn new(options: FixtureOptions) -> Starter {
        // Which ports are free is chance already, and no draw of a seed; two starters must not meet on them.
        static STARTERS: AtomicU64 = AtomicU64::new(0);
        let number = STARTERS.fetch_add(1, Ordering::Relaxed);
        let mut random = Random::new(u64::from(std::process::id()) | number << 32, "ports");
        let FixtureOptions { guard, folder, targets, allow_remote, env } = options;
        let mut setting = Setting::new(Ports::new(&mut random), guard, allow_remote, targets, folder);
        (setting.env, setting.apart) = (env, true);
        Starter { setting }
    }

    /// Starts those targets of a scenario that `wanted` selects, in their order. `known` are variables that they may use.
    pub async fn start(
        &self,
        scenario: &Scenario,
        known: &Variables,
        wanted: impl Fn(&Target) -> bool,
    ) -> Result<Fixture, Box<Failure>> {
        let mut known = known.clone();
        if scenario.wants_tls_files {
            let failed = |message| Box::new(Failure::new(FailureKind::Tls, message, Place::default()));
            let authority = self.setting.authority().map_err(failed)?;
            let written = authority.write(&self.setting.folder.join("tls"));
            for (name, path) in written.map_err(|error| failed(format!("no certificates can be written: {error}")))? {
                known.insert(name.into(), path.to_string_lossy().into_owned().into());
            }
        }
        let folder = PathBuf::from(&scenario.file).parent().map(PathBuf::from).unwrap_or_default();
        let owner = Owner { scenario: &scenario.name, case: None, folder: &folder, family: None };
        let targets: Vec<&Target> = scenario.targets.iter().filter(|target| wanted(target)).collect();
        Ok(Fixture { group: start(&targets, &known, owner, &self.setting).await? })
    }

    /// How a client does TLS with a server, by settings of the scenario.
    pub fn tls_client(
        &self,
        tls: &Tls,
        variables: &Variables,
        server: Option<&Address>,
    ) -> Result<TlsClient, Box<Failure>> {
        let failed = |message| Box::new(Failure::new(FailureKind::Tls, message, tls.place.clone()));
        let authority = self.setting.authority().map_err(failed)?;
        let peer = match server {
            Some(Address::Tcp(server) | Address::Udp(server)) => Some(server.ip()),
            Some(Address::Unix(_) | Address::Unixgram(_)) | None => None,
        };
        TlsClient::new(tls, &authority, variables, peer)
    }

    /// How a server does TLS with whoever comes, by settings of the scenario.
    pub fn tls_server(&self, tls: &Tls, variables: &Variables) -> Result<TlsServer, Box<Failure>> {
        let failed = |message| Box::new(Failure::new(FailureKind::Tls, message, tls.place.clone()));
        TlsServer::new(tls, &*self.setting.authority().map_err(failed)?, variables)
    }

    /// The address that a URL stands for.
    pub async fn resolve(&self, url: &str) -> Result<Address, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        url.resolve(self.setting.allow_remote).await.map_err(|error| error.to_string())
    }
}

impl Fixture {
    /// Where a target serves.
    pub fn address(&self, target: &str) -> Option<&Address> {
        self.group.running.iter().find(|running| running.name == target)?.address.as_ref()
    }

    /// What its targets' addresses, ports and folders are known by.
    pub fn variables(&self) -> &Variables {
        &self.group.variables
    }

    /// The processes that were started, by the targets' names.
    pub fn processes(&self) -> impl Iterator<Item = (&str, Rc<Process>)> {
        self.group.running.iter().filter_map(|running| Some((running.name.as_str(), running.process()?)))
    }

    /// The first target that has crashed by now, and how.
    pub fn crashed(&self) -> Option<(&str, Exit)> {
        self.processes().find_map(|(name, process)| {
            let exit = process.exited()?;
            process.is_crash(exit).then_some((name, exit))
        })
    }

    /// The last lines that a target wrote.
    pub fn tail(&self, target: &str) -> Vec<OutputLine> {
        let found = self.group.running.iter().find(|running| running.name == target);
        found.map(Running::tail).unwrap_or_default()
    }

    /// Ends all, the last first.
    pub async fn stop(&self) {
        self.group.stop().await;
    }
}
