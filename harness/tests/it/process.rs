//! Targets that are processes, with real programs.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use harness::random::Random;
use harness::runner::process::{
    Address, Command, Exit, Guard, Ports, Process, Ready, Signal, StartError, Stop, Stream, spawn, start,
};
use regex_automata::meta::Regex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, kill_process, pidfd_open};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};

/// Far above what anything here takes: a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(60);

const SEGV: Exit = Exit::Signal { number: 11, core: false };
const KILLED: Exit = Exit::Signal { number: 9, core: false };
const TERMINATED: Exit = Exit::Signal { number: 15, core: false };

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("this takes no minute")
}

fn guard() -> Guard {
    Guard::new(env!("CARGO_BIN_EXE_harness"), "test-run")
}

fn python(script: &str) -> Command {
    Command::new(["python3", "-u", "-c", script])
}

fn shell(script: &str) -> Command {
    Command::new(["sh", "-c", script])
}

fn port() -> u16 {
    static PORTS: LazyLock<Mutex<Ports>> =
        LazyLock::new(|| Mutex::new(Ports::new(&mut Random::new(u64::from(std::process::id()), "ports"))));
    PORTS.lock().expect("no test panics in here").pick().expect("a free port")
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port()))
}

/// A python program on `address`, which finds it as `address` and a listening socket as `server`.
fn tcp_server(address: SocketAddr, script: &str) -> Command {
    let (ip, port) = (address.ip(), address.port());
    let head = format!(
        "import os, signal, socket, sys, time\nserver = socket.socket()\n\
         server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\nserver.bind(('{ip}', {port}))\nserver.listen()\n"
    );
    Command { address: Some(Address::Tcp(address)), ..python(&(head + script)) }
}

async fn started(command: &Command) -> Process {
    soon(start(command, &guard())).await.expect("the target starts")
}

async fn refused(command: &Command) -> StartError {
    soon(start(command, &guard())).await.expect_err("the target does not start")
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a valid regex")
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).expect("a pid")
}

/// A process that this test does not own, by a handle that no other process can take over.
fn handle(number: u32) -> OwnedFd {
    pidfd_open(pid(number), PidfdFlags::empty()).expect("the process lives")
}

/// Waits until the process has ended.
async fn ended(handle: OwnedFd) {
    let wait = move || {
        let timeout = DEADLINE.try_into().expect("a minute fits");
        poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)).expect("a handle can be waited for")
    };
    let ready = tokio::task::spawn_blocking(wait).await.expect("waiting does not panic");
    assert_eq!(ready, 1, "the process is still there");
}

fn lives(number: u32) -> bool {
    pidfd_open(pid(number), PidfdFlags::empty()).is_ok()
}

fn parent(number: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).expect("the process lives");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    fields.split(' ').nth(1).expect("a parent").parse().expect("a number")
}

/// The numbers that the target printed as `name 123`.
fn printed(process: &Process) -> HashMap<String, u32> {
    let text = String::from_utf8(process.output(Stream::Stdout)).expect("text");
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?))).collect()
}

/// Whether a program is installed; a machine that lacks it says so in `HARNESS_TEST_SKIP_TOOLS`.
#[track_caller]
fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let skip = std::env::var_os("HARNESS_TEST_SKIP_TOOLS").is_some_and(|value| value == "1");
    assert!(found || skip, "install `{program}`, or set HARNESS_TEST_SKIP_TOOLS=1");
    found
}

#[tokio::test]
async fn listening_leaves_a_single_connection_to_the_test() {
    let address = address();
    let server = tcp_server(address, "peer, _ = server.accept()\nserver.close()\npeer.sendall(peer.recv(9))\n");
    let process = started(&server).await;
    let mut client = soon(TcpStream::connect(address)).await.expect("the one connection");
    soon(client.write_all(b"hello")).await.expect("it is read");
    let mut echo = Vec::new();
    soon(client.read_to_end(&mut echo)).await.expect("it answers");
    assert_eq!(echo, b"hello");
    assert_eq!(soon(process.wait_exit()).await, Exit::Code(0));
    assert!(!process.is_crash(Exit::Code(0)));
}

