//! Fuzzing over the network: cases that mutators have spoilt, played on targets that keep running.
//!
//! - [`case`](Case) is what is said; `seeds` writes down what a scenario says; `schedule` chooses what is spoilt, and how.
//! - `player` plays it on sockets of its own and knows when the target is done with it, `coverage` reads its counters.
//! - `growth` says more and more of one thing, and judges what that takes.
//! - `differing` compares answers with those of another server.
//! - `feedback` says what is new, `oracle` what is wrong, `sign` and `triage` make that a [`Finding`].
//! - `prepare` is what comes before the first case, `run` the campaign, `worker` its loop, `state` what all workers share;
//!   `standing` is what a worker knows by itself.
//!
//! Not here: the ways to spoil a case, which are [`mutator`](crate::mutator)s.

pub mod affinity;
pub mod captured;
pub mod case;
pub mod corpus;
pub mod coverage;
mod differing;
pub mod feedback;
pub mod finding;
pub mod frontier;
pub mod growth;
mod history;
pub mod journal;
pub mod leak;
pub mod limits;
pub mod oracle;
pub mod page;
pub mod plan;
pub mod player;
mod prepare;
pub mod reading;
mod reduction;
mod run;
pub mod schedule;
pub mod seeds;
mod sign;
pub mod socket;
mod standing;
mod state;
pub mod status;
pub mod tools;
pub mod triage;
mod watch;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use case::Case;
pub use corpus::{CORPUS_MAX, Corpus, Entry};
pub use coverage::{Kind as CoverageKind, MAP_LEN_MAX, RUNTIME, RUNTIME_VARIABLE};
pub use finding::Finding;
pub use journal::seed as seed_of;
pub use player::REPLY_LEN_MAX;
pub use socket::UNREAD_MAX;
pub use state::{Ending, Summary};
pub use status::{Status, Watcher};
pub use triage::Verdict;

use crate::protocol::Protocol;
use crate::reduce::Effort;
use crate::runner::process::Guard;
use crate::scenario::{Known, Scenario};
use crate::url::Url;

/// What a campaign is run with.
#[derive(Clone, Debug)]
pub struct Options {
    /// What all chance comes from.
    pub seed: u64,
    /// How long it goes on.
    pub time: Option<Duration>,
    /// How many cases are played.
    pub cases: Option<u64>,
    /// How many workers there are, each with a target of its own.
    pub jobs: usize,
    /// Whether it goes on after the first finding.
    pub keep_going: bool,
    /// What counters the target has.
    pub coverage: CoverageKind,
    /// Whether what is new is kept and spoilt further.
    pub feedback: bool,
    /// Whether one thing is said more and more, to see whether what that takes grows faster.
    pub growth: bool,
    /// Whether a worker and its target share one processor.
    pub affinity: bool,
    /// Whether the target's threads are watched for rest.
    pub quiescence: bool,
    /// Whether each case has a fresh target.
    pub isolate: bool,
    /// What actors speak that do not say so themselves.
    pub protocol: Option<Arc<Protocol>>,
    /// Words that may mean something to the target.
    pub dictionary: Option<PathBuf>,
    /// Where cases lie that others have found, and where this campaign's are shared.
    pub corpus: Option<PathBuf>,
    /// Whether a campaign that was interrupted goes on.
    pub resume: bool,
    /// How often it is stored where the campaign stands.
    pub checkpoint_every: Duration,
    /// How long a finding may be made smaller.
    pub shrink_budget: Effort,
    /// The server that is to answer the same: a target of the scenario's by its name, or a URL.
    pub against: Option<String>,
    /// Where targets are instead.
    pub targets: Vec<(Option<String>, Url)>,
    /// Whether anything may be sent off this machine.
    pub allow_remote: bool,
    /// The campaign's folder.
    pub folder: PathBuf,
    /// What scenarios know.
    pub known: Known,
    /// The command line, for the findings.
    pub command: String,
}

/// Why a campaign could not begin.
#[derive(Debug)]
pub enum CampaignError {
    /// An input file is wrong.
    Input {
        /// Which.
        path: PathBuf,
        /// How.
        why: String,
    },
    /// There is nothing to be said: no case of the scenario says anything.
    Nothing,
    /// A file of the campaign could not be written.
    System(std::io::Error),
    /// A target did not start, or could not be reached.
    Target(String),
}

impl std::fmt::Display for CampaignError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CampaignError::Input { path, why } => write!(f, "`{}`: {why}", path.display()),
            CampaignError::Nothing => {
                f.write_str("there is no case that can be a seed: none is played that says something")
            }
            CampaignError::System(error) => write!(f, "not all results could be written: {error}"),
            CampaignError::Target(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for CampaignError {}

impl From<std::io::Error> for CampaignError {
    fn from(error: std::io::Error) -> CampaignError {
        CampaignError::System(error)
    }
}

/// Runs a campaign to its end. `text` is what stands in the scenario's file.
pub fn run(
    scenario: Scenario,
    text: &str,
    options: &Options,
    guard: &Guard,
    watcher: &mut dyn Watcher,
) -> Result<Summary, CampaignError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (done, until) = tokio::sync::oneshot::channel::<()>();
    // Processes are watched by a thread of their own; the workers have no runtime.
    let driver = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _ = sender.send(runtime.handle().clone());
        let _ = runtime.block_on(until);
        Ok::<(), std::io::Error>(())
    });
    let result = match receiver.recv() {
        Ok(handle) => {
            let processors = affinity::Processors::of_this_thread().filter(|_| options.affinity);
            run::run(scenario, text, &prepare::Stage { options, guard, handle: &handle, processors }, watcher)
        }
        Err(_) => Err(CampaignError::Target("the system gives no thread for the targets".into())),
    };
    let _ = done.send(());
    match driver.join() {
        Ok(Ok(())) => result,
        Ok(Err(error)) => Err(error.into()),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
