//! What threads of their own add: a connection that has a thread to itself, several threads, bells, pauses.

use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use targets::{Bell, Handle, Limits, Log, Reply, Service};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::both::{ask, connect, exchange, log, quiet, rest, within};
use super::{ONE, bind_at};

/// More messages than it takes until a server's only connection is read by a thread of its own.
const MANY: usize = 100;

fn echo(limits: Limits, log: Log) -> Handle {
    targets::serve_raw::<&str>(
        targets::find("tcp-echo").unwrap(),
        &"tcp://127.0.0.1:0".parse().unwrap(),
        &[],
        limits,
        log,
        ONE,
    )
    .unwrap()
}

async fn alone(handle: &Handle) -> TcpStream {
    let mut stream = connect(handle).await;
    for _ in 0..MANY {
        exchange(&mut stream, b"hello").await;
    }
    stream
}

#[tokio::test]
async fn a_lone_connection_and_those_that_join_it_are_served() {
    let handle = echo(Limits::default(), quiet());
    let mut first = alone(&handle).await;
    let mut second = connect(&handle).await;
    exchange(&mut second, b"while the first says nothing").await;
    for _ in 0..MANY {
        exchange(&mut first, b"one").await;
        exchange(&mut second, b"two").await;
    }
    drop(second);
    for _ in 0..MANY {
        exchange(&mut first, b"alone again").await;
    }
    assert_eq!(ask(first, b"bye").await, b"bye");
}

#[tokio::test]
async fn a_lone_connection_that_its_peer_does_not_read_gets_all_in_the_end() {
    let handle = echo(Limits::default(), quiet());
    let (mut reader, mut writer) = alone(&handle).await.into_split();
    let message: Vec<u8> = (0..20_000_000_u32).map(|n| (n >> 3) as u8).collect();
    let sent = message.clone();
    let sender = tokio::spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert!(rest(&mut reader).await.unwrap() == message);
    sender.await.unwrap();
}

#[tokio::test]
async fn a_lone_connection_that_falls_silent_is_closed() {
    let (log, mut notes) = log();
    let handle = echo(Limits { idle: Duration::from_millis(20), ..Limits::default() }, log);
    assert_eq!(rest(alone(&handle).await).await.unwrap(), b"");
    let note = within(notes.recv()).await.unwrap();
    assert!(note.ends_with("closed, it was silent for too long"), "{note}");
    exchange(&mut alone(&handle).await, b"the next is served").await;
}

#[tokio::test]
async fn a_lone_connection_ends_with_a_stop_and_with_the_handle() {
    let mut handle = echo(Limits::default(), quiet());
    let stream = alone(&handle).await;
    handle.stop();
    within(handle.ended()).await;
    assert_eq!(rest(stream).await.unwrap(), b"");
    let handle = echo(Limits::default(), quiet());
    let stream = alone(&handle).await;
    drop(handle);
    assert_eq!(rest(stream).await.unwrap(), b"");
}

#[tokio::test]
async fn a_lone_connection_that_is_reset_is_noted() {
    let (log, mut notes) = log();
    let handle = echo(Limits::default(), log);
    let stream = alone(&handle).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    let note = within(notes.recv()).await.unwrap();
    assert!(note.contains("reset by peer"), "{note}");
    exchange(&mut connect(&handle).await, b"hello").await;
}

/// Echoes, and does what a letter asks for.
struct Obeys;

impl Service for Obeys {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        reply.send(input);
        match input {
            b"close" => reply.close(),
            b"panic" => panic!("as asked"),
            b"pause" => reply.pause(Duration::from_millis(20)),
            b"reset" => reply.reset(),
            b"alarm" => reply.wake_after(Duration::from_millis(20)),
            _ => {}
        }
    }

    fn timed_out(&mut self, reply: &mut Reply) {
        reply.send(b"timed out");
    }
}

#[tokio::test]
async fn what_a_lone_connection_asks_for_is_done() {
    let (log, mut notes) = log();
    let address = "tcp://127.0.0.1:0".parse().unwrap();
    let handle = bind_at(Arc::new(|_: &targets::Peer| Obeys), &address, Limits::default(), log).unwrap();
    let mut stream = alone(&handle).await;
    let start = Instant::now();
    exchange(&mut stream, b"pause").await;
    assert!(start.elapsed() >= Duration::from_millis(20));
    for _ in 0..MANY {
        exchange(&mut stream, b"hello").await;
    }
    let start = Instant::now();
    exchange(&mut stream, b"alarm").await;
    let mut answer = [0; 9];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"timed out");
    assert!(start.elapsed() >= Duration::from_millis(20));
    drop(stream);

    let mut stream = alone(&handle).await;
    stream.write_all(b"close").await.unwrap();
    assert_eq!(rest(stream).await.unwrap(), b"close");
    let mut stream = alone(&handle).await;
    stream.write_all(b"reset").await.unwrap();
    assert_eq!(rest(stream).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let mut stream = alone(&handle).await;
    stream.write_all(b"panic").await.unwrap();
    assert_eq!(rest(stream).await.unwrap(), b"");
    assert_eq!(within(notes.recv()).await.unwrap(), "a service panicked, its connection is closed");
    exchange(&mut connect(&handle).await, b"hello").await;
}

