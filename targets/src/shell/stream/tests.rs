//! Over an in-memory stream, where time is moved by hand: it advances when nothing else can happen.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::super::{Limits, Stop};
use super::*;
use crate::service::{Reply, Service};

/// How much the in-memory stream holds in each direction.
const STREAM_LEN: usize = 1_000;

struct Echo;

impl Service for Echo {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        reply.send(input);
    }
}

/// Serves an echo on one end, and gives the other.
fn echo(limits: Limits) -> (DuplexStream, Arc<Context>, tokio::task::JoinHandle<io::Result<Over>>) {
    connect(Arc::new(|_: &Peer| Echo), limits)
}

/// The same with any server.
fn connect(
    server: Arc<dyn crate::service::Server>,
    limits: Limits,
) -> (DuplexStream, Arc<Context>, tokio::task::JoinHandle<io::Result<Over>>) {
    let (ours, mut theirs) = duplex(STREAM_LEN);
    let context = Arc::new(Context { server, limits, log: Arc::new(|_| ()), stop: Stop::default() });
    let server = Arc::clone(&context);
    let task = tokio::spawn(async move {
        let peer = Peer::new(0, Transport::Tcp, None);
        let mut connection = Connection::open(&*server.server, &peer, server.limits.output_len_max);
        drive(&mut theirs, &mut connection, &mut Alarm::default(), &server).await
    });
    (ours, context, task)
}

#[tokio::test(start_paused = true)]
async fn from_a_peer_that_does_not_read_no_more_is_read_than_the_output_limit() {
    let (mut ours, _, task) = echo(Limits { output_len_max: 5_000, ..Limits::default() });
    let mut sent = 0;
    while let Ok(written) = timeout(Duration::from_secs(1), ours.write(&[b'x'; 700])).await {
        sent += written.unwrap();
    }
    // One of the stream's buffers in each direction, the output up to its limit, and the read that passed it.
    assert!((5_000 + 2 * STREAM_LEN..=5_000 + 3 * STREAM_LEN).contains(&sent), "{sent}");
    let mut back = vec![0; sent];
    ours.read_exact(&mut back).await.unwrap();
    ours.write_all(b"y").await.unwrap();
    assert_eq!(ours.read_u8().await.unwrap(), b'y', "it goes on");
    assert!(!task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_between_the_idle_time_and_a_quarter_more() {
    let (ours, _, task) = echo(Limits { idle: Duration::from_secs(8), ..Limits::default() });
    let start = Instant::now();
    assert!(matches!(task.await, Ok(Ok(Over::Idle))));
    assert!((8..=10).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    drop(ours);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_something_now_and_then_is_kept() {
    let (mut ours, _, task) = echo(Limits { idle: Duration::from_secs(8), ..Limits::default() });
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(7)).await;
        ours.write_all(b"x").await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), b'x');
    }
    let start = Instant::now();
    assert!(matches!(task.await, Ok(Ok(Over::Idle))));
    assert!((8..=10).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_time_of_zero_keeps_a_connection_for_ever() {
    let (mut ours, _, task) = echo(Limits { idle: Duration::ZERO, ..Limits::default() });
    tokio::time::advance(Duration::from_secs(1_000_000)).await;
    ours.write_all(b"x").await.unwrap();
    assert_eq!(ours.read_u8().await.unwrap(), b'x');
    assert!(!task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_silent_too() {
    let (mut ours, _, task) = echo(Limits { idle: Duration::from_secs(8), output_len_max: 5_000, ..Limits::default() });
    while timeout(Duration::from_secs(1), ours.write(&[b'x'; 700])).await.is_ok() {}
    assert!(matches!(task.await, Ok(Ok(Over::Idle))));
}

#[tokio::test(start_paused = true)]
async fn a_stop_writes_what_is_pending_and_reads_no_more() {
    let (mut ours, context, task) = echo(Limits::default());
    ours.write_all(&[b'x'; 3 * STREAM_LEN]).await.unwrap();
    tokio::task::yield_now().await;
    context.stop.set();
    tokio::task::yield_now().await;
    let _ = ours.write(b"too late").await;
    let mut back = vec![0; 3 * STREAM_LEN];
    ours.read_exact(&mut back).await.unwrap();
    assert!(matches!(task.await, Ok(Ok(Over::Ended(Ending::Close)))));
    assert_eq!(ours.read(&mut back).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_first_byte_ends_a_connection() {
    let (ours, context, task) = echo(Limits { idle: Duration::ZERO, ..Limits::default() });
    context.stop.set();
    assert!(matches!(task.await, Ok(Ok(Over::Stopped))));
    drop(ours);
}

/// Gives its bell away, says that it was woken, and closes when nothing came for 100 seconds.
struct Called(Arc<std::sync::Mutex<Option<crate::Bell>>>);

impl Service for Called {
    fn open(&mut self, reply: &mut Reply) {
        *self.0.lock().unwrap() = Some(reply.bell());
        reply.wake_after(Duration::from_secs(100));
    }

    fn receive(&mut self, _: &[u8], reply: &mut Reply) {
        reply.wake_after(Duration::from_secs(100));
    }

    fn woken(&mut self, reply: &mut Reply) {
        reply.send(b"!");
    }

    fn timed_out(&mut self, reply: &mut Reply) {
        reply.send(b".");
        reply.close();
    }
}

#[tokio::test(start_paused = true)]
async fn a_bell_wakes_a_connection_that_waits_for_input() {
    let bell = Arc::default();
    let calls = Arc::clone(&bell);
    let (mut ours, _, task) = connect(Arc::new(move |_: &Peer| Called(Arc::clone(&calls))), Limits::default());
    tokio::task::yield_now().await;
    let rings = bell.lock().unwrap().clone().unwrap();
    for _ in 0..3 {
        rings.ring();
        rings.ring();
        assert_eq!(ours.read_u8().await.unwrap(), b'!');
    }
    assert!(timeout(Duration::from_secs(1), ours.read_u8()).await.is_err(), "two rings are one wake");
    assert!(!task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_service_with_a_time_of_its_own_is_called_then_and_not_closed_before() {
    let bell = Arc::default();
    let limits = Limits { idle: Duration::from_secs(8), ..Limits::default() };
    let (mut ours, _, task) = connect(Arc::new(move |_: &Peer| Called(Arc::clone(&bell))), limits);
    let start = Instant::now();
    tokio::time::sleep(Duration::from_secs(90)).await;
    ours.write_all(b"x").await.unwrap();
    assert_eq!(ours.read_u8().await.unwrap(), b'.');
    assert_eq!(start.elapsed().as_secs(), 190);
    assert!(matches!(task.await, Ok(Ok(Over::Ended(Ending::Close)))));
}

#[tokio::test]
async fn a_listener_that_is_gone_refuses_even_where_a_child_still_holds_it() {
    let tcp = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = tcp.local_addr().unwrap();
    let held = SockRef::from(&tcp.0).try_clone().unwrap();
    drop(tcp);
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    drop(held);
}
