//! A server that runs out of descriptors. Alone in its process, whose limit it lowers.

#![expect(clippy::disallowed_methods, reason = "tests look at the world from outside")]

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use targets::{Limits, Note};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

#[tokio::test]
async fn a_server_without_descriptors_waits_and_accepts_when_there_are_some_again() {
    let (sender, mut notes) = unbounded_channel();
    let log = Arc::new(move |note: &Note| {
        let _ = sender.send(note.to_string());
    });
    let target = targets::find("tcp-echo").unwrap();
    let address = "tcp://127.0.0.1:0".parse().unwrap();
    let handle = targets::serve::<&str>(target, &address, &[], Limits::default(), log).unwrap();

    // The client's own descriptor is the last one that there is.
    let free = std::fs::File::open("/dev/null").unwrap();
    let limit = getrlimit(Resource::Nofile);
    let lowest = Rlimit { current: Some(free.as_raw_fd() as u64 + 1), ..limit };
    drop(free);
    setrlimit(Resource::Nofile, lowest).unwrap();
    let mut stream = TcpStream::connect(handle.address().socket().unwrap()).await.unwrap();
    let start = Instant::now();
    let mut tries = Vec::new();
    for _ in 0..3 {
        tries.push(timeout(Duration::from_secs(20), notes.recv()).await.unwrap().unwrap());
    }
    assert_eq!(tries, vec!["cannot accept: Too many open files (os error 24)"; 3]);
    assert!(start.elapsed() >= Duration::from_millis(90), "it spins: {:?}", start.elapsed());

    setrlimit(Resource::Nofile, limit).unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(timeout(Duration::from_secs(20), stream.read_u8()).await.unwrap().unwrap(), b'x');
}
