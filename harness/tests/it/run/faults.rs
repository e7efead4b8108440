//! Relays and faults, with real sockets and with programs that nobody here wrote.

use harness::event::{Direction, Endpoint};

use super::*;

/// A client that asks for each of six numbers until it is answered, from a port of its own each time.
const RETRYING: &str = r#"
import socket, sys
sent = 0
for number in range(6):
    while True:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(0.1)
        client.sendto(b"%d" % number, ("127.0.0.1", int(sys.argv[1])))
        sent += 1
        try:
            assert client.recv(9) == b"%d" % number
            break
        except TimeoutError:
            pass
print(sent)
"#;

fn told<'s, T: 's>(story: &'s Story, pick: impl Fn(&'s EventKind) -> Option<T> + 's) -> Vec<T> {
    story.kinds().filter_map(pick).collect()
}

/// What fired: the fault, the connection, the direction, the byte, the unit and what it did.
fn fired(story: &Story) -> Vec<(u32, u32, Direction, u64, u64, &str)> {
    told(story, |kind| match kind {
        EventKind::FaultFired { fault, connection, direction, at_byte, nth, what, .. } => {
            Some((*fault, *connection, *direction, *at_byte, *nth, what.as_str()))
        }
        _ => None,
    })
}

fn warnings(story: &Story) -> Vec<&str> {
    told(story, |kind| match kind {
        EventKind::Warning { message } => Some(message.as_str()),
        _ => None,
    })
}

/// One case with a relay of this URL in front of this target, and these steps and faults.
fn relayed(listen: &str, to: &str, rest: &str) -> Folder {
    Folder::with(&format!(
        "[target]\n{to}\n[actor.middle]\nrelay = {{ listen = \"{listen}\", to = \"target\" }}\n\
         [actor.client]\nconnect = \"middle\"\n[[case]]\nname = \"c\"\n{rest}"
    ))
}

const TCP: &str = "tcp://127.0.0.1:0";
const UDP: &str = "udp://127.0.0.1:0";
const ECHO: &str = "builtin = \"tcp-echo\"";
const DATAGRAMS: &str = "builtin = \"udp-echo\"";

#[test]
fn a_client_that_tries_again_gets_through_a_relay_that_loses_every_third_datagram() {
    let steps = "steps = [{ exec = [\"python3\", \"client.py\", \"${middle.port}\"], save = \"sent\" }]\n";
    let fault = "[[case.fault]]\non = \"middle.up\"\nwhen = { every = 3 }\ndo = { drop = true }\n";
    let folder = relayed(UDP, DATAGRAMS, &format!("{steps}{fault}"));
    folder.write("client.py", RETRYING);
    folder.run(&[]).exits(0);
    let story = folder.story();
    // The third and the sixth of eight are lost, and asked for again; a slow machine may ask more often.
    let drops = fired(&story);
    assert!(drops.len() >= 2, "{drops:?}");
    for (at, drop) in (1..).zip(&drops) {
        assert_eq!((drop.2, drop.4, drop.5), (Direction::Up, 3 * at, "dropped 1 byte"));
    }
    // Each port is a connection of its own, and they are counted together.
    assert!(drops[1].1 > drops[0].1, "{drops:?}");
}

#[test]
fn a_relay_follows_a_server_that_answers_from_another_port() {
    let server = "import socket, sys\n\
         first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfirst.bind((\"127.0.0.1\", int(sys.argv[1])))\n\
         data, client = first.recvfrom(9)\n\
         second = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nsecond.sendto(b\"here \" + data, client)\n\
         data, client = second.recvfrom(9)\nsecond.sendto(b\"still \" + data, client)\nsecond.recv(9)\n";
    let target =
        "command = [\"python3\", \"server.py\", \"${target.port}\"]\naddress = \"udp://127.0.0.1:${target.port}\"";
    let steps = "steps = [{ client.send = \"a\" }, { client.expect = \"here a\" }, { client.send = \"b\" }, { client.expect = \"still b\" }]\n";
    let folder = relayed(UDP, target, steps);
    let text = fs::read_to_string(folder.path().join("s.toml")).expect("it was written");
    folder.write("s.toml", text.replace("[actor.client]", "follow = true\n[actor.client]"));
    folder.write("server.py", server);
    folder.run(&[]).exits(0);
}

#[test]
fn a_seed_loses_the_same_datagrams_again() {
    let steps = "steps = [{ repeat = { times = 30, steps = [{ client.send = \"x\" }] } }, { drain = true }]\n";
    let fault = "[[case.fault]]\non = \"middle.up\"\nwhen = { probability = 0.5 }\ndo = { drop = true }\n";
    let folder = relayed(UDP, DATAGRAMS, &format!("{}{fault}", steps.replace("drain", "client.drain")));
    let lost = |seed: &str| {
        folder.run(&["--seed", seed]).exits(0);
        fired(&folder.story()).iter().map(|fired| fired.4).collect::<Vec<u64>>()
    };
    let first = lost("1");
    assert!((1..30).contains(&first.len()), "{first:?}");
    assert_eq!(lost("1"), first);
    assert_ne!(lost("2"), first);
}

