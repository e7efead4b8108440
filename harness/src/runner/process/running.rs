//! A process that runs: its end, its output, signals to it, and its orderly stop.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use regex_automata::meta::Regex;
use rustix::process::{Pid, kill_process, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver as Pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::guard::{GUARD_COMMAND, Gone, Guard, Launch, Report};
use super::output::{Output, Stream};
use super::rest::family;
use super::stack::{Fault, Files, Follow, Tracer};
use super::{Command, StartError, Stop};
use crate::event::OutputLine;
use crate::signal::{Exit, Signal};

/// A process that was started. Dropping it kills all that is left of it.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    guard: u32,
    stop: Stop,
    expect_exit: Option<i32>,
    /// One bit for each signal that it was sent: an end by one of these is no crash.
    sent: AtomicU64,
    output: Arc<Mutex<Output>>,
    pipes: Pipes,
    /// Notified once somebody else reads what it writes.
    leisure: Arc<Notify>,
    state: watch::Receiver<State>,
    /// Who sees how what it starts ends.
    tracer: Mutex<Option<Tracer>>,
    /// While this is open, the guard lets the process live.
    control: Mutex<Option<OwnedWriteHalf>>,
}

/// How a process was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// How it ended.
    pub exit: Exit,
    /// Whether it had to be killed, because it did not end in time.
    pub killed: bool,
    /// How many other processes of its own were left then, and were killed.
    pub killed_others: u32,
    /// How many of them could not be killed.
    pub left: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    exit: Option<Exit>,
    gone: Option<Gone>,
}

/// Starts a process and does not wait for more than that it runs.
pub async fn spawn(command: &Command, guard: &Guard) -> Result<Process, StartError> {
    let program = command.argv.first().ok_or(StartError::Empty)?;
    if let Some(path) = command.cwd.as_ref().filter(|path| !path.is_dir()) {
        return Err(StartError::Folder { path: path.clone() });
    }
    let output = Output::new(command.logs.as_deref()).map_err(|(path, source)| StartError::Log { path, source })?;
    let mut env = vec![("HARNESS".to_owned(), "1".to_owned()), ("HARNESS_RUN_ID".to_owned(), guard.run().to_owned())];
    env.extend_from_slice(&command.env);
    let launch = Launch { argv: command.argv.clone(), env };

    let cannot_guard = |source| StartError::Guard { program: guard.program().to_owned(), source };
    let Guarded { child, pipes, control, mut reports } =
        timeout(GUARD_WITHIN, start_guard(guard, command.cwd.as_deref(), &launch))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(cannot_guard)?;
    let started = timeout(GUARD_WITHIN, next_report(&mut reports)).await;
    let number = match started.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(cannot_guard)? {
        Some(Report::Started(number)) => number,
        Some(Report::Failed(number)) => {
            let (program, source) = (program.clone(), io::Error::from_raw_os_error(number));
            return Err(match source.kind() {
                io::ErrorKind::NotFound if !exists(&program, command.cwd.as_deref()) => {
                    StartError::NotFound { program }
                }
                _ => StartError::NotRunnable { program, source },
            });
        }
        Some(_) => return Err(cannot_guard(io::ErrorKind::InvalidData.into())),
        None => return Err(cannot_guard(io::ErrorKind::UnexpectedEof.into())),
    };
    let no_pid = || cannot_guard(io::ErrorKind::InvalidData.into());
    let pid = Pid::from_raw(number.cast_signed()).ok_or_else(no_pid)?;
    let output = Arc::new(Mutex::new(output));
    let leisure = Arc::new(Notify::new());
    let (tell, state) = watch::channel(State::default());
    let process = Process {
        pid,
        guard: child.id().ok_or_else(no_pid)?,
        stop: command.stop,
        expect_exit: command.expect_exit,
        sent: AtomicU64::new(0),
        output: Arc::clone(&output),
        pipes: Arc::clone(&pipes),
        leisure: Arc::clone(&leisure),
        state,
        tracer: Mutex::new(None),
        control: Mutex::new(Some(control)),
    };
    tokio::spawn(Watch { pid, child, pipes, leisure, output, tell }.run(reports));
    Ok(process)
}

impl Process {
    /// The number of the process, which leads a group of the same number.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// The number of its guard, from which all its processes descend.
    pub(super) fn guard(&self) -> u32 {
        self.guard
    }