#[tokio::test]
async fn connections_are_shared_among_threads() {
    let (log, mut notes) = log();
    let target = targets::find("lines").unwrap();
    let address = "tcp://127.0.0.1:0".parse().unwrap();
    let limits = Limits { connections_max: 7, ..Limits::default() };
    let three = NonZeroUsize::new(3).unwrap();
    let mut handle = targets::serve_raw::<&str>(target, &address, &[], limits, log, three).unwrap();
    let mut streams = Vec::new();
    for number in 0..7 {
        let mut stream = connect(&handle).await;
        stream.write_all(format!("SET {number} x\n").as_bytes()).await.unwrap();
        assert_eq!(within(stream.read_u8()).await.unwrap(), b'O');
        streams.push(stream);
    }
    assert_eq!(rest(connect(&handle).await).await.unwrap(), b"");
    let note = within(notes.recv()).await.unwrap();
    assert!(note.ends_with("closed at once, 7 connections are open"), "{note}");
    let last = ask(streams.pop().unwrap(), b"GET 0\nGET 5\n").await;
    assert_eq!(str::from_utf8(&last), Ok("K\nVALUE x\nVALUE x\n"), "they have one server");
    handle.stop();
    within(handle.ended()).await;
    for stream in streams {
        assert_eq!(rest(stream).await.unwrap(), b"K\n");
    }
}

#[tokio::test]
async fn a_bell_is_heard_by_a_connection_of_another_thread() {
    /// The first connection has a bell, all others ring it.
    struct Rings(Arc<Mutex<Option<Bell>>>);
    impl Service for Rings {
        fn open(&mut self, reply: &mut Reply) {
            self.0.lock().unwrap().get_or_insert_with(|| reply.bell());
        }
        fn receive(&mut self, input: &[u8], reply: &mut Reply) {
            reply.send(input);
            self.0.lock().unwrap().as_ref().unwrap().ring();
        }
        fn woken(&mut self, reply: &mut Reply) {
            reply.send(b"rung");
        }
    }
    for threads in [1, 2] {
        let bell = Arc::new(Mutex::new(None));
        let server = Arc::new(move |_: &targets::Peer| Rings(Arc::clone(&bell)));
        let address = "tcp://127.0.0.1:0".parse().unwrap();
        let threads = NonZeroUsize::new(threads).unwrap();
        let handle = targets::bind_raw(server, &address, Limits::default(), quiet(), threads).unwrap();
        let mut first = connect(&handle).await;
        exchange(&mut first, b"x").await;
        let mut heard = [0; 4];
        within(first.read_exact(&mut heard)).await.unwrap();
        exchange(&mut connect(&handle).await, b"y").await;
        within(first.read_exact(&mut heard)).await.unwrap();
        assert_eq!(&heard, b"rung");
    }
}

#[tokio::test]
async fn a_pause_between_datagrams_does_not_outlive_the_server() {
    let settings = &[("lie", "late"), ("delay", "3600s")];
    let target = targets::find("liar").unwrap();
    let address = "udp://127.0.0.1:0".parse().unwrap();
    let mut handle = targets::serve_raw(target, &address, settings, Limits::default(), quiet(), ONE).unwrap();
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(b"ping", handle.address().socket().unwrap()).await.unwrap();
    handle.stop();
    within(handle.ended()).await;
}

#[tokio::test]
async fn a_service_that_is_never_done_does_not_keep_the_thread() {
    let settings = &[("bytes", "0")];
    let target = targets::find("chargen").unwrap();
    let address = "tcp://127.0.0.1:0".parse().unwrap();
    let handle = targets::serve_raw(target, &address, settings, Limits::default(), quiet(), ONE).unwrap();
    let mut reader = std::net::TcpStream::connect(handle.address().socket().unwrap()).unwrap();
    let reads = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while std::io::Read::read(&mut reader, &mut buffer).is_ok_and(|len| len > 0) {}
    });
    for _ in 0..10 {
        assert_eq!(within(connect(&handle).await.read_u8()).await.unwrap(), b' ');
    }
    drop(handle);
    reads.join().unwrap();
}