#[tokio::test]
async fn a_wildcard_listener_serves_an_ipv4_address() {
    let port = port();
    let script = format!(
        "import socket, time\nserver = socket.create_server(('', {port}), family=socket.AF_INET6, dualstack_ipv6=True)\n\
         time.sleep(1000)"
    );
    if !socket_of_ipv6() {
        return;
    }
    let target = Command { address: Some(Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))), ..python(&script) };
    started(&target).await.stop().await;
}

/// Whether this machine has IPv6 at all.
fn socket_of_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

#[tokio::test]
async fn a_udp_server_is_ready_when_its_port_is_bound() {
    let address = address();
    let script = format!(
        "import socket\nserver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nserver.bind(('{}', {}))\n\
         while True:\n    data, peer = server.recvfrom(100)\n    server.sendto(data, peer)",
        address.ip(),
        address.port()
    );
    let process = started(&Command { address: Some(Address::Udp(address)), ..python(&script) }).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    client.send_to(b"ping", address).await.expect("a datagram leaves");
    let mut answer = [0; 9];
    let (len, _) = soon(client.recv_from(&mut answer)).await.expect("an answer");
    assert_eq!(&answer[..len], b"ping");
    assert_eq!(process.stop().await.exit, TERMINATED);
}

#[tokio::test]
async fn a_unix_server_is_ready_when_its_path_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a b.sock");
    // The server names the path in its own way, relative to its folder.
    let script = "import socket\nserver = socket.socket(socket.AF_UNIX)\nserver.bind('a b.sock')\nserver.listen()\n\
                  peer, _ = server.accept()\npeer.sendall(b'hi')";
    let target =
        Command { address: Some(Address::Unix(path.clone())), cwd: Some(folder.path().to_owned()), ..python(script) };
    let process = started(&target).await;
    let mut client = soon(UnixStream::connect(&path)).await.expect("it listens");
    let mut greeting = String::new();
    soon(client.read_to_string(&mut greeting)).await.expect("it answers");
    assert_eq!(greeting, "hi");
    process.stop().await;
}

#[tokio::test]
async fn a_unix_datagram_server_is_ready_when_its_path_is_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let script = format!(
        "import socket\nserver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\nserver.bind('{}')\n\
         print('got', server.recv(10).decode())",
        path.display()
    );
    let process = started(&Command { address: Some(Address::Unixgram(path.clone())), ..python(&script) }).await;
    std::os::unix::net::UnixDatagram::unbound().expect("a socket").send_to(b"it", &path).expect("a datagram leaves");
    assert_eq!(soon(process.wait_exit()).await, Exit::Code(0));
    assert_eq!(process.output(Stream::Stdout), b"got it\n");
}

#[tokio::test]
async fn a_port_that_is_taken_before_the_start_names_who_has_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let error = refused(&Command { address: Some(Address::Tcp(address)), ..shell("sleep 1000") }).await;
    let name = std::fs::read_to_string("/proc/self/comm").expect("a name");
    let message = format!("`tcp://{address}` is taken by pid {} (`{}`)", std::process::id(), name.trim());
    assert_eq!(error.to_string(), message);
}

#[tokio::test]
async fn a_stranger_who_takes_the_port_after_the_start_is_told_apart() {
    let signpost = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let up = signpost.local_addr().expect("an address").port();
    let address = address();
    let target = Command {
        address: Some(Address::Tcp(address)),
        ..python(&format!("import socket, time\nsocket.create_connection(('127.0.0.1', {up}))\ntime.sleep(1000)"))
    };
    let stranger = async {
        let _up = signpost.accept().await.expect("the target is up");
        TcpListener::bind(address).await.expect("the port is free")
    };
    let (error, _listener) = tokio::join!(refused(&target), soon(stranger));
    assert!(
        matches!(&error, StartError::Taken { holder: Some(holder), after_start: true, .. } if holder.pid == std::process::id()),
        "{error}"
    );
}