    /// Sees from here on where its threads and the processes that it starts are when a signal ends them; `false` where that is not
    /// possible. One that is followed already goes on being followed as it is.
    pub fn follow(&self, follow: Follow, files: &Arc<Files>) -> bool {
        let mut tracer = self.tracer.lock().unwrap_or_else(PoisonError::into_inner);
        if tracer.is_none() {
            *tracer = Tracer::attach(family(&[self.pid()]), follow, Arc::clone(files));
        }
        tracer.is_some()
    }

    /// The signals that say it did something wrong, and were sent to it or to what it has started since this was asked last.
    pub fn faults(&self) -> Vec<Fault> {
        let tracer = self.tracer.lock().unwrap_or_else(PoisonError::into_inner);
        tracer.as_ref().map(Tracer::faults).unwrap_or_default()
    }

    /// How it ended, if it has. What it wrote before is then in [`Process::tail`].
    ///
    /// A connection may be seen to close a moment before: wait for [`Process::wait_exit`] a little to be sure.
    pub fn exited(&self) -> Option<Exit> {
        self.state.borrow().exit
    }

    /// Whether it is on its way out: the kernel has begun to take it down, and its sockets close before its end is told.
    pub fn is_exiting(&self) -> bool {
        self.exited().is_none() && super::processes::is_exiting(self.pid())
    }

    /// Waits for its end. Any number of callers may wait, and give up.
    pub async fn wait_exit(&self) -> Exit {
        let mut state = self.state.clone();
        let state = state.wait_for(|state| state.exit.is_some()).await.map(|state| *state).unwrap_or_default();
        // The watch ends without a word only when the runtime does, and then the guard kills.
        state.exit.unwrap_or(KILLED)
    }

    /// Whether this end is a crash: a signal that we did not send, or a status that was not expected.
    pub fn is_crash(&self, exit: Exit) -> bool {
        match exit {
            Exit::Code(code) => code != 0 && self.expect_exit != Some(code),
            Exit::Signal { number, .. } => self.sent.load(Ordering::Relaxed) & bit(number) == 0,
        }
    }

    /// Sends a signal to the process, and to no other of its group.
    ///
    /// `false` if it has ended or may not be sent one.
    pub fn signal(&self, signal: Signal) -> bool {
        self.exited().is_none() && {
            self.sent.fetch_or(bit(signal.number()), Ordering::Relaxed);
            kill_process(self.pid, signal.system()).is_ok()
        }
    }

    /// Asks its group to end, waits, and then kills all that it started, wherever that has gone.
    pub async fn stop(&self) -> Stopped {
        let deadline = Instant::now() + self.stop.within;
        let asked = self.exited().is_none();
        if asked {
            self.sent.fetch_or(bit(self.stop.signal.number()), Ordering::Relaxed);
            let _ = kill_process_group(self.pid, self.stop.signal.system());
        }
        let in_time = timeout_at(deadline, self.wait_exit()).await.is_ok();
        // The group was asked, too: a shell ends at once, and the server that it started may need the time.
        let mut pause = POLL_MIN;
        while asked && in_time && test_kill_process_group(self.pid).is_ok() && Instant::now() < deadline {
            // Of their ends only their parent is told, and that is not us.
            sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
        let gone = self.kill().await;
        let exit = self.exited().unwrap_or(KILLED);
        Stopped { exit, killed: !in_time, killed_others: gone.killed, left: gone.left }
    }

    /// Kills it and all that it started, and waits until nothing is left.
    pub(super) async fn kill(&self) -> Gone {
        self.sent.fetch_or(bit(Signal::KILL.number()), Ordering::Relaxed);
        drop(lock(&self.control).take());
        let mut state = self.state.clone();
        // The guard gives up by itself; it ends before this unless it was stopped or is starved.
        let gone = timeout(GUARD_WITHIN, state.wait_for(|state| state.gone.is_some())).await;
        gone.ok().and_then(|state| state.ok()?.gone).unwrap_or_default()
    }

    /// The last `lines` lines of its output, both streams, oldest first.
    ///
    /// Between the streams the order is that of reading: lines written within the same moment may be swapped.
    pub fn tail(&self, lines: usize) -> Vec<OutputLine> {
        lock(&self.output).tail(lines)
    }

    /// The lines that it has begun after the one with this number, of those that are kept, and the number of the newest.
    ///
    /// What it has written by now is among them: it is read here where the watch has not come to it.
    pub fn lines_since(&self, number: u64) -> (u64, Vec<OutputLine>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            read_all(&self.pipes[stream as usize], &self.output, stream);
        }
        lock(&self.output).since(number)
    }

