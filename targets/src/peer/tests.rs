use super::message::{Block, HANDSHAKE_LEN, Message, emit, parse};
use super::*;
use crate::memory::Pipe;
use crate::{Connection, Ending, Limits, Transport, find};

fn made(pairs: &[(&str, &str)]) -> Result<Arc<dyn Server>, SettingError> {
    find("peer").unwrap().make(pairs, &Limits::default(), || jiff::Timestamp::UNIX_EPOCH)
}

/// A peer of a file of 40 bytes in pieces of 8: a line each.
fn small(pairs: &[(&str, &str)]) -> Arc<dyn Server> {
    made(&[&[("size", "40"), ("piece", "8")], pairs].concat()).unwrap()
}

fn info_hash() -> torrent::Hash {
    Torrent::of("numbers.txt", &numbers(40), 8).unwrap().info_hash
}

fn bytes(message: Message<'_>) -> Vec<u8> {
    let mut reply = Reply::new(usize::MAX);
    emit(message, &mut reply);
    reply.unwritten().to_vec()
}

fn handshake(id: u8) -> Vec<u8> {
    [PROTOCOL, &[0; 8], &info_hash(), &[id; 20]].concat()
}

fn block(index: u32) -> Block {
    Block { index, begin: 0, len: 8 }
}

/// What a peer says, in a short form.
fn shown(mut output: &[u8]) -> Vec<String> {
    let mut shown = Vec::new();
    while !output.is_empty() {
        if output.starts_with(PROTOCOL) {
            shown.push("handshake".to_owned());
            output = &output[HANDSHAKE_LEN + 20..];
            continue;
        }
        let (message, len) = parse(output, 1 << 20).unwrap().expect("it is whole");
        shown.push(match message {
            Message::Bitfield(bits) => format!("bitfield {bits:02x?}"),
            Message::Cancel(block) => format!("cancel {}", block.index),
            Message::Have(index) => format!("have {index}"),
            Message::Piece { index, block, .. } => format!("piece {index} {}", block.escape_ascii()),
            Message::Request(block) => format!("request {}", block.index),
            other => format!("{other:?}").to_lowercase(),
        });
        output = &output[len..];
    }
    shown
}

/// The other side of a connection, by hand.
struct Hand(Pipe);

impl Hand {
    /// Connects as the peer `id`.
    fn connect(server: &Arc<dyn Server>, id: u8) -> Hand {
        let mut hand = Hand(Pipe::open(&**server, 1 << 20));
        hand.0.send(&handshake(id));
        hand
    }

    fn send(&mut self, message: Message<'_>) {
        assert!(self.0.send(&bytes(message)), "it reads");
    }

    fn piece(&mut self, index: u32, block: &[u8]) {
        self.send(Message::Piece { index, begin: 0, block });
    }

    #[track_caller]
    fn says(&mut self, expected: &[&str]) {
        assert_eq!(shown(&self.0.take_output()), expected);
    }

    #[track_caller]
    fn closes(&mut self) {
        self.says(&[]);
        assert_eq!(self.0.ending(), Some(Ending::Close));
    }

    /// Time goes on, for so many ticks.
    fn ticks(&mut self, ticks: usize) {
        (0..ticks).for_each(|_| self.0.time_out());
    }
}

/// The body of what is under `path`, and its status.
fn get(server: &Arc<dyn Server>, path: &str) -> (u16, Vec<u8>) {
    let mut pipe = Pipe::open(&**server, 1 << 20);
    pipe.send(format!("GET {path} HTTP/1.1\r\nHost: here:1\r\n\r\n").as_bytes());
    let output = pipe.take_output();
    let head = memchr::memmem::find(&output, b"\r\n\r\n").expect("it answers");
    (str::from_utf8(&output[9..12]).unwrap().parse().unwrap(), output[head + 4..].to_vec())
}

/// Servers that reach each other without sockets: server `n` is at port `n + 1`.
struct Net {
    servers: Vec<Arc<dyn Server>>,
    connections: Vec<[Connection; 2]>,
    /// Connections that are to be made much later, and are not.
    later: Vec<Dial>,
}

impl Net {
    fn new(servers: Vec<Arc<dyn Server>>) -> Net {
        for (at, server) in servers.iter().enumerate() {
            server.listens(Some(Net::address(at)), Bell::default());
        }
        Net { servers, connections: Vec::new(), later: Vec::new() }
    }

