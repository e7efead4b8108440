//! Clients and their broker in memory: what each gets, to the byte.

use std::sync::Arc;
use std::time::Duration;

use crate::connection::Ending;
use crate::memory::Pipe;
use crate::service::Server;

const PINGRESP: [u8; 2] = [0xd0, 0];

fn broker(pairs: &[(&str, &str)]) -> Arc<dyn Server> {
    let target = crate::find("mqtt-broker").expect("it is in the table");
    target.make(pairs, &crate::Limits::default(), || jiff::Timestamp::UNIX_EPOCH).expect("settings")
}

/// A packet with `parts` one after the other.
fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let len = u8::try_from(body.len()).expect("a short packet");
    assert!(len < 0x80, "a short packet");
    [&[first, len], &body[..]].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&[0, u8::try_from(text.len()).expect("a short text")], text.as_bytes()].concat()
}

/// A CONNECT with `rest` after the client id; the flags say what that is.
fn connect(client_id: &str, flags: u8, keep_alive_s: u8, rest: &[&[u8]]) -> Vec<u8> {
    packet(0x10, &[b"\0\x04MQTT\x04", &[flags, 0, keep_alive_s], &text(client_id), &rest.concat()])
}

fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    packet(0x82, &[&[0, 9], &text(filter), &[qos]])
}

/// A PUBLISH as it goes in either direction: `first` says its flags, `id` is 0 for none.
fn publish(first: u8, topic: &str, id: u8, payload: &str) -> Vec<u8> {
    let id: &[u8] = if id == 0 { &[] } else { &[0, id] };
    packet(first, &[&text(topic), id, payload.as_bytes()])
}

#[derive(Debug)]
struct Client(Pipe);

impl Client {
    fn open(server: &Arc<dyn Server>) -> Client {
        Client(Pipe::open(&**server, crate::memory::OUTPUT_LEN_MAX))
    }

    /// Connects with these flags, and is let in.
    #[track_caller]
    fn connected(server: &Arc<dyn Server>, client_id: &str, flags: u8, session_present: u8) -> Client {
        let mut client = Client::open(server);
        client.send(&connect(client_id, flags, 0, &[]));
        let said = client.0.take_output();
        assert_eq!(said[..4], [0x20, 2, session_present, 0]);
        assert_eq!(said[4..], [], "nothing was kept");
        client
    }

    fn new(server: &Arc<dyn Server>, client_id: &str) -> Client {
        Client::connected(server, client_id, 0x02, 0)
    }

    #[track_caller]
    fn send(&mut self, packet: &[u8]) {
        assert!(self.0.send(packet), "the connection is open");
    }

    #[track_caller]
    fn subscribes(&mut self, filter: &str, qos: u8) {
        self.send(&subscribe(filter, qos));
        self.gets(&[&[0x90, 3, 0, 9, qos]]);
    }

    #[track_caller]
    fn gets(&mut self, packets: &[&[u8]]) {
        assert_eq!(self.0.take_output(), packets.concat());
    }

    #[track_caller]
    fn is_closed(&mut self) {
        self.gets(&[]);
        assert_eq!(self.0.ending(), Some(Ending::Close));
    }
}

#[test]
fn a_message_goes_to_everybody_who_wants_it_at_the_lower_qos() {
    let broker = broker(&[]);
    let mut subscribers = [0, 1, 2].map(|qos| {
        let mut client = Client::new(&broker, &format!("sub{qos}"));
        client.subscribes("a/+", qos);
        client
    });
    let mut publisher = Client::new(&broker, "pub");
    publisher.send(&publish(0x32, "a/b", 7, "hi"));
    publisher.gets(&[&[0x40, 2, 0, 7]]);
    subscribers[0].gets(&[&publish(0x30, "a/b", 0, "hi")]);
    subscribers[1].gets(&[&publish(0x32, "a/b", 1, "hi")]);
    subscribers[2].gets(&[&publish(0x32, "a/b", 1, "hi")]);
    publisher.send(&publish(0x30, "a", 0, "not for them"));
    subscribers[0].gets(&[]);
}