    /// From here on whoever calls [`Process::lines_since`] reads what it writes. The watch no longer wakes for each line, and reads
    /// only now and then, so that a pipe that fills holds nobody up for long.
    pub fn read_at_leisure(&self) {
        for pipe in &*self.pipes {
            // Where the system refuses, it is as long as it was.
            let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_LEN);
        }
        self.leisure.notify_one();
    }

    /// All that is kept of one stream: its last 64 KiB.
    pub fn output(&self, stream: Stream) -> Vec<u8> {
        lock(&self.output).bytes(stream)
    }

    /// Notifies once a line of `stream` matches.
    pub(super) fn want(&self, stream: Stream, regex: Regex) -> Arc<Notify> {
        lock(&self.output).want(stream, regex)
    }
}

/// The ends of standard output and standard error from which it is read.
type Pipes = Arc<[OwnedFd; 2]>;

struct Guarded {
    child: Child,
    pipes: Pipes,
    control: OwnedWriteHalf,
    reports: Lines<BufReader<OwnedReadHalf>>,
}

async fn start_guard(guard: &Guard, cwd: Option<&Path>, launch: &Launch) -> io::Result<Guarded> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let (reports, mut control) = UnixStream::from_std(ours)?.into_split();
    let mut command = tokio::process::Command::new(guard.program());
    // A group of its own keeps a Ctrl-C at the harness from reaching the guard.
    command.arg0("harness").arg(GUARD_COMMAND).process_group(0);
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(cwd) = cwd {
        command.current_dir(cwd);
    }
    let mut child = command.spawn()?;
    // The command holds a copy of the guard's end, without which the stream would never end.
    drop(command);
    let stdout = child.stdout.take().expect("stdout is piped").into_owned_fd()?;
    let stderr = child.stderr.take().expect("stderr is piped").into_owned_fd()?;
    for pipe in [&stdout, &stderr] {
        rustix::io::ioctl_fionbio(pipe, true)?;
    }
    let pipes = Arc::new([stdout, stderr]);
    let mut line = serde_json::to_vec(launch)?;
    line.push(b'\n');
    control.write_all(&line).await?;
    Ok(Guarded { child, pipes, control, reports: BufReader::new(reports).lines() })
}

async fn next_report(reports: &mut Lines<BufReader<OwnedReadHalf>>) -> io::Result<Option<Report>> {
    Ok(match reports.next_line().await? {
        Some(line) => Some(serde_json::from_str(&line)?),
        None => None,
    })
}

/// The task that reads a process's output and its guard's reports.
struct Watch {
    pid: Pid,
    child: Child,
    pipes: Pipes,
    leisure: Arc<Notify>,
    output: Arc<Mutex<Output>>,
    tell: watch::Sender<State>,
}

impl Watch {
    async fn run(mut self, mut reports: Lines<BufReader<OwnedReadHalf>>) {
        let mut open = [true; 2];
        let mut ends = ends(&self.pipes);
        let gone = loop {
            tokio::select! {
                more = read_next(&ends[0], &self.output, Stream::Stdout), if open[0] => open[0] = more,
                more = read_next(&ends[1], &self.output, Stream::Stderr), if open[1] => open[1] = more,
                // As long as the runtime knows of a pipe, it wakes for each line, whether anybody waits for that or not.
                () = self.leisure.notified() => ends = [None, None],
                () = sleep(LEISURE), if ends.iter().any(Option::is_none) => open = self.read_all(),
                report = next_report(&mut reports) => match report {
                    Ok(Some(Report::Exited(exit))) => {
                        // Its last words are in the pipes. They are read first, so that whoever hears of the end finds them.
                        open = self.read_all();
                        self.tell.send_modify(|state| state.exit = Some(exit));
                    }
                    Ok(Some(Report::Gone(gone))) => break gone,
                    Ok(Some(Report::Started(_) | Report::Failed(_))) => {}
                    Ok(None) | Err(_) => {
                        // Somebody killed the guard. What can still be done for it is done here.
                        if self.tell.borrow().exit.is_none() {
                            let _ = kill_process_group(self.pid, Signal::KILL.system());
                        }
                        break Gone::default();
                    }
                },
            }
        };
        // Nobody is left to write, unless a descriptor was handed to a stranger.
        let rest = async {
            while open.contains(&true) {
                tokio::select! {
                    more = read_next(&ends[0], &self.output, Stream::Stdout), if open[0] => open[0] = more,
                    more = read_next(&ends[1], &self.output, Stream::Stderr), if open[1] => open[1] = more,
                    () = sleep(LEISURE), if ends.iter().any(Option::is_none) => open = self.read_all(),
                }
            }
        };
        let _ = timeout(REST_WITHIN, rest).await;
        let _ = timeout(REST_WITHIN, self.child.wait()).await;
        self.tell.send_modify(|state| {
            state.exit.get_or_insert(KILLED);
            state.gone = Some(gone);
        });
    }

