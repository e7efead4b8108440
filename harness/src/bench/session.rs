//! A benchmark from its scenario to its figures: targets are started and put in their places, cases are rehearsed, the floor
//! is measured, and then what was asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::environment::{Environment, Ticks};
use super::floor::{self, Floor};
use super::measure::{Interval, Measured, measure};
use super::place;
use super::plan::{Load, Pace, Peer, Plan};
use super::wire::{Segments, Stamps};
use super::workload::{Bulk, Unfit, Workload};
use crate::event::Failure;
use crate::runner::process::Guard;
use crate::runner::{Address, Fixture, FixtureOptions, Starter};
use crate::scenario::{Case, Connect, Role, Scenario};
use crate::template::Variables;
use crate::text::count;
use crate::url::Url;

/// Where server and load generator run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// On different cores, where there are two.
    #[default]
    Apart,
    /// On these: the server's, and one for each thread, from the beginning again if there are more threads.
    At(Vec<usize>, Vec<usize>),
    /// Wherever the system likes.
    Free,
}

/// What a benchmark needs to know besides its scenario.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much is done.
    pub load: Load,
    /// Where everything runs.
    pub pin: Pin,
    /// The mark after which iterations begin.
    pub from: Option<String>,
    /// How long an iteration may take, if not as long as the scenario says.
    pub timeout: Option<Duration>,
    /// Whether the floor is measured.
    pub floor: bool,
    /// Whether what is sent, or comes, goes one way.
    pub bulk: bool,
    /// Where targets are instead.
    pub targets: Vec<(Option<String>, Url)>,
    /// Whether anything may be sent off this machine.
    pub allow_remote: bool,
    /// Where outputs of targets are kept.
    pub folder: PathBuf,
}

/// Why nothing could be measured.
#[derive(Debug)]
pub enum SessionError {
    /// The target did not start, or cannot be reached.
    Target(Box<Failure>),
    /// A case is no workload.
    Unfit(Unfit),
    /// The case does not hold even once.
    Rehearsal(Vec<String>),
    /// There is no connection to it.
    Unreachable(Vec<String>),
    /// The system refused something.
    System(std::io::Error),
    /// It was ended before anything was measured.
    Interrupted,
}

impl From<std::io::Error> for SessionError {
    fn from(error: std::io::Error) -> SessionError {
        SessionError::System(error)
    }
}

/// Targets that are up, and where everything runs.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    guard: Guard,
    starter: Starter,
    fixture: Fixture,
    /// The server's core, and the load generator's.
    cores: (Vec<usize>, Vec<usize>),
    /// Ends everything early.
    pub stop: Arc<AtomicBool>,
}

/// A case that can be measured.
#[derive(Clone, Debug)]
pub struct Subject {
    /// How it is played; its pace and lengths are changed for each measurement.
    pub plan: Plan,
    /// What is worth to be told before anything is measured.
    pub notes: Vec<String>,
}

impl Session {
    /// Starts a scenario's targets in their place. Has to be called on a [`tokio::task::LocalSet`].
    pub async fn start(scenario: &Scenario, settings: Settings, guard: Guard) -> Result<Session, SessionError> {
        let all = place::cores();
        let cores = match &settings.pin {
            Pin::At(server, clients) => (server.clone(), clients.clone()),
            Pin::Apart if all.len() > 1 => (vec![all[0]], all[1..].to_vec()),
            Pin::Apart | Pin::Free => (Vec::new(), Vec::new()),
        };
        if !cores.0.is_empty() {
            // What is started inherits it.
            place::pin_to(&cores.0);
        }
        let options = FixtureOptions {
            guard: guard.clone(),
            folder: settings.folder.clone(),
            targets: settings.targets.clone(),
            allow_remote: settings.allow_remote,
            env: Vec::new(),
        };
        let starter = Starter::new(options);
        let started = starter.start(scenario, &Variables::new(), |target| !target.is_told).await;
        place::pin_to(&all);
        let fixture = started.map_err(SessionError::Target)?;
        let stop = Arc::new(AtomicBool::new(false));
        Ok(Session { settings, guard, starter, fixture, cores, stop })
    }

    /// The cores that the server and the load generator are kept on; empty where they are not.
    pub fn cores(&self) -> &(Vec<usize>, Vec<usize>) {
        &self.cores
    }

    /// The targets.
    pub fn fixture(&self) -> &Fixture {
        &self.fixture
    }

