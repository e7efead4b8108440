//! What steps do to processes: commands that are run, and targets that are stopped, started again and sent signals.

use std::cell::RefCell;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::process::{self, Exit, Guard, Signal, Stream};
use super::target::{Running, RunningKind};
use crate::conversation::Deed;

/// What came of a deed: what a command wrote to its stdout, or what went wrong.
pub type Doing<'a> = Pin<Box<dyn Future<Output = Result<Bytes, String>> + 'a>>;

/// A look at targets.
pub type Looking<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What deals with processes while a conversation is played.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// Begins a deed.
    pub act: &'a dyn Fn(Deed) -> Doing<'a>,
    /// Looks at each round of an outermost loop.
    pub looped: Option<&'a dyn Fn() -> Looking<'a>>,
}

impl std::fmt::Debug for Hands<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hands")
    }
}

/// Where no process can be dealt with.
pub fn no_hands(_: Deed) -> Doing<'static> {
    Box::pin(async { Err("there are no processes here".to_owned()) })
}

/// How many of a command's last lines its failure shows.
const LINES_SHOWN: usize = 5;

/// Does what a step wants done to one of `running`, or runs its command from `folder`.
pub(super) async fn act(deed: Deed, running: &[&Running], folder: &Path, guard: &Guard) -> Result<Bytes, String> {
    let find = |name: &str| {
        let found = running.iter().find(|running| running.name == name);
        found.copied().ok_or_else(|| format!("the target `{name}` is not up"))
    };
    match deed {
        Deed::Exec(argv) => return exec(argv, folder, guard).await,
        Deed::Restart(name) => {
            let target = find(&name)?;
            stop(target).await?;
            start(target, guard).await?;
        }
        Deed::Signal { target, signal } => {
            let signal = Signal::parse(&signal).map_err(|error| error.to_string())?;
            let process = find(&target)?.process().ok_or_else(|| elsewhere(&target))?;
            if !process.signal(signal) {
                return Err(match process.exited() {
                    Some(exit) => format!("the target `{target}` cannot be sent a signal: it has ended, {exit}"),
                    None => format!("the target `{target}` cannot be sent a signal"),
                });
            }
        }
        Deed::Stop(name) => stop(find(&name)?).await?,
    }
    Ok(Bytes::new())
}

fn elsewhere(name: &str) -> String {
    format!("the target `{name}` was not started by this run, so it has no process here")
}

async fn exec(mut argv: Vec<String>, folder: &Path, guard: &Guard) -> Result<Bytes, String> {
    let shown: Vec<_> = argv.iter().map(|word| crate::report::text::shell_word(word)).collect();
    let shown = shown.join(" ");
    super::target::find_program(&mut argv, folder);
    let mut command = process::Command::new(argv);
    command.cwd = Some(folder.to_path_buf()).filter(|folder| !folder.as_os_str().is_empty());
    let failed = |error: &process::StartError| format!("cannot run `{shown}`: {}", super::target::explain(error));
    let process = process::spawn(&command, guard).await.map_err(|error| failed(&error))?;
    match process.wait_exit().await {
        Exit::Code(0) => Ok(process.output(Stream::Stdout).into()),
        exit => {
            let lines: Vec<String> = process.tail(LINES_SHOWN).into_iter().map(|line| line.text).collect();
            let wrote = if lines.is_empty() { String::new() } else { format!(": {}", lines.join(" | ")) };
            Err(format!("expected `{shown}` to exit with status 0, got {exit}{wrote}"))
        }
    }
}

/// Stops a target, if it runs.
pub(super) async fn stop(target: &Running) -> Result<(), String> {
    match &target.kind {
        RunningKind::Elsewhere => return Err(elsewhere(&target.name)),
        RunningKind::Builtin { handle, .. } => {
            let handle = handle.borrow_mut().take();
            if let Some(mut handle) = handle {
                handle.stop();
                handle.ended().await;
            }
        }
        RunningKind::Process { process, .. } => {
            let process = Rc::clone(&process.borrow());
            process.stop().await;
        }
    }
    Ok(())
}

/// Whether a target of ours was stopped by a step.
pub(super) fn is_stopped(target: &Running) -> bool {
    match &target.kind {
        RunningKind::Elsewhere => false,
        RunningKind::Builtin { handle, .. } => handle.borrow().is_none(),
        RunningKind::Process { process, .. } => process.borrow().exited().is_some(),
    }
}

/// Starts a target again, where it was.
pub(super) async fn start(target: &Running, guard: &Guard) -> Result<(), String> {
    let failed = |reason: String| format!("the target `{}` did not start again: {reason}", target.name);
    match &target.kind {
        RunningKind::Elsewhere => return Err(elsewhere(&target.name)),
        RunningKind::Builtin { handle, again } => {
            let address = again.address.clone();
            let log = Arc::new(|_: &targets::Note| {});
            let served = targets::serve_tls(
                again.builtin,
                &address,
                &again.settings,
                targets::Limits::default(),
                log,
                again.tls.clone(),
            );
            *handle.borrow_mut() = Some(served.map_err(|error| failed(error.to_string()))?);
        }
        RunningKind::Process { process, command, starts } => {
            let started = process::start(command, guard).await;
            let started = started.map_err(|error| failed(super::target::explain(&error)))?;
            *process.borrow_mut() = Rc::new(started);
            starts.send_modify(|starts| *starts += 1);
        }
    }
    Ok(())
}

/// How a reference server is served again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) builtin: &'static targets::Target,
    pub(super) address: targets::Address,
    pub(super) settings: Vec<(String, String)>,
    pub(super) tls: Option<Arc<targets::ServerConfig>>,
}

/// A process that a step may replace by another start of itself.
pub(super) type Replaceable = RefCell<Rc<process::Process>>;
