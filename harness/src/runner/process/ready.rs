//! Is the target up? Asked of the kernel where possible, since some servers serve exactly one connection.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout_at};

use super::processes::{self, Holder, Owner};
use super::running::{POLL_MAX, POLL_MIN, Process, spawn};
use super::{Address, Command, Guard, Ready, StartError, Stop, Stream, sockets};
use crate::time::show_duration;

/// Refuses an address that somebody serves already.
pub(super) fn check_free(command: &Command) -> Result<(), StartError> {
    let Some(address) = command.address.as_ref().filter(|_| SEES_SOCKETS) else { return Ok(()) };
    let inodes = match serving(address, command) {
        Ok(inodes) => inodes,
        // Only who waits for a listening socket depends on the table.
        Err(error) if matches!(command.ready, Ready::Listening) => return Err(error),
        Err(_) => return Ok(()),
    };
    if inodes.is_empty() {
        return Ok(());
    }
    let holder = match processes::owner(&inodes, None) {
        Owner::Stranger(holder) => Some(holder),
        Owner::Ours | Owner::Unseen => None,
    };
    Err(taken(address, holder, false))
}

/// Waits until the process is ready; its end before that is an error, at once.
pub(super) async fn until_ready(command: &Command, process: &Process, guard: &Guard) -> Result<(), StartError> {
    let deadline = Instant::now() + command.ready_within;
    let ready = async {
        match (&command.ready, &command.address) {
            (Ready::Command(argv), _) => probe(argv, command, guard).await,
            (Ready::Connect, Some(address)) => connect(address).await,
            (Ready::Connect, None) => Err(StartError::NoAddress),
            (Ready::Delay(delay), _) => {
                // The file says so: there is nothing to see of this program.
                sleep(*delay).await;
                Ok(())
            }
            (Ready::Listening, Some(address)) if SEES_SOCKETS => listening(address, command, process).await,
            (Ready::Listening, Some(address)) => connect(address).await,
            (Ready::Listening, None) => Ok(()),
            (Ready::Stderr(regex), _) => {
                process.want(Stream::Stderr, regex.clone()).notified().await;
                Ok(())
            }
            (Ready::Stdout(regex), _) => {
                process.want(Stream::Stdout, regex.clone()).notified().await;
                Ok(())
            }
        }
    };
    tokio::select! {
        biased;
        exit = process.wait_exit(), if !is_client(command) => {
            Err(StartError::Exited { exit, output: process.tail(TAIL_LINES) })
        }
        ready = timeout_at(deadline, ready) => ready.unwrap_or_else(|_| Err(StartError::NotReady {
            wanted: describe(command),
            within: command.ready_within,
            output: process.tail(TAIL_LINES),
        })),
    }
}

/// Whether the program serves nowhere, so that its end is its own affair.
fn is_client(command: &Command) -> bool {
    command.address.is_none() && matches!(command.ready, Ready::Listening)
}

async fn listening(address: &Address, command: &Command, process: &Process) -> Result<(), StartError> {
    let mut pause = POLL_MIN;
    loop {
        let inodes = serving(address, command)?;
        if !inodes.is_empty() {
            return match processes::owner(&inodes, Some(process.guard())) {
                // Descriptors of a target that changed its user cannot be read. The address was free before.
                Owner::Ours | Owner::Unseen => Ok(()),
                Owner::Stranger(holder) => Err(taken(address, Some(holder), true)),
            };
        }
        // The kernel tells nobody when another process begins to listen: it has to be looked for.
        sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
    }
}

async fn connect(address: &Address) -> Result<(), StartError> {
    let mut pause = POLL_MIN;
    loop {
        let connected = match address {
            Address::Tcp(address) => TcpStream::connect(address).await.is_ok(),
            Address::Unix(path) => UnixStream::connect(path).await.is_ok(),
            // There is nothing to connect to, and nothing that a datagram would show.
            Address::Udp(_) | Address::Unixgram(_) => true,
        };
        if connected {
            return Ok(());
        }
        // Who was refused is not told when it is worth while to try again.
        sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
    }
}

async fn probe(argv: &[String], command: &Command, guard: &Guard) -> Result<(), StartError> {
    let stop = Stop { within: Duration::ZERO, ..Stop::default() };
    let command = Command { env: command.env.clone(), cwd: command.cwd.clone(), stop, ..Command::new(argv) };
    let mut pause = PROBE_MIN;
    loop {
        // Under a guard of its own it ends with this wait, whatever it does.
        let probe = spawn(&command, guard).await?;
        let exit = probe.wait_exit().await;
        probe.kill().await;
        if exit == super::Exit::Code(0) {
            return Ok(());
        }
        // What the command looks at only the command knows.
        sleep(pause).await;
        pause = (pause * 2).min(PROBE_MAX);
    }
}

fn serving(address: &Address, command: &Command) -> Result<HashSet<u64>, StartError> {
    let folder = command.cwd.as_deref().unwrap_or(Path::new("."));
    sockets::serving(address, folder).map_err(|(path, source)| StartError::Unreadable { path, source })
}

fn taken(address: &Address, holder: Option<Holder>, after_start: bool) -> StartError {
    StartError::Taken { address: address.clone(), holder, after_start }
}

fn describe(command: &Command) -> String {
    let address = command.address.as_ref().map(ToString::to_string).unwrap_or_default();
    match &command.ready {
        Ready::Command(argv) => format!("exit status 0 of `{}`", argv.join(" ")),
        Ready::Connect => format!("a connection to `{address}`"),
        Ready::Delay(delay) => format!("{} to pass", show_duration(*delay)),
        Ready::Listening => format!(
            "`{address}` to be {}",
            match command.address {
                Some(Address::Udp(_) | Address::Unixgram(_)) => "bound",
                _ => "listening",
            }
        ),
        Ready::Stderr(_) => "a matching line on stderr".to_owned(),
        Ready::Stdout(_) => "a matching line on stdout".to_owned(),
    }
}

/// Whether this system shows its sockets as files. Elsewhere a connection is the only question there is.
const SEES_SOCKETS: bool = cfg!(target_os = "linux");

/// How much of its output goes with an error.
const TAIL_LINES: usize = 20;

/// Pauses between two runs of a probe, doubling from the first to the second.
const PROBE_MIN: Duration = Duration::from_millis(10);
const PROBE_MAX: Duration = Duration::from_millis(200);