    fn address(at: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], at as u16 + 1))
    }

    fn dial(&mut self) {
        for at in 0..self.servers.len() {
            while let Some(dial) = self.servers[at].dial() {
                if dial.after > Duration::from_secs(5) {
                    self.later.push(dial);
                    continue;
                }
                let to = (0..self.servers.len()).find(|to| Net::address(*to) == dial.to);
                if let Some(to) = to {
                    let peer = Peer::new(0, Transport::Tcp, Some(Net::address(at)));
                    let accepted = Connection::open(&*self.servers[to], &peer, 100_000);
                    self.connections.push([Connection::serve(dial.service, 100_000), accepted]);
                }
            }
        }
    }

    /// Moves bytes until nobody has anything to say.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            self.dial();
            let mut moved = false;
            for pair in &mut self.connections {
                pair.iter_mut().for_each(Connection::answer_bell);
                for from in 0..2 {
                    let [a, b] = pair;
                    let (from, to) = if from == 0 { (a, b) } else { (b, a) };
                    let len = from.output().len().min(5_000);
                    if len > 0 && (to.wants_input() || to.ending().is_some()) {
                        if to.wants_input() {
                            to.receive(&from.output()[..len]);
                        }
                        from.written(len);
                        moved = true;
                    }
                    if from.ending().is_some() && to.wants_input() {
                        to.end();
                        moved = true;
                    }
                }
            }
            let before = self.connections.len();
            self.connections.retain(|pair| pair.iter().any(|connection| connection.ending().is_none()));
            if !moved && self.connections.len() == before {
                return;
            }
        }
        panic!("it does not settle");
    }

    #[track_caller]
    fn all_have(&self, content: &[u8]) {
        for (at, server) in self.servers.iter().enumerate() {
            let (status, body) = get(server, "/numbers.txt");
            assert!((status, &body[..]) == (200, content), "server {at}: {status}");
        }
    }
}

const MIDDLE: [(&str, &str); 2] = [("size", "300000"), ("piece", "20000")]; // two blocks each, the second one shorter

#[test]
fn three_peers_fetch_a_file_from_a_seed_that_serves_one_of_them() {
    let peers = ["", "127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2", "127.0.0.1:1,127.0.0.1:2, tcp://127.0.0.1:3"];
    let servers = peers.into_iter().zip(["a", "b", "c", "d"]).map(|(peers, id)| {
        let pieces = if peers.is_empty() { "all" } else { "none" };
        made(&[&MIDDLE[..], &[("pieces", pieces), ("peers", peers), ("slots", "1"), ("id", id)]].concat()).unwrap()
    });
    let mut net = Net::new(servers.collect());
    net.settle();
    net.all_have(&numbers(300_000));
    let sent = |server| {
        let page = String::from_utf8(get(server, "/").1).unwrap();
        let (sent, _) = page.split_once("; ").unwrap().1.split_once(' ').unwrap();
        sent.parse::<usize>().unwrap()
    };
    let sent: Vec<usize> = net.servers.iter().map(sent).collect();
    assert!(sent[0] < 600_000, "most comes from the others: {sent:?}");
    assert!(sent.iter().sum::<usize>() >= 900_000, "{sent:?}");
}

#[test]
fn peers_that_have_a_part_each_make_a_whole() {
    let peer = |pieces, peers| made(&[&MIDDLE[..], &[("pieces", pieces), ("peers", peers)]].concat()).unwrap();
    let mut net =
        Net::new(vec![peer("0,3-7", "127.0.0.1:2"), peer("0-2,8-12", "127.0.0.1:3"), peer("13,14", "127.0.0.1:1")]);
    net.settle();
    net.all_have(&numbers(300_000));
}

#[test]
fn peers_find_each_other_by_the_tracker_of_one_of_them() {
    let peer = |pieces, tracker| made(&[&MIDDLE[..], &[("pieces", pieces), ("tracker", tracker)]].concat()).unwrap();
    let url = "http://127.0.0.1:1/announce";
    let mut net = Net::new(vec![peer("all", ""), peer("none", url), peer("none", "127.0.0.1:1")]);
    net.settle();
    net.all_have(&numbers(300_000));
    let page = |at: usize| String::from_utf8(get(&net.servers[at], "/").1).unwrap();
    assert!(page(2).contains("connected to 2 peers"), "{}", page(2));
    let query = format!("/announce?info_hash={}&peer_id={}&port=9", escaped_hash(), "x".repeat(20));
    let answer = bencode::parse(&get(&net.servers[0], &query).1).unwrap();
    assert_eq!(
        answer.entry("failure reason").and_then(|reason| reason.as_bytes()),
        Some(&b"expected a connection over TCP"[..])
    );
}

