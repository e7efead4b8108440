//! What targets know and write, and servers that people run.

use super::*;
use crate::capture::tools::have;

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
async fn a_flood_on_stderr_neither_blocks_nor_fills_memory() {
    let script = "import sys\nfor _ in range(160):\n    sys.stderr.write('x' * 65535 + '\\n')\nprint('done')";
    let process = started(&python(script)).await;
    assert_eq!(soon(process.wait_exit()).await, Exit::Code(0));
    assert_eq!(process.output(Stream::Stdout), b"done\n");
    let kept = process.output(Stream::Stderr).len();
    assert!((10_000..=80_000).contains(&kept), "{kept} bytes kept");
}

#[tokio::test]
async fn what_is_read_at_leisure_holds_nobody_up() {
    let script = "import sys\nfor _ in range(160):\n    sys.stderr.write('x' * 65535 + '\\n')\nprint('done')";
    let process = started(&python(script)).await;
    process.read_at_leisure();
    assert_eq!(soon(process.wait_exit()).await, Exit::Code(0));
    assert_eq!(process.output(Stream::Stdout), b"done\n");
}

#[tokio::test]
async fn what_is_read_at_leisure_is_there_for_whoever_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = Command { cwd: Some(folder.path().to_owned()), ..shell("cat here; echo said; touch there; cat wait") };
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("here"), 0o600.into()).expect("a pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("wait"), 0o600.into()).expect("a pipe");
    let process = started(&target).await;
    process.read_at_leisure();
    std::fs::write(folder.path().join("here"), "").expect("it is read");
    // The runtime waits with this, and reads nothing meanwhile.
    while !folder.path().join("there").exists() {
        std::thread::yield_now();
    }
    let (newest, lines) = process.lines_since(0);
    assert_eq!((lines.len(), lines[0].text.as_str()), (1, "said"));
    assert!(process.lines_since(newest).1.is_empty());
    std::fs::write(folder.path().join("wait"), "").expect("it is read");
    assert_eq!(soon(process.wait_exit()).await, Exit::Code(0));
}

#[tokio::test]
async fn redis_is_ready_when_it_listens() {
    if !have(&["redis-server"]) {
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
    if !have(&["redis-server"]) {
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
    if !have(&["memcached"]) {
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
