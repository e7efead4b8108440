//! Every target and every limit over real sockets: what holds whoever serves. The module above says who does.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{bind_at, serve_at};
use targets::{Address, Handle, Limits, Log, Note, Peer, Reply, ServeError, Server, Service};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// No test waits longer: what is expected comes at once, or never.
const WAIT_MAX: Duration = Duration::from_secs(20);

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(WAIT_MAX, future).await.expect("it comes at once")
}

pub(crate) fn log() -> (Log, UnboundedReceiver<String>) {
    let (sender, receiver) = unbounded_channel();
    let log = move |note: &Note| {
        let _ = sender.send(note.to_string());
    };
    (Arc::new(log), receiver)
}

pub(crate) fn quiet() -> Log {
    Arc::new(|_| ())
}

fn serve(name: &str, url: &str) -> Handle {
    serve_with(name, url, &[], Limits::default(), quiet())
}

fn serve_with(name: &str, url: &str, settings: &[(&str, &str)], limits: Limits, log: Log) -> Handle {
    serve_at(targets::find(name).unwrap(), &url.parse().unwrap(), settings, limits, log).unwrap()
}

fn bind(server: impl Server + 'static, limits: Limits, log: Log) -> Handle {
    bind_at(Arc::new(server), &"tcp://127.0.0.1:0".parse().unwrap(), limits, log).unwrap()
}

fn socket(handle: &Handle) -> SocketAddr {
    handle.address().socket().unwrap()
}

pub(crate) async fn connect(handle: &Handle) -> TcpStream {
    within(TcpStream::connect(socket(handle))).await.unwrap()
}

/// Sends `request`, half-closes, and gives all that comes until the server closes too.
pub(crate) async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    rest(stream).await.unwrap()
}

pub(crate) async fn rest(mut stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut output = Vec::new();
    within(stream.read_to_end(&mut output)).await.map(|_| output)
}

pub(crate) async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), message: &[u8]) {
    stream.write_all(message).await.unwrap();
    let mut back = vec![0; message.len()];
    within(stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, message);
}

/// A service that does what it is told when it is opened.
struct AtOpen(fn(&mut Reply));

impl Service for AtOpen {
    fn open(&mut self, reply: &mut Reply) {
        (self.0)(reply);
    }

    fn receive(&mut self, _: &[u8], _: &mut Reply) {}
}

#[tokio::test]
async fn an_echo_answers_everything_after_a_half_close_and_closes() {
    let message: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    for url in ["tcp://127.0.0.1:0", "tcp://[::1]:0"] {
        let handle = serve("tcp-echo", url);
        let (mut reader, mut writer) = connect(&handle).await.into_split();
        let message = message.clone();
        let sender = tokio::spawn({
            let message = message.clone();
            async move {
                writer.write_all(&message).await.unwrap();
                writer.shutdown().await.unwrap();
            }
        });
        assert!(rest(&mut reader).await.unwrap() == message);
        sender.await.unwrap();
    }
}

#[tokio::test]
async fn a_unix_socket_is_served_and_its_file_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.sock");
    let mut handle = serve("tcp-echo", &format!("unix://{}", path.display()));
    assert_eq!(ask(UnixStream::connect(&path).await.unwrap(), b"hello").await, b"hello");
    handle.stop();
    within(handle.ended()).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn datagrams_go_back_to_their_sender_only() {
    for (url, host) in [("udp://127.0.0.1:0", "127.0.0.1:0"), ("udp://[::1]:0", "[::1]:0")] {
        let handle = serve("udp-echo", url);
        let (alice, bob) = (UdpSocket::bind(host).await.unwrap(), UdpSocket::bind(host).await.unwrap());
        let longest = vec![b'x'; 65_507];
        let mut buffer = vec![0; 1 << 16];
        for message in [&b"hello"[..], b"", &longest] {
            alice.send_to(message, socket(&handle)).await.unwrap();
            bob.send_to(b"other", socket(&handle)).await.unwrap();
            let (len, from) = within(alice.recv_from(&mut buffer)).await.unwrap();
            assert!(&buffer[..len] == message);
            assert_eq!(from, socket(&handle));
            let (len, _) = within(bob.recv_from(&mut buffer)).await.unwrap();
            assert_eq!(&buffer[..len], b"other");
        }
    }
}

