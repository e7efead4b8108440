//! What real programs sent, as we decode it, whole and torn at every byte.
//!
//! The bytes were taken from the loopback interface: mosquitto 2.0.11 and its clients, redis 7.0 and redis-cli, memcached
//! 1.6.18, dig 9.18 and dnsmasq 2.90, swaks and aiosmtpd 1.4.3, curl 7.88 and Python's http.server, curl and tftpd-hpa 5.2,
//! `turnserver` and `turnutils_stunclient` of coturn 4.6.1, mbpoll 1.4.11 (libmodbus 3.1.6) and pymodbus 3.0.0,
//! aria2 1.36 and transmission 3.00.

use harness::protocol::Direction::{Reply, Request};
use harness::protocol::{self, Direction, framing};

/// Cuts a stream with a protocol's framing and shows each of its messages.
#[track_caller]
fn check(name: &str, direction: Direction, stream: &[u8], expected: &[&str]) {
    let protocol = protocol::find(name).expect("it comes with the harness").protocol();
    let framing = framing(&protocol, Some(direction));
    // The bytes come one by one, and a message is there with its last one, not later.
    let (mut shown, mut start) = (Vec::new(), 0);
    for end in 1..=stream.len() {
        match framing.decode(&stream[start..end], 0) {
            Ok(harness::framing::Decoded::Message { start: from, end: to, consumed }) => {
                let body = &stream[start + from..start + to];
                let decoded =
                    protocol.decode(body, true, Some(direction)).unwrap_or_else(|error| panic!("{name}: {error}"));
                shown.push(protocol.show(&decoded.expect("it is whole"), body));
                start += consumed;
            }
            Ok(harness::framing::Decoded::NeedMore) => {}
            Err(error) => panic!("{name}: {} at byte {end}: {error}", stream[start..end].escape_ascii()),
        }
    }
    assert_eq!(shown, expected, "{name}");
    assert_eq!(start, stream.len(), "{name}: {} is left", stream[start..].escape_ascii());
}

/// Holds a datagram of DNS to something that is in it.
#[track_caller]
fn check_dns(direction: Direction, hex: &str, expected: &str) {
    let protocol = protocol::find("dns").expect("it comes with the harness").protocol();
    let bytes = super::written::bytes_of(hex);
    let decoded = protocol.decode(&bytes, true, Some(direction)).unwrap_or_else(|error| panic!("{error}"));
    let given = format!("{:?}", decoded.expect("it is whole").given(&protocol, &bytes));
    assert!(given.contains(expected), "{expected} is not in {given}");
}

