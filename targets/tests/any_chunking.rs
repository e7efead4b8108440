//! Laws of every stream target: the same bytes in any chunking get the same output, and no input panics.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use targets::memory::Pipe;
use targets::{Ending, Limits, Peer, Server, TARGETS, Target, Transport, utf8};

/// These answer a read, not a message, so their output shows how their input was cut.
const ANSWER_READS: [&str; 2] = ["one-shot", "utf8"];

fn server(target: &Target) -> Arc<dyn Server> {
    let limits = Limits { frame_len_max: 4_096, ..Limits::default() };
    let small = ["bytes", "keys", "line", "size"].map(|name| (name, "300"));
    let known: Vec<_> =
        small.into_iter().filter(|(name, _)| target.settings.iter().any(|setting| setting.name == *name)).collect();
    target.make(&known, &limits, || jiff::Timestamp::UNIX_EPOCH).expect("its own settings, with numbers")
}

/// Bytes that get somewhere: requests of the targets, some of them wrong, between bytes of any kind.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "(PING|TIME|LIST|QUIT|GET a|DEL a|SET a [a-c]{0,400}|GET b|SET b 1|ECHO .{0,20}|LIST a|echo)?\r?\n",
        "[A-Z]{300,320}\r?\n",
    ];
    let message = (0_u8..6, any::<u32>(), 0_u16..4, vec(any::<u8>(), 0..300), -1_i32..2).prop_map(
        |(op, id, key_len, rest, lie)| {
            let body = [&[op][..], &id.to_be_bytes(), &key_len.to_be_bytes(), &rest].concat();
            // Now and then the length is one too small or too large, and all that follows is out of step.
            let len = (body.len() as u32).saturating_add_signed(if id % 16 == 0 { lie } else { 0 });
            [&len.to_be_bytes()[..], &body].concat()
        },
    );
    let words = "(ping|get a|set a [a-c]{0,300}|mget( a| b){1,40}|lpush b a a|lrange b 0 -1|hset a a|keys \\*)";
    let words = words.prop_map(|line| {
        let words: Vec<_> = line.split(' ').map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        format!("*{}\r\n{}", words.len(), words.concat()).into_bytes()
    });
    let request = (
        "(GET|HEAD) /(hello.txt|bytes/[0-9]{1,5}|chunked/[0-9]{1,5}|files/a|x)|(PUT|POST) /(echo|files/a)",
        "(Connection: close\r\n|Expect: 100-continue\r\n|A: b{0,50}\r\n){0,3}",
        prop_oneof![
            Just("\r\n".to_owned()),
            "[a-z]{0,50}".prop_map(|body| format!("Content-Length: {}\r\n\r\n{body}", body.len())),
            "[a-z]{1,50}".prop_map(|body| {
                format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\nA: b\r\n\r\n", body.len())
            }),
        ],
    );
    let request = request.prop_map(|(line, fields, rest)| format!("{line} HTTP/1.1\r\nHost: x\r\n{fields}{rest}"));
    let question = (any::<u16>(), "[1-4]?[0-9]{0,3}", "(many|[a-z]|www|long|x.wild|child)", any::<u8>(), any::<bool>());
    let question = question.prop_map(|(id, first, second, kind, is_lie)| {
        let labels = [first.as_str(), &second, "example", "test"];
        let labels = labels.iter().filter(|label| !label.is_empty());
        let name: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
        let counts = [0, 1, 0, 0, 0, 0, 0, u8::from(is_lie && id % 8 == 0)];
        let query = [&id.to_be_bytes()[..], &[1, 0], &counts, &name, &[0, 0, kind % 40, 0, 1]].concat();
        [&(query.len() as u16).to_be_bytes()[..], &query].concat()
    });
    let mail = "(EHLO me\r\n(MAIL FROM:<>\r\n(RCPT TO:<[a-b]@example.test>\r\n(DATA\r\n([a-z.]{0,30}\r?\n){0,9}\\.\r\n)?)?)?)?\
                (XLAST <a@example.test>|RSET|NOOP a{0,9}|AUTH PLAIN)\r\n";
    let piece = prop_oneof![
        3 => mail.prop_map(String::into_bytes),
        3 => question,
        3 => request.prop_map(String::into_bytes),
        3 => words,
        3 => line.prop_map(String::into_bytes),
        3 => message,
        1 => vec(any::<u8>(), 0..50),
        1 => "\\PC{0,20}".prop_map(String::into_bytes),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// What an MQTT client may say after its CONNECT, with lengths below 128; now and then something that it may not.
fn mqtt() -> impl Strategy<Value = Vec<u8>> {
    let text = |text: &str| [&[0, text.len() as u8], text.as_bytes()].concat();
    let packet = |first: u8, body: Vec<u8>| [&[first, body.len() as u8], &body[..]].concat();
    let topics = prop_oneof!["[ab]", "[ab]/[ab]", "\\$SYS/broker/version"];
    let filters = prop_oneof!["[ab+#]", "[ab+]/[ab+#]", "\\$SYS/#"];
    let publish =
        (0x30_u8..0x40, topics, 1_u8..5, vec(any::<u8>(), 0..60)).prop_map(move |(first, topic, id, rest)| {
            let id: &[u8] = if first & 0x6 == 0 { &[] } else { &[0, id] };
            // Repeated at QoS 0, and QoS 3, end the conversation: rather not each time.
            let first = if first & 0x6 == 0x6 { first & !0x4 } else { first };
            packet(if first & 0x6 == 0 { first & !0x8 } else { first }, [&text(&topic), id, &rest].concat())
        });
    let subscribe = vec((filters.clone(), 0_u8..3), 1..4).prop_map(move |filters| {
        let filters: Vec<_> = filters.iter().flat_map(|(filter, qos)| [&text(filter)[..], &[*qos]].concat()).collect();
        packet(0x82, [&[0, 1], &filters[..]].concat())
    });
    let unsubscribe = filters.prop_map(move |filter| packet(0xa2, [&[0, 1], &text(&filter)[..]].concat()));
    let ack = (prop_oneof![Just(0x40_u8), Just(0x50), Just(0x62), Just(0x70)], 1_u8..5);
    let piece = prop_oneof![
        6 => publish,
        3 => subscribe,
        1 => unsubscribe,
        4 => ack.prop_map(|(first, id)| [first, 2, 0, id].to_vec()),
        1 => Just(vec![0xc0, 0]),
        1 => vec(any::<u8>(), 1..20),
    ];
    vec(piece, 0..30).prop_map(|pieces| [&b"\x10\x0d\0\x04MQTT\x04\0\0\0\0\x01a"[..], &pieces.concat()].concat())
}

/// The info hash of `peer` with 300 bytes in pieces of 100.
const INFO_HASH: &[u8] = b"\xc4\x77\x54\x9f\xc5\x00\x91\x24\x77\x04\x14\x05\x64\xd0\xfc\x36\xc1\x4a\xb2\x3e";

/// What a peer of `BitTorrent` may say after its handshake: of three pieces, of which the second is here; now and then
/// something that it may not. Nothing is cancelled: what is depends on what was sent already.
fn bittorrent() -> impl Strategy<Value = Vec<u8>> {
    let message = |id: u8, rest: Vec<u8>| [&(1 + rest.len() as u32).to_be_bytes()[..], &[id], &rest].concat();
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
    let piece = prop_oneof![
        2 => Just(vec![0; 4]),
        6 => (0_u8..4).prop_map(move |id| message(id, Vec::new())),
        3 => (0_u32..3).prop_map(move |index| message(4, numbers(&[index]))),
        1 => prop_oneof![Just(0x80), Just(0xe0), Just(0)].prop_map(move |bits| message(5, vec![bits])),
        6 => (0_u32..100, 1_u32..101).prop_map(move |(begin, len)| message(6, numbers(&[1, begin, len.min(100 - begin)]))),
        4 => (0_u32..3, any::<bool>()).prop_map(move |(index, is_true)| {
            let mut text: String = (0..38).map(|line| format!("{line:07}\n")).collect();
            text.truncate(300);
            let begin = index as usize * 100;
            // What is wrong ends the conversation: rather not each time.
            let block = if is_true { text.as_bytes()[begin..begin + 100].to_vec() } else { vec![0; 99] };
            message(7, [numbers(&[index, 0]), block].concat())
        }),
        1 => vec(any::<u8>(), 0..30).prop_map(move |rest| message(20, rest)),
        1 => vec(any::<u8>(), 1..20),
    ];
    let handshake = [b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05", INFO_HASH, b"-XX0000-aaaaaaaaaaaa"].concat();
    let unchoked = b"\0\0\0\x01\x01\0\0\0\x01\x02";
    vec(piece, 0..40).prop_map(move |pieces| [&handshake[..], unchoked, &pieces.concat()].concat())
}

/// Plays `input` in pieces that end where `cuts` say, then half-closes.
fn play(server: &dyn Server, input: &[u8], cuts: &[usize], output_len_max: usize) -> (Vec<u8>, Option<Ending>) {
    let mut pipe = Pipe::open(server, output_len_max);
    let mut output = pipe.take_output();
    let mut start = 0;
    for end in cuts.iter().copied().chain([input.len()]) {
        pipe.send(&input[start..end]);
        output.extend(pipe.take_output());
        start = end;
    }
    pipe.end();
    output.extend(pipe.take_output());
    (output, pipe.ending())
}

fn cuts(len: usize) -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        1 => Just((1..len).collect()),
        3 => vec(0..=len, 0..20).prop_map(|mut cuts| { cuts.sort_unstable(); cuts }),
    ]
}