    /// Reads all that is there; for each stream `false` if it has ended.
    fn read_all(&self) -> [bool; 2] {
        [Stream::Stdout, Stream::Stderr].map(|stream| read_all(&self.pipes[stream as usize], &self.output, stream))
    }
}

/// A pipe as the runtime knows it; nothing where it is read at leisure.
type End = Option<Pipe>;

fn ends(pipes: &Pipes) -> [End; 2] {
    // Where the runtime cannot watch one, it is read at leisure.
    pipes.each_ref().map(|pipe| Pipe::from_owned_fd(pipe.try_clone().ok()?).ok())
}

/// Reads some of what comes next; `false` once the stream has ended.
async fn read_next(end: &End, output: &Mutex<Output>, stream: Stream) -> bool {
    let Some(end) = end else { return std::future::pending().await };
    if end.readable().await.is_err() {
        return false;
    }
    let mut buffer = [0; READ_LEN];
    read(output, stream, &mut buffer, |buffer| end.try_read(buffer)) != Read::Ended
}

/// What there is to be read after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// Nothing any more.
    Ended,
    /// Nothing for now.
    Nothing,
    /// Perhaps more.
    Some,
}

/// Takes in one piece of what was written. Whoever reads holds the lock meanwhile: what two of them have read is in the order in which
/// it was written.
fn read(
    output: &Mutex<Output>,
    stream: Stream,
    buffer: &mut [u8],
    read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> Read {
    let mut output = lock(output);
    match read(buffer) {
        Ok(0) => Read::Ended,
        Ok(len) => {
            output.handle_bytes(stream, &buffer[..len]);
            Read::Some
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
        Err(_) => Read::Ended,
    }
}

/// Reads all that is there, up to a limit; `false` once the stream has ended. It is asked of the pipe itself: the runtime may not know
/// yet that there is any.
fn read_all(pipe: &OwnedFd, output: &Mutex<Output>, stream: Stream) -> bool {
    let mut buffer = [0; READ_LEN];
    let mut next =
        || read(output, stream, &mut buffer, |buffer| rustix::io::read(pipe, buffer).map_err(io::Error::from));
    (0..LAST_READS_MAX).map(|_| next()).find(|came| *came != Read::Some) != Some(Read::Ended)
}

/// Whether a program that could not be found is there, so that it is its interpreter that is missing.
fn exists(program: &str, cwd: Option<&Path>) -> bool {
    program.contains('/') && cwd.unwrap_or(Path::new(".")).join(program).exists()
}

fn bit(number: i32) -> u64 {
    1u64.checked_shl(number.cast_unsigned()).unwrap_or(0)
}

/// A panic while the lock was held leaves plain data, which is still the best that there is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const KILLED: Exit = Exit::Signal { number: 9, core: false };

/// How long a guard may take to start, and in the end to kill; above its own limit for that.
const GUARD_WITHIN: Duration = Duration::from_secs(10);

/// How long the rest of the output may take when nobody should be left to write it.
const REST_WITHIN: Duration = Duration::from_secs(1);

/// Pauses between two looks, doubling from the first to the second.
pub(super) const POLL_MIN: Duration = Duration::from_millis(1);
pub(super) const POLL_MAX: Duration = Duration::from_millis(20);

const READ_LEN: usize = 16 << 10;

/// Between two reads where somebody else reads as well.
const LEISURE: Duration = Duration::from_millis(10);

/// How much of a stream the system keeps for whoever reads at leisure; the most that it gives everybody.
const PIPE_LEN: usize = 1 << 20;

/// Twice the largest pipe that a user may make, so that a child which keeps writing does not hold up the news.
const LAST_READS_MAX: usize = (2 << 20) / READ_LEN;