/// Holds a datagram to how it is shown.
#[track_caller]
fn check_datagram(name: &str, direction: Direction, hex: &str, expected: &str) {
    let protocol = protocol::find(name).expect("it comes with the harness").protocol();
    let bytes = super::written::bytes_of(hex);
    let decoded = protocol.decode(&bytes, true, Some(direction)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(protocol.show(&decoded.expect("it is whole"), &bytes), expected);
}

#[test]
fn mosquitto_and_its_clients() {
    check("mqtt", Request, b"\x10\x0f\x00\x04MQTT\x04\x02\x00<\x00\x03sub\x82\x0e\x00\x01\x00\x03a/#\x02\x00\x03b/+\x02P\x02\x00\x01p\x02\x00\x01\xe0\x00", &["connect { header = { type = 1 }, remaining = 15, protocol = \"MQTT\", level = 4, flags = { has_username = 0, has_password = 0, will_retain = 0, will_qos = 0, has_will = 0, clean_session = 1 }, keep_alive = 60, client_id = \"sub\" }", "subscribe { header = 130, remaining = 14, id = 1, topics = [{ filter = \"a/#\", qos = 2 }, { filter = \"b/+\", qos = 2 }] }", "pubrec { header = 80, remaining = 2, id = 1 }", "pubcomp { header = 112, remaining = 2, id = 1 }", "disconnect { header = 224, remaining = 0 }"]);
    check(
        "mqtt",
        Reply,
        b" \x02\x00\x00\x90\x04\x00\x01\x02\x024\x09\x00\x03a/b\x00\x01onb\x02\x00\x01",
        &[
            "connack { header = 32, remaining = 2, flags = { session_present = 0 }, code = accepted }",
            "suback { header = 144, remaining = 4, id = 1, granted = [qos2, qos2] }",
            "publish { header = { type = 3, dup = 0, qos = 2, retain = 0 }, remaining = 9, topic = \"a/b\", id = 1, payload = \"on\" }",
            "pubrel { header = 98, remaining = 2, id = 1 }",
        ],
    );
    check("mqtt", Request, b"\x10)\x00\x04MQTT\x04\xee\x00<\x00\x03pub\x00\x04gone\x00\x03bye\x00\x05alice\x00\x06secret5\x09\x00\x03a/b\x00\x01onb\x02\x00\x01\xe0\x00", &["connect { header = { type = 1 }, remaining = 41, protocol = \"MQTT\", level = 4, flags = { has_username = 1, has_password = 1, will_retain = 1, will_qos = 1, has_will = 1, clean_session = 1 }, keep_alive = 60, client_id = \"pub\", will_topic = \"gone\", will_message = \"bye\", username = \"alice\", password = \"secret\" }", "publish { header = { type = 3, dup = 0, qos = 2, retain = 1 }, remaining = 9, topic = \"a/b\", id = 1, payload = \"on\" }", "pubrel { header = 98, remaining = 2, id = 1 }", "disconnect { header = 224, remaining = 0 }"]);
    check(
        "mqtt",
        Reply,
        b" \x02\x00\x00P\x02\x00\x01p\x02\x00\x01",
        &[
            "connack { header = 32, remaining = 2, flags = { session_present = 0 }, code = accepted }",
            "pubrec { header = 80, remaining = 2, id = 1 }",
            "pubcomp { header = 112, remaining = 2, id = 1 }",
        ],
    );
    check("mqtt", Request, b"\x10\x10\x00\x04MQTT\x04\x02\x00<\x00\x04sub2\x82\x08\x00\x01\x00\x03a/#\x01\xa2\x07\x00\x02\x00\x03x/y@\x02\x00\x01", &["connect { header = { type = 1 }, remaining = 16, protocol = \"MQTT\", level = 4, flags = { has_username = 0, has_password = 0, will_retain = 0, will_qos = 0, has_will = 0, clean_session = 1 }, keep_alive = 60, client_id = \"sub2\" }", "subscribe { header = 130, remaining = 8, id = 1, topics = [{ filter = \"a/#\", qos = 1 }] }", "unsubscribe { header = 162, remaining = 7, id = 2, filters = [\"x/y\"] }", "puback { header = 64, remaining = 2, id = 1 }"]);
    check(
        "mqtt",
        Reply,
        b" \x02\x00\x00\x90\x03\x00\x01\x013\x09\x00\x03a/b\x00\x01on\xb0\x02\x00\x02",
        &[
            "connack { header = 32, remaining = 2, flags = { session_present = 0 }, code = accepted }",
            "suback { header = 144, remaining = 3, id = 1, granted = [qos1] }",
            "publish { header = { type = 3, dup = 0, qos = 1, retain = 1 }, remaining = 9, topic = \"a/b\", id = 1, payload = \"on\" }",
            "unsuback { header = 176, remaining = 2, id = 2 }",
        ],
    );
}

#[test]
fn redis_and_its_client() {
    check(
        "resp",
        Request,
        b"*3\r\n$3\r\nSET\r\n$6\r\ncolour\r\n$4\r\nblue\r\n",
        &[
            "command { count = 3, words = [{ len = 3, data = \"SET\" }, { len = 6, data = \"colour\" }, { len = 4, data = \"blue\" }] }",
        ],
    );
    check("resp", Reply, b"+OK\r\n", &["ok { text = \"OK\" }"]);
    check(
        "resp",
        Request,
        b"*2\r\n$3\r\nGET\r\n$7\r\nnothing\r\n",
        &["command { count = 2, words = [{ len = 3, data = \"GET\" }, { len = 7, data = \"nothing\" }] }"],
    );
    check("resp", Reply, b"$-1\r\n", &["nil {}"]);
    check(
        "resp",
        Request,
        b"*3\r\n$4\r\nEVAL\r\n$26\r\nreturn {1,'two',{3,false}}\r\n$1\r\n0\r\n",
        &[
            "command { count = 3, words = [{ len = 4, data = \"EVAL\" }, { len = 26, data = \"return {1,'two',{3,false}}\" }, { len = 1, data = \"0\" }] }",
        ],
    );
    check(
        "resp",
        Reply,
        b"*3\r\n:1\r\n$3\r\ntwo\r\n*2\r\n:3\r\n$-1\r\n",
        &[
            "array { count = 3, items = [{ kind = integer, value = { number = 1 } }, { kind = bulk, value = { len = 3, data = \"two\" } }, { kind = array, value = { count = 2, items = [{ kind = integer, value = { number = 3 } }, { kind = bulk, value = { len = -1 } }] } }] }",
        ],
    );
    check("resp", Request, b"*1\r\n$4\r\nNOPE\r\n", &["command { count = 1, words = [{ len = 4, data = \"NOPE\" }] }"]);
    check(
        "resp",
        Reply,
        b"-ERR unknown command 'NOPE', with args beginning with: \r\n",
        &["error { text = \"ERR unknown command 'NOPE', with args beginning with: \" }"],
    );
    check(
        "resp",
        Request,
        b"*3\r\n$6\r\nINCRBY\r\n$1\r\nn\r\n$2\r\n-5\r\n",
        &[
            "command { count = 3, words = [{ len = 6, data = \"INCRBY\" }, { len = 1, data = \"n\" }, { len = 2, data = \"-5\" }] }",
        ],
    );
    check("resp", Reply, b":-5\r\n", &["integer { number = -5 }"]);
}

#[test]
fn memcached() {
    check("memcached", Reply, b"STORED\r\nVALUE colour 5 4 1\r\nblue\r\nEND\r\nVALUE colour 5 4\r\nblue\r\nEND\r\nSTORED\r\nTOUCHED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\nSTORED\r\n12\r\nNOT_FOUND\r\nOK\r\nERROR\r\nERROR\r\nVERSION 1.6.18\r\n", &["stored {}", "value_cas { key = \"colour\", flags = 5, len = 4, cas = 1, data = \"blue\" }", "end {}", "value { key = \"colour\", flags = 5, len = 4, data = \"blue\" }", "end {}", "stored {}", "touched {}", "client_error { text = \"cannot increment or decrement non-numeric value\" }", "stored {}", "number { number = 12 }", "not_found {}", "ok {}", "error {}", "error {}", "version_is { version = \"1.6.18\" }"]);
}

#[test]
fn dig_and_dnsmasq_over_tcp() {
    check(
        "dns",
        Request,
        b"\x00\"\xa9?\x01 \x00\x01\x00\x00\x00\x00\x00\x00\x04host\x07example\x03org\x00\x00\x01\x00\x01",
        &[
            "query { id = 43327, flags = { response = 0, opcode = query, authoritative = 0, truncated = 0, recursion_desired = 1, recursion_available = 0, authentic_data = 1, checking_disabled = 0, code = noerror }, question_count = 1, answer_count = 0, authority_count = 0, additional_count = 0, questions = [{ name = host.example.org, type = A, class = IN }], answers = [], authorities = [], additionals = [] }",
        ],
    );
    check("dns", Reply, b"\x002\xa9?\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00\x04host\x07example\x03org\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\xc0\x00\x02\x07", &["answer { id = 43327, flags = { response = 1, opcode = query, authoritative = 1, truncated = 0, recursion_desired = 1, recursion_available = 1, authentic_data = 0, checking_disabled = 0, code = noerror }, question_count = 1, answer_count = 1, authority_count = 0, additional_count = 0, questions = [{ name = host.example.org, type = A, class = IN }], answers = [{ name = host.example.org, type = A, cl…"]);
}

#[test]
fn swaks_and_aiosmtpd() {
    check("smtp", Request, b"EHLO me\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nDate: Sat, 21 Nov 2026 08:44:08 +0000\r\nTo: b@example.org\r\nFrom: a@example.org\r\nSubject: test Sat, 21 Nov 2026 08:44:08 +0000\r\nMessage-Id: <20261121084408.011746@vm>\r\nX-Mailer: swaks v20201014.0 jetmore.org/john/code/swaks/\r\n\r\nThis is a test mailing\r\n\r\n\r\n.\r\nQUIT\r\n", &["command { line = \"EHLO me\" }", "command { line = \"MAIL FROM:<a@example.org>\" }", "command { line = \"RCPT TO:<b@example.org>\" }", "command { line = \"DATA\" }", "command { line = \"Date: Sat, 21 Nov 2026 08:44:08 +0000\" }", "command { line = \"To: b@example.org\" }", "command { line = \"From: a@example.org\" }", "command { line = \"Subject: test Sat, 21 Nov 2026 08:44:08 +0000\" }", "command { line = \"Message-Id: <20261121084408.011746@vm>\" }", "command { line = \"X-Mailer: swaks v20201014.0 jetmore.org/john/code/swaks/\" }", "command { line = \"\" }", "command { line = \"This is a test mailing\" }", "command { line = \"\" }", "command { line = \"\" }", "command { line = \".\" }", "command { line = \"QUIT\" }"]);
    check("smtp", Reply, b"220 localhost Python SMTP 1.4.3\r\n250-localhost\r\n250-8BITMIME\r\n250 HELP\r\n250 OK\r\n250 OK\r\n354 End data with <CR><LF>.<CR><LF>\r\n250 OK\r\n221 Bye\r\n", &["reply { code = 220, text = \"localhost Python SMTP 1.4.3\" }", "continued { code = 250, text = \"localhost\" }", "continued { code = 250, text = \"8BITMIME\" }", "reply { code = 250, text = \"HELP\" }", "reply { code = 250, text = \"OK\" }", "reply { code = 250, text = \"OK\" }", "reply { code = 354, text = \"End data with <CR><LF>.<CR><LF>\" }", "reply { code = 250, text = \"OK\" }", "reply { code = 221, text = \"Bye\" }"]);
}

#[test]
fn curl_and_a_server_of_http() {
    check(
        "http1",
        Request,
        b"GET /answer HTTP/1.1\r\nHost: 127.0.0.1:21889\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
        &[
            "request { method = \"GET\", target = \"/answer\", version = \"HTTP/1.1\", headers = [{ name = \"Host\", value = \"127.0.0.1:21889\" }, { name = \"User-Agent\", value = \"curl/7.88.1\" }, { name = \"Accept\", value = \"*/*\" }] }",
        ],
    );
    check("http1", Reply, b"HTTP/1.0 200 OK\r\nServer: SimpleHTTP/0.6 Python/3.11.7\r\nDate: Sat, 21 Nov 2026 08:44:08 GMT\r\nContent-type: application/octet-stream\r\nContent-Length: 9\r\nLast-Modified: Sat, 21 Nov 2026 08:44:04 GMT\r\n\r\n", &["response { version = \"HTTP/1.0\", status = 200, reason = \"OK\", headers = [{ name = \"Server\", value = \"SimpleHTTP/0.6 Python/3.11.7\" }, { name = \"Date\", value = \"Sat, 21 Nov 2026 08:44:08 GMT\" }, { name = \"Content-type\", value = \"application/octet-stream\" }, { name = \"Content-Length\", value = \"9\" }, { name = \"Last-Modified\", value = \"Sat, 21 Nov 2026 08:44:04 GMT\" }] }"]);
    check(
        "http1",
        Request,
        b"HEAD /none HTTP/1.1\r\nHost: 127.0.0.1:21889\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
        &[
            "request { method = \"HEAD\", target = \"/none\", version = \"HTTP/1.1\", headers = [{ name = \"Host\", value = \"127.0.0.1:21889\" }, { name = \"User-Agent\", value = \"curl/7.88.1\" }, { name = \"Accept\", value = \"*/*\" }] }",
        ],
    );
    check("http1", Reply, b"HTTP/1.0 404 File not found\r\nServer: SimpleHTTP/0.6 Python/3.11.7\r\nDate: Sat, 21 Nov 2026 08:44:08 GMT\r\nConnection: close\r\nContent-Type: text/html;charset=utf-8\r\nContent-Length: 335\r\n\r\n", &["response { version = \"HTTP/1.0\", status = 404, reason = \"File not found\", headers = [{ name = \"Server\", value = \"SimpleHTTP/0.6 Python/3.11.7\" }, { name = \"Date\", value = \"Sat, 21 Nov 2026 08:44:08 GMT\" }, { name = \"Connection\", value = \"close\" }, { name = \"Content-Type\", value = \"text/html;charset=utf-8\" }, { name = \"Content-Length\", value = \"335\" }] }"]);
}

#[test]
fn dig_and_dnsmasq() {
    check_dns(
        Request,
        "51410120000100000000000104686f7374076578616d706c65036f7267000001000100002904d000000000000c000a00083c616664e3808a8f",
        r#"("name", Bytes(b"host.example.org")), ("type", Number(1))"#,
    );
    check_dns(
        Reply,
        "51418580000100010000000104686f7374076578616d706c65036f72670000010001c00c00010001000000000004c000020700002904d0000000000000",
        r#"("address", Bytes(b"\xc0\0\x02\x07"))"#,
    );
    check_dns(
        Request,
        "c9650120000100000000000104686f7374076578616d706c65036f726700001c000100002904d000000000000c000a00086fda4a14945a3737",
        r#"("type", Number(28))"#,
    );
    check_dns(
        Reply,
        "c9658580000100010000000104686f7374076578616d706c65036f726700001c0001c00c001c000100000000001020010db800000000000000000000000700002904d0000000000000",
        r#"("address", Bytes(b" \x01\r\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"))"#,
    );
    check_dns(
        Request,
        "769701200001000000000001076578616d706c65036f726700000f000100002904d000000000000c000a00083c241b0eb5e2b008",
        r#"("type", Number(15))"#,
    );
    check_dns(
        Reply,
        "769785800001000100000001076578616d706c65036f726700000f0001c00c000f0001000000000014000a046d61696c076578616d706c65036f72670000002904d0000000000000",
        r#"("preference", Number(10)), ("exchange", Bytes(b"mail.example.org"))"#,
    );
    check_dns(
        Request,
        "ab87012000010000000000010174076578616d706c65036f7267000010000100002904d000000000000c000a0008d3d110fe6b174101",
        r#"("type", Number(16))"#,
    );
    check_dns(
        Reply,
        "ab87858000010001000000010174076578616d706c65036f72670000100001c00c00100001000000000008036f6e650374776f00002904d0000000000000",
        r#"("texts", List([Bytes(b"one"), Bytes(b"two")]))"#,
    );
    check_dns(
        Request,
        "b13301200001000000000001055f68747470045f746370076578616d706c65036f7267000021000100002904d000000000000c000a0008ac1b7985d13882f4",
        r#"("name", Bytes(b"_http._tcp.example.org"))"#,
    );
    check_dns(
        Reply,
        "b13385800001000100000001055f68747470045f746370076578616d706c65036f72670000210001c00c00210001000000000017000100021f9003777777076578616d706c65036f72670000002904d0000000000000",
        r#"("port", Number(8080)), ("target", Bytes(b"www.example.org"))"#,
    );
    check_dns(
        Request,
        "5674012000010000000000010163076578616d706c65036f7267000001000100002904d000000000000c000a0008d0bf3aa1d0117e98",
        r#"("name", Bytes(b"c.example.org"))"#,
    );
    check_dns(
        Reply,
        "5674858000010002000000010163076578616d706c65036f72670000010001c00c0005000100000000001204686f7374076578616d706c65036f726700c02b00010001000000000004c000020700002904d0000000000000",
        r#"("target", Bytes(b"host.example.org"))"#,
    );
    check_dns(
        Request,
        "e159012000010000000000010137013201300331393207696e2d61646472046172706100000c000100002904d000000000000c000a000815a3b2531d820c88",
        r#"("name", Bytes(b"7.2.0.192.in-addr.arpa"))"#,
    );
    check_dns(
        Reply,
        "e159858000010001000000010137013201300331393207696e2d61646472046172706100000c0001c00c000c000100000000001204686f7374076578616d706c65036f72670000002904d0000000000000",
        r#"("target", Bytes(b"host.example.org"))"#,
    );
}

#[test]
fn curl_and_tftpd() {
    check_datagram(
        "tftp",
        Request,
        "0001616e73776572006f63746574007473697a65003000626c6b73697a65003531320074696d656f7574003600",
        "read { op = 1, file = \"answer\", mode = \"octet\", options = [{ name = \"tsize\", value = \"0\" }, { name = \"blksize\", value = \"512\" }, { name = \"timeout\", value = \"6\" }] }",
    );
    check_datagram(
        "tftp",
        Reply,
        "00067473697a65003900626c6b73697a65003531320074696d656f7574003600",
        "accepted { op = 6, options = [{ name = \"tsize\", value = \"9\" }, { name = \"blksize\", value = \"512\" }, { name = \"timeout\", value = \"6\" }] }",
    );
    check_datagram("tftp", Request, "00040000", "acknowledged { op = 4, block = 0 }");
    check_datagram("tftp", Reply, "00030001666f7274792d74776f", "data { op = 3, block = 1, data = \"forty-two\" }");
    check_datagram("tftp", Request, "00040001", "acknowledged { op = 4, block = 1 }");
    check_datagram(
        "tftp",
        Request,
        "00016e6f6e65006f63746574007473697a65003000626c6b73697a6500313032340074696d656f7574003600",
        "read { op = 1, file = \"none\", mode = \"octet\", options = [{ name = \"tsize\", value = \"0\" }, { name = \"blksize\", value = \"1024\" }, { name = \"timeout\", value = \"6\" }] }",
    );
    check_datagram(
        "tftp",
        Reply,
        "0005000146696c65206e6f7420666f756e6400",
        "error { op = 5, code = not_found, text = \"File not found\" }",
    );
}

#[test]
fn aria2_and_transmission() {
    // aria2 fetches.
    check("bittorrent", Request, b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04Gp\xb9`\xb7\x1e\xbc\x1da\xa5\xba\x0b\xc5\xac{\x84\xf0\xee\xb2;A2-1-36-0-\x91\xdf0T\x9fV_\xee+g\0\0\0\x01\x02\0\0\0\x0d\x06\0\0\0\x01\0\0\0\0\0\0\0 \0\0\0\x0d\x06\0\0\0\x02\0\0\0\0\0\0\0 \0\0\0\x0d\x06\0\0\0\0\0\0\0\0\0\0\0 \0\0\0\x01\x03\0\0\0\x02\x05\xe0", &["handshake { reserved = 00 00 00 00 00 10 00 04 (8 bytes), info_hash = 47 70 b9 60 b7 1e bc 1d 61 a5 ba 0b c5 ac 7b 84… (20 bytes), peer_id = 41 32 2d 31 2d 33 36 2d 30 2d 91 df 30 54 9f 56… (20 bytes) }", "interested { length = 1, id = 2 }", "request { length = 13, id = 6, index = 1, begin = 0, len = 32 }", "request { length = 13, id = 6, index = 2, begin = 0, len = 32 }", "request { length = 13, id = 6, index = 0, begin = 0, len = 32 }", "not_interested { length = 1, id = 3 }", "bitfield { length = 2, id = 5, pieces = e0 (1 bytes) }"]);
    // It serves.
    check("bittorrent", Reply, b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04Gp\xb9`\xb7\x1e\xbc\x1da\xa5\xba\x0b\xc5\xac{\x84\xf0\xee\xb2;A2-1-36-0-&\x7f\xd0\x19\xa4\xd0\x0b\xb8V\xdd\0\0\0\x02\x05\xe0\0\0\0\x01\x01\0\0\0)\x07\0\0\0\x02\0\0\0\x000000008\n0000009\n0000010\n0000011\n\0\0\0)\x07\0\0\0\0\0\0\0\x000000000\n0000001\n0000002\n0000003\n\0\0\0)\x07\0\0\0\x01\0\0\0\x000000004\n0000005\n0000006\n0000007\n", &["handshake { reserved = 00 00 00 00 00 10 00 04 (8 bytes), info_hash = 47 70 b9 60 b7 1e bc 1d 61 a5 ba 0b c5 ac 7b 84… (20 bytes), peer_id = 41 32 2d 31 2d 33 36 2d 30 2d 26 7f d0 19 a4 d0… (20 bytes) }", "bitfield { length = 2, id = 5, pieces = e0 (1 bytes) }", "unchoke { length = 1, id = 1 }", "piece { length = 41, id = 7, index = 2, begin = 0, block = 0000008\\n0000009\\n0000010\\n0000011\\n }", "piece { length = 41, id = 7, index = 0, begin = 0, block = 0000000\\n0000001\\n0000002\\n0000003\\n }", "piece { length = 41, id = 7, index = 1, begin = 0, block = 0000004\\n0000005\\n0000006\\n0000007\\n }"]);
    // It meets transmission, with extensions.
    check("bittorrent", Request, b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04Gp\xb9`\xb7\x1e\xbc\x1da\xa5\xba\x0b\xc5\xac{\x84\xf0\xee\xb2;A2-1-36-0-\xc1yE\xa0G\xdc\x954\x16\xe0\0\0\0J\x14\0d1:md11:ut_metadatai9ee13:metadata_sizei136e1:pi6919e1:v12:aria2/1.36.0e\0\0\0\x01\x0f\0\0\0\x05\x11\0\0\0\x01\0\0\0\x05\x11\0\0\0\0\0\0\0\x05\x11\0\0\0\x02", &["handshake { reserved = 00 00 00 00 00 10 00 04 (8 bytes), info_hash = 47 70 b9 60 b7 1e bc 1d 61 a5 ba 0b c5 ac 7b 84… (20 bytes), peer_id = 41 32 2d 31 2d 33 36 2d 30 2d c1 79 45 a0 47 dc… (20 bytes) }", "extended { length = 74, id = 20, extension = 0, data = \"d1:md11:ut_metadatai9ee13:metadata_sizei136e1:pi6919e1:v12:aria2/1.36.0e\" }", "have_none { length = 1, id = 15 }", "allowed_fast { length = 5, id = 17, index = 1 }", "allowed_fast { length = 5, id = 17, index = 0 }", "allowed_fast { length = 5, id = 17, index = 2 }"]);
    // transmission fetches.
    check("bittorrent", Request, b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04Gp\xb9`\xb7\x1e\xbc\x1da\xa5\xba\x0b\xc5\xac{\x84\xf0\xee\xb2;-TR3000-o9jj376dh6ox\0\0\0\x01\x02\0\0\0\x0d\x06\0\0\0\0\0\0\0\0\0\0\0 \0\0\0\x0d\x06\0\0\0\x02\0\0\0\0\0\0\0 \0\0\0\x0d\x06\0\0\0\x01\0\0\0\0\0\0\0 ", &["handshake { reserved = 00 00 00 00 00 10 00 04 (8 bytes), info_hash = 47 70 b9 60 b7 1e bc 1d 61 a5 ba 0b c5 ac 7b 84… (20 bytes), peer_id = \"-TR3000-o9jj376dh6ox\" }", "interested { length = 1, id = 2 }", "request { length = 13, id = 6, index = 0, begin = 0, len = 32 }", "request { length = 13, id = 6, index = 2, begin = 0, len = 32 }", "request { length = 13, id = 6, index = 1, begin = 0, len = 32 }"]);
    // It serves.
    check("bittorrent", Reply, b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04Gp\xb9`\xb7\x1e\xbc\x1da\xa5\xba\x0b\xc5\xac{\x84\xf0\xee\xb2;-TR3000-2r7mdnor3l29\0\0\0\x02\x05\xe0\0\0\0\x01\x01\0\0\0)\x07\0\0\0\x02\0\0\0\x000000008\n0000009\n0000010\n0000011\n\0\0\0)\x07\0\0\0\0\0\0\0\x000000000\n0000001\n0000002\n0000003\n\0\0\0)\x07\0\0\0\x01\0\0\0\x000000004\n0000005\n0000006\n0000007\n", &["handshake { reserved = 00 00 00 00 00 10 00 04 (8 bytes), info_hash = 47 70 b9 60 b7 1e bc 1d 61 a5 ba 0b c5 ac 7b 84… (20 bytes), peer_id = \"-TR3000-2r7mdnor3l29\" }", "bitfield { length = 2, id = 5, pieces = e0 (1 bytes) }", "unchoke { length = 1, id = 1 }", "piece { length = 41, id = 7, index = 2, begin = 0, block = 0000008\\n0000009\\n0000010\\n0000011\\n }", "piece { length = 41, id = 7, index = 0, begin = 0, block = 0000000\\n0000001\\n0000002\\n0000003\\n }", "piece { length = 41, id = 7, index = 1, begin = 0, block = 0000004\\n0000005\\n0000006\\n0000007\\n }"]);
}

#[test]
fn mbpoll_and_pymodbus() {
    check(
        "modbus",
        Request,
        b"\x00\x01\x00\x00\x00\x06\x01\x03\x00\x01\x00\x03\x00\x01\x00\x00\x00\x06\x01\x06\x00\x01\x12\x34\x00\x01\x00\x00\x00\x0b\x01\x10\x00\x01\x00\x02\x04\x00\x01\xff\xff",
        &[
            "read_registers { transaction = 1, protocol = 0, length = 6, unit = 1, function = 3, address = 1, count = 3 }",
            "write_register { transaction = 1, protocol = 0, length = 6, unit = 1, function = 6, address = 1, value = 4660 }",
            "write_registers { transaction = 1, protocol = 0, length = 11, unit = 1, function = 16, address = 1, count = 2, bytes = 4, values = [1, 65535] }",
        ],
    );
    check(
        "modbus",
        Reply,
        b"\x00\x01\x00\x00\x00\x0d\x01\x03\x0a\x00\x11\x00\x02\x00\x03\x00\x04\xff\xff\x00\x02\x00\x00\x00\x06\x01\x06\x00\x01\x12\x34\x00\x03\x00\x00\x00\x06\x01\x10\x00\x02\x00\x02\x00\x07\x00\x00\x00\x03\x01\x83\x02",
        &[
            "registers { transaction = 1, protocol = 0, length = 13, unit = 1, function = 3, bytes = 10, values = [17, 2, 3, 4, 65535] }",
            "write_register { transaction = 2, protocol = 0, length = 6, unit = 1, function = 6, address = 1, value = 4660 }",
            "written { transaction = 3, protocol = 0, length = 6, unit = 1, function = 16, address = 2, count = 2 }",
            "exception { transaction = 7, protocol = 0, length = 3, unit = 1, function = { failed = 1, of = 3 }, code = illegal_address }",
        ],
    );
}

#[test]
fn coturn_and_its_client() {
    check_datagram(
        "stun",
        Request,
        "000100002112a44251b328fe89c896768e407271",
        "binding_request { type = 1, len = 0, cookie = 554869826, transaction = 51 b3 28 fe 89 c8 96 76 8e 40 72 71 (12 bytes), attributes = [] }",
    );
    check_datagram(
        "stun",
        Reply,
        "0101003c2112a442303132333435363738396162002000080001a5a45e12a44300010008000184b67f000001802b0008000134a67f00000180220014436f7475726e2d342e362e312027476f72737427",
        "binding_success { type = 257, len = 60, cookie = 554869826, transaction = \"0123456789ab\", attributes = [{ type = xor_mapped_address, len = 8, value = 00 01 a5 a4 5e 12 a4 43 (8 bytes) }, { type = mapped_address, len = 8, value = 00 01 84 b6 7f 00 00 01 (8 bytes) }, { type = response_origin, len = 8, value = 00 01 34 a6 7f 00 00 01 (8 bytes) }, { type = software, len = 20, value = \"Coturn-4.6.1 'Go…",
    );
    check_datagram(
        "stun",
        Reply,
        "0111003c2112a442636465666768696a6b6c6d6e0009001800000414556e6b6e6f776e20417474726962757465000000000a00027ffe000080220014436f7475726e2d342e362e312027476f72737427",
        "binding_error { type = 273, len = 60, cookie = 554869826, transaction = \"cdefghijklmn\", attributes = [{ type = error_code, len = 24, value = 00 00 04 14 55 6e 6b 6e 6f 77 6e 20 41 74 74 72… (24 bytes) }, { type = unknown_attributes, len = 2, value = 7f fe (2 bytes) }, { type = software, len = 20, value = \"Coturn-4.6.1 'Gorst'\" }] }",
    );
}
