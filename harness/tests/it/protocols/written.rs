//! What we encode, as tshark's own dissectors read it: the fields equal what was given, and nothing is malformed.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use harness::event::{Transport, Verdict};
use harness::protocol::{self, Given, Protocol, framing};
use tempfile::TempDir;
use toml::de::{DeTable, DeValue};

use crate::capture::story::Story;
use crate::capture::tools::have;

/// Who sends a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sender {
    Client,
    Server,
}
use Sender::{Client, Server};

/// A message, its fields as they stand in a scenario, and what tshark says of it.
type Row = (Sender, &'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Values as they stand in a scenario.
fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::Array(values) => Given::List(values.iter().map(|value| given(value.get_ref())).collect()),
        DeValue::Integer(value) => Given::Number(value.as_str().parse().expect("the numbers here are decimal")),
        DeValue::String(text) => Given::Bytes(Bytes::copy_from_slice(text.as_bytes())),
        DeValue::Table(table) => match table.get("hex") {
            Some(hex) => Given::Bytes(bytes_of(hex.get_ref().as_str().expect("`hex` is a string")).into()),
            None => Given::Table(
                table.iter().map(|(name, value)| ((&**name.get_ref()).into(), given(value.get_ref()))).collect(),
            ),
        },
        other => panic!("{other:?} is nothing that a message holds"),
    }
}

pub(super) fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
    digits
        .chunks(2)
        .map(|pair| {
            let pair = str::from_utf8(pair).expect("it is hexadecimal");
            u8::from_str_radix(pair, 16).expect("it is hexadecimal")
        })
        .collect()
}

fn encode(protocol: &Protocol, message: &str, fields: &str) -> Vec<u8> {
    let text = format!("fields = {fields}");
    let table = DeTable::parse(&text).unwrap_or_else(|error| panic!("{fields}: {error}"));
    let value = table.get_ref().get("fields").expect("it stands there").get_ref();
    let Given::Table(table) = given(value) else { panic!("{fields} is no table") };
    let (at, _) = protocol.message(message).unwrap_or_else(|| panic!("{} has no `{message}`", protocol.name));
    protocol.encode(at, &table).unwrap_or_else(|error| panic!("{message} {fields}: {error}"))
}