#[test]
fn who_publishes_to_its_own_subscription_gets_it_before_the_next_answer() {
    let broker = broker(&[]);
    let mut client = Client::new(&broker, "both");
    client.subscribes("a", 0);
    client.send(&[publish(0x32, "a", 1, "x"), vec![0xc0, 0]].concat());
    client.gets(&[&[0x40, 2, 0, 1], &publish(0x30, "a", 0, "x"), &PINGRESP]);
}

#[test]
fn filters_that_overlap_get_a_message_once_at_the_highest_qos() {
    let broker = broker(&[]);
    let mut client = Client::new(&broker, "both");
    client.subscribes("#", 0);
    client.subscribes("a/b", 1);
    client.subscribes("a/#", 0);
    client.send(&publish(0x34, "a/b", 1, "x"));
    client.gets(&[&[0x50, 2, 0, 1], &publish(0x32, "a/b", 1, "x")]);
    client.send(&packet(0xa2, &[&[0, 3], &text("a/b"), &text("never")]));
    client.send(&publish(0x34, "a/b", 2, "y"));
    client.gets(&[&[0xb0, 2, 0, 3], &[0x50, 2, 0, 2], &publish(0x30, "a/b", 0, "y")]);
}

#[test]
fn a_message_of_qos_2_that_is_repeated_is_delivered_once_until_it_is_released() {
    let broker = broker(&[]);
    let (mut to, mut from) = (Client::new(&broker, "to"), Client::new(&broker, "from"));
    to.subscribes("a", 2);
    from.send(&publish(0x34, "a", 5, "x"));
    from.send(&publish(0x3c, "a", 5, "x"));
    from.send(&[0x62, 2, 0, 5]);
    from.send(&[0x62, 2, 0, 5]);
    from.gets(&[&[0x50, 2, 0, 5], &[0x50, 2, 0, 5], &[0x70, 2, 0, 5], &[0x70, 2, 0, 5]]);
    from.send(&publish(0x34, "a", 5, "y"));
    to.gets(&[&publish(0x34, "a", 1, "x"), &publish(0x34, "a", 2, "y")]);
    to.send(&[0x50, 2, 0, 1]);
    to.send(&[0x50, 2, 0, 1]);
    to.gets(&[&[0x62, 2, 0, 1], &[0x62, 2, 0, 1]]);
    to.send(&[0x70, 2, 0, 1]);
    to.send(&[0x50, 2, 0, 1]);
    to.gets(&[]);
}

#[test]
fn what_is_not_acknowledged_holds_back_what_follows_in_order() {
    let broker = broker(&[("inflight", "1")]);
    let (mut to, mut from) = (Client::new(&broker, "to"), Client::new(&broker, "from"));
    to.subscribes("a", 1);
    for (first, id, payload) in [(0x32, 1, "1"), (0x32, 2, "2"), (0x30, 0, "3")] {
        from.send(&publish(first, "a", id, payload));
    }
    to.gets(&[&publish(0x32, "a", 1, "1")]);
    to.send(&[0x40, 2, 0, 9]);
    to.send(&[0x70, 2, 0, 1]);
    to.gets(&[]);
    to.send(&[0x40, 2, 0, 1]);
    to.gets(&[&publish(0x32, "a", 2, "2"), &publish(0x30, "a", 0, "3")]);
}