    /// Sees whether a case can be measured, and plays it twice to know how.
    pub async fn prepare(&self, scenario: &Scenario, case: &Case) -> Result<Subject, SessionError> {
        let settings = &self.settings;
        let workload = match settings.bulk {
            true => Workload::one_way(scenario, case, settings.load.seed),
            false => Workload::new(scenario, case, settings.from.as_deref(), settings.load.seed),
        };
        let mut workload = workload.map_err(SessionError::Unfit)?;
        let known = self.fixture.variables();
        workload.variables.extend(known.iter().map(|(name, value)| (Arc::clone(name), value.clone())));
        let mut peers = Vec::new();
        for part in &workload.parts {
            let address = self.address(scenario, case, part.actor).await?;
            let profile = scenario.actors[part.actor].tls.or(part.starttls);
            let tls = profile.and_then(|profile| case.tls.get(profile));
            let tls = tls.map(|tls| self.starter.tls_client(tls, &workload.variables, Some(&address))).transpose();
            peers.push(Peer { address, tls: tls.map_err(SessionError::Target)? });
        }
        let is_datagram = peers.iter().any(|peer| peer.address.transport().is_datagram());
        let timeout = settings.timeout.unwrap_or_else(|| match is_datagram {
            // What is lost is lost; nobody waits for it for long.
            true => workload.timeout.min(Duration::from_secs(1)),
            false => workload.timeout,
        });
        let load = Load {
            threads: settings.load.threads.min(settings.load.connections),
            verify: settings.load.verify && !settings.bulk,
            ..settings.load.clone()
        };
        let mut plan = Plan { load, workload, peers, cores: self.cores.1.clone(), pace: Pace::Closed, timeout };
        let unfit = |why: String| {
            let place = case.script.place.clone();
            Err(SessionError::Unfit(Unfit { why, hint: None, place }))
        };
        let target = plan.target();
        let is_all = |is: fn(&Address) -> bool| plan.peers.iter().all(|peer| is(&peer.address));
        if settings.load.segments != Segments::default() && !is_all(|address| matches!(address, Address::Udp(_))) {
            return unfit(format!("`--gso` and `--gro` are for datagrams over UDP, and it is at {target}"));
        }
        if settings.bulk && (is_datagram || plan.load.depth > 1) {
            return unfit("`--bulk` is for streams, without `--depth`".into());
        }
        if settings.load.stamps.is_some() && !is_all(|address| matches!(address, Address::Tcp(_) | Address::Udp(_))) {
            return unfit(format!("`--stamps` is for TCP and UDP, and it is at {target}"));
        }
        if settings.load.stamps.is_some() && plan.peers.len() > 1 {
            return unfit(
                "`--stamps` is for one actor: of several, the times of who sends and who hears differ".into(),
            );
        }
        if settings.load.stamps == Some(Stamps::RxTx) && plan.load.depth > 1 {
            return unfit("`--stamps rxtx` is for one iteration on a connection at once, without `--depth`".into());
        }
        let mut notes = Vec::new();
        // Only one who plays alone has one.
        let correlation = &mut plan.workload.parts[0].correlation;
        if !is_datagram {
            *correlation = None;
        }
        if let Some(correlation) = correlation.take_if(|known| known.capacity() < 2 * plan.load.depth as u64) {
            notes.push(format!(
                "answers are not matched by `{}`: it has {} values, too few for `--depth {}`",
                correlation.name,
                correlation.capacity(),
                plan.load.depth
            ));
        }
        let mut first = self.rehearse(&plan, 1).await?;
        if first.total.counts.iterations < 1
            && let Some(correlation) = plan.workload.parts[0].correlation.take()
        {
            first = self.rehearse(&plan, 1).await?;
            notes.push(format!("answers are not matched by `{}`: they do not repeat it", correlation.name));
        }
        if first.total.counts.iterations < 1 {
            return Err(match first.total.counts.connections {
                0 => SessionError::Unreachable(first.failures),
                _ => SessionError::Rehearsal(first.failures),
            });
        }
        if !plan.workload.ends_connection && !plan.load.fresh {
            let second = self.rehearse(&plan, 2).await?;
            if second.total.counts.iterations < 2 {
                plan.load.fresh = true;
                if self.rehearse(&plan, 2).await?.total.counts.iterations < 2 {
                    return Err(SessionError::Rehearsal(second.failures));
                }
                let why = second.failures.first().map_or("it did not hold", String::as_str);
                notes.push(format!(
                    "each iteration has a connection of its own, since a second one on the same connection did not hold: \
                     {why}. `--from MARK` says where iterations begin"
                ));
            }
        }
        plan.load.fresh |= plan.workload.ends_connection;
        if plan.load.depth > 1 && (plan.load.fresh || !plan.workload.can_pipeline()) {
            let why = match plan.load.fresh {
                _ if plan.peers.len() > 1 => "several actors play each of them together",
                true => "each of its iterations has a connection of its own",
                false => "its iterations send again after they have expected something, or depend on answers",
            };
            return Err(SessionError::Unfit(Unfit {
                why: format!(
                    "several iterations on a connection at once (`--depth {}`) cannot be: {why}",
                    plan.load.depth
                ),
                hint: None,
                place: case.script.place.clone(),
            }));
        }
        Ok(Subject { plan, notes })
    }

    async fn rehearse(&self, plan: &Plan, iterations: u64) -> Result<Measured, SessionError> {
        let mut plan = plan.clone();
        (plan.load.connections, plan.load.threads, plan.load.depth) = (1, 1, 1);
        (plan.load.warmup, plan.load.duration) = (Duration::ZERO, plan.timeout * 2 + Duration::from_secs(1));
        (plan.load.iterations, plan.pace, plan.load.verify) = (Some(iterations), Pace::Closed, true);
        self.measure(plan, |_| {}).await
    }