#[tokio::test]
async fn an_answer_that_no_datagram_holds_is_noted_and_the_next_is_sent() {
    let (log, mut notes) = log();
    let handle = serve_with("utf8", "udp://127.0.0.1:0", &[], Limits::default(), log);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(&[b'x'; 65_507], socket(&handle)).await.unwrap();
    let note = within(notes.recv()).await.unwrap();
    assert!(note.contains("cannot send an answer of 65531 bytes"), "{note}");
    client.send_to("녕".as_bytes(), socket(&handle)).await.unwrap();
    let mut buffer = [0; 100];
    let len = within(client.recv(&mut buffer)).await.unwrap();
    assert_eq!(str::from_utf8(&buffer[..len]), Ok("서버로부터 응답: 녕"));
}

#[tokio::test]
async fn a_unix_datagram_is_answered_where_its_sender_has_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = (folder.path().join("server"), folder.path().join("client"));
    let handle = serve("udp-echo", &format!("unixgram://{}", server.display()));
    UnixDatagram::unbound().unwrap().send_to(b"nobody", &server).await.unwrap();
    let client = UnixDatagram::bind(client).unwrap();
    client.send_to(b"hello", &server).await.unwrap();
    let mut buffer = [0; 100];
    let (len, _) = within(client.recv_from(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..len], b"hello");
    drop(handle);
    tokio::task::yield_now().await;
    assert!(!server.exists());
}

#[tokio::test]
async fn a_unix_datagram_peer_that_does_not_read_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (log, mut notes) = log();
    let url = format!("unixgram://{}", path("server").display());
    let _handle = serve_with("udp-echo", &url, &[], Limits::default(), log);
    let deaf = UnixDatagram::bind(path("deaf")).unwrap();
    let other = UnixDatagram::bind(path("other")).unwrap();
    while notes.is_empty() {
        within(deaf.send_to(b"x", path("server"))).await.unwrap();
        tokio::task::yield_now().await;
    }
    let note = within(notes.recv()).await.unwrap();
    assert!(note.contains("cannot send an answer of 1 bytes"), "{note}");
    other.send_to(b"hello", path("server")).await.unwrap();
    let mut buffer = [0; 100];
    let len = within(other.recv(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..len], b"hello");
}

#[tokio::test]
async fn a_thousand_connections_are_served_side_by_side() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, ..limit },
    )
    .unwrap();
    let handle = serve("tcp-echo", "tcp://127.0.0.1:0");
    let mut streams = Vec::new();
    for _ in 0..1_000 {
        streams.push(connect(&handle).await);
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        exchange(stream, format!("hello from {number}").as_bytes()).await;
    }
    for (number, stream) in streams.iter_mut().enumerate().rev() {
        exchange(stream, format!("and again from {number}").as_bytes()).await;
    }
}

#[tokio::test]
async fn a_connection_above_the_limit_is_closed_at_once_until_another_ends() {
    let (log, mut notes) = log();
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let handle = serve_with("tcp-echo", "tcp://127.0.0.1:0", &[], limits, log);
    let mut first = connect(&handle).await;
    exchange(&mut first, b"hello").await;
    let second = connect(&handle).await;
    let address = second.local_addr().unwrap();
    assert_eq!(rest(second).await.unwrap(), b"");
    let note = within(notes.recv()).await.unwrap();
    assert_eq!(note, format!("tcp peer {address}: closed at once, 1 connections are open"));
    assert_eq!(ask(first, b"bye").await, b"bye");
    exchange(&mut connect(&handle).await, b"hello").await;
}

