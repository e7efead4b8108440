//! How targets end: by themselves, when asked, and with the run.

use super::*;

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
os.write(1, b'up\\n')
";

#[tokio::test]
async fn a_daemon_does_not_escape() {
    let target =
        Command { ready: Ready::Stdout(regex("^up$")), ..python(&format!("{DAEMON}import time\ntime.sleep(1000)")) };
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
async fn a_dropped_process_ends() {
    let process = started(&Command {
        ready: Ready::Stdout(regex("^up$")),
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
    let child = "child = subprocess.Popen(['sleep', '1000'])\nos.write(1, b'child %d\\nall up\\n' % child.pid)\n";
    let script = format!("{DAEMON}import subprocess, time\n{child}time.sleep(1000)");
    if std::env::var_os(ROLE).is_some() {
        // This is the harness, in a process of its own: this same test, started again.
        let process = started(&Command { ready: Ready::Stdout(regex("^all up$")), ..python(&script) }).await;
        println!("\ntarget {}", process.pid());
        printed(&process).iter().for_each(|(name, number)| println!("{name} {number}"));
        println!("all 0");
        return std::future::pending().await;
    }
    let (_, module) = module_path!().split_once("::").expect("it is in a crate");
    let mut harness = tokio::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("{module}::a_killed_harness_leaves_nothing"), "--nocapture"])
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