    /// Makes a measurement, while the targets' processes are watched.
    pub async fn measure(
        &self,
        plan: Plan,
        mut progress: impl FnMut(&Interval) + Send + 'static,
    ) -> Result<Measured, SessionError> {
        let stop = Arc::clone(&self.stop);
        let measured = tokio::task::spawn_blocking(move || measure(&plan, &stop, &mut progress)).await;
        Ok(measured.map_err(std::io::Error::other)??)
    }

    /// The floor for messages of a subject's sizes, where the subject is measured, and on one core.
    pub async fn floor(&self, subject: &Subject) -> Result<Option<(Floor, Option<Floor>)>, SessionError> {
        if !self.settings.floor {
            return Ok(None);
        }
        let program = self.guard.program().to_path_buf();
        let udp = subject.plan.address().transport().is_datagram();
        let sizes = subject.plan.workload.sizes();
        let (server, client) = (self.cores.0.first().copied(), self.cores.1.first().copied());
        let measured = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
            let here = floor::measure(&program, udp, sizes, (server, client))?;
            let same = match (server, client) {
                (Some(server), Some(client)) if server != client => {
                    Some(floor::measure(&program, udp, sizes, (Some(client), Some(client)))?)
                }
                _ => None,
            };
            Ok((here, same))
        });
        Ok(Some(measured.await.map_err(std::io::Error::other)??))
    }

    /// The floor of what goes one way, in bytes a second.
    pub async fn floor_one_way(&self, subject: &Subject, bulk: &Bulk) -> Result<Option<f64>, SessionError> {
        if !self.settings.floor || !matches!(subject.plan.address(), Address::Tcp(_)) {
            return Ok(None);
        }
        let program = self.guard.program().to_path_buf();
        let (sends, piece) = (matches!(bulk, Bulk::Send(_)), bulk.piece_len());
        let cores = (self.cores.0.first().copied(), self.cores.1.first().copied());
        let measured = tokio::task::spawn_blocking(move || floor::measure_one_way(&program, sends, piece, cores));
        Ok(Some(measured.await.map_err(std::io::Error::other)??))
    }

    /// What the machine is like, and what others did on it since a look.
    pub fn environment(&self, before: Ticks, own_before: u64) -> Environment {
        let mut environment = Environment::look();
        let own = self.own_ticks().saturating_sub(own_before);
        environment.meanwhile(before, Ticks::look(), own);
        environment
    }

    /// The processor time of this process and its targets so far, in ticks.
    pub fn own_ticks(&self) -> u64 {
        let targets = self.fixture.processes().map(|(_, process)| Ticks::of_process(process.pid()));
        Ticks::of_process(std::process::id()) + targets.sum::<u64>()
    }

    /// Whether somebody has ended it early.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn address(&self, scenario: &Scenario, case: &Case, actor: usize) -> Result<Address, SessionError> {
        let actor = &scenario.actors[actor];
        let unfit = |why: String, hint: Option<&str>| {
            SessionError::Unfit(Unfit { why, hint: hint.map(str::to_owned), place: case.script.place.clone() })
        };
        let address = match &actor.role {
            Role::Client(Connect::Target(at)) => self
                .fixture
                .address(&scenario.targets[*at].name)
                .cloned()
                .ok_or_else(|| unfit(format!("the target `{}` is no server", scenario.targets[*at].name), None))?,
            Role::Client(Connect::Url(url)) => {
                let known = self.fixture.variables();
                let url = url.fill_text(known).map_err(|unset| {
                    unfit(format!("where `{}` connects needs `{}`, which has no value", actor.name, unset.0), None)
                })?;
                let url = Url::parse(&url).map_err(|error| unfit(error.to_string(), None))?;
                url.resolve(self.settings.allow_remote).await.map_err(|error| unfit(error.to_string(), None))?
            }
            Role::Client(Connect::Actor(_)) | Role::Relay { .. } | Role::Server(_) => {
                let hint = "a workload is what a client says to a target";
                return Err(unfit(format!("`{}` does not connect to a target", actor.name), Some(hint)));
            }
        };
        Ok(address)
    }

    /// Ends the targets.
    pub async fn finish(self) {
        self.fixture.stop().await;
    }
}

impl std::fmt::Display for SessionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SessionError::Target(failure) => f.write_str(&failure.message),
            SessionError::Unfit(unfit) => unfit.fmt(f),
            SessionError::Rehearsal(failures) => match failures.split_first() {
                None => f.write_str("it does not hold even once"),
                Some((first, [])) => write!(f, "it does not hold even once: {first}"),
                Some((first, more)) => {
                    write!(f, "it does not hold even once: {first}, and {}", count(more.len(), "more failure"))
                }
            },
            SessionError::Unreachable(failures) => {
                f.write_str(failures.first().map_or("there is no connection", String::as_str))
            }
            SessionError::System(error) => error.fmt(f),
            SessionError::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for SessionError {}
