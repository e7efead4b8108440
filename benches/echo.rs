//! Echo servers and clients with as little in them as there can be: what the engine is measured against.
//!
//! All of them stand on one core. Between two cores a round trip is mostly the time that a sleeping core takes to wake.

use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use harness::runner::Address;
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};

/// How long a message is.
pub const MESSAGE_LEN: usize = 64;

/// What goes there and back.
pub const MESSAGE: &[u8; MESSAGE_LEN] = &[b'x'; MESSAGE_LEN];

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Keeps this thread, and those that it starts from here on, on the first core.
pub fn pin() -> io::Result<()> {
    let mut first = CpuSet::new();
    first.set(0);
    Ok(sched_setaffinity(None, &first)?)
}

/// A runtime like the one of `harness run`.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP without Nagle's delay.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// Both.
    pub const ALL: [Transport; 2] = [Transport::Tcp, Transport::Udp];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        }
    }

    fn address(self, socket: SocketAddr) -> Address {
        match self {
            Transport::Tcp => Address::Tcp(socket),
            Transport::Udp => Address::Udp(socket),
        }
    }
}

/// How a server waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// In the system call.
    Blocking,
    /// In tokio.
    Tokio,
}

impl Wait {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Wait::Blocking => "blocking",
            Wait::Tokio => "tokio",
        }
    }
}

/// Starts an echo server on a thread that lives as long as the program, and says where it is.
pub fn serve(transport: Transport, wait: Wait) -> io::Result<Address> {
    let address = match transport {
        Transport::Tcp => {
            let listener = TcpListener::bind(ANY)?;
            let address = listener.local_addr()?;
            match wait {
                Wait::Blocking => drop(thread::spawn(move || serve_tcp(&listener))),
                Wait::Tokio => {
                    listener.set_nonblocking(true)?;
                    thread::spawn(move || runtime()?.block_on(serve_tcp_tokio(listener)));
                }
            }
            address
        }
        Transport::Udp => {
            let socket = UdpSocket::bind(ANY)?;
            let address = socket.local_addr()?;
            match wait {
                Wait::Blocking => drop(thread::spawn(move || serve_udp(&socket))),
                Wait::Tokio => {
                    socket.set_nonblocking(true)?;
                    thread::spawn(move || runtime()?.block_on(serve_udp_tokio(socket)));
                }
            }
            address
        }
    };
    Ok(transport.address(address))
}

fn serve_tcp(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        thread::spawn(move || -> io::Result<()> {
            let mut buffer = [0; 1 << 16];
            loop {
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    len => stream.write_all(&buffer[..len])?,
                }
            }
        });
    }
}

async fn serve_tcp_tokio(listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            loop {
                match stream.read(&mut buffer).await? {
                    0 => return io::Result::Ok(()),
                    len => stream.write_all(&buffer[..len]).await?,
                }
            }
        });
    }
}

fn serve_udp(socket: &UdpSocket) -> io::Result<()> {
    let mut buffer = [0; 1 << 16];
    loop {
        let (len, peer) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..len], peer)?;
    }
}

async fn serve_udp_tokio(socket: UdpSocket) -> io::Result<()> {
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (len, peer) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..len], peer).await?;
    }
}

/// Makes so many round trips, and says how long they took without what comes before and after.
pub type Client = Box<dyn FnMut(u64) -> Duration>;

/// A client in blocking system calls.
pub fn blocking(server: &Address) -> io::Result<Client> {
    let mut buffer = [0; MESSAGE_LEN];
    Ok(match server {
        Address::Tcp(peer) => {
            let mut stream = TcpStream::connect(peer)?;
            stream.set_nodelay(true)?;
            timed(move || {
                stream.write_all(MESSAGE)?;
                stream.read_exact(&mut buffer)
            })
        }
        Address::Udp(peer) => {
            let socket = UdpSocket::bind(ANY)?;
            socket.connect(peer)?;
            timed(move || {
                socket.send(MESSAGE)?;
                socket.recv(&mut buffer).map(drop)
            })
        }
        Address::Unix(_) | Address::Unixgram(_) => return Err(io::ErrorKind::Unsupported.into()),
    })
}

fn timed(mut round_trip: impl FnMut() -> io::Result<()> + 'static) -> Client {
    Box::new(move |times| {
        let started = Instant::now();
        for _ in 0..times {
            round_trip().expect("the echo server answers");
        }
        started.elapsed()
    })
}

/// A client over tokio.
pub fn tokio(server: &Address) -> io::Result<Client> {
    let runtime = runtime()?;
    let mut buffer = [0; MESSAGE_LEN];
    Ok(match server {
        Address::Tcp(peer) => {
            let mut stream = runtime.block_on(tokio::net::TcpStream::connect(peer))?;
            stream.set_nodelay(true)?;
            Box::new(move |times| {
                timed_in(&runtime, async {
                    for _ in 0..times {
                        stream.write_all(MESSAGE).await?;
                        stream.read_exact(&mut buffer).await?;
                    }
                    Ok(())
                })
            })
        }
        Address::Udp(peer) => {
            let socket = runtime.block_on(async {
                let socket = tokio::net::UdpSocket::bind(ANY).await?;
                socket.connect(peer).await?;
                io::Result::Ok(socket)
            })?;
            Box::new(move |times| {
                timed_in(&runtime, async {
                    for _ in 0..times {
                        socket.send(MESSAGE).await?;
                        socket.recv(&mut buffer).await?;
                    }
                    Ok(())
                })
            })
        }
        Address::Unix(_) | Address::Unixgram(_) => return Err(io::ErrorKind::Unsupported.into()),
    })
}

fn timed_in(runtime: &Runtime, round_trips: impl Future<Output = io::Result<()>>) -> Duration {
    let started = Instant::now();
    runtime.block_on(round_trips).expect("the echo server answers");
    started.elapsed()
}