#[tokio::test]
async fn an_exit_before_it_is_ready_ends_the_wait() {
    let target = Command { address: Some(Address::Tcp(address())), ..shell("echo bad configuration >&2; exit 3") };
    let error = refused(&target).await;
    assert_eq!(error.to_string(), "the target ended before it was ready: exit status 3");
    assert_eq!(error.output()[0].text, "bad configuration");
    assert!(error.output()[0].stderr);
}

#[tokio::test]
async fn a_target_that_never_listens_is_not_ready_and_not_left() {
    let address = address();
    let target = Command {
        address: Some(Address::Tcp(address)),
        ready_within: Duration::from_millis(300),
        ..shell("echo pid $$; exec sleep 1000")
    };
    let error = refused(&target).await;
    let message = format!("the target was not ready within 300ms: expected `tcp://{address}` to be listening");
    assert_eq!(error.to_string(), message);
    let number = error.output()[0].text["pid ".len()..].parse().expect("a number");
    assert!(!lives(number));
}

#[tokio::test]
async fn a_line_that_matches_makes_it_ready() {
    let ready = Ready::Stdout(regex("^ready on [0-9]+$"));
    started(&Command { ready, ..shell("echo booting; echo ready on 80; sleep 1000") }).await.stop().await;
    let ready = Ready::Stderr(regex("prompt> $"));
    started(&Command { ready, ..shell("printf 'prompt> ' >&2; sleep 1000") }).await.stop().await;
}

#[tokio::test]
async fn other_ways_to_be_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let ready = Ready::Command(["test", "-e", "up"].map(String::from).to_vec());
    let target = Command { ready, cwd: Some(folder.path().to_owned()), ..shell("touch up; sleep 1000") };
    started(&target).await.stop().await;

    let ready = Ready::Delay(Duration::from_millis(1));
    started(&Command { ready, ..shell("sleep 1000") }).await.stop().await;

    let ready = Ready::Connect;
    started(&Command { ready, ..tcp_server(address(), "time.sleep(1000)") }).await.stop().await;
}

#[tokio::test]
async fn a_probe_that_hangs_is_not_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let ready = Ready::Command(["sh", "-c", "echo $$ > probe; exec sleep 1000"].map(String::from).to_vec());
    let cwd = Some(folder.path().to_owned());
    let target = Command { ready, cwd, ready_within: Duration::from_millis(500), ..shell("sleep 1000") };
    let error = refused(&target).await;
    assert!(matches!(error, StartError::NotReady { .. }), "{error}");
    let probe: u32 =
        std::fs::read_to_string(folder.path().join("probe")).expect("the probe ran").trim().parse().expect("a pid");
    if let Ok(fd) = pidfd_open(pid(probe), PidfdFlags::empty()) {
        ended(fd).await;
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("plain"), "").expect("a file");
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").expect("a file");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    let here = Some(folder.path().to_owned());

    let check = async |command: Command, message: &str| assert_eq!(refused(&command).await.to_string(), message);
    check(Command::new([""; 0]), "the target's command is empty").await;
    check(Command::new(["no-such-program"]), "the program `no-such-program` was not found").await;
    check(Command { cwd: here.clone(), ..Command::new(["./none"]) }, "the program `./none` was not found").await;
    check(Command { cwd: here.clone(), ..Command::new(["./plain"]) }, "the program `./plain` cannot be run").await;
    check(Command { cwd: here.clone(), ..Command::new(["./script"]) }, "the program `./script` cannot be run").await;
    check(
        Command { cwd: Some(PathBuf::from("/none/here")), ..shell("") },
        "the target's folder `/none/here` does not exist",
    )
    .await;
    check(
        Command { logs: Some(PathBuf::from("/proc/none/x")), ..shell("") },
        "`/proc/none/x.stdout` cannot be written",
    )
    .await;
}

#[tokio::test]
async fn a_program_that_is_no_guard_is_an_error() {
    let error = soon(start(&shell("sleep 1000"), &Guard::new("/bin/true", "run"))).await.expect_err("no guard");
    assert_eq!(error.to_string(), "`/bin/true` cannot guard the target");
}

