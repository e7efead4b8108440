//! Servers on sockets, as tasks of a runtime.
#![expect(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod sockets;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockets::{log, quiet, within};
use targets::{Bell, Dial, Handle, Limits, Log, Peer, Reply, Server, Service};
use targets::{bind as bind_at, serve as serve_at};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

fn bind(server: impl Server + 'static, limits: Limits, log: Log) -> Handle {
    bind_at(Arc::new(server), &"tcp://127.0.0.1:0".parse().unwrap(), limits, log).unwrap()
}

async fn connect(handle: &Handle) -> TcpStream {
    within(TcpStream::connect(handle.address().socket().unwrap())).await.unwrap()
}

/// Connects to `to` as soon as it listens, and once more when that is over, and says hello.
struct Dials {
    to: SocketAddr,
    left: Mutex<usize>,
    bell: Arc<Mutex<Bell>>,
}

impl Server for Dials {
    fn accept(&self, _: &Peer) -> Box<dyn Service> {
        Box::new(Hello(Arc::clone(&self.bell)))
    }

    fn listens(&self, local: Option<SocketAddr>, bell: Bell) {
        assert!(local.is_some_and(|local| local.port() != 0));
        *self.bell.lock().unwrap() = bell;
    }

    fn dial(&self) -> Option<Dial> {
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(1)?;
        Some(Dial { to: self.to, after: Duration::ZERO, service: Box::new(Hello(Arc::clone(&self.bell))) })
    }
}

struct Hello(Arc<Mutex<Bell>>);

impl Service for Hello {
    fn open(&mut self, reply: &mut Reply) {
        reply.send(b"hello");
        reply.wake_after(Duration::MAX);
    }

    fn receive(&mut self, _: &[u8], _: &mut Reply) {}
}

impl Drop for Hello {
    fn drop(&mut self) {
        self.0.lock().unwrap().ring();
    }
}

fn dials(to: SocketAddr, times: usize) -> Dials {
    Dials { to, left: Mutex::new(times), bell: Arc::default() }
}

#[tokio::test]
async fn a_server_connects_to_others_when_it_wants_to() {
    let other = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    let mut handle = bind(dials(other.local_addr().unwrap(), 2), Limits::default(), quiet());
    for _ in 0..2 {
        let (mut stream, _) = within(other.accept()).await.unwrap();
        let mut hello = [0; 5];
        within(stream.read_exact(&mut hello)).await.unwrap();
        assert_eq!(&hello, b"hello");
        drop(stream); // which rings its bell
    }
    let mut hello = [0; 5];
    within(connect(&handle).await.read_exact(&mut hello)).await.unwrap();
    assert_eq!(&hello, b"hello", "and it serves as ever");
    handle.stop();
    within(handle.ended()).await;
}

#[tokio::test]
async fn a_server_does_not_connect_to_other_machines() {
    let (log, mut notes) = log();
    let _handle = bind(dials("192.0.2.1:7".parse().unwrap(), 1), Limits::default(), log);
    let note = within(notes.recv()).await.unwrap();
    assert_eq!(note, "tcp peer 192.0.2.1:7: a server connects to this machine only");
}
