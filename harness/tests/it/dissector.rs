//! `harness dissector`: what tshark makes of a capture with it is what the harness makes of the same bytes, field by field.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use harness::event::{Transport, Verdict};
use harness::framing;
use harness::protocol::description::{Extent, Field, Fields, Kind, Structure};
use harness::protocol::{
    self, Decoded, Direction, Item, PROTOCOLS, Protocol, Transport as Carrier, Value, dissector, framing as framing_of,
};
use harness::random::Random;
use tempfile::TempDir;

use crate::capture::story::Story;
use crate::capture::tools::have;
use crate::run::{harness, ran};

const CLIENT: &str = "127.0.0.1:50000";
const SERVER: &str = "127.0.0.1:40000";

/// How a stream comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pieces {
    /// All at once.
    Coalesced,
    /// A packet for each byte.
    EveryByte,
}

/// A field of a message: its filter, where it lies in the message, and what it holds.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    filter: String,
    at: usize,
    len: usize,
    value: String,
}

/// What the harness reads in a message, in the order in which a dissector shows it.
struct Reading<'a> {
    protocol: &'a Protocol,
    decoded: &'a Decoded,
    prefix: String,
    input: &'a [u8],
    shown: Vec<Shown>,
}

impl<'a> Reading<'a> {
    fn of(protocol: &'a Protocol, input: &'a [u8], decoded: &'a Decoded) -> Vec<Shown> {
        let message = &protocol.messages[decoded.message];
        let mut reading =
            Reading { protocol, decoded, prefix: format!("h_{}", protocol.name), input, shown: Vec::new() };
        let filter = format!("{}.{}", reading.prefix, message.name);
        reading.push(filter.clone(), 0..decoded.len, String::new());
        reading.fields(&message.fields, decoded.fields(), &filter);
        reading.shown
    }

    fn push(&mut self, filter: String, span: std::ops::Range<usize>, value: String) {
        self.shown.push(Shown { filter, at: span.start, len: span.len(), value });
    }

    fn fields(&mut self, fields: &Fields, items: &[Item], filter: &str) {
        for (field, item) in fields.iter().zip(items).filter(|(field, _)| !field.name.is_empty()) {
            self.item(field, item, &format!("{filter}.{}", field.name));
        }
    }

