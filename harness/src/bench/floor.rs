//! The floor: the least that this machine takes for a round trip, by two processes that do nothing but `recv` and `send`.
//!
//! For what goes one way it is how much one sends to another that reads, or reads from one that sends.
//!
//! It is measured in the same run, at the same size and in the same place, so that a figure can be told as a ratio to it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::clock::now;
use super::place;
use super::tally::{LATENCY_MAX, histogram};

/// The command that serves the floor's other end; for the harness itself.
pub const FLOOR_COMMAND: &str = "__floor";

/// How often the floor is measured.
pub const ROUNDS: usize = 5;

/// For how long each time.
pub const ROUND: Duration = Duration::from_millis(200);

/// The largest message that the floor is measured with: a larger one is no round trip any more.
pub const SIZE_MAX: usize = 16 << 10;

/// The most bytes that the floor of what goes one way gives the system at a time.
pub const PIECE_LEN_MAX: usize = 1 << 20;

/// How many bytes it reads at a time, as the load generator does.
const READ_LEN: usize = 256 << 10;

/// Serves: answers each message of `request` bytes with one of `response` bytes, until stdin is closed.
pub fn floor_main() -> u8 {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let [transport, request, response] = words.as_slice() else { return 2 };
    let (Ok(request), Ok(response)) = (request.parse::<usize>(), response.parse::<usize>()) else { return 2 };
    std::thread::spawn(|| {
        // Whoever started this is gone when its end of stdin is.
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let piece = request.clamp(1, PIECE_LEN_MAX);
    if transport == "sink" || transport == "source" {
        return u8::from(serve_one_way(transport == "source", piece).is_err());
    }
    let (request, response) = (request.min(SIZE_MAX), response.min(SIZE_MAX));
    u8::from(serve(transport == "udp", request, response).is_err())
}

#[expect(clippy::print_stdout, reason = "the address is what its parent reads")]
fn serve(udp: bool, request: usize, response: usize) -> io::Result<()> {
    let (mut heard, answer) = (vec![0; request.max(response)], vec![b'x'; response]);
    if udp {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        println!("{}", socket.local_addr()?.port());
        let (_, client) = socket.recv_from(&mut heard)?;
        socket.connect(client)?;
        loop {
            socket.send(&answer)?;
            socket.recv(&mut heard)?;
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    loop {
        if request <= heard.len() && read_whole(&mut stream, &mut heard[..request])? {
            return Ok(());
        }
        stream.write_all(&answer)?;
    }
}

#[expect(clippy::print_stdout, reason = "the address is what its parent reads")]
fn serve_one_way(sends: bool, piece: usize) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    let (mut stream, _) = listener.accept()?;
    let mut buffer = vec![b'x'; if sends { piece } else { READ_LEN }];
    loop {
        if sends {
            stream.write_all(&buffer)?;
        } else if stream.read(&mut buffer)? == 0 {
            return Ok(());
        }
    }
}

/// Reads so many bytes. `true` at the end.
fn read_whole(stream: &mut TcpStream, mut buffer: &mut [u8]) -> io::Result<bool> {
    while !buffer.is_empty() {
        match stream.read(buffer)? {
            0 => return Ok(true),
            len => buffer = &mut buffer[len..],
        }
    }
    Ok(false)
}

/// Ends the process on every way out.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What was measured: the median of the rounds' medians, and all round trips.
#[derive(Clone, Debug)]
pub struct Floor {
    /// The median round trip, in nanoseconds: the median of the rounds' medians.
    pub p50: u64,
    /// Every round trip.
    pub all: Histogram<u64>,
    /// Bytes of a request.
    pub request: usize,
    /// Bytes of an answer.
    pub response: usize,
}

/// Starts the other end in its place, and gives its port; then goes to the core `client`.
fn start(program: &Path, words: [&str; 3], cores: (Option<usize>, Option<usize>)) -> io::Result<(Peer, u16)> {
    let (server, client) = cores;
    if let Some(core) = server {
        place::pin_thread(core);
    }
    let mut command = Command::new(program);
    command.arg(FLOOR_COMMAND).args(words);
    let mut child = Peer(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    if let Some(core) = client {
        place::pin_thread(core);
    }
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().expect("it is piped")).read_line(&mut line)?;
    Ok((child, line.trim().parse().map_err(io::Error::other)?))
}

/// Measures how many bytes a second go one way over TCP, in pieces of so many: the median of the rounds. `sends` says whether
/// this side sends.
pub fn measure_one_way(
    program: &Path,
    sends: bool,
    piece: usize,
    cores: (Option<usize>, Option<usize>),
) -> io::Result<f64> {
    let program = program.to_path_buf();
    // A thread of its own, so that where it is kept is forgotten with it.
    let measured = std::thread::spawn(move || -> io::Result<f64> {
        let piece = piece.clamp(1, PIECE_LEN_MAX);
        let words = [if sends { "sink" } else { "source" }, &piece.to_string(), "0"];
        let (_child, port) = start(&program, words, cores)?;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.set_write_timeout(Some(Duration::from_secs(1)))?;
        let mut buffer = vec![b'x'; if sends { piece } else { READ_LEN }];
        let mut rates = Vec::new();
        for round in 0..=ROUNDS {
            let (begin, mut bytes) = (now(), 0);
            let took = loop {
                bytes += if sends { stream.write(&buffer)? } else { stream.read(&mut buffer)? };
                let took = now() - begin;
                if took >= ROUND.as_nanos() as u64 {
                    break took;
                }
            };
            // The first warms up.
            if round > 0 {
                rates.push(bytes as f64 * 1e9 / took as f64);
            }
        }
        rates.sort_by(f64::total_cmp);
        Ok(rates[rates.len() / 2])
    });
    measured.join().map_err(|_| io::Error::other("it ended early"))?
}

/// Measures the floor: a thread on the core `client` against a process on the core `server`.
pub fn measure(
    program: &Path,
    udp: bool,
    sizes: (usize, usize),
    cores: (Option<usize>, Option<usize>),
) -> io::Result<Floor> {
    let (request, response) = (sizes.0.min(SIZE_MAX), sizes.1.min(SIZE_MAX));
    let program = program.to_path_buf();
    // A thread of its own, so that where it is kept is forgotten with it.
    let measured = std::thread::spawn(move || -> io::Result<Floor> {
        let words = [if udp { "udp" } else { "tcp" }, &request.to_string(), &response.to_string()];
        let (_child, port) = start(&program, words, cores)?;
        let mut exchange = client_of(udp, port, request, response)?;
        let (mut all, mut medians) = (histogram(), Vec::new());
        for round in 0..=ROUNDS {
            let mut times = histogram();
            let end = now() + ROUND.as_nanos() as u64;
            let mut before = now();
            while before < end {
                exchange()?;
                let after = now();
                times.saturating_record((after - before).clamp(1, LATENCY_MAX));
                before = after;
            }
            // The first warms up.
            if round > 0 {
                medians.push(times.value_at_quantile(0.5));
                all.add(&times).expect("the bounds are the same");
            }
        }
        medians.sort_unstable();
        Ok(Floor { p50: medians[medians.len() / 2], all, request, response })
    });
    measured.join().map_err(|_| io::Error::other("it ended early"))?
}

type Exchange = Box<dyn FnMut() -> io::Result<()>>;

fn client_of(udp: bool, port: u16, request: usize, response: usize) -> io::Result<Exchange> {
    let (ask, mut heard) = (vec![b'x'; request], vec![0; response.max(1)]);
    if udp {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        return Ok(Box::new(move || {
            socket.send(&ask)?;
            socket.recv(&mut heard).map(|_| ())
        }));
    }
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(Box::new(move || {
        stream.write_all(&ask)?;
        match read_whole(&mut stream, &mut heard)? {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(()),
        }
    }))
}
