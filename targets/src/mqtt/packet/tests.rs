use super::*;

const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a";

#[track_caller]
fn check(input: &[u8], expected: Result<Packet<'_>, Malformed>) {
    assert_eq!(parse(input, 1_000), expected.map(|packet| Some((packet, input.len()))));
}

#[track_caller]
fn check_wrong(input: &[u8], expected: Malformed) {
    check(input, Err(expected));
}

#[test]
fn a_connect_with_everything() {
    let input = b"\x10\x1a\x00\x04MQTT\x04\xee\x00\x0a\x00\x01c\x00\x01t\x00\x02\x00w\x00\x01u\x00\x01p";
    let will = Will { topic: "t", payload: b"\0w", qos: Qos::AtLeast, retain: true };
    let connect = Connect {
        clean_session: true,
        keep_alive_s: 10,
        client_id: "c",
        will: Some(will),
        user: Some("u"),
        password: Some(b"p"),
    };
    check(input, Ok(Packet::Connect(connect)));
}

#[test]
fn a_cut_packet_waits_for_the_rest_and_a_second_is_left() {
    for len in 0..CONNECT.len() {
        assert_eq!(parse(&CONNECT[..len], 1_000), Ok(None), "{len}");
    }
    let two = [CONNECT, CONNECT].concat();
    assert!(matches!(parse(&two, 1_000), Ok(Some((Packet::Connect(_), 15)))));
}

#[test]
fn a_version_that_is_not_ours_is_one_whatever_follows() {
    check(b"\x10\x08\x00\x04MQTT\x05?", Ok(Packet::OtherVersion));
    check(b"\x10\x0a\x00\x06MQIsdp\x03\xff", Ok(Packet::OtherVersion));
}