fn escaped_hash() -> String {
    let torrent = Torrent::of("numbers.txt", &numbers(300_000), 20_000).unwrap();
    torrent.info_hash.iter().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn a_tracker_that_lacks_pieces_asks_those_who_announce_themselves() {
    let peer = |pieces, tracker| small(&[("pieces", pieces), ("tracker", tracker)]);
    let mut net = Net::new(vec![peer("none", ""), peer("all", "127.0.0.1:1")]);
    net.settle();
    net.all_have(&numbers(40));
}

#[test]
fn peers_that_connect_to_each_other_at_once_keep_one_connection() {
    for ids in [["a", "b"], ["b", "a"]] {
        let peer = |at: usize, peers| small(&[("id", ids[at]), ("peers", peers), ("pieces", ["all", "none"][at])]);
        let mut net = Net::new(vec![peer(0, "127.0.0.1:2"), peer(1, "127.0.0.1:1")]);
        net.settle();
        net.all_have(&numbers(40));
        assert_eq!(net.connections.len(), 1);
    }
}

#[test]
fn a_peer_with_the_same_id_is_not_connected_to() {
    let mut net =
        Net::new(vec![small(&[("id", "a")]), small(&[("id", "a"), ("pieces", "none"), ("peers", "127.0.0.1:1")])]);
    net.settle();
    assert_eq!(net.connections.len(), 0);
}

#[test]
fn a_peer_is_served_what_it_asks_for() {
    let seed = small(&[]);
    let mut peer = Hand::connect(&seed, b'p');
    peer.says(&["handshake", "bitfield [f8]"]);
    peer.send(Message::Request(block(0)));
    peer.says(&[]); // it is choked
    peer.send(Message::Interested);
    peer.says(&["unchoke"]);
    peer.send(Message::Request(block(4)));
    peer.send(Message::Request(Block { index: 1, begin: 3, len: 2 }));
    peer.send(Message::KeepAlive);
    peer.send(Message::Have(4));
    peer.says(&["piece 4 0000004\\n", "piece 1 00"]);
    peer.send(Message::NotInterested);
    peer.says(&["choke"]);
    peer.0.end();
    peer.closes();
}

#[test]
fn the_file_is_fetched_from_a_peer_and_told_of() {
    let fetcher = small(&[("pieces", "1")]);
    let mut watcher = Hand::connect(&fetcher, b'w');
    watcher.says(&["handshake", "bitfield [40]"]);
    let mut peer = Hand::connect(&fetcher, b'p');
    peer.says(&["handshake", "bitfield [40]"]);
    peer.send(Message::Have(1));
    peer.says(&[]); // it has that
    peer.send(Message::Bitfield(&[0xf0]));
    peer.says(&["interested"]);
    assert_eq!(get(&fetcher, "/numbers.txt").0, 503);
    peer.send(Message::Unchoke);
    let mut asked = shown(&peer.0.take_output());
    asked.sort();
    assert_eq!(asked, ["request 0", "request 2", "request 3"]);
    for index in [2, 0, 3] {
        peer.piece(index, format!("{index:07}\n").as_bytes());
    }
    peer.says(&["have 2", "have 0", "have 3", "notinterested"]);
    watcher.says(&["have 2", "have 0", "have 3"]);
    peer.send(Message::Have(4));
    peer.says(&["interested", "request 4"]);
    peer.piece(4, b"0000004\n");
    peer.says(&["have 4", "notinterested"]);
    assert_eq!(get(&fetcher, "/numbers.txt"), (200, numbers(40)));
}

#[test]
fn a_peer_that_lies_about_a_piece_is_banned_and_the_piece_comes_from_another() {
    let fetcher = small(&[("pieces", "0-3")]);
    let mut liar = Hand::connect(&fetcher, b'l');
    liar.send(Message::Bitfield(&[0xf8]));
    liar.send(Message::Unchoke);
    liar.says(&["handshake", "bitfield [f0]", "interested", "request 4"]);
    liar.piece(4, b"0000005\n");
    liar.closes();
    let mut again = Hand::connect(&fetcher, b'l');
    again.says(&["handshake"]);
    again.closes();
    assert_eq!(get(&fetcher, "/numbers.txt").0, 503);
    let mut peer = Hand::connect(&fetcher, b'p');
    peer.send(Message::Bitfield(&[0x08]));
    peer.send(Message::Unchoke);
    peer.says(&["handshake", "bitfield [f0]", "interested", "request 4"]);
    peer.piece(4, b"0000004\n");
    peer.says(&["have 4", "notinterested"]);
    assert_eq!(get(&fetcher, "/numbers.txt"), (200, numbers(40)));
}

#[test]
fn at_the_end_two_are_asked_and_the_slower_is_told_to_stop() {
    let fetcher = small(&[("pieces", "0-3")]);
    let mut peers = [b'a', b'b', b'c'].map(|id| {
        let mut peer = Hand::connect(&fetcher, id);
        peer.send(Message::Bitfield(&[0xf8]));
        peer.send(Message::Unchoke);
        peer
    });
    peers[0].says(&["handshake", "bitfield [f0]", "interested", "request 4"]);
    peers[1].says(&["handshake", "bitfield [f0]", "interested", "request 4"]);
    peers[2].says(&["handshake", "bitfield [f0]", "interested"]);
    peers[1].piece(4, b"0000004\n");
    peers[0].says(&["have 4", "notinterested", "cancel 4"]);
    peers[2].says(&["have 4", "notinterested"]);
    peers[0].piece(4, b"0000004\n"); // it was on its way
    peers[0].says(&[]);
}

#[test]
fn what_a_peer_leaves_undone_another_is_asked_for() {
    let fetcher = small(&[("pieces", "0-3")]);
    let mut peers = [b'a', b'b', b'c'].map(|id| {
        let mut peer = Hand::connect(&fetcher, id);
        peer.send(Message::Have(4));
        peer.0.take_output();
        peer
    });
    peers[0].send(Message::Unchoke);
    peers[0].says(&["request 4"]);
    peers[0].send(Message::Choke); // "choked: requests are not answered"
    peers[1].send(Message::Unchoke);
    peers[1].says(&["request 4"]);
    peers[2].send(Message::Unchoke);
    peers[2].says(&["request 4"]);
    peers[0].send(Message::Unchoke);
    peers[0].says(&[]);
    drop(peers.into_iter().nth(2)); // all are gone
    let mut last = Hand::connect(&fetcher, b'd');
    last.send(Message::Have(4));
    last.send(Message::Unchoke);
    last.says(&["handshake", "bitfield [f0]", "interested", "request 4"]);
}

#[test]
fn so_many_are_served_as_there_are_slots_and_the_next_has_its_turn() {
    let seed = small(&[("slots", "1")]);
    let mut peers = [b'a', b'b', b'c'].map(|id| {
        let mut peer = Hand::connect(&seed, id);
        peer.0.take_output();
        peer.send(Message::Interested);
        peer
    });
    let says = |peers: &mut [Hand; 3], expected: [&[&str]; 3]| {
        peers.iter_mut().zip(expected).for_each(|(peer, expected)| peer.says(expected));
    };
    says(&mut peers, [&["unchoke"], &[], &[]]);
    peers[0].ticks(1);
    says(&mut peers, [&[], &[], &[]]); // it has had less than a tick
    peers[0].ticks(1);
    says(&mut peers, [&["choke"], &["unchoke"], &[]]);
    peers[1].send(Message::NotInterested);
    says(&mut peers, [&[], &["choke"], &["unchoke"]]);
    let [mut first, _second, third] = peers;
    drop(third);
    first.says(&["unchoke"]);
}

#[test]
fn what_is_cancelled_in_time_is_not_sent() {
    let big = [("size", "1MiB"), ("piece", "16KiB"), ("id", "seed")];
    let torrent = Torrent::of("numbers.txt", &numbers(1 << 20), 16 << 10).unwrap();
    let peer = Peer::new(0, Transport::Tcp, None);
    let mut connection = Connection::open(&*made(&big).unwrap(), &peer, 256 << 10);
    let block = |index| Block { index, begin: 0, len: 16 << 10 };
    let mut input = [PROTOCOL, &[0; 8], &torrent.info_hash, &[b'p'; 20]].concat();
    input.extend(bytes(Message::Interested));
    (0..8).for_each(|index| input.extend(bytes(Message::Request(block(index)))));
    connection.receive(&input);
    assert!(connection.wants_input(), "else it would not hear of it");
    connection.receive(&bytes(Message::Cancel(block(6))));
    connection.receive(&bytes(Message::Cancel(block(0)))); // too late
    let mut output = Vec::new();
    while !connection.output().is_empty() {
        output.extend_from_slice(connection.output());
        connection.written(connection.output().len());
    }
    let shown = shown(&output);
    let pieces: Vec<_> = shown.iter().filter_map(|said| said.strip_prefix("piece ")?.get(..1)).collect();
    assert_eq!(pieces, ["0", "1", "2", "3", "4", "5", "7"]);
}

#[test]
fn a_peer_that_does_not_send_what_it_promised_is_left() {
    let fetcher = small(&[("pieces", "none")]);
    let mut peer = Hand::connect(&fetcher, b'p');
    peer.send(Message::Have(0));
    peer.send(Message::Unchoke);
    peer.says(&["handshake", "interested", "request 0"]);
    peer.ticks(3);
    peer.says(&[]);
    assert_eq!(peer.0.ending(), None);
    peer.ticks(1);
    peer.closes();
}

#[test]
fn silence_is_kept_alive_and_ends_in_the_end() {
    let seed = small(&[]);
    let mut peer = Hand::connect(&seed, b'p');
    peer.says(&["handshake", "bitfield [f8]"]);
    peer.ticks(10);
    peer.says(&[]);
    peer.ticks(1);
    peer.says(&["keepalive"]);
    peer.ticks(4);
    assert_eq!(peer.0.ending(), None);
    peer.ticks(1);
    peer.closes();
    let mut slow = Pipe::open(&*seed, 100);
    slow.send(b"\x13Bit");
    slow.time_out();
    assert_eq!(slow.ending(), Some(Ending::Close));
}

#[track_caller]
fn check_refused(message: &[u8]) {
    let mut peer = Hand::connect(&small(&[("pieces", "0-3")]), b'p');
    peer.send(Message::Interested);
    peer.says(&["handshake", "bitfield [f0]", "unchoke"]);
    peer.0.send(message);
    peer.closes();
}

#[test]
fn what_is_against_the_protocol_ends_the_connection() {
    check_refused(&bytes(Message::Have(5)));
    check_refused(&bytes(Message::Have(u32::MAX)));
    check_refused(&bytes(Message::Bitfield(&[0xff]))); // spare bits
    check_refused(&bytes(Message::Bitfield(&[0xf8, 0])));
    check_refused(&bytes(Message::Request(block(4)))); // it is not here
    check_refused(&bytes(Message::Request(block(5))));
    check_refused(&bytes(Message::Request(Block { index: 0, begin: 1, len: 8 })));
    check_refused(&bytes(Message::Request(Block { index: 0, begin: 0, len: 0 })));
    check_refused(b"\0\0\0\x02\x02x");
    check_refused(b"\0\x02\0\x01\x14");
}

#[test]
fn a_peer_that_asks_for_ever_more_and_does_not_read_is_left() {
    let peer = Peer::new(0, Transport::Tcp, None);
    let mut connection = Connection::open(&*small(&[]), &peer, 256 << 10);
    connection.receive(&[handshake(b'p'), bytes(Message::Interested)].concat());
    let ahead = (64 << 10) / bytes(Message::Piece { index: 0, begin: 0, block: &[0; 8] }).len();
    for asked in 1..=ahead + 2_000 {
        if !connection.wants_input() {
            assert!(asked > ahead + 1_000, "after {asked}");
            return;
        }
        connection.receive(&bytes(Message::Request(block(0))));
    }
    panic!("it goes on");
}

#[test]
fn a_request_for_more_than_16_kib_ends_the_connection() {
    let seed = made(&[("size", "64KiB"), ("piece", "64KiB")]).unwrap();
    let torrent = Torrent::of("numbers.txt", &numbers(64 << 10), 64 << 10).unwrap();
    for (len, expected) in [(16 << 10, None), ((16 << 10) + 1, Some(Ending::Close))] {
        let mut pipe = Pipe::open(&*seed, 1 << 20);
        pipe.send(&[PROTOCOL, &[0; 8], &torrent.info_hash, &[b'p'; 20]].concat());
        pipe.send(&bytes(Message::Interested));
        pipe.send(&bytes(Message::Request(Block { index: 0, begin: 0, len })));
        assert_eq!(pipe.ending(), expected, "{len}");
    }
}

#[test]
fn what_is_no_handshake_of_ours_is_closed_as_soon_as_that_is_seen() {
    let seed = small(&[("id", "-XX-1234567890123456")]);
    for (input, closes) in [
        (&b"\x13BitTorrent protocol"[..], false),
        (b"\x13BitTorrent protocoL", true),
        (b"\x12", true),
        (b"G", false),
        (b"GET", false),
        (b"GETS", true),
        (b"POST / HTTP/1.1\r\n", true),
        (&handshake(b'p')[..47], false),
        (&[&handshake(b'p')[..47], b"\0"].concat(), true),
        (&[&handshake(b'p')[..48], b"-XX-1234567890123456"].concat(), true),
    ] {
        for split in [false, true] {
            let mut pipe = Pipe::open(&*seed, 1 << 20);
            input.chunks(if split { 1 } else { 100 }).for_each(|piece| {
                pipe.send(piece);
            });
            assert_eq!(pipe.ending().is_some(), closes, "{}", input.escape_ascii());
        }
    }
}

#[test]
fn there_is_a_limit_to_connections_of_peers() {
    let seed = small(&[]);
    let mut peers: Vec<_> = (0..51).map(|id| Hand::connect(&seed, id)).collect();
    peers[50].says(&["handshake"]);
    peers[50].closes();
    peers.truncate(49);
    Hand::connect(&seed, b'p').says(&["handshake", "bitfield [f8]"]);
}

#[test]
fn the_torrent_names_the_server_as_its_client_does() {
    let seed = small(&[]);
    let (status, metainfo) = get(&seed, "/numbers.txt.torrent");
    assert_eq!(status, 200);
    let value = bencode::parse(&metainfo).unwrap();
    assert_eq!(value.entry("announce"), Some(&bencode::Value::text("http://here:1/announce")));
    assert_eq!(Torrent::parse(&metainfo).unwrap().info_hash, info_hash());
    assert_eq!((get(&seed, "/other.txt").0, get(&seed, "/numbers%2etxt?a=b").1), (404, numbers(40)));
}

#[test]
fn a_file_is_shared_and_fetched_by_its_torrent() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, bytes: &[u8]| {
        #[expect(clippy::disallowed_methods, reason = "the settings name files")]
        std::fs::write(path(name), bytes).unwrap();
        path(name)
    };
    let file = write("numbers.txt", &numbers(300_000));
    let seed = made(&[("file", &file), ("piece", "20000")]).unwrap();
    let torrent = write("t.torrent", &get(&seed, "/numbers.txt.torrent").1);
    let fetcher = made(&[("torrent", &torrent), ("peers", "127.0.0.1:1")]).unwrap();
    let mut net = Net::new(vec![seed, fetcher]);
    net.settle();
    net.all_have(&numbers(300_000));
    // Of a file that is spoilt what is not is shared.
    let mut spoilt = numbers(300_000);
    spoilt[20_000] ^= 1;
    let spoilt = made(&[("torrent", &torrent), ("file", &write("numbers.txt", &spoilt))]).unwrap();
    assert!(String::from_utf8(get(&spoilt, "/").1).unwrap().contains("in 15 pieces, of which 14 are here\n"));
}