    fn item(&mut self, field: &Field, item: &Item, filter: &str) {
        let here = filter.to_owned();
        match (&field.kind, item.value()) {
            (_, Value::Absent) => {}
            (Kind::Array { of, .. }, Value::Array(items)) => {
                self.decoded.items(items).iter().for_each(|item| self.item(of, item, filter));
            }
            (Kind::Bytes { .. }, Value::Bytes(range)) => {
                self.push(here, range.clone(), hex(&self.input[range.clone()]));
            }
            // Wireshark's numbers have 64 bits; a greater one is shown without a filter.
            (Kind::Digits { .. }, Value::Number(number))
                if !(-i128::from(i64::MAX)..=i64::MAX.into()).contains(&number) => {}
            (Kind::Digits { extent, .. }, Value::Number(number)) => {
                let delimiter = if let Extent::Until(delimiter) = extent { delimiter.len() } else { 0 };
                self.push(here, item.span().start..item.span().end - delimiter, number.to_string());
            }
            (Kind::DomainName, Value::Text(name)) => {
                let name = String::from_utf8(self.decoded.text(name).to_vec()).expect("what is no text is escaped");
                self.push(here, item.span(), name);
            }
            (Kind::Integer(integer), Value::Number(number)) => {
                self.push(here, item.span(), number.to_string());
                for bits in integer.bits.iter().filter(|bits| !bits.name.is_empty()) {
                    let part = bits.of(number).to_string();
                    self.push(format!("{filter}.{}", bits.name), item.span(), part);
                }
            }
            (Kind::Struct(structure), Value::Struct(items)) => {
                self.push(here, item.span(), String::new());
                match structure {
                    Structure::Own(fields) => self.fields(fields, self.decoded.items(items), filter),
                    Structure::Named(at) => {
                        let structure = &self.protocol.structs[*at];
                        let taken = self.protocol.message(&structure.name).is_some();
                        let suffix = if taken { "_struct" } else { "" };
                        let filter = format!("{}.{}{suffix}", self.prefix, structure.name);
                        self.fields(&structure.fields, self.decoded.items(items), &filter);
                    }
                }
            }
            (Kind::Switch { .. }, Value::Case(case, items)) => {
                self.push(here, item.span(), String::new());
                let fields = field.kind.fields_of_case(case).expect("it was decoded by one");
                self.fields(fields, self.decoded.items(items), filter);
            }
            (kind, value) => panic!("{filter}: {value:?} of {kind:?}"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an element of PDML says under a name.
fn attribute<'l>(line: &'l str, name: &str) -> &'l str {
    let begin = format!(" {name}=\"");
    let Some(at) = line.find(&begin) else { return "" };
    let rest = &line[at + begin.len()..];
    &rest[..rest.find('"').expect("an attribute ends")]
}

fn plain(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&apos;", "'").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// What tshark reads in a capture with a dissector: for each direction its messages, an error where one is malformed.
fn tshark(protocol: &Protocol, story: &Story, carrier: &str) -> [Vec<Result<Vec<Shown>, String>>; 2] {
    let prefix = format!("h_{}", protocol.name);
    let folder = TempDir::new().expect("a folder for a capture");
    let (lua, capture) = (folder.path().join("dissector.lua"), folder.path().join("case.pcapng"));
    fs::write(&lua, dissector(protocol)).expect("the folder is there");
    fs::write(&capture, story.encode().bytes).expect("the folder is there");
    let output = Command::new("tshark")
        .arg("-X")
        .arg(format!("lua_script:{}", lua.display()))
        .args(["-d", &format!("{carrier}.port==40000,{prefix}"), "-Y", &prefix, "-T", "pdml"])
        .args(["-J", &format!("{prefix} {carrier}"), "-r"])
        .arg(&capture)
        .output()
        .expect("tshark is there");
    let (pdml, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !said.contains("Lua"), "{}: {said}", protocol.name);
    assert!(!pdml.contains("Lua Error"), "{}: {pdml}", protocol.name);
    let mut messages = [Vec::new(), Vec::new()];
    let (mut from_server, mut base) = (0, 0);
    let begin = format!("{prefix}.");
    // An attribute may hold the end of a line, but no `<`.
    for line in pdml.split('<') {
        let name = attribute(line, "name");
        if name == format!("{carrier}.srcport") {
            from_server = usize::from(attribute(line, "show") == "40000");
        } else if line.starts_with("proto ") && name == prefix {
            messages[from_server].push(Ok(Vec::new()));
        } else if name == format!("{prefix}.malformed") {
            let why = plain(attribute(line, "showname"));
            *messages[from_server].last_mut().expect("it is in a message") = Err(why);
        } else if name.starts_with(&begin) && name != format!("{prefix}.message") {
            let Ok(shown) = messages[from_server].last_mut().expect("it is in a message") else { continue };
            let number = |name| attribute(line, name).parse::<usize>().expect("a number");
            if shown.is_empty() {
                base = number("pos");
            }
            let (at, len) = (number("pos") - base, number("size"));
            shown.push(Shown { filter: name.to_owned(), at, len, value: plain(attribute(line, "show")) });
            // Of bytes and text those that stand there count, not what is shown of them.
            let last = shown.last_mut().expect("it was just put there");
            last.filter.push_str(&format!("={}", attribute(line, "value")));
        }
    }
    messages
}

/// Holds what tshark shows of a message against what the harness reads in it.
#[track_caller]
fn check_message(protocol: &Protocol, wire: &[u8], expected: &[Shown], found: &[Shown]) {
    let context = || format!("{}: {}\n{expected:#?}\n{found:#?}", protocol.name, hex(wire));
    assert_eq!(expected.len(), found.len(), "{}", context());
    for (expected, found) in expected.iter().zip(found) {
        let (filter, bytes) = found.filter.split_once('=').expect("it was put there");
        // Where a filter stands for two kinds of fields, the second has a number behind it.
        let same_filter = filter == expected.filter
            || filter.strip_prefix(&*expected.filter).is_some_and(|rest| rest.len() == 2 && rest.starts_with('_'));
        assert!(same_filter, "{} is not {}\n{}", filter, expected.filter, context());
        assert_eq!((expected.at, expected.len), (found.at, found.len), "{filter}\n{}", context());
        let value = match &*found.value {
            "True" => "1".to_owned(),
            "False" => "0".to_owned(),
            value => match value.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
                Some(number) => number.to_string(),
                None => value.to_owned(),
            },
        };
        assert!(value == expected.value || bytes == expected.value, "{filter}: {value}\n{}", context());
    }
}

/// The messages that the harness reads in a stream, each with its bytes.
fn read_stream(protocol: &Arc<Protocol>, mut stream: &[u8], direction: Direction) -> Vec<(Vec<u8>, Vec<Shown>)> {
    let framing = framing_of(protocol, Some(direction));
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let framing::Decoded::Message { start, end, consumed } = framing.decode(stream, 0).expect("it is valid") else {
            panic!("{}: {} is not whole", protocol.name, hex(stream));
        };
        let body = &stream[start..end];
        let decoded = protocol.decode(body, protocol.framing.is_some(), Some(direction));
        let decoded = decoded.unwrap_or_else(|error| panic!("{}: {}: {error}", protocol.name, hex(body)));
        let decoded = decoded.expect("the framing has found its end");
        messages.push((body.to_vec(), Reading::of(protocol, body, &decoded)));
        stream = &stream[consumed..];
    }
    messages
}

/// Messages by chance that go in a direction, as they are encoded.
fn messages(protocol: &Arc<Protocol>, direction: Direction, times: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(7, &format!("dissector {direction:?}"));
    let mut messages = Vec::new();
    for _ in 0..times {
        for (at, message) in protocol.messages.iter().enumerate() {
            if Protocol::goes(message, Some(direction))
                && let Some(given) = protocol.generate(at, &mut random)
                && let Ok(body) = protocol.encode(at, &given)
                // Chance can write one message's bytes so that they are another's beginning.
                && matches!(protocol.decode(&body, true, Some(direction)), Ok(Some(_)))
                && (protocol.framing.is_some() || protocol.transport == Carrier::Udp
                    || matches!(protocol.decode(&body, false, Some(direction)), Ok(Some(decoded)) if decoded.len == body.len()))
            {
                messages.push(body);
            }
        }
    }
    messages
}

/// A conversation in which both sides send all of theirs.
fn stream_story(streams: [&[u8]; 2], pieces: Pieces) -> Story {
    let mut story = Story::new();
    story.connect(0, "client", Transport::Tcp, CLIENT, SERVER);
    let len = if pieces == Pieces::EveryByte { 1 } else { usize::MAX };
    streams[0].chunks(len.min(streams[0].len().max(1))).for_each(|piece| {
        story.sent(0, piece);
    });
    streams[1].chunks(len.min(streams[1].len().max(1))).for_each(|piece| {
        story.received(0, piece);
    });
    story.close(0).finish(Verdict::Passed);
    story
}

#[track_caller]
fn check_stream(protocol: &Arc<Protocol>, times: usize) {
    let directions = [Direction::Request, Direction::Reply];
    let streams = directions.map(|direction| {
        let framing = framing_of(protocol, Some(direction));
        let mut stream = Vec::new();
        for message in messages(protocol, direction, times) {
            // What has the framing's own delimiter inside is no message.
            let _ = framing.encode(&message, &mut stream);
        }
        assert!(!stream.is_empty(), "{}: nothing goes as {direction:?}", protocol.name);
        stream
    });
    for pieces in [Pieces::Coalesced, Pieces::EveryByte] {
        let found = tshark(protocol, &stream_story([&streams[0], &streams[1]], pieces), "tcp");
        for (at, direction) in directions.into_iter().enumerate() {
            let expected = read_stream(protocol, &streams[at], direction);
            let name = &protocol.name;
            assert_eq!(expected.len(), found[at].len(), "{name} {pieces:?} {direction:?}: {:?}", found[at].last());
            for ((wire, expected), found) in expected.iter().zip(&found[at]) {
                let found = found.as_ref().unwrap_or_else(|why| panic!("{name}: {}: {why}", hex(wire)));
                check_message(protocol, wire, expected, found);
            }
        }
    }
}

/// Checks datagrams by chance, right ones and spoiled ones, and gives the filters that tshark found something for.
#[track_caller]
fn check_datagrams(protocol: &Arc<Protocol>, times: usize) -> BTreeSet<String> {
    let mut story = Story::new();
    story.connect(0, "client", Transport::Udp, CLIENT, SERVER);
    let directions = [Direction::Request, Direction::Reply];
    let mut random = Random::new(7, "spoiled");
    let bodies = directions.map(|direction| {
        let mut bodies = messages(protocol, direction, times);
        // The same ones spoiled: what the one decoder refuses the other does, too.
        let mut spoiled = bodies.clone();
        for body in spoiled.iter_mut().filter(|body| !body.is_empty()) {
            let at = random.below(body.len() as u64) as usize;
            match random.below(3) {
                0 => body.truncate(at),
                1 => body.insert(at, random.below(256) as u8),
                _ => body[at] ^= 1 << random.below(8),
            }
        }
        bodies.append(&mut spoiled);
        bodies.retain(|body| !body.is_empty());
        bodies
    });
    bodies[0].iter().for_each(|body| {
        story.sent(0, body);
    });
    bodies[1].iter().for_each(|body| {
        story.received(0, body);
    });
    story.close(0).finish(Verdict::Passed);
    let found = tshark(protocol, &story, "udp");
    let (mut refused, mut filters) = (0, BTreeSet::new());
    for (at, direction) in directions.into_iter().enumerate() {
        assert_eq!(bodies[at].len(), found[at].len(), "{} {direction:?}", protocol.name);
        for (body, found) in bodies[at].iter().zip(&found[at]) {
            match (protocol.decode(body, true, Some(direction)), found) {
                (Ok(Some(decoded)), Ok(found)) => {
                    let expected = Reading::of(protocol, body, &decoded);
                    check_message(protocol, body, &expected, found);
                    filters.extend(expected.into_iter().map(|shown| shown.filter));
                }
                (Err(_), Err(_)) => refused += 1,
                (ours, found) => panic!("{}: {}\n{ours:?}\n{found:?}", protocol.name, hex(body)),
            }
        }
    }
    assert!(refused > 0 || &*protocol.name == "echo", "{}: nothing was refused", protocol.name);
    filters
}

#[test]
fn tshark_reads_streams_of_every_protocol_as_the_harness_does_however_they_come() {
    if !have(&["tshark"]) {
        return;
    }
    for entry in PROTOCOLS.iter().filter(|entry| entry.protocol().transport != Carrier::Udp) {
        check_stream(&entry.protocol(), 3);
    }
}

/// What no description that comes with the harness has.
const EVERYTHING: &str = r#"
name = "everything"
transport = "udp"

[enum.kind]
leaf = -1
node = 0x7fff

[struct.tree]
fields = [
  { name = "kind", type = "i16le", enum = "kind" },
  { name = "content", switch = "kind", cases = { leaf = [
    { name = "value", type = "varint" },
  ], node = [
    { name = "count", type = "u8", compute = "count(children)" },
    { name = "children", type = "array", count = "count", of = "tree" },
  ] }, else = [
    { name = "value", type = "bytes", length = { prefix = "u8" } },
  ] },
]

[message.integers]
direction = "request"
fields = [
  { name = "op", type = "u8", value = 1 },
  { name = "a", type = "u64be" },
  { name = "b", type = "u64le" },
  { name = "c", type = "i64be" },
  { name = "d", type = "i64le" },
  { name = "e", type = "i24be" },
  { name = "f", type = "u24le" },
  { name = "g", type = "i40le" },
  { name = "h", type = "u56be" },
  { name = "i", type = "varint" },
  { name = "j", type = "varint-quic" },
  { name = "k", type = "varint-mqtt" },
  { name = "l", type = "i8", min = -3, max = 3 },
  { name = "m", type = "i32le" },
  { name = "limited", type = "u64be", min = 0x7ffffffffffffff0 },
]

[message.bits]
direction = "request"
fields = [
  { name = "op", type = "u8", value = 2 },
  { name = "small", type = "u16le", bits = [{ name = "a", width = 3 }, { width = 1, value = 0 }, { name = "b" }, { name = "c", width = 11 }] },
  { name = "large", type = "u64be", bits = [{ name = "a" }, { name = "b", width = 40 }, { name = "c", width = 23 }] },
  { name = "word", type = "u24be", bits = [{ name = "a" }, { name = "b", width = 23 }] },
  { name = "odd", type = "u8", if = "small.b && large.c != 3" },
  { name = "even", type = "u8", if = "!small.b || word.b & 6" },
]

[message.sums]
direction = "request"
fields = [
  { name = "op", type = "u8", value = 3 },
  { name = "data", type = "bytes", length = { prefix = "varint" } },
  { name = "adler", type = "u32be", compute = "adler32(data)" },
  { name = "arc", type = "u16le", compute = "crc16(data)" },
  { name = "xmodem", type = "u16be", compute = "crc16-ccitt(data)" },
  { name = "modbus", type = "u16be", compute = "crc16-modbus(data)" },
  { name = "ieee", type = "u32be", compute = "crc32(data)" },
  { name = "iscsi", type = "u32le", compute = "crc32c(data)" },
  { name = "internet", type = "u16be", compute = "internet(op..)" },
  { name = "hash", type = "bytes", length = 20, compute = "sha1(data)" },
]

[message.layouts]
direction = "request"
fields = [
  { name = "op", type = "u8", value = 4 },
  { name = "whole", type = "u16be", compute = "length(op..)" },
  { name = "name", type = "text", until = "::", pad = " " },
  { name = "hex", type = "hexadecimal", length = 6 },
  { name = "number", type = "decimal", until = ";" },
  { name = "len", type = "u8", compute = "length(sized)" },
  { name = "sized", type = "array", length = "len", of = "u16be" },
  { name = "pair", type = "array", count = 2, fields = [{ name = "x", type = "u8" }, { name = "y", type = "i8" }] },
  { type = "align", to = 8 },
  { name = "tail", type = "bytes", length = "rest" },
  { name = "end", type = "u8", value = 0xff },
]

[message.offsets]
direction = "request"
fields = [
  { name = "op", type = "u8", value = 5 },
  { name = "where", type = "u8", compute = "offset(tail)" },
  { name = "gap", type = "bytes", length = { prefix = "u8" } },
  { name = "tail", type = "bytes", length = "rest" },
]

[message.trees]
direction = "reply"
fields = [{ name = "root", type = "tree" }, { name = "rest", type = "array", length = "rest", of = "tree" }]
"#;

#[test]
fn tshark_reads_all_that_a_description_can_say() {
    if have(&["tshark"]) {
        let protocol = protocol::load("everything.toml", EVERYTHING).expect("it is right");
        let found = check_datagrams(&protocol, 100);
        for filter in [
            "integers.limited",
            "bits.odd",
            "bits.even",
            "bits.large.c",
            "sums.hash",
            "layouts.pair.y",
            "offsets.where",
            "tree.content.value",
            "tree.content.children",
        ] {
            assert!(found.contains(&format!("h_everything.{filter}")), "{filter} is not in {found:?}");
        }
    }
}

#[test]
fn tshark_cuts_streams_by_every_framing() {
    if !have(&["tshark"]) {
        return;
    }
    let widths =
        framing::WIDTHS.iter().map(|(name, _)| format!("{{ length_prefix = \"{name}\", includes_prefix = true }}"));
    let others = [r#""crlf""#, r#"{ delimiter = "::" }"#, "{ fixed = 24 }"].map(str::to_owned);
    for (at, framing) in widths.chain(others).enumerate() {
        let message = "fields = [{ name = \"data\", type = \"hexadecimal\", length = 24, min = 0 }]";
        let text = format!(
            "name = \"f{at}\"\ntransport = \"tcp\"\nframing = {framing}\n[message.m]\ndirection = \"both\"\n{message}\n"
        );
        check_stream(&protocol::load("f.toml", &text).expect("it is right"), 3);
    }
}

#[test]
fn tshark_reads_datagrams_as_the_harness_does_and_refuses_the_same() {
    if !have(&["tshark"]) {
        return;
    }
    // A framed message is as good as a datagram.
    for name in ["dns", "echo", "kv", "lines", "modbus", "stun", "tftp"] {
        let text = protocol::find(name).expect("it comes with the harness").text();
        let text = text.replace("transport = \"tcp\"", "transport = \"udp\"");
        check_datagrams(&protocol::load(name, &text).expect("it is still right"), 40);
    }
}

/// Conversations with our own servers, torn and coalesced.
const SCENARIO: &str = r#"
[target.kv]
builtin = "kv"
[target.lines]
builtin = "lines"
[target.udp]
builtin = "udp-echo"

[actor.kv_client]
connect = "kv"
protocol = "kv"
[actor.lines_client]
connect = "lines"
protocol = "lines"
[actor.udp_client]
connect = "udp"
protocol = "echo"

[[case]]
name = "kv"
steps = [
  { kv_client.send = { put = { id = 1, key = "colour", data = "blue" } }, split = "every-byte" },
  { kv_client.expect = { stored = { id = 1 } } },
  { kv_client.send = [{ get = { id = 2, key = "colour" } }, { list = { id = 3, prefix = "c" } }], coalesce = true },
  { kv_client.expect = { value = { id = 2, data = "blue" } } },
  { kv_client.expect = { keys = { id = 3 } } },
]

[[case]]
name = "lines"
steps = [
  { lines_client.send = { store = { key = "a", value = "b c" } }, split = "every-byte" },
  { lines_client.expect = { ok = {} } },
  { lines_client.send = [{ get = { key = "a" } }, { ping = {} }], coalesce = true },
  { lines_client.expect = { value = { value = "b c" } } },
  { lines_client.expect = { pong = {} } },
]

[[case]]
name = "udp"
steps = [{ udp_client.send = { line = { text = "hi" } } }, { udp_client.expect = { line = { text = "hi" } } }]
"#;

/// Plays a case, has the command line write a dissector, and gives what tshark says of these fields.
#[track_caller]
fn play(case: &str, protocol: &str, carrier: &str, fields: &[&str]) -> String {
    let folder = TempDir::new().expect("a folder for a run");
    fs::write(folder.path().join("all.toml"), SCENARIO).expect("the folder is there");
    let arguments = ["run", "all.toml", "--filter", case, "--out", "out"];
    ran(harness(folder.path()).args(arguments)).exits(0);
    ran(harness(folder.path()).args(["dissector", protocol, "-o", "dissector.lua"])).exits(0);
    let capture = format!("out/captures/all/{case}.pcapng");
    let tshark = |arguments: &[&str]| {
        let output = Command::new("tshark")
            .current_dir(folder.path())
            .args(["-X", "lua_script:dissector.lua", "-r", &capture])
            .args(arguments)
            .output()
            .expect("tshark is there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("Lua"), "{said}");
        String::from_utf8(output.stdout).expect("fields are text")
    };
    // Where the server listens: who was sent to first.
    let port = tshark(&["-c", "1", "-T", "fields", "-e", &format!("{carrier}.dstport")]);
    let decode_as = format!("{carrier}.port=={},h_{protocol}", port.trim());
    let all = tshark(&["-d", &decode_as, "-Y", &format!("_ws.malformed or h_{protocol}.malformed")]);
    assert_eq!(all, "", "something is malformed");
    let mut arguments = vec!["-d", &decode_as, "-Y"];
    let filter = format!("h_{protocol}");
    arguments.extend([&*filter, "-T", "fields", "-E", "separator=|"]);
    fields.iter().for_each(|field| arguments.extend(["-e", field]));
    tshark(&arguments)
}

#[test]
fn tshark_shows_what_was_said_to_our_servers() {
    if !have(&["tshark"]) {
        return;
    }
    let kv =
        play("kv", "kv", "tcp", &["h_kv.message", "h_kv.put.data", "h_kv.get.id", "h_kv.keys.keys", "_ws.col.Info"]);
    let (blue, colour) = (hex(b"blue"), hex(b"colour"));
    let lines: Vec<&str> = kv.lines().map(str::trim_end).collect();
    assert_eq!(
        lines[0],
        format!("put|{blue}|||put {{ op = 2, id = 1, key_len = 6, key = \"colour\", data = \"blue\" }}")
    );
    assert_eq!(lines[2].rsplit_once('|').map(|(fields, _)| fields), Some("get,list||2|"));
    assert!(lines.iter().any(|line| line.contains(&format!("|{colour}|"))), "{lines:?}");
    let lines = play("lines", "lines", "tcp", &["h_lines.message", "h_lines.store.key", "h_lines.value.value"]);
    assert!(lines.starts_with("store|61|\nok||\nget,ping||\n"), "{lines}");
    assert!(lines.contains(&hex(b"b c")), "{lines}");
    let udp = play("udp", "echo", "udp", &["h_echo.message", "h_echo.line.text"]);
    assert_eq!(udp, "line|6869\nline|6869\n");
}

#[test]
fn a_protocol_that_is_not_there_or_is_wrong_is_told() {
    let folder = TempDir::new().expect("a folder for a description");
    let dissect = |protocol: &str| ran(harness(folder.path()).args(["dissector", protocol]));
    dissect("mqt").exits(2).says("error: there is no protocol `mqt`\nhint: did you mean `mqtt`?");
    dissect("./none.toml").exits(3).says("error: `./none.toml`: cannot read the file");
    fs::write(folder.path().join("bad.toml"), "name = \"x\"\n[message.m]\nfields = [{ type = \"u7\" }]\n")
        .expect("the folder is there");
    dissect("bad.toml").exits(3).says("bad.toml:3:");
}

#[test]
fn a_name_in_other_letters_makes_a_filter_that_wireshark_takes() {
    let text = "name = \"My Protocol\"\n[message.m]\nfields = [{ name = \"a\", type = \"u8\" }]\n";
    let protocol = protocol::load("my.toml", text).expect("it is right");
    assert!(dissector(&protocol).contains("field(\"h_my_protocol.m.a\", \"a\", \"UINT8\", nil, base.DEC)"));
}