#[test]
fn the_last_retained_message_meets_who_subscribes_later() {
    let broker = broker(&[]);
    let (mut early, mut from) = (Client::new(&broker, "early"), Client::new(&broker, "from"));
    early.subscribes("a/b", 1);
    from.send(&publish(0x33, "a/b", 1, "old"));
    from.send(&publish(0x31, "a/b", 0, "new"));
    from.send(&publish(0x30, "a/b", 0, "not retained"));
    early.gets(&[
        &publish(0x32, "a/b", 1, "old"),
        &publish(0x30, "a/b", 0, "new"),
        &publish(0x30, "a/b", 0, "not retained"),
    ]);
    let mut late = Client::new(&broker, "late");
    late.send(&subscribe("a/#", 1));
    late.send(&subscribe("a/#", 0));
    let new = publish(0x31, "a/b", 0, "new");
    late.gets(&[&[0x90, 3, 0, 9, 1], &new, &[0x90, 3, 0, 9, 0], &new]);
    from.send(&publish(0x31, "a/b", 0, ""));
    late.gets(&[&publish(0x30, "a/b", 0, "")]);
    late.subscribes("a/b", 0);
}

/// Lets a client with a will go in some way, and says whether the will was published.
#[track_caller]
fn check_will(leaves: impl FnOnce(Client, &Arc<dyn Server>), expected: bool) {
    let broker = broker(&[]);
    let mut watcher = Client::new(&broker, "watcher");
    watcher.subscribes("will", 1);
    let mut client = Client::open(&broker);
    client.send(&connect("client", 0x2e, 10, &[&text("will"), &text("gone")]));
    client.gets(&[&[0x20, 2, 0, 0]]);
    watcher.gets(&[]);
    leaves(client, &broker);
    watcher.gets(&[&if expected { publish(0x32, "will", 1, "gone") } else { Vec::new() }]);
    let mut late = Client::new(&broker, "late");
    late.send(&subscribe("will", 0));
    late.gets(&[&[0x90, 3, 0, 9, 0], &if expected { publish(0x31, "will", 0, "gone") } else { Vec::new() }]);
}

#[test]
fn a_will_is_published_however_a_client_goes_but_with_a_word() {
    check_will(|client, _| drop(client), true);
    check_will(|mut client, _| client.0.end(), true);
    check_will(|mut client, _| client.0.time_out(), true);
    check_will(|mut client, _| client.send(&[0xff, 0]), true);
    check_will(|mut client, _| client.send(&connect("client", 0x02, 0, &[])), true);
    check_will(|_client, broker| drop(Client::new(broker, "client")), true);
    check_will(|mut client, _| client.send(&[0xe0, 0]), false);
}

#[test]
fn a_will_that_was_discarded_does_not_come_back_with_the_connections_end() {
    check_will(
        |mut client, _| {
            client.send(&[0xe0, 0]);
            client.is_closed();
        },
        false,
    );
}

#[test]
fn a_session_is_kept_and_what_came_meanwhile_is_delivered() {
    let broker = broker(&[]);
    let mut to = Client::connected(&broker, "to", 0x00, 0);
    to.subscribes("a", 2);
    to.send(&[0xe0, 0]);
    let mut from = Client::new(&broker, "from");
    from.send(&publish(0x30, "a", 0, "0"));
    from.send(&publish(0x32, "a", 1, "1"));
    from.send(&publish(0x34, "a", 2, "2"));
    let mut to = Client::open(&broker);
    to.send(&connect("to", 0x00, 0, &[]));
    to.gets(&[&[0x20, 2, 1, 0], &publish(0x32, "a", 1, "1"), &publish(0x34, "a", 2, "2")]);
}

#[test]
fn what_was_in_flight_is_sent_again_under_its_id_and_in_order() {
    let broker = broker(&[]);
    let mut to = Client::connected(&broker, "to", 0x00, 0);
    to.subscribes("a", 2);
    let mut from = Client::new(&broker, "from");
    for (first, id, payload) in [(0x34, 1, "1"), (0x32, 2, "2"), (0x34, 3, "3")] {
        from.send(&publish(first, "a", id, payload));
    }
    to.gets(&[&publish(0x34, "a", 1, "1"), &publish(0x32, "a", 2, "2"), &publish(0x34, "a", 3, "3")]);
    to.send(&[0x50, 2, 0, 3]);
    to.send(&[0x50, 2, 0, 1]);
    to.gets(&[&[0x62, 2, 0, 3], &[0x62, 2, 0, 1]]);
    drop(to);
    for _ in 0..2 {
        let mut to = Client::open(&broker);
        to.send(&connect("to", 0x00, 0, &[]));
        let again = [&publish(0x3a, "a", 2, "2")[..], &[0x62, 2, 0, 3], &[0x62, 2, 0, 1]].concat();
        to.gets(&[&[0x20, 2, 1, 0], &again]);
    }
}