#[tokio::test]
async fn a_reset_by_the_peer_ends_its_connection_and_no_other() {
    let (log, mut notes) = log();
    let handle = serve_with("tcp-echo", "tcp://127.0.0.1:0", &[], Limits::default(), log);
    let mut other = connect(&handle).await;
    let mut stream = connect(&handle).await;
    exchange(&mut stream, b"hello").await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    let note = within(notes.recv()).await.unwrap();
    assert!(note.contains("reset by peer"), "{note}");
    exchange(&mut other, b"still here").await;
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let (log, mut notes) = log();
    let limits = Limits { idle: Duration::from_millis(20), ..Limits::default() };
    let handle = serve_with("tcp-echo", "tcp://127.0.0.1:0", &[], limits, log);
    let mut stream = connect(&handle).await;
    exchange(&mut stream, b"hello").await;
    assert_eq!(rest(stream).await.unwrap(), b"");
    let note = within(notes.recv()).await.unwrap();
    assert!(note.ends_with("closed, it was silent for too long"), "{note}");
}

#[tokio::test]
async fn an_answer_survives_what_its_client_sends_after_it() {
    let handle = serve("greeting", "tcp://127.0.0.1:0");
    let mut stream = connect(&handle).await;
    stream.write_all(b"h").await.unwrap();
    within(stream.readable()).await.unwrap();
    stream.write_all(&[b'x'; 100_000]).await.unwrap();
    assert_eq!(ask(stream, b"still").await, b"Hello, client!");
}