/// Puts all rows into one conversation and holds what tshark says of each packet against its row.
#[track_caller]
fn check(name: &str, carrier: Transport, dissector: &str, rows: &[Row]) {
    if !have(&["tshark"]) {
        return;
    }
    let protocol: Arc<Protocol> = protocol::find(name).expect("it comes with the harness").protocol();
    let mut story = Story::new();
    let port = protocol.port.expect("it has one");
    story.connect(0, "client", carrier, "127.0.0.1:50000", &format!("127.0.0.1:{port}"));
    for (from, message, fields, _) in rows {
        let body = encode(&protocol, message, fields);
        let mut wire = Vec::new();
        match carrier {
            Transport::Tcp => framing(&protocol, None).encode(&body, &mut wire).expect("it is within the limits"),
            _ => wire = body,
        }
        match from {
            Client => story.sent(0, &wire),
            Server => story.received(0, &wire),
        };
    }
    story.close(0).finish(Verdict::Passed);
    let folder = TempDir::new().expect("a folder for a capture");
    let capture = folder.path().join("case.pcapng");
    fs::write(&capture, story.encode().bytes).expect("the folder is there");
    let mut wanted: Vec<&str> = rows.iter().flat_map(|row| row.3.iter().map(|(field, _)| *field)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&capture).args(["-Y", dissector, "-T", "fields", "-E", "separator=|", "-e", "_ws.malformed"]);
    wanted.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    let output = command.output().expect("tshark is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), rows.len(), "{name}: not every message was seen\n{text}");
    for (line, (_, message, fields, expected)) in lines.iter().zip(rows) {
        let values: Vec<&str> = line.split('|').collect();
        assert_eq!(values[0], "", "{name}: `{message}` {fields} is malformed");
        for (field, value) in *expected {
            let at = wanted.iter().position(|wanted| wanted == field).expect("all were asked for") + 1;
            assert_eq!(values[at], *value, "{name}: {field} of `{message}` {fields}\n{line}");
        }
    }
}

#[test]
fn mqtt() {
    check(
        "mqtt",
        Transport::Tcp,
        "mqtt",
        &[
            (
                Client,
                "connect",
                r#"{ client_id = "me", keep_alive = 60, username = "alice", password = "secret", will_topic = "gone", will_message = "bye", will_qos = 1, will_retain = 1 }"#,
                &[
                    ("mqtt.msgtype", "1"),
                    ("mqtt.protoname", "MQTT"),
                    ("mqtt.ver", "4"),
                    ("mqtt.clientid", "me"),
                    ("mqtt.kalive", "60"),
                    ("mqtt.username", "alice"),
                    ("mqtt.passwd", "secret"),
                    ("mqtt.willtopic", "gone"),
                    ("mqtt.willmsg", "627965"),
                    ("mqtt.conflag.qos", "1"),
                    ("mqtt.conflag.retain", "1"),
                    ("mqtt.conflag.cleansess", "1"),
                ],
            ),
            (
                Server,
                "connack",
                r#"{ session_present = 1, code = "accepted" }"#,
                &[("mqtt.msgtype", "2"), ("mqtt.conack.flags.sp", "1"), ("mqtt.conack.val", "0")],
            ),
            (
                Client,
                "subscribe",
                r#"{ id = 7, topics = [{ filter = "a/+", qos = 2 }, { filter = "b/#", qos = 0 }] }"#,
                &[("mqtt.msgtype", "8"), ("mqtt.msgid", "7"), ("mqtt.topic", "a/+,b/#"), ("mqtt.sub.qos", "2,0")],
            ),
            (
                Server,
                "suback",
                r#"{ id = 7, granted = ["qos2", "failure"] }"#,
                &[("mqtt.msgtype", "9"), ("mqtt.msgid", "7"), ("mqtt.suback.qos", "2,128")],
            ),
            (
                Client,
                "publish",
                r#"{ qos = 2, retain = 1, dup = 1, topic = "a/b", id = 8, payload = "on" }"#,
                &[
                    ("mqtt.msgtype", "3"),
                    ("mqtt.qos", "2"),
                    ("mqtt.retain", "1"),
                    ("mqtt.dupflag", "1"),
                    ("mqtt.topic", "a/b"),
                    ("mqtt.msgid", "8"),
                    ("mqtt.msg", "6f6e"),
                ],
            ),
            (Server, "pubrec", "{ id = 8 }", &[("mqtt.msgtype", "5"), ("mqtt.msgid", "8")]),
            (Client, "pubrel", "{ id = 8 }", &[("mqtt.msgtype", "6"), ("mqtt.msgid", "8")]),
            (Server, "pubcomp", "{ id = 8 }", &[("mqtt.msgtype", "7"), ("mqtt.msgid", "8")]),
            (Server, "publish", r#"{ topic = "x", payload = "" }"#, &[("mqtt.msgtype", "3"), ("mqtt.topic", "x")]),
            (Client, "puback", "{ id = 9 }", &[("mqtt.msgtype", "4"), ("mqtt.msgid", "9")]),
            (
                Client,
                "unsubscribe",
                r#"{ id = 10, filters = ["a/+", "b/#"] }"#,
                &[("mqtt.msgtype", "10"), ("mqtt.msgid", "10"), ("mqtt.topic", "a/+,b/#")],
            ),
            (Server, "unsuback", "{ id = 10 }", &[("mqtt.msgtype", "11"), ("mqtt.msgid", "10")]),
            (Client, "pingreq", "{}", &[("mqtt.msgtype", "12"), ("mqtt.len", "0")]),
            (Server, "pingresp", "{}", &[("mqtt.msgtype", "13"), ("mqtt.len", "0")]),
            (Client, "disconnect", "{}", &[("mqtt.msgtype", "14"), ("mqtt.len", "0")]),
        ],
    );
}

const DNS: &[Row] = &[
    (
        Client,
        "query",
        r#"{ id = 7, questions = [{ name = "www.example.org", type = "AAAA" }] }"#,
        &[
            ("dns.id", "0x0007"),
            ("dns.flags.response", "0"),
            ("dns.flags.recdesired", "1"),
            ("dns.qry.name", "www.example.org"),
            ("dns.qry.type", "28"),
            ("dns.qry.class", "0x0001"),
        ],
    ),
    (
        Server,
        "answer",
        r#"{ id = 7, authoritative = 1, truncated = 1, code = "nxdomain", questions = [{ name = "www.example.org", type = "AAAA" }],
            authorities = [{ name = "example.org", type = "SOA", ttl = 60, data = { primary = "ns.example.org", mailbox = "root.example.org", serial = 2026, refresh = 1, retry = 2, expire = 3, minimum = 4 } }] }"#,
        &[
            ("dns.flags.response", "1"),
            ("dns.flags.authoritative", "1"),
            ("dns.flags.truncated", "1"),
            ("dns.flags.rcode", "3"),
            ("dns.count.auth_rr", "1"),
            ("dns.soa.mname", "ns.example.org"),
            ("dns.soa.rname", "root.example.org"),
            ("dns.soa.serial_number", "2026"),
            ("dns.soa.minimum_ttl", "4"),
        ],
    ),
    (
        Client,
        "query",
        r#"{ id = 8, questions = [{ name = "example.org", type = "ANY" }] }"#,
        &[("dns.id", "0x0008"), ("dns.qry.type", "255")],
    ),
    (
        Server,
        "answer",
        r#"{ id = 8, questions = [{ name = "example.org", type = "ANY" }], answers = [
            { name = "example.org", type = "A", ttl = 300, data = { address = { hex = "c0000201" } } },
            { name = "example.org", type = "AAAA", ttl = 300, data = { address = { hex = "20010db8000000000000000000000001" } } },
            { name = "example.org", type = "NS", ttl = 300, data = { target = "ns.example.org" } },
            { name = "www.example.org", type = "CNAME", ttl = 300, data = { target = "example.org" } },
            { name = "example.org", type = "MX", ttl = 300, data = { preference = 10, exchange = "mail.example.org" } },
            { name = "example.org", type = "TXT", ttl = 300, data = { texts = ["one", "two"] } },
            { name = "_http._tcp.example.org", type = "SRV", ttl = 300, data = { priority = 1, weight = 2, port = 8080, target = "www.example.org" } },
        ] }"#,
        &[
            ("dns.count.answers", "7"),
            ("dns.a", "192.0.2.1"),
            ("dns.aaaa", "2001:db8::1"),
            ("dns.ns", "ns.example.org"),
            ("dns.cname", "example.org"),
            ("dns.mx.preference", "10"),
            ("dns.mx.mail_exchange", "mail.example.org"),
            ("dns.txt", "one,two"),
            ("dns.srv.port", "8080"),
            ("dns.srv.target", "www.example.org"),
        ],
    ),
];