fn input_and_cuts() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    input().prop_flat_map(|input| {
        let len = input.len();
        (Just(input), cuts(len))
    })
}

proptest! {
    #[test]
    fn the_same_bytes_in_any_chunking_get_the_same_output(
        (input, cuts) in input_and_cuts(),
        output_len_max in 1_usize..2_000,
    ) {
        for target in TARGETS {
            if target.transports.contains(&Transport::Tcp) && !ANSWER_READS.contains(&target.name) {
                let whole = play(&*server(target), &input, &[], 1 << 20);
                prop_assert_eq!(whole.1, Some(Ending::Close), "{} does not close after a half-close", target.name);
                let cut = play(&*server(target), &input, &cuts, output_len_max);
                prop_assert_eq!(cut, whole, "{}", target.name);
            }
        }
    }

    #[test]
    fn mqtt_in_any_chunking_gets_the_same_output(
        (input, cuts) in mqtt().prop_flat_map(|input| { let len = input.len(); (Just(input), cuts(len)) }),
        output_len_max in 1_usize..500,
    ) {
        let broker = || {
            let small = [("inflight", "2"), ("queue", "5"), ("retained", "2"), ("subscriptions", "3")];
            let target = targets::find("mqtt-broker").expect("it is in the table");
            target.make(&small, &Limits::default(), || jiff::Timestamp::UNIX_EPOCH).expect("its own settings")
        };
        let whole = play(&*broker(), &input, &[], 1 << 20);
        prop_assert_eq!(&whole.0[..4], [0x20, 2, 0, 0], "it is let in");
        prop_assert_eq!(play(&*broker(), &input, &cuts, output_len_max), whole);
    }

    #[test]
    fn bittorrent_in_any_chunking_gets_the_same_output(
        (input, cuts) in bittorrent().prop_flat_map(|input| { let len = input.len(); (Just(input), cuts(len)) }),
        output_len_max in 1_usize..500,
    ) {
        let peer = || {
            let small = [("id", "-XX0000-bbbbbbbbbbbb"), ("piece", "100"), ("pieces", "1"), ("size", "300")];
            let target = targets::find("peer").expect("it is in the table");
            target.make(&small, &Limits::default(), || jiff::Timestamp::UNIX_EPOCH).expect("its own settings")
        };
        let whole = play(&*peer(), &input, &[], 1 << 20);
        prop_assert_eq!(&whole.0[68..78], b"\0\0\0\x02\x05\x40\0\0\0\x01", "it is let in, told what is here, and served");
        prop_assert_eq!(play(&*peer(), &input, &cuts, output_len_max), whole);
    }

    #[test]
    fn text_in_any_chunking_is_answered_by_the_same_text((input, cuts) in input_and_cuts()) {
        let expected = String::from_utf8_lossy(&input);
        prop_assume!(!expected.contains(utf8::PREFIX));
        let server = server(targets::find("utf8").expect("it is in the table"));
        let answers = String::from_utf8(play(&*server, &input, &cuts, 1 << 20).0).expect("an answer is valid UTF-8");
        prop_assert_eq!(answers.replace(utf8::PREFIX, ""), expected);
    }

    #[test]
    fn any_datagram_is_answered_or_not_without_a_panic(datagram in input()) {
        for target in TARGETS {
            for transport in target.transports {
                targets::answer(&*server(target), &Peer::new(0, *transport, None), &datagram);
            }
        }
    }

    #[test]
    fn a_peer_that_never_reads_gets_no_more_than_the_limit_put_aside(input in input()) {
        for target in TARGETS.iter().filter(|target| target.transports.contains(&Transport::Tcp)) {
            let server = server(target);
            let peer = Peer::new(0, Transport::Tcp, None);
            let mut connection = targets::Connection::open(&*server, &peer, 1_000);
            for piece in input.repeat(10).chunks(1_000) {
                if !connection.wants_input() {
                    break;
                }
                connection.receive(piece);
                // The limit, and what one message or one read of 1,000 bytes is answered with.
                let max = 1_000 + 1_000 * 3 + utf8::PREFIX.len() + 95 * 74;
                prop_assert!(connection.output().len() <= max, "{}: {}", target.name, connection.output().len());
            }
        }
    }
}