#[test]
fn a_message_of_qos_2_is_known_again_after_a_resume() {
    let broker = broker(&[]);
    let mut to = Client::new(&broker, "to");
    to.subscribes("a", 0);
    let mut from = Client::connected(&broker, "from", 0x00, 0);
    from.send(&publish(0x34, "a", 1, "x"));
    drop(from);
    let mut from = Client::connected(&broker, "from", 0x00, 1);
    from.send(&publish(0x3c, "a", 1, "x"));
    from.gets(&[&[0x50, 2, 0, 1]]);
    to.gets(&[&publish(0x30, "a", 0, "x")]);
}

#[test]
fn a_clean_session_begins_with_nothing_and_leaves_nothing() {
    let broker = broker(&[]);
    let mut client = Client::connected(&broker, "a", 0x00, 0);
    client.subscribes("t", 1);
    drop(client);
    drop(Client::connected(&broker, "a", 0x02, 0));
    let mut client = Client::connected(&broker, "a", 0x00, 0);
    client.send(&publish(0x32, "t", 1, "nobody"));
    client.gets(&[&[0x40, 2, 0, 1]]);
}

#[test]
fn a_second_connection_of_a_client_takes_its_session_over() {
    let broker = broker(&[]);
    let mut old = Client::connected(&broker, "a", 0x00, 0);
    old.subscribes("t", 1);
    let mut new = Client::connected(&broker, "a", 0x00, 1);
    old.is_closed();
    drop(old);
    new.send(&publish(0x30, "t", 0, "still subscribed"));
    new.gets(&[&publish(0x30, "t", 0, "still subscribed")]);
}

#[test]
fn what_an_older_connection_still_says_is_not_heard() {
    let broker = broker(&[]);
    let mut watcher = Client::new(&broker, "watcher");
    watcher.subscribes("#", 0);
    let mut old = Client::new(&broker, "a");
    let _new = Client::new(&broker, "a");
    old.send(&publish(0x30, "t", 0, "late"));
    old.is_closed();
    watcher.gets(&[]);
}

#[track_caller]
fn check_refused(pairs: &[(&str, &str)], connect: &[u8], code: u8) {
    let broker = broker(pairs);
    let mut client = Client::open(&broker);
    client.send(connect);
    client.gets(&[&[0x20, 2, 0, code]]);
    assert_eq!(client.0.ending(), Some(Ending::Close));
}