#[tokio::test]
async fn it_knows_its_variables_and_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = Command {
        env: vec![("COLOUR".to_owned(), "blue".to_owned())],
        cwd: Some(folder.path().to_owned()),
        logs: Some(folder.path().join("kv")),
        ..shell("echo $HARNESS $HARNESS_RUN_ID $COLOUR; pwd -P; cat; echo oops >&2")
    };
    let process = started(&target).await;
    assert_eq!(soon(process.wait_exit()).await, Exit::Code(0));
    let real = folder.path().canonicalize().expect("it exists");
    let expected = format!("1 test-run blue\n{}\n", real.display());
    assert_eq!(String::from_utf8_lossy(&process.output(Stream::Stdout)), expected);
    let log = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a log");
    assert_eq!(log("kv.stdout"), expected);
    assert_eq!(log("kv.stderr"), "oops\n");
    assert!(process.tail(3).iter().any(|line| line.stderr && line.text == "oops"));
}

#[tokio::test]
async fn a_stop_asks_the_whole_group_and_waits_for_it() {
    // The shell dies of the signal at once; its child takes its time and has a last word.
    let child = "import os, signal, sys, time\n\
                 def end(*_):\n    time.sleep(0.1)\n    print('bye')\n    sys.exit()\n\
                 signal.signal(signal.SIGTERM, end)\nos.write(1, b'up\\n')\nsignal.pause()";
    let script = "python3 -u -c \"$CHILD\" & wait";
    let target = Command {
        env: vec![("CHILD".to_owned(), child.to_owned())],
        ready: Ready::Stdout(regex("^up$")),
        stop: Stop { within: DEADLINE, ..Stop::default() },
        ..shell(script)
    };
    let process = started(&target).await;
    let stopped = soon(process.stop()).await;
    assert_eq!((stopped.exit, stopped.killed, stopped.killed_others), (TERMINATED, false, 0));
    assert_eq!(process.output(Stream::Stdout), b"up\nbye\n");
    assert!(!process.is_crash(stopped.exit));
}

#[tokio::test]
async fn background_children_end_with_the_target() {
    let process = started(&shell("sleep 1000 & echo child $!; exit 0")).await;
    assert_eq!(soon(process.wait_exit()).await, Exit::Code(0));
    let child = printed(&process)["child"];
    assert!(lives(child));
    let stopped = soon(process.stop()).await;
    assert_eq!((stopped.killed, stopped.killed_others, stopped.left), (false, 1, 0));
    assert!(!lives(child));
}

