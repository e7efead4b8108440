//! `peer`: peers that share a file over `BitTorrent`'s wire (BEP 3).
//!
//! # What there is
//!
//! - A peer that has the file, or parts of it, and serves whoever connects; and connects to the peers that it is told of,
//!   by its settings or by a tracker, itself as one included, until it has all of the file, too. Connections go to this
//!   machine only.
//! - Every piece is held against its SHA-1. Who sent one that is wrong is banned by its id, and the piece comes from
//!   somebody else. (By its id: on one machine an address says nothing of who it is.)
//! - The same port speaks HTTP/1.1, which begins otherwise than a handshake does:
//!
//! | resource | answer |
//! | --- | --- |
//! | `/` | what is here, as text |
//! | `/NAME.torrent` | the torrent, with this server as its tracker |
//! | `/NAME` | the file, or 503 while it is not whole |
//! | `/announce` | the tracker: everybody who has announced itself, and this peer |
//!
//! # The wire
//!
//! - A handshake is answered when its info hash has come, and the connection closed if that is another's, or the peer is
//!   this one itself, banned, or connected already.
//! - A bitfield has spare bits of 0 only. Ours comes first, or not at all where there is nothing to tell; one that comes
//!   later is taken, too, as aria2 sends such.
//! - These end the connection: a message of a wrong length or of more than 128 KiB, a piece that there is not, a request for
//!   more than 16 KiB or for what is not here, 1,024 requests waiting, 2 1/2 minutes of silence, and 30 s in which nothing
//!   comes of what was asked for. Messages of extensions are dropped.
//! - Requests of a choked peer are dropped, and so is what it had asked for when it was choked.
//!
//! Who gets what, and when, stands in `swarm`. Deliberately not there: torrents of several files, files on disk while they
//! come (all is in memory), tit for tat, and every extension (DHT, magnet links, encryption, the fast one).

mod announce;
mod bencode;
mod calls;
mod link;
mod message;
mod swarm;
mod torrent;
mod tracker;
mod web;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use announce::Announce;
use calls::{Call, Calls};
use message::{PROTOCOL, PeerId};
use swarm::{Swarm, TICK};
use torrent::{FILE_LEN_MAX, PIECE_LEN_MAX, Torrent, TorrentError};
use tracker::Host;
use web::Web;
use wire::Wire;

use crate::bell::Bell;
use crate::http::Http;
use crate::service::{Dial, Peer, Reply, Server, Service};
use crate::settings::{Clock, Setting, SettingError, Settings, Setup};

/// The settings of `peer`.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "file", default: "", about: "the file to share; without one it is numbered lines" },
    Setting { name: "id", default: "", about: "the peer's id, up to 20 characters; without one it makes one up" },
    Setting { name: "name", default: "", about: "what the file is called, if not by its own name or `numbers.txt`" },
    Setting { name: "peers", default: "", about: "whom it connects to: addresses of this machine, with commas" },
    Setting { name: "piece", default: "16KiB", about: "how long a piece is" },
    Setting { name: "pieces", default: "all", about: "what it has at first: `all`, `none`, or numbers like `0,2-5`" },
    Setting { name: "size", default: "1MiB", about: "how many bytes of numbered lines" },
    Setting { name: "slots", default: "4", about: "how many peers it serves at once" },
    Setting { name: "torrent", default: "", about: "a `.torrent` to share or fetch in place of its own" },
    Setting { name: "tracker", default: "", about: "the tracker that it asks for peers, like `127.0.0.1:4000`" },
];

/// A swarm and its lock.
#[derive(Clone)]
struct Shared(Arc<Mutex<Swarm>>);

impl Shared {
    /// Waits for the swarm. No peer's bytes can make it panic; should it, what is left is still sound for the others.
    fn lock(&self) -> MutexGuard<'_, Swarm> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Swarm {
    /// This peer, as its own tracker tells of it.
    fn host(&self) -> Option<Host> {
        let mut address = self.calls.local?;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1])
            });
        }
        Some(Host { peer_id: self.peer_id, address, is_whole: self.missing() == 0 })
    }
}

struct PeerServer {
    shared: Shared,
    clock: Clock,
    frame_len_max: usize,
}

impl Server for PeerServer {
    fn accept(&self, peer: &Peer) -> Box<dyn Service> {
        Box::new(Door {
            shared: self.shared.clone(),
            bell: Bell::default(),
            ip: peer.address.map(|address| address.ip()),
            clock: self.clock,
            frame_len_max: self.frame_len_max,
            room: Room::None(Vec::new()),
        })
    }

