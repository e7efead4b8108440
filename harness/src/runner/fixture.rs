//! A scenario's targets, up for somebody who drives them himself: a benchmark, a fuzzing campaign.

use std::path::PathBuf;
use std::rc::Rc;

use super::address::Url;
use super::process::{Address, Exit, Guard, Ports, Process};
use super::target::{Group, Owner, Running, Setting, start};
use super::tls::TlsClient;
use crate::event::{Failure, FailureKind, OutputLine, Place};
use crate::random::Random;
use crate::scenario::{Scenario, Target, Tls};
use crate::template::Variables;

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
    /// Whether a reference server has a process of its own, as a program has.
    pub apart: bool,
    /// What the ports are drawn from: two campaigns side by side must not meet on them.
    pub chance: u64,
}

/// Targets that are up until [`Fixture::stop`].
///
/// Lives on a [`tokio::task::LocalSet`], which watches their processes.
#[derive(Debug)]
pub struct Fixture {
    group: Group,
    setting: Setting,
}

impl Fixture {
    /// Starts all targets of a scenario that are servers, in their order.
    pub async fn start(scenario: &Scenario, options: FixtureOptions) -> Result<Fixture, Box<Failure>> {
        let mut ports = Random::new(options.chance, "ports");
        let mut setting = Setting::new(
            Ports::new(&mut ports),
            options.guard,
            options.allow_remote,
            options.targets,
            options.folder.clone(),
        );
        setting.apart = options.apart;
        let mut known = Variables::new();
        if scenario.wants_tls_files {
            let failed = |message| Box::new(Failure::new(FailureKind::Tls, message, Place::default()));
            let authority = setting.authority().map_err(failed)?;
            let written = authority.write(&options.folder.join("tls"));
            for (name, path) in written.map_err(|error| failed(format!("no certificates can be written: {error}")))? {
                known.insert(name.into(), path.to_string_lossy().into_owned().into());
            }
        }
        let folder = std::path::Path::new(&scenario.file).parent().map(PathBuf::from).unwrap_or_default();
        let owner = Owner { scenario: &scenario.name, case: None, folder: &folder, family: None };
        let targets: Vec<&Target> = scenario.targets.iter().filter(|target| !target.is_told).collect();
        let group = start(&targets, &known, owner, &setting).await?;
        Ok(Fixture { group, setting })
    }

    /// Where a target serves.
    pub fn address(&self, target: &str) -> Option<&Address> {
        self.group.running.iter().find(|running| running.name == target)?.address.as_ref()
    }

    /// What its targets' addresses, ports and folders are known by.
    pub fn variables(&self) -> &Variables {
        &self.group.variables
    }

    /// How a client does TLS with a server, by settings of the scenario.
    pub fn tls_client(&self, tls: &Tls, variables: &Variables, server: &Address) -> Result<TlsClient, Box<Failure>> {
        let failed = |message| Box::new(Failure::new(FailureKind::Tls, message, tls.place.clone()));
        let authority = self.setting.authority().map_err(failed)?;
        let peer = match server {
            Address::Tcp(server) | Address::Udp(server) => Some(server.ip()),
            Address::Unix(_) | Address::Unixgram(_) => None,
        };
        TlsClient::new(tls, &authority, variables, peer)
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