/// Leaves its parent, its group, its session and its environment.
const DAEMON: &str = "import os, sys
if os.fork() == 0:
    os.setsid()
    daemon = os.fork()
    if daemon == 0:
        null = os.open('/dev/null', os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.execve(sys.executable, ['python3', '-c', 'import time; time.sleep(1000)'], {})
    os.write(1, b'daemon %d\\n' % daemon)
    os._exit(0)
os.wait()
";

#[tokio::test]
async fn a_daemon_does_not_escape() {
    let target = Command {
        ready: Ready::Stdout(regex("^daemon [0-9]+$")),
        ..python(&format!("{DAEMON}import time\ntime.sleep(1000)"))
    };
    let process = started(&target).await;
    let daemon = printed(&process)["daemon"];
    assert!(lives(daemon));
    assert_eq!(soon(process.stop()).await.killed_others, 1);
    assert!(!lives(daemon));
}

#[tokio::test]
async fn a_target_that_ignores_the_signal_is_killed() {
    let script = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf')\ntime.sleep(1000)";
    let target = Command {
        ready: Ready::Stdout(regex("deaf")),
        stop: Stop { within: Duration::from_millis(50), ..Stop::default() },
        ..tcp_server(address(), script)
    };
    let stopped = soon(started(&target).await.stop()).await;
    assert_eq!((stopped.exit, stopped.killed), (KILLED, true));
}

#[tokio::test]
async fn a_crash_shows_its_signal_and_last_words() {
    // More than one read takes, and nothing after the last line but the end.
    let script = "server.accept()\nos.write(2, b'x' * 50000 + b'\\nlast words\\n')\nos.kill(os.getpid(), 11)";
    let address = address();
    let process = started(&tcp_server(address, script)).await;
    assert_eq!(process.exited(), None);
    let _client = soon(TcpStream::connect(address)).await.expect("it listens");
    let exit = soon(process.wait_exit()).await;
    assert!(matches!(exit, Exit::Signal { number: 11, .. }), "{exit}");
    assert!(process.is_crash(exit));
    assert_eq!(process.exited(), Some(exit));
    assert_eq!(process.tail(1)[0].text, "last words");
}

#[tokio::test]
async fn an_end_that_was_asked_for_is_no_crash() {
    let process = started(&Command { expect_exit: Some(3), ..shell("exec sleep 1000") }).await;
    assert!(process.is_crash(SEGV) && process.is_crash(Exit::Code(1)) && process.is_crash(TERMINATED));
    assert!(!process.is_crash(Exit::Code(3)) && !process.is_crash(Exit::Code(0)));
    assert!(process.signal(Signal::TERM));
    let exit = soon(process.wait_exit()).await;
    assert_eq!(exit, TERMINATED);
    assert!(!process.is_crash(exit));
    assert!(!process.signal(Signal::TERM), "an ended process takes no signal");
}

#[tokio::test]
async fn a_signal_reaches_the_process() {
    // Blocked from before it says so, so that the signal cannot come too early.
    let script = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])\nprint('up')\n\
                  signal.sigwait([signal.SIGHUP])\nprint('reloaded')";
    let process = started(&Command { ready: Ready::Stdout(regex("up")), ..python(script) }).await;
    assert!(process.signal(Signal::parse("HUP").expect("a signal")));
    assert_eq!(soon(process.wait_exit()).await, Exit::Code(0));
    assert_eq!(process.output(Stream::Stdout), b"up\nreloaded\n");
}

#[tokio::test]
async fn a_flood_on_stderr_neither_blocks_nor_fills_memory() {
    let script = "import sys\nfor _ in range(160):\n    sys.stderr.write('x' * 65535 + '\\n')\nprint('done')";
    let process = started(&python(script)).await;
    assert_eq!(soon(process.wait_exit()).await, Exit::Code(0));
    assert_eq!(process.output(Stream::Stdout), b"done\n");
    let kept = process.output(Stream::Stderr).len();
    assert!((10_000..=80_000).contains(&kept), "{kept} bytes kept");
}

#[tokio::test]
async fn a_dropped_process_ends() {
    let process = started(&Command {
        ready: Ready::Stdout(regex("^daemon [0-9]+$")),
        ..python(&format!("{DAEMON}import time\ntime.sleep(1000)"))
    })
    .await;
    let (own, daemon) = (handle(process.pid()), handle(printed(&process)["daemon"]));
    drop(process);
    ended(own).await;
    ended(daemon).await;
}

#[tokio::test]
async fn the_guard_survives_what_is_meant_for_the_harness() {
    let process = started(&shell("exec sleep 1000")).await;
    let guard = parent(process.pid());
    for signal in ["HUP", "INT", "QUIT", "TERM", "USR1"] {
        let signal = rustix::process::Signal::from_named_raw(Signal::parse(signal).expect("a signal").number());
        kill_process(pid(guard), signal.expect("a signal")).expect("the guard is ours");
    }
    // A guard that had died would have taken the process with it, by another signal.
    let stopped = soon(process.stop()).await;
    assert_eq!((stopped.exit, stopped.killed), (TERMINATED, false));
    assert!(!lives(guard));
}