    fn listens(&self, local: Option<SocketAddr>, bell: Bell) {
        self.shared.lock().calls.begin(local, bell);
    }

    fn dials(&self) -> bool {
        true
    }

    fn dial(&self) -> Option<Dial> {
        let mut swarm = self.shared.lock();
        let (after, call) = swarm.calls.next()?;
        let (shared, tracker) = (self.shared.clone(), swarm.calls.tracker);
        drop(swarm); // a service that is dropped locks it
        let (to, service): (_, Box<dyn Service>) = match call {
            Call::Peer(to) => (to, Box::new(Wire::new(shared, Bell::default(), self.frame_len_max, Some(to)))),
            Call::Tracker(event) => {
                let to = tracker?;
                (to, Box::new(Announce::new(shared, event, to.to_string())))
            }
        };
        Some(Dial { to, after, service })
    }
}

/// A connection that was accepted: a peer's, or a client's of HTTP.
struct Door {
    shared: Shared,
    bell: Bell,
    ip: Option<IpAddr>,
    clock: Clock,
    frame_len_max: usize,
    room: Room,
}

/// Where the door leads.
enum Room {
    /// It is not known from what has come.
    None(Vec<u8>),
    Service(Box<dyn Service>),
}

/// How requests begin.
const METHODS: [&[u8]; 2] = [b"GET ", b"HEAD "];

impl Door {
    /// What `input`, or its beginning, is of.
    fn enter(&self, input: &[u8]) -> Option<Box<dyn Service>> {
        if input.first() == PROTOCOL.first() {
            return Some(Box::new(Wire::new(self.shared.clone(), self.bell.clone(), self.frame_len_max, None)));
        }
        METHODS.iter().any(|method| input.starts_with(method)).then(|| -> Box<dyn Service> {
            let web = Web::shared(self.shared.clone(), self.ip, self.clock);
            Box::new(Http::new(web, self.clock, self.frame_len_max))
        })
    }
}

impl Service for Door {
    fn open(&mut self, reply: &mut Reply) {
        self.bell = reply.bell();
        reply.wake_after(TICK);
    }

    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        let first = match &mut self.room {
            Room::Service(service) => return service.receive(input, reply),
            Room::None(first) => {
                first.extend_from_slice(input);
                std::mem::take(first)
            }
        };
        if let Some(mut service) = self.enter(&first) {
            if first.first() != PROTOCOL.first() {
                reply.wake_after(Duration::MAX); // the server's own limit on silence will do
            }
            service.receive(&first, reply);
            self.room = Room::Service(service);
        } else if METHODS.iter().any(|method| method.starts_with(&first)) {
            self.room = Room::None(first);
        } else {
            reply.close();
        }
    }

    fn end(&mut self, reply: &mut Reply) {
        if let Room::Service(service) = &mut self.room {
            service.end(reply);
        }
    }

    fn drained(&mut self, reply: &mut Reply) {
        if let Room::Service(service) = &mut self.room {
            service.drained(reply);
        }
    }

    fn woken(&mut self, reply: &mut Reply) {
        if let Room::Service(service) = &mut self.room {
            service.woken(reply);
        }
    }

    fn timed_out(&mut self, reply: &mut Reply) {
        match &mut self.room {
            Room::Service(service) => service.timed_out(reply),
            Room::None(_) => reply.close(),
        }
    }
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let settings = &setup.settings;
    let (torrent, pieces) = share(settings)?;
    let peer_id = match settings.text("id") {
        "" => made_up_id(setup.clock),
        id => {
            let mut peer_id = [b'-'; 20];
            let slot = peer_id.get_mut(..id.len());
            let slot = slot.ok_or_else(|| SettingError::expected("id", "at most 20 characters", id))?;
            slot.copy_from_slice(id.as_bytes());
            peer_id
        }
    };
    let texts = settings.text("peers").split(',').map(str::trim).filter(|text| !text.is_empty());
    let peers = texts.map(|text| address("peers", text)).collect::<Result<Vec<_>, _>>()?;
    let tracker = match settings.text("tracker") {
        "" => None,
        text => Some(address("tracker", text)?),
    };
    let calls = Calls::new(&peers, tracker);
    let swarm = Swarm::new(torrent, peer_id, pieces, settings.number("slots")?, calls);
    let shared = Shared(Arc::new(Mutex::new(swarm)));
    Ok(Arc::new(PeerServer { shared, clock: setup.clock, frame_len_max: setup.frame_len_max }))
}

/// The pieces of a file, those that are here.
type Pieces = Vec<Option<Arc<[u8]>>>;