#[test]
fn what_a_connect_may_not_say() {
    check_wrong(b"\x10\x0c\x00\x04mqtt\x04\x02\x00\x00\x00\x00", Malformed::Protocol);
    check_wrong(b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00", Malformed::Flags); // reserved
    check_wrong(b"\x10\x0c\x00\x04MQTT\x04\x0a\x00\x00\x00\x00", Malformed::Flags); // a QoS without a will
    check_wrong(b"\x10\x0c\x00\x04MQTT\x04\x22\x00\x00\x00\x00", Malformed::Flags); // retained without a will
    check_wrong(b"\x10\x0c\x00\x04MQTT\x04\x42\x00\x00\x00\x00", Malformed::Flags); // a password without a user
    check_wrong(b"\x10\x11\x00\x04MQTT\x04\x1e\x00\x00\x00\x00\x00\x01t\x00\x00", Malformed::Qos);
    check_wrong(b"\x10\x11\x00\x04MQTT\x04\x06\x00\x00\x00\x00\x00\x01#\x00\x00", Malformed::Name);
    check_wrong(b"\x10\x0c\x00\x04MQTT\x04\x82\x00\x00\x00\x00", Malformed::Cut);
    check_wrong(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x00?", Malformed::Surplus);
    check_wrong(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01\0", Malformed::Text);
    check_wrong(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01\xff", Malformed::Text);
    check_wrong(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x00\x00\x03\xed\xa0\x80", Malformed::Text); // a surrogate
}

#[test]
fn a_publish_has_an_id_from_qos_1_on() {
    let publish = |payload, retain, delivery| Ok(Packet::Publish { topic: "t", payload, retain, delivery });
    check(b"\x30\x04\x00\x01tx", publish(b"x", false, Delivery::AtMost));
    check(b"\x31\x03\x00\x01t", publish(b"", true, Delivery::AtMost));
    check(b"\x3a\x06\x00\x01t\x01\x02x", publish(b"x", false, Delivery::AtLeast(0x102)));
    check(b"\x34\x05\x00\x01t\x00\x01", publish(b"", false, Delivery::Exactly(1)));
    check_wrong(b"\x36\x05\x00\x01t\x00\x01", Malformed::Qos);
    check_wrong(b"\x38\x03\x00\x01t", Malformed::Flags); // a repeated message of QoS 0
    check_wrong(b"\x32\x05\x00\x01t\x00\x00", Malformed::Id);
    check_wrong(b"\x32\x04\x00\x01t\x00", Malformed::Cut);
    check_wrong(b"\x30\x05\x00\x03a/+", Malformed::Name);
    check_wrong(b"\x30\x02\x00\x00", Malformed::Name);
}

#[test]
fn subscriptions_come_in_their_order_and_at_least_one() {
    let filters = vec![("a/+", Qos::AtLeast), ("#", Qos::AtMost)];
    check(b"\x82\x0c\x00\x07\x00\x03a/+\x01\x00\x01#\x00", Ok(Packet::Subscribe { id: 7, filters }));
    check(b"\xa2\x08\x00\x07\x00\x01a\x00\x01b", Ok(Packet::Unsubscribe { id: 7, filters: vec!["a", "b"] }));
    check_wrong(b"\x82\x02\x00\x07", Malformed::NoFilter);
    check_wrong(b"\xa2\x02\x00\x07", Malformed::NoFilter);
    check_wrong(b"\x82\x06\x00\x07\x00\x01a\x03", Malformed::Qos);
    check_wrong(b"\x82\x06\x00\x07\x00\x01a\x81", Malformed::Qos); // reserved bits
    check_wrong(b"\x82\x07\x00\x07\x00\x02a#\x00", Malformed::Filter);
    check_wrong(b"\x82\x06\x00\x00\x00\x01a\x00", Malformed::Id);
}

#[test]
fn a_packet_has_a_thousand_filters_at_most() {
    let packet = |filters: usize| {
        let len = 2 + 4 * filters;
        let header = [0x82, len as u8 | 0x80, (len >> 7) as u8, 0, 1];
        [&header[..], &b"\0\x01a\0".repeat(filters)].concat()
    };
    assert!(matches!(parse(&packet(1_000), 1 << 20), Ok(Some((Packet::Subscribe { .. }, 4_005)))));
    assert_eq!(parse(&packet(1_001), 1 << 20), Err(Malformed::TooManyFilters));
}

#[test]
fn flags_and_kinds_are_refused_at_the_first_byte() {
    for first in [0x11, 0x41, 0x50 | 0x2, 0x60, 0x80, 0xa0, 0xc1, 0xe8] {
        check_wrong(&[first], Malformed::Flags);
    }
    for first in [0x00, 0x20, 0x90, 0xb0, 0xd0, 0xf0] {
        check_wrong(&[first], Malformed::Kind);
    }
}

#[test]
fn a_length_is_four_bytes_at_most_and_not_above_the_limit() {
    assert_eq!(parse(b"\xc0\x80\x80\x80", 1_000), Ok(None));
    check_wrong(b"\xc0\x80\x80\x80\x80", Malformed::RemainingLen);
    check_wrong(b"\x30\xe6\x07", Malformed::TooLong); // 998, and three bytes before it
    assert_eq!(parse(b"\x30\xe5\x07", 1_000), Ok(None));
    check_wrong(b"\xc0\x01?", Malformed::Surplus);
    check(b"\xc0\x80\x00", Ok(Packet::Ping)); // longer than need be, and still 0
}

#[test]
fn lengths_are_emitted_as_they_are_parsed() {
    for len in [0, 1, 124, 125, 16_380, 16_381, 70_000, 2_097_149] {
        let mut reply = Reply::new(usize::MAX);
        let payload = vec![b'x'; len];
        emit_publish("t", &payload, true, false, Delivery::AtMost, &mut reply);
        let packet = Packet::Publish { topic: "t", payload: &payload, retain: true, delivery: Delivery::AtMost };
        assert_eq!(parse(&reply.output, usize::MAX), Ok(Some((packet, reply.output.len()))), "{len}");
    }
}