#[tokio::test]
async fn a_killed_guard_takes_its_target_along() {
    let process = started(&shell("exec sleep 1000")).await;
    let own = handle(process.pid());
    kill_process(pid(parent(process.pid())), rustix::process::Signal::KILL).expect("the guard is ours");
    assert_eq!(soon(process.wait_exit()).await, KILLED);
    ended(own).await;
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the process that plays the harness tells its parent what it started")]
async fn a_killed_harness_leaves_nothing() {
    const ROLE: &str = "HARNESS_TEST_TO_BE_KILLED";
    let script = format!(
        "{DAEMON}import subprocess, time\nchild = subprocess.Popen(['sleep', '1000'])\nprint('child', child.pid)\nprint('up')\ntime.sleep(1000)"
    );
    if std::env::var_os(ROLE).is_some() {
        // This is the harness, in a process of its own: this same test, started again.
        let process = started(&Command { ready: Ready::Stdout(regex("^up$")), ..python(&script) }).await;
        println!("\ntarget {}", process.pid());
        printed(&process).iter().for_each(|(name, number)| println!("{name} {number}"));
        println!("all 0");
        return std::future::pending().await;
    }
    let mut harness = tokio::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "process::a_killed_harness_leaves_nothing", "--nocapture"])
        .env(ROLE, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("this program runs");
    let mut lines = BufReader::new(harness.stdout.take().expect("stdout is piped")).lines();
    let mut handles = HashMap::new();
    while let Some(line) = soon(lines.next_line()).await.expect("text") {
        match line.split_once(' ') {
            Some(("all", _)) => break,
            Some((name @ ("target" | "child" | "daemon"), number)) => {
                handles.insert(name.to_owned(), handle(number.parse().expect("a number")));
            }
            _ => {}
        }
    }
    assert_eq!(handles.len(), 3, "a target, its child and its daemon");
    soon(harness.kill()).await.expect("it is ours");
    for handle in handles.into_values() {
        ended(handle).await;
    }
}

#[tokio::test]
async fn redis_is_ready_when_it_listens() {
    if !installed("redis-server") {
        return;
    }
    let address = address();
    let folder = tempfile::tempdir().expect("a folder");
    let process = started(&redis(address, folder.path(), "no")).await;
    let mut client = soon(TcpStream::connect(address)).await.expect("it listens");
    soon(client.write_all(b"PING\r\n")).await.expect("it is read");
    let mut answer = [0; 7];
    soon(client.read_exact(&mut answer)).await.expect("an answer");
    assert_eq!(&answer, b"+PONG\r\n");
    let stopped = soon(process.stop()).await;
    assert_eq!((stopped.exit, stopped.killed, stopped.killed_others), (Exit::Code(0), false, 0));
}

#[tokio::test]
async fn a_redis_that_goes_to_the_background_is_found_and_ended() {
    if !installed("redis-server") {
        return;
    }
    let address = address();
    let folder = tempfile::tempdir().expect("a folder");
    // It detaches and overwrites its environment; started alone, it would serve for ever.
    let process = soon(spawn(&redis(address, folder.path(), "yes"), &guard())).await.expect("redis runs");
    assert_eq!(soon(process.wait_exit()).await, Exit::Code(0));
    let stopped = soon(process.stop()).await;
    assert_eq!((stopped.killed_others, stopped.left), (1, 0));
    let error = TcpStream::connect(address).await.expect_err("nobody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

fn redis(address: SocketAddr, folder: &Path, daemonize: &str) -> Command {
    let port = address.port().to_string();
    let argv = ["redis-server", "--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", daemonize];
    Command { address: Some(Address::Tcp(address)), cwd: Some(folder.to_owned()), ..Command::new(argv) }
}

#[tokio::test]
async fn memcached_is_ready_when_it_listens() {
    if !installed("memcached") {
        return;
    }
    let address = address();
    let port = address.port().to_string();
    // As root it changes its user, after which its descriptors can still be read by root.
    let argv = ["memcached", "-u", "nobody", "-l", "127.0.0.1", "-U", "0", "-p", &port];
    let process = started(&Command { address: Some(Address::Tcp(address)), ..Command::new(argv) }).await;
    let mut client = BufReader::new(soon(TcpStream::connect(address)).await.expect("it listens"));
    soon(client.write_all(b"version\r\n")).await.expect("it is read");
    let mut answer = String::new();
    soon(client.read_line(&mut answer)).await.expect("an answer");
    assert!(answer.starts_with("VERSION "), "{answer}");
    let stopped = soon(process.stop()).await;
    assert_eq!((stopped.exit, stopped.killed), (Exit::Code(0), false));
}