#[test]
fn dns_over_udp() {
    check("dns", Transport::Udp, "dns", DNS);
}

#[test]
fn dns_over_tcp() {
    check("dns", Transport::Tcp, "dns", DNS);
}

#[test]
fn bittorrent() {
    const HASH: &str = "000102030405060708090a0b0c0d0e0f10111213";
    const PEER: &str = "2d4841303030312d303132333435363738393031";
    let handshake = r#"{ reserved = { hex = "0000000000100005" }, info_hash = { hex = "000102030405060708090a0b0c0d0e0f10111213" }, peer_id = "-HA0001-012345678901" }"#;
    let shakes: &[(&str, &str)] =
        &[("bittorrent.info_hash", HASH), ("bittorrent.peer_id", PEER), ("bittorrent.reserved", "0000000000100005")];
    check(
        "bittorrent",
        Transport::Tcp,
        "bittorrent",
        &[
            (Client, "handshake", handshake, shakes),
            (Server, "handshake", handshake, shakes),
            (
                Server,
                "bitfield",
                r#"{ pieces = { hex = "ffc0" } }"#,
                &[("bittorrent.msg.type", "5"), ("bittorrent.msg.length", "3"), ("bittorrent.msg.bitfield", "ffc0")],
            ),
            (Client, "interested", "{}", &[("bittorrent.msg.type", "2"), ("bittorrent.msg.length", "1")]),
            (Server, "unchoke", "{}", &[("bittorrent.msg.type", "1")]),
            (
                Client,
                "request",
                "{ index = 3, begin = 16384, len = 100 }",
                &[
                    ("bittorrent.msg.type", "6"),
                    ("bittorrent.piece.index", "0x00000003"),
                    ("bittorrent.piece.begin", "0x00004000"),
                    ("bittorrent.piece.length", "0x00000064"),
                ],
            ),
            (
                Server,
                "piece",
                r#"{ index = 3, begin = 16384, block = "abcd" }"#,
                &[
                    ("bittorrent.msg.type", "7"),
                    ("bittorrent.msg.length", "13"),
                    ("bittorrent.piece.index", "0x00000003"),
                    ("bittorrent.piece.data", "61626364"),
                ],
            ),
            (
                Client,
                "have",
                "{ index = 3 }",
                &[("bittorrent.msg.type", "4"), ("bittorrent.piece.index", "0x00000003")],
            ),
            (Client, "cancel", "{ index = 1, begin = 2, len = 3 }", &[("bittorrent.msg.type", "8")]),
            (Client, "port", "{ port = 6881 }", &[("bittorrent.msg.type", "9"), ("bittorrent.port", "6881")]),
            (
                Client,
                "extended",
                r#"{ extension = 0, data = "d1:md6:ut_pexi1eee" }"#,
                &[("bittorrent.msg.type", "20"), ("bittorrent.extended.id", "0")],
            ),
            (
                Client,
                "suggest",
                "{ index = 3 }",
                &[("bittorrent.msg.type", "13"), ("bittorrent.piece.index", "0x00000003")],
            ),
            (Server, "have_all", "{}", &[("bittorrent.msg.type", "14")]),
            (Client, "have_none", "{}", &[("bittorrent.msg.type", "15")]),
            (
                Server,
                "reject",
                "{ index = 1, begin = 2, len = 3 }",
                &[("bittorrent.msg.type", "16"), ("bittorrent.piece.begin", "0x00000002")],
            ),
            (
                Server,
                "allowed_fast",
                "{ index = 3 }",
                &[("bittorrent.msg.type", "17"), ("bittorrent.piece.index", "0x00000003")],
            ),
            (Client, "not_interested", "{}", &[("bittorrent.msg.type", "3")]),
            (Server, "choke", "{}", &[("bittorrent.msg.type", "0")]),
            (Server, "keep_alive", "{}", &[]),
        ],
    );
}

