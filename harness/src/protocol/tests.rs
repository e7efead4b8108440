use super::*;
use crate::random::Random;

#[track_caller]
fn protocol(messages: &str) -> Arc<Protocol> {
    match load("test.toml", &format!("name = \"test\"\n{messages}")) {
        Ok(protocol) => protocol,
        Err(mistakes) => panic!("{mistakes:#?}"),
    }
}

fn given(pairs: &[(&str, Given)]) -> Vec<(Arc<str>, Given)> {
    pairs.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect()
}

fn bytes(text: &'static [u8]) -> Given {
    Given::Bytes(bytes::Bytes::from_static(text))
}

/// Encodes the first message of a protocol, and decodes it again, whole and byte by byte.
#[track_caller]
fn check(messages: &str, values: &[(&str, Given)], expected: &[u8]) {
    let protocol = protocol(messages);
    let encoded = protocol.encode(0, &given(values)).expect("these can be encoded");
    assert_eq!(encoded.escape_ascii().to_string(), expected.escape_ascii().to_string());
    let decoded = protocol.decode(&encoded, true, None).expect("it is one").expect("it is whole");
    assert_eq!(decoded.len, encoded.len());
    assert!(decoded.canonical);
    let again = protocol.encode(0, &decoded.given(&protocol, &encoded));
    assert_eq!(again.as_deref(), Ok(expected));
    laws::check(&protocol, &encoded);
}

