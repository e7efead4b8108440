//! `peer` on sockets: peers of its own kind, and aria2 as it comes from the distribution, on either side.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::capture::tools::have;
use super::run::{harness, ran, root};
use super::serve::{Server, serve};

/// No test waits longer for what comes at once.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How many pieces the file has that is served unless something else is said.
const PIECES: usize = 64;

/// A peer, and where it is.
struct Peer {
    _server: Server,
    address: String,
}

impl Peer {
    fn start(settings: &[&str]) -> Peer {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let (server, line, _) = serve(&["peer"].into_iter().chain(settings).collect::<Vec<_>>());
        let address = line.trim_end().strip_prefix("tcp://").expect("it says where").to_owned();
        Peer { _server: server, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(WAIT_MAX)).expect("a time");
        stream
    }

    /// What is under `path`, and its status.
    fn get(&self, path: &str) -> (String, Vec<u8>) {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
        (String::from_utf8_lossy(&answer[9..12]).into_owned(), answer.split_off(end + 4))
    }

    /// Waits until it has every piece, as it tells those that are connected to it.
    fn has_all(&self) {
        let (status, page) = self.get("/");
        assert_eq!(status, "200");
        let page = String::from_utf8(page).expect("text");
        let (_, hash) = page.split_once("info hash ").expect("it says which");
        let hash: Vec<u8> =
            (0..20).map(|at| u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).expect("hexadecimal")).collect();
        let mut stream = self.connect();
        let id = *b"-XX0000-watcher-----";
        stream.write_all(&[b"\x13BitTorrent protocol", &[0; 8][..], &hash, &id].concat()).expect("it reads");
        stream.read_exact(&mut [0; 68]).expect("its handshake");
        let mut pieces = [false; PIECES];
        while pieces.contains(&false) {
            let mut len = [0; 4];
            stream.read_exact(&mut len).expect("it goes on until all is there");
            let mut message = vec![0; u32::from_be_bytes(len) as usize];
            stream.read_exact(&mut message).expect("the rest of it");
            match message.as_slice() {
                [5, bits @ ..] => {
                    (0..PIECES).for_each(|at| pieces[at] |= bits[at / 8] >> (7 - at % 8) & 1 == 1);
                }
                [4, _, _, _, index] => pieces[usize::from(*index)] = true,
                _ => {}
            }
        }
    }
}

/// The file: lines that are counted.
fn numbers() -> Vec<u8> {
    (0..(1 << 20) / 8).flat_map(|line| format!("{line:07}\n").into_bytes()).collect()
}

#[test]
fn three_peers_fetch_the_file_of_one_seed_and_of_each_other() {
    let seed = Peer::start(&["slots=1"]);
    let first = Peer::start(&["pieces=none", &format!("peers={}", seed.address)]);
    let second = Peer::start(&["pieces=none", &format!("tracker={}", seed.address)]);
    let third = Peer::start(&["pieces=none", &format!("peers={},{}", first.address, second.address)]);
    let numbers = numbers();
    for peer in [&first, &second, &third] {
        peer.has_all();
        let (status, file) = peer.get("/numbers.txt");
        assert!(status == "200" && file == numbers, "{status}, {} bytes", file.len());
    }
}

#[test]
fn a_peer_waits_for_one_that_is_not_up_yet() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let fetcher = Peer::start(&["pieces=none", &format!("peers={port}")]);
    let (_server, line, _) = serve(&["peer", "--listen", &format!("tcp://{port}")]);
    assert_eq!(line, format!("tcp://{port}\n"));
    fetcher.has_all();
}

/// aria2 in a folder of its own, which tells nobody of it but the tracker that the torrent names.
fn aria2(folder: &Path) -> Command {
    let mut command = Command::new("aria2c");
    command.args([
        "--no-conf",
        "--interface=127.0.0.1",
        "--async-dns=false",
        "--enable-dht=false",
        "--enable-dht6=false",
    ]);
    command.args([
        "--bt-enable-lpd=false",
        "--enable-peer-exchange=false",
        "--file-allocation=none",
        "--quiet",
        "--dir",
    ]);
    command.arg(folder).current_dir(folder);
    command
}

#[test]
fn aria2_fetches_from_our_peers() {
    if !have(&["aria2c"]) {
        return;
    }
    let seed = Peer::start(&["pieces=0-40"]);
    let other = Peer::start(&["pieces=30-63", &format!("tracker={}", seed.address)]);
    other.has_all(); // then the tracker tells of it
    let folder = TempDir::new().expect("a folder");
    let mut command = aria2(folder.path());
    command.args(["--seed-time=0", &format!("http://{}/numbers.txt.torrent", seed.address)]);
    let status = command.args(["--stop", &WAIT_MAX.as_secs().to_string()]).status().expect("it is there");
    let file = std::fs::read(folder.path().join("numbers.txt")).expect("it was fetched");
    assert!(status.success() && file == numbers(), "{status}, {} bytes", file.len());
}

#[test]
fn our_peer_fetches_from_aria2() {
    if !have(&["aria2c"]) {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let fetcher = Peer::start(&["pieces=none"]);
    let (_, torrent) = fetcher.get("/numbers.txt.torrent");
    std::fs::write(folder.path().join("a.torrent"), torrent).expect("the folder is there");
    std::fs::write(folder.path().join("numbers.txt"), numbers()).expect("the folder is there");
    let mut command = aria2(folder.path());
    command.args(["--check-integrity", "--seed-ratio=0.0", "--stop", &WAIT_MAX.as_secs().to_string(), "a.torrent"]);
    let _aria2 = Server(command.stdout(Stdio::null()).spawn().expect("it is there"));
    fetcher.has_all();
    assert!(fetcher.get("/numbers.txt").1 == numbers());
}

#[test]
fn tshark_finds_nothing_malformed_in_what_peers_say() {
    if !have(&["tshark"]) {
        return;
    }
    let out = TempDir::new().expect("a folder");
    let mut run = harness(root());
    run.args(["run", "scenarios/peer.toml", "scenarios/peer-liars.toml", "--out"]).arg(out.path());
    ran(&mut run).exits(0);
    // All at once: what takes its time is to start it.
    let mut looks = Vec::new();
    for scenario in ["peer", "peer-liars"] {
        for entry in std::fs::read_dir(out.path().join("captures").join(scenario)).expect("it leaves captures") {
            let mut tshark = Command::new("tshark");
            tshark.arg("-r").arg(entry.expect("a file").path()).args(["-T", "fields", "-E", "separator=|"]);
            tshark.args(["-e", "_ws.malformed", "-e", "tcp.analysis.flags", "-e", "bittorrent.peer_id"]);
            looks.push(tshark.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it is there"));
        }
    }
    let mut captures = 0;
    for look in looks {
        let output = look.wait_with_output().expect("it ends");
        let packets = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && packets.lines().all(|packet| packet.starts_with("||")), "{packets}");
        captures += usize::from(packets.lines().any(|packet| packet.len() > 2));
    }
    assert!(captures >= 10, "tshark has seen the protocol in {captures} of them");
}