#[test]
fn stun() {
    let id = r#"transaction = { hex = "000102030405060708090a0b" }"#;
    let with = |attributes: &str| -> &'static str { format!("{{ {id}, attributes = {attributes} }}").leak() };
    check(
        "stun",
        Transport::Udp,
        "stun",
        &[
            (
                Client,
                "binding_request",
                with(r#"[{ type = "software", value = "abc" }, { type = "username", value = "alice" }]"#),
                &[
                    ("stun.type", "0x0001"),
                    ("stun.length", "20"),
                    ("stun.id", "000102030405060708090a0b"),
                    ("stun.att.software", "abc"),
                    ("stun.att.username", "alice"),
                ],
            ),
            (
                Server,
                "binding_success",
                with(r#"[{ type = "xor_mapped_address", value = { hex = "0001 e142 5e12a443" } }]"#),
                &[("stun.type", "0x0101"), ("stun.att.ipv4", "127.0.0.1"), ("stun.att.port", "49232")],
            ),
            (
                Server,
                "binding_error",
                with(
                    r#"[{ type = "error_code", value = { hex = "00000414 6e6f" } }, { type = "realm", value = "r" }, { type = "nonce", value = "n" }]"#,
                ),
                &[
                    ("stun.type", "0x0111"),
                    ("stun.att.error.class", "4"),
                    ("stun.att.error", "20"),
                    ("stun.att.error.reason", "no"),
                    ("stun.att.realm", "r"),
                    ("stun.att.nonce", "n"),
                ],
            ),
        ],
    );
}

#[test]
fn tftp() {
    check(
        "tftp",
        Transport::Udp,
        "tftp",
        &[
            (
                Client,
                "read",
                r#"{ file = "boot.img", options = [{ name = "blksize", value = "1024" }, { name = "tsize", value = "0" }] }"#,
                &[
                    ("tftp.opcode", "1"),
                    ("tftp.source_file", "boot.img"),
                    ("tftp.type", "octet"),
                    ("tftp.option.name", "blksize,tsize"),
                    ("tftp.option.value", "1024,0"),
                ],
            ),
            (
                Server,
                "accepted",
                r#"{ options = [{ name = "blksize", value = "1024" }] }"#,
                &[("tftp.opcode", "6"), ("tftp.option.name", "blksize"), ("tftp.option.value", "1024")],
            ),
            (Client, "acknowledged", "{ block = 0 }", &[("tftp.opcode", "4"), ("tftp.block", "0")]),
            (Server, "data", r#"{ block = 1, data = "abc" }"#, &[("tftp.opcode", "3"), ("tftp.block", "1")]),
            (
                Client,
                "write",
                r#"{ file = "up", mode = "netascii" }"#,
                &[("tftp.opcode", "2"), ("tftp.destination_file", "up"), ("tftp.type", "netascii")],
            ),
            (
                Server,
                "error",
                r#"{ code = "exists", text = "no" }"#,
                &[("tftp.opcode", "5"), ("tftp.error.code", "6"), ("tftp.error.message", "no")],
            ),
        ],
    );
}

#[test]
fn modbus() {
    check(
        "modbus",
        Transport::Tcp,
        "mbtcp",
        &[
            (
                Client,
                "read_registers",
                "{ transaction = 1, unit = 9, address = 100, count = 2 }",
                &[
                    ("mbtcp.trans_id", "1"),
                    ("mbtcp.len", "6"),
                    ("mbtcp.unit_id", "9"),
                    ("modbus.func_code", "3"),
                    ("modbus.reference_num", "100"),
                    ("modbus.word_cnt", "2"),
                ],
            ),
            (
                Server,
                "registers",
                "{ transaction = 1, unit = 9, values = [513, 65535] }",
                &[("mbtcp.len", "7"), ("modbus.regval_uint16", "513,65535")],
            ),
            (
                Client,
                "write_register",
                "{ transaction = 2, address = 5, value = 77 }",
                &[("modbus.func_code", "6"), ("modbus.reference_num", "5"), ("modbus.data", "004d")],
            ),
            (
                Server,
                "write_register",
                "{ transaction = 2, address = 5, value = 77 }",
                &[("modbus.func_code", "6"), ("mbtcp.trans_id", "2")],
            ),
            (
                Client,
                "write_registers",
                "{ transaction = 3, address = 7, values = [1, 2, 3] }",
                &[
                    ("modbus.func_code", "16"),
                    ("modbus.word_cnt", "3"),
                    ("modbus.regval_uint16", "1,2,3"),
                    ("mbtcp.len", "13"),
                ],
            ),
            (
                Server,
                "written",
                "{ transaction = 3, address = 7, count = 3 }",
                &[("modbus.func_code", "16"), ("modbus.word_cnt", "3")],
            ),
            (Client, "read_registers", "{ transaction = 4, address = 9, count = 1 }", &[("modbus.func_code", "3")]),
            (
                Server,
                "exception",
                r#"{ transaction = 4, of = 3, code = "illegal_address" }"#,
                &[("modbus.func_code", "3"), ("modbus.exception_code", "2")],
            ),
        ],
    );
}

#[test]
fn http() {
    check(
        "http1",
        Transport::Tcp,
        "http",
        &[
            (
                Client,
                "request",
                r#"{ method = "POST", target = "/x?y=1", headers = [{ name = "Host", value = "example.org" }, { name = "Content-Length", value = "0" }] }"#,
                &[
                    ("http.request.method", "POST"),
                    ("http.request.uri", "/x?y=1"),
                    ("http.request.version", "HTTP/1.1"),
                    ("http.host", "example.org"),
                ],
            ),
            (
                Server,
                "response",
                r#"{ status = 404, reason = "Not Found", headers = [{ name = "Server", value = "h" }, { name = "Content-Length", value = "0" }] }"#,
                &[("http.response.code", "404"), ("http.response.phrase", "Not Found"), ("http.server", "h")],
            ),
        ],
    );
}

#[test]
fn smtp() {
    check(
        "smtp",
        Transport::Tcp,
        "smtp",
        &[
            (
                Server,
                "reply",
                r#"{ code = 220, text = "mail.example.org ESMTP" }"#,
                &[("smtp.response.code", "220"), ("smtp.rsp.parameter", "mail.example.org ESMTP")],
            ),
            (
                Client,
                "command",
                r#"{ line = "EHLO me" }"#,
                &[("smtp.req.command", "EHLO"), ("smtp.req.parameter", "me")],
            ),
            (Server, "continued", r#"{ code = 250, text = "mail.example.org" }"#, &[("smtp.response.code", "250")]),
            (Server, "reply", r#"{ code = 250, text = "HELP" }"#, &[("smtp.response.code", "250")]),
            (
                Client,
                "command",
                r#"{ line = "MAIL FROM:<a@example.org>" }"#,
                &[("smtp.req.command", "MAIL"), ("smtp.req.parameter", "FROM:<a@example.org>")],
            ),
            (Server, "bare", "{ code = 250 }", &[("smtp.response.code", "250")]),
        ],
    );
}

#[test]
fn resp() {
    check(
        "resp",
        Transport::Tcp,
        "resp",
        &[
            (
                Client,
                "command",
                r#"{ words = [{ data = "SET" }, { data = "colour" }, { data = "blue" }] }"#,
                &[("resp.array.length", "3"), ("resp.bulk_string.value", "534554,636f6c6f7572,626c7565")],
            ),
            (Server, "ok", r#"{ text = "OK" }"#, &[("resp.string", "OK")]),
            (Server, "error", r#"{ text = "ERR no" }"#, &[("resp.error", "ERR no")]),
            (Server, "integer", "{ number = -7 }", &[("resp.integer", "-7")]),
            (Server, "bulk", r#"{ data = "abc" }"#, &[("resp.bulk_string.length", "3")]),
            (Server, "nil", "{}", &[("resp.bulk_string.length", "-1")]),
            (
                Server,
                "array",
                r#"{ items = [{ kind = "integer", value = { number = 5 } }, { kind = "bulk", value = { data = "x" } }, { kind = "simple", value = { text = "y" } }] }"#,
                &[
                    ("resp.array.length", "3"),
                    ("resp.integer", "5"),
                    ("resp.bulk_string.value", "78"),
                    ("resp.string", "y"),
                ],
            ),
        ],
    );
}

#[test]
fn memcached() {
    check(
        "memcached",
        Transport::Tcp,
        "memcache",
        &[
            (
                Client,
                "store",
                r#"{ key = "colour", flags = 5, expires = 60, data = "blue" }"#,
                &[
                    ("memcache.command", "set"),
                    ("memcache.key", "colour"),
                    ("memcache.flags", "5"),
                    ("memcache.expiration", "60"),
                    ("memcache.value.length", "4"),
                    ("memcache.value", "blue"),
                ],
            ),
            (Server, "stored", "{}", &[("memcache.response", "STORED")]),
            (Client, "retrieve", r#"{ keys = "colour" }"#, &[("memcache.command", "get"), ("memcache.key", "colour")]),
            (Client, "count", r#"{ key = "n", by = 5 }"#, &[("memcache.command", "incr"), ("memcache.key", "n")]),
            (Client, "delete", r#"{ key = "n" }"#, &[("memcache.command", "delete"), ("memcache.key", "n")]),
            (Client, "version", "{}", &[("memcache.command", "version")]),
            (Server, "version_is", r#"{ version = "1.6" }"#, &[("memcache.version", "1.6")]),
        ],
    );
}