/// What is shared, and what of it is here.
fn share(settings: &Settings) -> Result<(Torrent, Pieces), SettingError> {
    let path = settings.text("file");
    let has_torrent = !settings.text("torrent").is_empty();
    let content = match path {
        "" if has_torrent => Vec::new(),
        "" => numbers(sized(settings, "size", FILE_LEN_MAX)?),
        _ => read(settings, "file", FILE_LEN_MAX)?,
    };
    let unusable = |name: &'static str| {
        let value = settings.text(name).to_owned();
        move |why: TorrentError| SettingError::Unusable { name, value, why: why.to_string() }
    };
    let torrent = if has_torrent {
        Torrent::parse(&read(settings, "torrent", TORRENT_LEN_MAX)?).map_err(unusable("torrent"))?
    } else {
        let file_name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or("numbers.txt");
        let name = Some(settings.text("name")).filter(|name| !name.is_empty()).unwrap_or(file_name);
        let piece_len = sized(settings, "piece", PIECE_LEN_MAX)?;
        Torrent::of(name, &content, piece_len).map_err(unusable(if path.is_empty() { "size" } else { "file" }))?
    };
    let mut pieces = vec![None; torrent.pieces()];
    // A file of another length is another file.
    if content.len() == torrent.len() {
        for index in selected(settings.text("pieces"), torrent.pieces())? {
            let piece = torrent.cut(&content, index);
            pieces[index] = (!has_torrent || torrent.is_piece(index, piece)).then(|| piece.into());
        }
    }
    Ok((torrent, pieces))
}

/// The longest `.torrent`: there are some hundred bytes beside the hashes.
const TORRENT_LEN_MAX: usize = 1 << 20;

/// A number of bytes, from 1 to `max`.
fn sized(settings: &Settings, name: &'static str, max: usize) -> Result<usize, SettingError> {
    match settings.number(name)? {
        0 => Err(SettingError::expected(name, "at least one byte", "0")),
        number if number > max => Err(SettingError::OutOfRange { name: name.into(), value: number, below: max + 1 }),
        number => Ok(number),
    }
}

#[expect(clippy::disallowed_methods, reason = "the settings name files")]
fn read(settings: &Settings, name: &'static str, len_max: usize) -> Result<Vec<u8>, SettingError> {
    let value = settings.text(name);
    let unusable = |why: String| SettingError::Unusable { name, value: value.to_owned(), why };
    let len = std::fs::metadata(value).map_err(|error| unusable(error.to_string()))?.len();
    if len > len_max as u64 {
        return Err(unusable(format!("expected at most {len_max} bytes, got {len}")));
    }
    std::fs::read(value).map_err(|error| unusable(error.to_string()))
}

/// Lines of seven digits, counted from 0: every piece differs, and a person can tell which one it is.
fn numbers(len: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(len + 8);
    for line in 0.. {
        if content.len() >= len {
            break;
        }
        content.extend(format!("{line:07}\n").as_bytes());
    }
    content.truncate(len);
    content
}

/// Reads numbers of pieces below `len`: `all`, `none`, `0,2-5`.
fn selected(text: &str, len: usize) -> Result<Vec<usize>, SettingError> {
    let wrong = || SettingError::expected("pieces", "`all`, `none`, or numbers of pieces like `0,2-5`", text);
    match text {
        "all" => return Ok((0..len).collect()),
        "none" => return Ok(Vec::new()),
        _ => {}
    }
    let mut selected = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|index| *index < len).ok_or_else(wrong);
        selected.extend(number(first)?..=number(last)?);
    }
    Ok(selected)
}

/// Reads an address of this machine, as it stands or as a URL.
fn address(name: &'static str, text: &str) -> Result<SocketAddr, SettingError> {
    let bare = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let bare = bare.strip_suffix("/announce").unwrap_or(bare);
    let address = bare.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback() && address.port() > 0);
    address.ok_or_else(|| SettingError::expected(name, "addresses of this machine like `127.0.0.1:4000`", text))
}

/// An id that no other peer has (its form is BEP 20's), without chance: of the time, the process and a count.
fn made_up_id(clock: Clock) -> PeerId {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    let source = format!("{} {} {made}", clock().as_nanosecond(), std::process::id());
    let mut peer_id = *b"-HA0001-............";
    for (slot, byte) in peer_id[8..].iter_mut().zip(torrent::hash(source.as_bytes())) {
        *slot = b"0123456789abcdefghijklmnopqrstuv"[usize::from(byte % 32)];
    }
    peer_id
}

#[cfg(test)]
mod tests;