#[test]
fn a_fault_says_where_it_fired() {
    let steps = "steps = [{ client.send = \"hello\" }, { client.expect = \"hel\" }, { client.expect_eof = true }]\n";
    let fault = "[[case.fault]]\non = \"middle.down\"\nwhen = { byte = 3 }\ndo = { cut = true }\n";
    let folder = relayed(TCP, ECHO, &format!("{steps}{fault}"));
    folder.run(&[]).exits(0);
    let story = folder.story();
    assert_eq!(fired(&story), [(1, 1, Direction::Down, 3, 1, "cut the connection after 3 bytes")]);
    let places = told(&story, |kind| match kind {
        EventKind::FaultFired { place, relay, .. } => Some((place.to_string(), relay.to_string())),
        _ => None,
    });
    assert_eq!(places, [("s.toml:13:1".to_owned(), "middle".to_owned())]);
    let closed = told(&story, |kind| match kind {
        EventKind::RelayClosed { up, down, .. } => Some((*up, *down)),
        _ => None,
    });
    assert_eq!(closed, [(5, 3)]);
    assert_eq!(warnings(&story), [""; 0]);
}

#[test]
fn a_failure_shows_which_fault_has_fired_in_its_story_and_its_capture() {
    let steps = "steps = [{ client.send = \"hello\" }, { client.expect = \"hello\" }]\n";
    let fault = "[[case.fault]]\non = \"middle.down\"\nwhen = { byte = 3 }\ndo = { cut = true }\n";
    let folder = relayed(TCP, ECHO, &format!("{steps}{fault}"));
    folder.run(&[]).exits(1).says("← fault 1 fired at byte 3 down: cut the connection after 3 bytes");
    let capture = fs::read(folder.out().join("captures/s/c.pcapng")).expect("a failure leaves one");
    let comment =
        b"fault 1 fired on middle.down, connection 1, at byte 3: cut the connection after 3 bytes (s.toml:13:1)";
    assert!(capture.windows(comment.len()).any(|window| window == comment));
}

#[test]
fn a_fault_that_never_fires_is_told() {
    let steps = "steps = [{ client.send = \"hello\" }, { client.expect = \"hello\" }]\n";
    let fault = "[[case.fault]]\non = \"middle\"\nwhen = { byte = 99 }\ndo = { cut = true }\n";
    let folder = relayed(TCP, ECHO, &format!("{steps}{fault}"));
    folder.run(&[]).exits(0).says("warning: s.toml:13:1: this fault has never fired");
    let folder = relayed(TCP, ECHO, &format!("{}{fault}", steps.replace("expect = \"hello\"", "expect = \"hullo\"")));
    folder.run(&[]).exits(1);
    let failure = folder.story().failure().clone();
    assert!(failure.notes.contains(&"the fault at line 13 has not fired".to_owned()), "{:?}", failure.notes);
}

#[test]
fn whoever_comes_to_a_relay_that_leads_nowhere_is_reset() {
    let target = "address = \"tcp://127.0.0.1:1\"";
    let folder = relayed(TCP, target, "steps = [{ client.connect = true }, { client.expect_reset = true }]\n");
    folder.run(&[]).exits(0);
    let failed = told(&folder.story(), |kind| match kind {
        EventKind::RelayFailed { connection: 1, refused: true, to: Endpoint::Ip(to), .. } => Some(to.port()),
        _ => None,
    });
    assert_eq!(failed, [1]);
}

#[test]
fn a_relay_takes_no_more_than_the_other_side_wants() {
    let text = "[actor.server]\nlisten = \"tcp://127.0.0.1:0\"\n\
         [actor.middle]\nrelay = { listen = \"tcp://127.0.0.1:0\", to = \"server\" }\n\
         [actor.client]\nconnect = \"middle\"\n[[case]]\nname = \"c\"\nxfail = \"nobody reads\"\n\
         steps = [{ client.connect = true }, { server.accept = \"c1\" }, { client.send = { random = 50_000_000 }, within = \"300ms\" }]\n\
         [[case.fault]]\non = \"middle.up\"\nwhen = { byte = 0 }\ndo = { stall = \"1h\" }\n";
    let folder = Folder::with(text);
    folder.run(&[]).exits(0);
    let up = told(&folder.story(), |kind| match kind {
        EventKind::RelayClosed { up, .. } => Some(*up),
        _ => None,
    });
    assert!((1..1 << 20).contains(&up[0]), "{up:?}");
}

#[test]
fn a_relay_listens_at_a_path_and_leaves_none() {
    let folder = Folder::new();
    let steps = "steps = [{ client.send = \"hello\" }, { client.expect = \"hello\" }]\n";
    folder.write(
        "s.toml",
        format!(
            "[target]\n{ECHO}\n[actor.middle]\nrelay = {{ listen = \"unix://relay.sock\", to = \"target\" }}\n\
             [actor.client]\nconnect = \"middle\"\n[[case]]\nname = \"c\"\n{steps}"
        ),
    );
    folder.run(&[]).exits(0);
    assert!(!folder.path().join("relay.sock").exists());
}

#[test]
fn a_program_keeps_its_relay_until_it_has_ended() {
    let client = "import socket, sys, time\n\
         client = socket.create_connection((\"127.0.0.1\", int(sys.argv[1])))\n\
         client.sendall(b\"1\")\nassert client.recv(1) == b\"1\"\nsys.exit(7)\n";
    let text = "[target.echo]\nbuiltin = \"tcp-echo\"\n\
         [target.program]\ncommand = [\"python3\", \"client.py\", \"${middle.port}\"]\nexpect_exit = 7\n\
         [actor.middle]\nrelay = { listen = \"tcp://127.0.0.1:0\", to = \"echo\" }\n\
         [[case]]\nname = \"c\"\nsteps = [{ log = \"it is on its way\" }]\n";
    let folder = Folder::with(text);
    folder.write("client.py", client);
    folder.run(&[]).exits(0);
}