#[track_caller]
fn refused(messages: &str, input: &[u8], expected: &str) {
    let error = protocol(messages).decode(input, true, None).expect_err("it is none");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn every_description_that_comes_with_the_harness_is_right() {
    for entry in PROTOCOLS {
        match load(entry.name, entry.text()) {
            Ok(protocol) => assert_eq!(&*protocol.name, entry.name),
            Err(mistakes) => panic!("{}: {:#?}", entry.name, mistakes),
        }
    }
    assert!(PROTOCOLS.is_sorted_by(|a, b| a.name < b.name));
}

#[test]
fn what_is_generated_by_a_description_is_decoded_as_it_was_given() {
    for entry in PROTOCOLS {
        let protocol = entry.protocol();
        for (message, description) in protocol.messages.iter().enumerate() {
            let mut random = Random::new(7, &description.name);
            for round in 0..100 {
                let name = format!("{} `{}` {round}", entry.name, description.name);
                let values = protocol.generate(message, &mut random);
                let values = values.unwrap_or_else(|| panic!("{name}: nothing fits"));
                let encoded = protocol.encode(message, &values).unwrap_or_else(|error| panic!("{name}: {error}"));
                let decoded = protocol.decode_message(message, &encoded, true);
                let decoded = decoded.unwrap_or_else(|error| panic!("{name}: {error}: {values:?} {encoded:02x?}"));
                let decoded = decoded.expect("it is whole");
                assert!(decoded.canonical, "{name}: {encoded:02x?}");
                let held = decoded.given(&protocol, &encoded);
                for (field, value) in &values {
                    let found = held.iter().find(|(known, _)| known == field).map(|(_, value)| value);
                    // A structure also has what is computed in it.
                    if !matches!(value, Given::Table(_) | Given::List(_)) {
                        assert_eq!(found, Some(value), "{name}: {field}");
                    }
                }
                assert_eq!(protocol.encode(message, &held).as_ref(), Ok(&encoded), "{name}");
                laws::check(&protocol, &encoded);
            }
        }
    }
}

#[test]
fn nothing_that_comes_panics_or_breaks_the_laws() {
    let mut random = Random::new(11, "spoiled");
    for entry in PROTOCOLS {
        let protocol = entry.protocol();
        for round in 0..600 {
            let message = random.below(protocol.messages.len() as u64) as usize;
            let values = protocol.generate(message, &mut random).unwrap_or_default();
            let mut input = protocol.encode(message, &values).unwrap_or_default();
            for _ in 0..=random.below(4) {
                let at = random.below(input.len() as u64 + 1) as usize;
                match round % 4 {
                    0 => input.truncate(at),
                    1 if at < input.len() => input[at] ^= 1 << random.below(8),
                    2 => input.insert(at, random.below(256) as u8),
                    _ if at < input.len() => input[at] = [0, 0x7f, 0x80, 0xff][random.below(4) as usize],
                    _ => {}
                }
            }
            laws::check(&protocol, &input);
        }
    }
}

#[test]
fn integers_lie_in_their_order() {
    let numbers = [
        ("a", Given::Number(0x0102)),
        ("b", Given::Number(0x0102)),
        ("c", Given::Number(-2)),
        ("d", Given::Number(0x01_0203)),
    ];
    let fields = r#"{ name = "a", type = "u16be" }, { name = "b", type = "u16le" }, { name = "c", type = "i8" }, { name = "d", type = "u24be" }"#;
    check(&format!("[message.m]\nfields = [{fields}]"), &numbers, &[1, 2, 2, 1, 0xfe, 1, 2, 3]);
}

#[test]
fn varints_take_as_few_bytes_as_they_can() {
    let message = |kind: &str| format!("[message.m]\nfields = [{{ name = \"n\", type = \"{kind}\" }}]");
    check(&message("varint"), &[("n", Given::Number(300))], &[0xac, 0x02]);
    check(&message("varint-mqtt"), &[("n", Given::Number(268_435_455))], &[0xff, 0xff, 0xff, 0x7f]);
    // RFC 9000, appendix A.1.
    check(&message("varint-quic"), &[("n", Given::Number(15_293))], &[0x7b, 0xbd]);
    check(&message("varint-quic"), &[("n", Given::Number(494_878_333))], &[0x9d, 0x7f, 0x3e, 0x7d]);
    refused(
        &message("varint-mqtt"),
        &[0x80, 0x80, 0x80, 0x80, 1],
        "`m.n`: expected a number of at most 4 bytes at byte 0, found a longer one",
    );
}

#[test]
fn an_overlong_varint_is_understood_and_not_canonical() {
    let protocol = protocol("[message.m]\nfields = [{ name = \"n\", type = \"varint\" }]");
    let decoded = protocol.decode(&[0x81, 0x00], true, None).expect("it is one").expect("it is whole");
    assert_eq!((decoded.canonical, decoded.fields()[0].value()), (false, Value::Number(1)));
}

const LENGTHS: &str = r#"[message.m]
fields = [
  { name = "len", type = "varint-mqtt", compute = "length(a..b)" },
  { name = "a", type = "u16be" },
  { name = "b", type = "bytes", length = "rest" },
  { name = "sum", type = "u8", value = 9 },
]"#;

#[test]
fn a_length_bounds_what_it_counts() {
    check(LENGTHS, &[("a", Given::Number(5)), ("b", bytes(b"xy"))], b"\x04\x00\x05xy\x09");
    refused(LENGTHS, b"\x01\x00\x05xy\x09", "`m.a`: expected 2 bytes at byte 1, found 1 byte left");
    refused(LENGTHS, b"\x09\x00\x05xy\x09", "`m`: expected 9 bytes at byte 1, found 5 bytes left");
    refused(LENGTHS, b"\x03\x00\x05xy\x09", "`m.sum`: expected 9 at byte 4, found 121 (0x79)");
}

#[test]
fn lengths_stand_in_each_other() {
    let message = r#"[message.m]
fields = [
  { name = "a_len", type = "u8", compute = "length(a)" },
  { name = "body_len", type = "u8", compute = "length(a..b)" },
  { name = "a", type = "bytes", length = "a_len" },
  { name = "b", type = "bytes", length = "rest" },
]"#;
    check(message, &[("a", bytes(b"xy")), ("b", bytes(b"z"))], b"\x02\x03xyz");
    refused(message, b"\x03\x02xyz", "`m`: expected 3 bytes at byte 2, found 2 bytes left");
}

#[test]
fn a_message_that_says_its_length_waits_for_it() {
    let protocol = protocol(LENGTHS);
    assert_eq!(protocol.decode(b"\x04\x00\x05x", false, None), Ok(None));
    assert_eq!(protocol.decode(b"\x04\x00\x05xy", false, None), Ok(None));
    let decoded = protocol.decode(b"\x04\x00\x05xy\x09more", false, None).expect("it is one").expect("it is whole");
    assert_eq!(decoded.len, 6);
}

#[test]
fn what_is_computed_can_be_given_all_the_same() {
    let protocol = protocol(LENGTHS);
    let lie = given(&[("len", Given::Number(200)), ("b", bytes(b"xy")), ("sum", Given::Number(1))]);
    assert_eq!(protocol.encode(0, &lie).as_deref(), Ok(&b"\xc8\x01\x00\x00xy\x01"[..]));
}

#[test]
fn rest_leaves_room_for_what_follows_it() {
    let message = r#"[message.m]
fields = [
  { name = "data", type = "bytes", length = "rest" },
  { name = "crc", type = "u32be", compute = "crc32(data)" },
]"#;
    check(message, &[("data", bytes(b"123456789"))], b"123456789\xcb\xf4\x39\x26");
    refused(
        message,
        b"123456788\xcb\xf4\x39\x26",
        "`m.crc`: expected 0xbcf309b0 (crc32(data)) at byte 9, found 0xcbf43926",
    );
}

#[test]
fn a_checksum_over_itself_takes_itself_for_zeros() {
    let message = r#"[message.m]
fields = [
  { name = "a", type = "u16be" },
  { name = "sum", type = "u16be", compute = "internet(a..b)" },
  { name = "b", type = "u16be" },
]"#;
    check(message, &[("a", Given::Number(0x0102)), ("b", Given::Number(0x0304))], &[1, 2, 0xfb, 0xf9, 3, 4]);
}

#[test]
fn digests_are_bytes() {
    let message = r#"[message.m]
fields = [{ name = "data", type = "bytes", length = 3 }, { name = "hash", type = "bytes", length = 20, compute = "sha1(data)" }]"#;
    let sha1 = b"abc\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d";
    check(message, &[("data", bytes(b"abc"))], sha1);
}

#[test]
fn bits_are_counted_from_the_most_significant_and_spoken_of_alone_or_together() {
    let message = r#"[message.m]
fields = [
  { name = "flags", type = "u8", bits = [{ name = "kind", width = 4, value = 3 }, { name = "dup" }, { name = "qos", width = 2 }, { name = "retain" }] },
  { name = "id", type = "u8", if = "flags.qos > 0" },
]"#;
    check(message, &[("qos", Given::Number(1)), ("id", Given::Number(7))], &[0x32, 7]);
    check(message, &[("flags", Given::Table(given(&[("retain", Given::Number(1))])))], &[0x31]);
    check(message, &[("flags", Given::Number(0x38))], &[0x38]);
    refused(message, &[0x41], "expected a message of `test` (`m`) at byte 0, found `A`");
}

#[test]
fn a_bit_that_says_that_a_field_is_there_follows_from_the_field() {
    let message = r#"[message.m]
fields = [
  { name = "flags", type = "u8", bits = [{ width = 7 }, { name = "named" }] },
  { name = "name", type = "text", length = { prefix = "u8" }, if = "named" },
]"#;
    check(message, &[("name", bytes(b"ab"))], b"\x01\x02ab");
    check(message, &[], &[0]);
}

#[test]
fn sizes_in_other_fields_follow_from_what_they_are_of() {
    let message = r#"[message.m]
fields = [
  { name = "count", type = "u8" },
  { name = "len", type = "u8" },
  { name = "items", type = "array", count = "count", of = "u16be" },
  { name = "text", type = "text", length = "len - 1" },
]"#;
    let values = [("items", Given::List(vec![Given::Number(1), Given::Number(2)])), ("text", bytes(b"abc"))];
    check(message, &values, b"\x02\x04\x00\x01\x00\x02abc");
}

#[test]
fn a_condition_can_speak_of_a_length_that_is_computed() {
    let message = r#"[message.m]
fields = [
  { name = "len", type = "decimal", until = ":", min = -1 },
  { name = "data", type = "bytes", length = "len", if = "len >= 0" },
  { type = "literal", value = ";", if = "len >= 0" },
]"#;
    check(message, &[("data", bytes(b"abc"))], b"3:abc;");
    check(message, &[("len", Given::Number(-1))], b"-1:");
}

#[test]
fn text_has_delimiters_digits_and_padding() {
    let message = r#"[message.m]
fields = [
  { type = "literal", value = "SET " },
  { name = "key", type = "text", until = " " },
  { name = "len", type = "decimal", until = "\r\n", compute = "length(data)" },
  { name = "data", type = "bytes", length = "len" },
  { type = "literal", value = "\r\n" },
  { name = "mode", type = "hexadecimal", length = 4 },
  { name = "note", type = "text", until = "\n", pad = " " },
]"#;
    let values =
        [("key", bytes(b"k")), ("data", bytes(b"a\r\nb")), ("mode", Given::Number(0x1ff)), ("note", bytes(b"hi"))];
    check(message, &values, b"SET k 4\r\na\r\nb\r\n01ff hi\n");
    refused(message, b"SET k x\r\n", "`m.len`: expected digits at byte 6, found `x`");
}

#[test]
fn a_switch_goes_by_an_earlier_field() {
    let message = r#"[enum.kind]
number = 1
text = 2

[message.m]
fields = [
  { name = "kind", type = "u8", enum = "kind" },
  { name = "value", switch = "kind", cases = { number = [{ name = "n", type = "u16be" }], text = [{ name = "t", type = "text", length = "rest" }] } },
]"#;
    let number = Given::Table(given(&[("n", Given::Number(7))]));
    check(message, &[("kind", bytes(b"number")), ("value", number)], &[1, 0, 7]);
    check(message, &[("kind", Given::Number(2)), ("value", Given::Table(given(&[("t", bytes(b"hi"))])))], b"\x02hi");
    refused(message, &[9], "`m.value`: expected a case for `kind` at byte 1, found 9");
}

#[test]
fn structures_can_hold_themselves_but_not_without_end() {
    let message = r#"[struct.node]
fields = [{ name = "count", type = "u8" }, { name = "children", type = "array", count = "count", of = "node" }]

[message.m]
fields = [{ name = "root", type = "node" }]"#;
    let leaf = Given::Table(Vec::new());
    let tree = Given::Table(given(&[("children", Given::List(vec![leaf.clone(), leaf]))]));
    check(message, &[("root", tree)], &[2, 0, 0]);
    let error = protocol(message).decode(&[1; 100], true, None).expect_err("it is too deep");
    assert!(error.to_string().contains("expected at most 32 structures in each other"), "{error}");
}

#[test]
fn an_array_ends_at_its_delimiter_its_length_or_the_message() {
    let of = r#"of = { type = "text", until = ";" }"#;
    let list = Given::List(vec![bytes(b"a"), bytes(b"b")]);
    let message =
        |extent: &str| format!("[message.m]\nfields = [{{ name = \"items\", type = \"array\", {extent}, {of} }}]");
    check(&message("until = \".\""), &[("items", list.clone())], b"a;b;.");
    check(&message("length = { prefix = \"u8\" }"), &[("items", list.clone())], b"\x04a;b;");
    check(&message("length = \"rest\""), &[("items", list)], b"a;b;");
}

#[test]
fn padding_reaches_to_its_alignment() {
    let message = r#"[message.m]
fields = [{ name = "a", type = "bytes", length = { prefix = "u8" } }, { type = "align", to = 4 }, { name = "b", type = "u8" }]"#;
    check(message, &[("a", bytes(b"x")), ("b", Given::Number(5))], b"\x01x\0\0\x05");
}

#[test]
fn a_place_in_the_message_can_be_computed() {
    let message = r#"[message.m]
fields = [{ name = "where", type = "u8", compute = "offset(data)" }, { name = "pad", type = "bytes", length = 2 }, { name = "data", type = "bytes", length = "rest" }]"#;
    check(message, &[("data", bytes(b"x"))], b"\x03\0\0x");
    refused(message, b"\x04\0\0x", "`m.where`: expected 3 (offset(data)) at byte 0, found 4");
}

#[test]
fn a_name_with_a_pointer_is_read_and_one_that_leads_in_a_circle_is_not() {
    let message =
        "[message.m]\nfields = [{ name = \"a\", type = \"domain-name\" }, { name = \"b\", type = \"domain-name\" }]";
    let dns = protocol(message);
    let input = b"\x03www\x07example\0\x01x\xc0\x04";
    let decoded = dns.decode(input, true, None).expect("it is one").expect("it is whole");
    assert_eq!(dns.show(&decoded, input), "m { a = www.example, b = x.example }");
    assert!(!decoded.canonical);
    refused(message, b"\0\xc0\x01", "`m.b`: expected a pointer to before byte 1 at byte 1, found one to byte 1");
    check(message, &[("a", bytes(b"a.b")), ("b", bytes(b"x\\.y.\\000"))], b"\x01a\x01b\0\x03x.y\x01\0\0");
}

#[test]
fn limits_and_constants_are_kept_where_bytes_come_in() {
    let message = r#"[message.m]
fields = [
  { name = "n", type = "u8", min = 1, max = 9 },
  { name = "key", type = "text", length = { prefix = "u8" }, max = 2, pattern = "[a-z]*" },
]"#;
    refused(message, b"\x0a\0", "`m.n`: expected a number from 1 to 9 at byte 0, found 10");
    refused(message, b"\x01\x03abc", "`m.key`: expected at most 2 bytes at byte 1, found 3");
    refused(message, b"\x01\x02aB", "`m.key`: expected a text of the field's `pattern` at byte 2, found `aB`");
    refused(message, b"\x01\x02a\xff", "`m.key`: expected UTF-8 at byte 3, found the byte 0xff");
    refused(message, b"\x01\x01ax", "`m`: expected the end of the message at byte 3, found 1 byte more");
}

#[test]
fn a_length_that_lies_costs_no_memory() {
    let message = "[message.m]\nfields = [{ name = \"data\", type = \"bytes\", length = { prefix = \"u32be\" } }]";
    refused(
        message,
        b"\xff\xff\xff\xff",
        "`m.data`: expected a length of at most 67108864 at byte 0, found 4294967295",
    );
    let many = "[message.m]\nfields = [{ name = \"n\", type = \"u32be\" }, { name = \"items\", type = \"array\", count = \"n\", of = { type = \"bytes\", length = 0 } }]";
    let error = protocol(many).decode(b"\xff\xff\xff\xff", true, None).expect_err("there are too many");
    assert!(error.to_string().contains("at most 1000000 elements"), "{error}");
}

#[test]
fn what_cannot_be_encoded_says_which_field() {
    let resp = find("kv").expect("it is there").protocol();
    let (get, _) = resp.message("get").expect("it is there");
    let wrong = |values: &[(&str, Given)]| resp.encode(get, &given(values)).expect_err("it is wrong").to_string();
    assert_eq!(wrong(&[("id", Given::Number(-1))]), "`id`: -1 is not from 0 to 4294967295");
    assert_eq!(wrong(&[("id", bytes(b"x"))]), "`id`: expected a number, got `x`");
    assert_eq!(wrong(&[("idd", Given::Number(1))]), "there is no field `idd`");
}

#[test]
fn much_that_takes_few_bytes_is_refused_before_it_takes_memory() {
    let absent: Vec<String> =
        (0..900).map(|at| format!("{{ name = \"f{at}\", type = \"u8\", if = \"n == 1\" }}")).collect();
    let fields = format!(
        r#"[message.m]
fields = [{{ name = "n", type = "u32be" }}, {{ name = "items", type = "array", count = "n", of = {{ type = "struct", fields = [{}] }} }}]"#,
        absent.join(", ")
    );
    let error = protocol(&fields).decode(b"\0\0\xff\xff", true, None).expect_err("there are too many");
    assert!(error.to_string().contains("at most 4000000 fields and elements"), "{error}");

    let names = "[message.m]\nfields = [{ name = \"names\", type = \"array\", length = \"rest\", of = { type = \"domain-name\" } }]";
    let mut input = [&b"\x3f"[..], &[b'x'; 63]].concat().repeat(3);
    input.extend_from_slice(&[0; 1]);
    input.extend(b"\x01y\xc0\0".repeat(100_000));
    let error = protocol(names).decode(&input, true, None).expect_err("they are too long");
    assert!(error.to_string().contains("at most 16777216 bytes of names"), "{error}");
}
