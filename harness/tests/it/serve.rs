//! `harness serve` as a process: its first line, its signals, its exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A process that does not outlive its test.
pub(super) struct Server(pub(super) Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it and reads its first line.
pub(super) fn serve(args: &[&str]) -> (Server, String, BufReader<ChildStdout>) {
    let mut command = Command::new(super::run::program());
    let mut server = Server(command.arg("serve").args(args).stdout(Stdio::piped()).spawn().expect("it was built"));
    let mut stdout = BufReader::new(server.0.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line of text");
    (server, line, stdout)
}

fn connect(line: &str) -> TcpStream {
    let address = line.strip_prefix("tcp://").and_then(|line| line.strip_suffix('\n')).expect("a URL and a line's end");
    TcpStream::connect(address).expect("it listens when it says so")
}

fn echo(stream: &mut TcpStream) {
    let mut back = [0; 5];
    stream.write_all(b"hello").and_then(|()| stream.read_exact(&mut back)).expect("it serves");
    assert_eq!(&back, b"hello");
}

#[test]
fn a_signal_ends_a_server_in_good_order_with_exit_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut server, line, mut stdout) = serve(&["tcp-echo"]);
        let mut stream = connect(&line);
        echo(&mut stream);
        kill_process(Pid::from_child(&server.0), signal).unwrap();
        let mut rest = Vec::new();
        assert_eq!(stream.read_to_end(&mut rest).unwrap(), 0, "its connections end without a reset");
        assert_eq!(server.0.wait().unwrap().code(), Some(0));
        assert_eq!(stdout.read_to_end(&mut rest).unwrap(), 0, "stdout has one line");
    }
}

#[test]
fn a_server_that_has_had_its_connection_exits_with_0() {
    let (mut server, line, _stdout) = serve(&["one-shot", "--listen", "tcp://[::1]:0"]);
    let mut stream = connect(&line);
    echo(&mut stream);
    drop(stream);
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
}

#[track_caller]
fn check_refused(args: &[&str], exit_code: i32, expected: &str) {
    let output = Command::new(super::run::program()).arg("serve").args(args).output().expect("it was built");
    assert_eq!(output.status.code(), Some(exit_code));
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    assert_eq!(output.stdout, b"");
}

#[test]
fn what_cannot_be_served_is_refused_with_its_exit_code() {
    let hint = "hint: did you mean `kv`? `harness list targets` shows them all";
    check_refused(&["kvs"], 2, &format!("error: unknown target `kvs`\n{hint}\n"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", taken.local_addr().unwrap());
    let message = format!("error: cannot listen on `{url}`: Address already in use (os error 98)\n");
    check_refused(&["kv", "--listen", &url], 5, &message);
}
