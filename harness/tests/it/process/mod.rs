//! Targets that are processes, with real programs.

mod ending;
mod programs;
mod ready;

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
    Guard::new(super::run::program(), "test-run")
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