#[test]
fn a_wrong_setting_is_named() {
    let check = |name: &str, value: &str, message: &str| {
        let error = made(&[("size", "40"), ("piece", "8"), (name, value)]).err().expect("it is wrong");
        assert_eq!(error.to_string(), message);
    };
    check("id", "123456789012345678901", "`id`: expected at most 20 characters, got `123456789012345678901`");
    let addresses = "`peers`: expected addresses of this machine like `127.0.0.1:4000`, got";
    check("peers", "127.0.0.1:1,192.0.2.1:1", &format!("{addresses} `192.0.2.1:1`"));
    check("peers", "127.0.0.1:0", &format!("{addresses} `127.0.0.1:0`"));
    check("tracker", "x", "`tracker`: expected addresses of this machine like `127.0.0.1:4000`, got `x`");
    let pieces = "`pieces`: expected `all`, `none`, or numbers of pieces like `0,2-5`, got";
    check("pieces", "0-5", &format!("{pieces} `0-5`"));
    check("pieces", "some", &format!("{pieces} `some`"));
    check("size", "0", "`size`: expected at least one byte, got `0`");
    check("size", "257MiB", "`size`: expected a number below 268435457, got 269484032");
    check("piece", "5MiB", "`piece`: expected a number below 4194305, got 5242880");
    check("name", "a/b", "`size`: cannot use `40`: expected the torrent of one file with a `name`, got none");
    check("file", "/nowhere", "`file`: cannot use `/nowhere`: No such file or directory (os error 2)");
    check("torrent", "/nowhere", "`torrent`: cannot use `/nowhere`: No such file or directory (os error 2)");
}