#[tokio::test]
async fn without_lingering_the_same_client_is_reset() {
    let limits = Limits { linger: Duration::ZERO, ..Limits::default() };
    let handle = serve_with("greeting", "tcp://127.0.0.1:0", &[], limits, quiet());
    let mut stream = connect(&handle).await;
    stream.write_all(b"h").await.unwrap();
    assert_eq!(rest(&mut stream).await.unwrap(), b"Hello, client!");
    while stream.write_all(b"x").await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_service_can_reset_its_connection() {
    let handle = bind(|_: &Peer| AtOpen(Reply::reset), Limits::default(), quiet());
    // It may be reset before its client knows that it is connected.
    let error = match within(TcpStream::connect(socket(&handle))).await {
        Ok(stream) => rest(stream).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_service_that_panics_loses_its_connection_only() {
    struct Panics;
    impl Service for Panics {
        fn receive(&mut self, input: &[u8], reply: &mut Reply) {
            assert_ne!(input, b"panic", "as asked");
            reply.send(input);
        }
    }
    let (log, mut notes) = log();
    let handle = bind(|_: &Peer| Panics, Limits::default(), log);
    let mut other = connect(&handle).await;
    let mut stream = connect(&handle).await;
    stream.write_all(b"panic").await.unwrap();
    assert_eq!(rest(stream).await.unwrap(), b"");
    assert_eq!(within(notes.recv()).await.unwrap(), "a service panicked, its connection is closed");
    exchange(&mut other, b"hello").await;
}

#[tokio::test]
async fn a_one_shot_serves_one_connection_and_is_gone() {
    let mut handle = serve("one-shot", "tcp://127.0.0.1:0");
    let mut stream = connect(&handle).await;
    stream.write_all(b"hello").await.unwrap();
    assert_eq!(rest(&mut stream).await.unwrap(), b"hello");
    let refused = TcpStream::connect(socket(&handle)).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    drop(stream);
    within(handle.ended()).await;
    within(handle.ended()).await; // and may be asked again
}

#[tokio::test]
async fn a_stop_closes_the_port_and_every_quiet_connection() {
    let mut handle = serve("tcp-echo", "tcp://127.0.0.1:0");
    let mut stream = connect(&handle).await;
    exchange(&mut stream, b"hello").await;
    handle.stop();
    within(handle.ended()).await;
    assert_eq!(rest(stream).await.unwrap(), b"");
    let refused = TcpStream::connect(socket(&handle)).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

const LONG: usize = 20 << 20;

fn sends_long(_: &Peer) -> AtOpen {
    AtOpen(|reply| reply.send(&vec![b'x'; LONG]))
}

#[tokio::test]
async fn a_stop_lets_a_connection_write_what_is_pending() {
    let mut handle = bind(sends_long, Limits { grace: WAIT_MAX, ..Limits::default() }, quiet());
    let mut stream = connect(&handle).await;
    within(stream.read_u8()).await.unwrap();
    handle.stop();
    assert_eq!(rest(&mut stream).await.unwrap().len(), LONG - 1);
    drop(stream);
    within(handle.ended()).await;
}

#[tokio::test]
async fn a_stop_cuts_a_connection_that_is_not_read_when_the_grace_is_over() {
    let (log, mut notes) = log();
    let mut handle = bind(sends_long, Limits { grace: Duration::from_millis(10), ..Limits::default() }, log);
    let mut stream = connect(&handle).await;
    within(stream.read_u8()).await.unwrap();
    handle.stop();
    within(handle.ended()).await;
    assert_eq!(within(notes.recv()).await.unwrap(), "cut 1 connections that were still writing");
    assert!(rest(stream).await.map_or(0, |rest| rest.len()) < LONG - 1);
}

#[tokio::test]
async fn a_dropped_handle_closes_everything_at_once() {
    let handle = bind(sends_long, Limits::default(), quiet());
    let address = socket(&handle);
    let mut stream = connect(&handle).await;
    within(stream.read_u8()).await.unwrap();
    drop(handle);
    assert!(rest(stream).await.map_or(0, |rest| rest.len()) < LONG - 1);
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_frame_above_the_limit_gets_a_failure_and_the_end() {
    let limits = Limits { frame_len_max: 20, ..Limits::default() };
    let handle = serve_with("kv", "tcp://127.0.0.1:0", &[], limits, quiet());
    let mut stream = connect(&handle).await;
    stream.write_all(&[0, 0, 0, 21]).await.unwrap();
    stream.write_all(&[b'x'; 100_000]).await.unwrap();
    let failure = b"\0\0\0\x15\xff\0\0\0\0\0\x03frame too long";
    assert_eq!(rest(&mut stream).await.unwrap(), failure);
}

#[tokio::test]
async fn clients_of_a_server_share_its_state_and_servers_do_not() {
    let (one, two) = (serve("lines", "tcp://127.0.0.1:0"), serve("lines", "tcp://127.0.0.1:0"));
    assert_eq!(ask(connect(&one).await, b"SET a 1\n").await, b"OK\n");
    assert_eq!(ask(connect(&one).await, b"GET a\n").await, b"VALUE 1\n");
    assert_eq!(ask(connect(&two).await, b"GET a\n").await, b"ERR 404 no such key\n");
}

#[tokio::test]
async fn the_small_servers_say_what_they_should() {
    let bytes = serve("chargen", "tcp://127.0.0.1:0");
    let pattern = ask(connect(&bytes).await, b"ignored").await;
    assert_eq!(pattern.len(), 1 << 20);
    assert!(pattern.starts_with(b" !\"#$%&'()*+"));
    assert_eq!(ask(connect(&serve("discard", "tcp://127.0.0.1:0")).await, &[b'x'; 1_000_000]).await, b"");
    let daytime = rest(connect(&serve("daytime", "tcp://127.0.0.1:0")).await).await.unwrap();
    assert!(daytime.ends_with(b"-UTC\r\n"));
    let answer = ask(connect(&serve("utf8", "tcp://127.0.0.1:0")).await, "안녕".as_bytes()).await;
    assert_eq!(str::from_utf8(&answer), Ok("서버로부터 응답: 안녕"));
}

#[tokio::test]
async fn a_datagram_gets_a_part_of_the_pattern_or_the_time() {
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut buffer = [0; 1_000];
    let settings = &[("datagram", "100")];
    let handle = serve_with("chargen", "udp://127.0.0.1:0", settings, Limits::default(), quiet());
    client.send_to(b"", socket(&handle)).await.unwrap();
    assert_eq!(within(client.recv(&mut buffer)).await.unwrap(), 100);
    let handle = serve("daytime", "udp://127.0.0.1:0");
    client.send_to(b"", socket(&handle)).await.unwrap();
    let len = within(client.recv(&mut buffer)).await.unwrap();
    assert!(buffer[..len].ends_with(b"-UTC\r\n"));
}

#[track_caller]
fn check_refused(name: &str, url: &str, settings: &[(&str, &str)], expected: &str) {
    let target = targets::find(name).unwrap();
    let served = serve_at(target, &url.parse().unwrap(), settings, Limits::default(), quiet());
    assert_eq!(served.unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_its_reason() {
    check_refused("kv", "udp://127.0.0.1:0", &[], "`kv`: expected one of `tcp`, `unix`, got `udp`");
    check_refused("kv", "tcp://127.0.0.1:0", &[("key", "1")], "expected one of `bytes`, `keys`, got `key`");
    check_refused("discard", "tcp://127.0.0.1:0", &[("key", "1")], "expected no settings, got `key`");
    let taken = serve("tcp-echo", "tcp://127.0.0.1:0");
    let url = taken.address().to_string();
    check_refused("kv", &url, &[], &format!("cannot listen on `{url}`: Address already in use (os error 98)"));
    let target = targets::find("kv").unwrap();
    let address = Address::Unix("/nowhere/kv.sock".into());
    let none: &[(&str, &str)] = &[];
    let served = serve_at(target, &address, none, Limits::default(), quiet());
    assert!(matches!(served, Err(ServeError::Bind { .. })));
}

/// Sends datagrams one after the other, and gives the answers of which all but the last came before `last` did.
async fn datagrams(handle: &Handle, sent: &[&str], last: &str) -> Vec<String> {
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for message in sent {
        client.send_to(message.as_bytes(), socket(handle)).await.unwrap();
    }
    let (mut heard, mut buffer) = (Vec::new(), [0; 100]);
    while heard.last().is_none_or(|heard| heard != last) {
        let len = within(client.recv(&mut buffer)).await.unwrap();
        heard.push(str::from_utf8(&buffer[..len]).unwrap().to_owned());
    }
    heard
}

#[tokio::test]
async fn a_lossy_echo_leaves_datagrams_out_and_another_swaps_them() {
    let handle = serve_with("drop", "udp://127.0.0.1:0", &[("every", "3")], Limits::default(), quiet());
    assert_eq!(datagrams(&handle, &["1", "2", "3", "4", "5"], "5").await, ["1", "2", "4", "5"]);
    let handle = serve_with("reorder", "udp://127.0.0.1:0", &[("hold", "500ms")], Limits::default(), quiet());
    assert_eq!(datagrams(&handle, &["1", "2", "3", "4", "5"], "5").await, ["2", "1", "4", "3", "5"]);
    // The next is the second of a pair whose first was answered long ago.
    assert_eq!(datagrams(&handle, &["1", "2", "3"], "2").await, ["1", "3", "2"]);
}

#[tokio::test]
async fn delayed_answers_leave_when_they_are_due_and_not_before() {
    let settings = &[("delay", "20ms")];
    for url in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"] {
        let handle = serve_with("delay", url, settings, Limits::default(), quiet());
        let start = Instant::now();
        if url.starts_with("tcp") {
            let mut stream = connect(&handle).await;
            exchange(&mut stream, b"one").await;
            assert_eq!(ask(stream, b"two").await, b"two", "a half-close loses nothing");
        } else {
            assert_eq!(datagrams(&handle, &["1", "2", "3"], "3").await, ["1", "2", "3"]);
        }
        assert!(start.elapsed() >= Duration::from_millis(20));
    }
}