#[test]
fn who_is_not_let_in_is_told_why() {
    check_refused(&[], b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00", 1);
    check_refused(&[], &connect("", 0x00, 0, &[]), 2);
    let long = [b"\x10\x8d\x02\x00\x04MQTT\x04\x02\x00\x00\x01\x01", &[b'x'; 257][..]].concat();
    check_refused(&[], &long, 2);
    check_refused(&[("sessions", "0")], &connect("a", 0x02, 0, &[]), 3);
    let users = [("users", "ada:engine bob:x:y")];
    check_refused(&users, &connect("a", 0x02, 0, &[]), 5);
    check_refused(&users, &connect("a", 0x82, 0, &[&text("ada")]), 5);
    check_refused(&users, &connect("a", 0xc2, 0, &[&text("ada"), &text("x:y")]), 5);
    check_refused(&users, &connect("a", 0xc2, 0, &[&text("eve"), &text("engine")]), 5);
}

#[test]
fn who_has_a_password_is_let_in() {
    let broker = broker(&[("users", "ada:engine bob:x:y")]);
    for (name, password) in [("ada", "engine"), ("bob", "x:y")] {
        let mut client = Client::open(&broker);
        client.send(&connect("a", 0xc2, 0, &[&text(name), &text(password)]));
        client.gets(&[&[0x20, 2, 0, 0]]);
    }
}

#[test]
fn a_user_without_a_password_is_a_wrong_setting() {
    let target = crate::find("mqtt-broker").expect("it is in the table");
    let clock = || jiff::Timestamp::UNIX_EPOCH;
    let error = target.make(&[("users", "ada:x bob")], &crate::Limits::default(), clock).err().expect("it is wrong");
    assert_eq!(error.to_string(), "expected a user like `name:password`, got `bob`");
}

#[test]
fn a_refused_client_does_not_take_a_session_over() {
    let broker = broker(&[("users", "ada:engine")]);
    let mut client = Client::open(&broker);
    client.send(&connect("a", 0xc2, 0, &[&text("ada"), &text("engine")]));
    Client::open(&broker).send(&connect("a", 0x02, 0, &[]));
    client.send(&[0xc0, 0]);
    client.gets(&[&[0x20, 2, 0, 0], &PINGRESP]);
}

#[test]
fn clients_without_an_id_do_not_meet() {
    let broker = broker(&[]);
    let mut clients = [0, 1, 2].map(|_| Client::new(&broker, ""));
    for client in &mut clients {
        client.send(&[0xc0, 0]);
        client.gets(&[&PINGRESP]);
    }
}

#[test]
fn what_is_no_mqtt_closes_the_connection_without_an_answer() {
    let long = [&[0x30, 0xff, 0xff, 0x3f][..], &[0; 100]].concat();
    for wrong in [&b"GET / HTTP/1.1\r\n"[..], &[0xc0, 0], &[0x10, 0xff, 0xff, 0xff, 0xff], &[0x20]] {
        let broker = broker(&[]);
        let mut client = Client::open(&broker);
        client.send(wrong);
        client.is_closed();
    }
    for wrong in [&[0x20, 2, 0, 0][..], &connect("a", 0x02, 0, &[]), &[0xc1], &long, &publish(0x30, "#", 0, "")] {
        let broker = broker(&[]);
        let mut client = Client::new(&broker, "a");
        client.send(&[wrong, &[0xc0, 0]].concat());
        client.is_closed();
    }
}

#[test]
fn silence_is_measured_from_the_last_whole_packet() {
    let broker = broker(&[]);
    let mut client = Client::open(&broker);
    assert_eq!(client.0.take_alarm(), Some(Duration::from_secs(10)), "for the CONNECT");
    client.send(&connect("a", 0x02, 9, &[]));
    assert_eq!(client.0.take_alarm(), Some(Duration::from_millis(13_500)));
    client.send(&[0xc0]);
    assert_eq!(client.0.take_alarm(), None);
    client.send(&[0]);
    assert_eq!(client.0.take_alarm(), Some(Duration::from_millis(13_500)));
    client.gets(&[&[0x20, 2, 0, 0], &PINGRESP]);
    client.0.time_out();
    client.is_closed();
    let mut client = Client::open(&broker);
    client.send(&connect("a", 0x02, 0, &[]));
    assert_eq!(client.0.take_alarm(), Some(Duration::MAX));
}

#[test]
fn what_the_broker_says_of_itself_is_seen_by_who_asks_for_it() {
    let broker = broker(&[]);
    let mut client = Client::new(&broker, "a");
    client.subscribes("#", 1);
    client.subscribes("+/broker/version", 1);
    client.send(&subscribe("$SYS/#", 0));
    let version = format!("mqtt-broker {}", env!("CARGO_PKG_VERSION"));
    client.gets(&[&[0x90, 3, 0, 9, 0], &publish(0x31, "$SYS/broker/version", 0, &version)]);
    client.send(&publish(0x33, "$SYS/broker/version", 1, "mine"));
    client.gets(&[&[0x40, 2, 0, 1]]);
    client.send(&publish(0x30, "$other", 0, "x"));
    client.gets(&[]);
    client.subscribes("$other", 0);
    client.send(&publish(0x30, "$other", 0, "x"));
    client.gets(&[&publish(0x30, "$other", 0, "x")]);
}

#[test]
fn a_filter_that_is_one_too_many_is_refused_and_the_others_are_not() {
    let broker = broker(&[("subscriptions", "2")]);
    let mut client = Client::new(&broker, "a");
    let filters = [text("a"), vec![0], text("b"), vec![1], text("c"), vec![2], text("b"), vec![2]].concat();
    client.send(&packet(0x82, &[&[0, 1], &filters]));
    client.gets(&[&[0x90, 6, 0, 1, 0, 1, 0x80, 2]]);
    let long = [&[0x82, 0x86, 0x08, 0, 1, 0x04, 0x01][..], &[b'x'; 1_025], &[0]].concat();
    client.send(&long);
    client.gets(&[&[0x90, 3, 0, 1, 0x80]]);
}

#[test]
fn a_queue_that_is_full_loses_what_comes_and_keeps_what_it_has() {
    let check = |pairs: &[(&str, &str)]| {
        let broker = broker(pairs);
        let mut to = Client::connected(&broker, "to", 0x00, 0);
        to.subscribes("a", 1);
        drop(to);
        let mut from = Client::new(&broker, "from");
        for id in 1..4 {
            from.send(&publish(0x32, "a", id, &id.to_string()));
        }
        let mut to = Client::open(&broker);
        to.send(&connect("to", 0x00, 0, &[]));
        to.gets(&[&[0x20, 2, 1, 0], &publish(0x32, "a", 1, "1"), &publish(0x32, "a", 2, "2")]);
        from.send(&publish(0x32, "a", 5, "5"));
        to.gets(&[&publish(0x32, "a", 3, "5")]);
    };
    check(&[("queue", "2")]);
    check(&[("queue-bytes", "5")]);
}

#[test]
fn a_retained_message_beyond_the_limit_is_delivered_and_not_kept() {
    for limit in [("retained", "1"), ("retained-bytes", "5")] {
        let broker = broker(&[limit]);
        let mut client = Client::new(&broker, "a");
        client.subscribes("+", 0);
        client.send(&publish(0x31, "a", 0, "1"));
        client.send(&publish(0x31, "a", 0, "1234"));
        client.send(&publish(0x31, "b", 0, "2"));
        client.gets(&[&publish(0x30, "a", 0, "1"), &publish(0x30, "a", 0, "1234"), &publish(0x30, "b", 0, "2")]);
        client.send(&subscribe("+", 0));
        client.gets(&[&[0x90, 3, 0, 9, 0], &publish(0x31, "a", 0, "1234")]);
    }
}

#[test]
fn a_client_that_does_not_read_has_no_more_waiting_than_its_queue_takes() {
    let broker = broker(&[("queue", "3"), ("inflight", "1")]);
    let peer = crate::Peer::new(0, crate::Transport::Tcp, None);
    let mut slow = crate::Connection::open(&*broker, &peer, 10);
    slow.receive(&connect("slow", 0x02, 0, &[]));
    slow.written(slow.output().len());
    slow.receive(&subscribe("a", 0));
    slow.written(slow.output().len());
    let mut from = Client::new(&broker, "from");
    for number in 0..9 {
        from.send(&publish(0x30, "a", 0, &number.to_string()));
        slow.answer_bell();
    }
    let mut got = Vec::new();
    while !slow.output().is_empty() {
        got.extend_from_slice(slow.output());
        slow.written(slow.output().len());
    }
    // Two fill its output, and three its queue.
    let expected: Vec<_> = (0..5).flat_map(|number: u8| publish(0x30, "a", 0, &number.to_string())).collect();
    assert_eq!(got, expected);
}
