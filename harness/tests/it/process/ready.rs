//! When a target is ready, and why one does not start.

use super::*;

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
    if !has_ipv6() {
        return;
    }
    let target = Command { address: Some(Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))), ..python(&script) };
    started(&target).await.stop().await;
}

/// Whether this machine has IPv6 at all.
fn has_ipv6() -> bool {
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
        ready_within: Duration::from_secs(1),
        ..shell("echo pid $$; exec sleep 1000")
    };
    let error = refused(&target).await;
    let message = format!("the target was not ready within 1s: expected `tcp://{address}` to be listening");
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
async fn a_start_that_is_given_up_leaves_neither_target_nor_probe() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let up = listener.local_addr().expect("an address").port();
    let script = format!(
        "import os, socket, time\npeer = socket.create_connection(('127.0.0.1', {up}))\n\
         peer.sendall(b'%d %d' % (os.getpid(), os.getppid()))\npeer.shutdown(1)\ntime.sleep(1000)"
    );
    let target = Command { ready: Ready::Command(python(&script).argv), ..python(&script) };
    let both_run = async {
        let mut handles = Vec::new();
        for _ in 0..2 {
            let (mut peer, _) = listener.accept().await.expect("a connection");
            let mut numbers = String::new();
            peer.read_to_string(&mut numbers).await.expect("two numbers");
            handles.extend(numbers.split(' ').map(|number| handle(number.parse().expect("a number"))));
        }
        handles
    };
    let guard = guard();
    let handles = tokio::select! {
        handles = soon(both_run) => handles,
        started = start(&target, &guard) => panic!("the probe does not succeed: {started:?}"),
    };
    assert_eq!(handles.len(), 4, "the target, the probe and their guards");
    for handle in handles {
        ended(handle).await;
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
    check(
        Command { ready: Ready::Connect, ..shell("sleep 1000") },
        "`ready = \"connect\"` needs an address to connect to",
    )
    .await;
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
