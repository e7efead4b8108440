//! Several actors in one case: one iteration is what all of them play.

use super::{ECHO, bench, case, result};
use crate::capture::tools::have;
use crate::run::Folder;

const PAIR: &str = "[actor.one]\nconnect = \"target\"\n[actor.two]\nconnect = \"target\"\n";

/// What one connection sends all others get: a chat without greetings.
const CHAT: &str = "[target]\ncommand = [\"python3\", \"-c\", '''
import selectors, socket, sys
listener = socket.create_server((\"127.0.0.1\", int(sys.argv[1])), backlog=64)
listener.setblocking(False)
chosen = selectors.DefaultSelector()
chosen.register(listener, selectors.EVENT_READ)
there = []
while True:
  ready = [key.fileobj for key, _ in chosen.select()]
  try:
    # Whoever has connected before something was said is to hear it.
    while True:
      there.append(listener.accept()[0])
      there[-1].setblocking(True)
      chosen.register(there[-1], selectors.EVENT_READ)
  except BlockingIOError: pass
  for speaker in ready:
    if speaker is listener: continue
    try: said = speaker.recv(4096)
    except OSError: said = b\"\"
    if not said:
      chosen.unregister(speaker)
      there.remove(speaker)
      speaker.close()
    for other in there if said else []:
      if other is not speaker:
        try: other.sendall(said)
        except OSError: pass
''', \"${target.port}\"]
";

/// A publisher and a subscriber, who are there before the first message is sent.
fn mqtt(target: &str) -> Folder {
    Folder::with(&format!(
        "{target}[actor.pub]\nconnect = \"broker\"\nprotocol = \"mqtt\"\n[actor.sub]\nconnect = \"broker\"\nprotocol = \"mqtt\"\n\
         [[case]]\nname = \"delivers\"\n[case.play]\n\
         pub = [\n\
         {{ send = {{ connect = {{ client_id = \"pub${{connection}}\" }} }} }},\n\
         {{ expect = {{ connack = {{ code = \"accepted\" }} }}, mark = \"ready\" }},\n\
         {{ send = {{ publish = {{ topic = \"t/${{connection}}\", payload = \"number ${{iteration}}\" }} }} }},\n]\n\
         sub = [\n\
         {{ send = {{ connect = {{ client_id = \"sub${{connection}}\" }} }} }},\n\
         {{ expect = {{ connack = {{ code = \"accepted\" }} }} }},\n\
         {{ send = {{ subscribe = {{ id = 1, topics = [{{ filter = \"t/${{connection}}\", qos = 0 }}] }} }} }},\n\
         {{ expect = {{ suback = {{ id = 1 }} }}, mark = \"ready\" }},\n\
         {{ expect = {{ publish = {{ payload = \"number ${{iteration}}\" }} }}, note = \"delivery\" }},\n]\n"
    ))
}

#[test]
fn a_publisher_and_a_subscriber_play_one_iteration() {
    let folder = mqtt("[target.broker]\nbuiltin = \"mqtt-broker\"\n");
    let told = bench(&folder, &["--from", "ready", "--iterations", "200", "-c", "3"]).exits(0).stdout();
    assert!(told.contains("3 connections for each of 2 actors"), "{told}");
    let result = result(&folder);
    assert_eq!((&result["counts"]["iterations"], &result["actors"]), (&200.into(), &2.into()));
    assert_eq!(result["counts"]["connections"], 6);
    // Set-up is done once on each connection, so each iteration is a message out and a message in.
    assert_eq!(result["counts"]["messages"], 400);
    assert_eq!(result["fresh"], false);
    assert_eq!(result["steps"][3]["name"], "sub: delivery");
    assert_eq!(result["steps"][3]["ns"]["count"], 200);
}

#[test]
fn mosquitto_delivers_at_times_of_the_publishers_own() {
    if !have(&["mosquitto"]) {
        return;
    }
    let target = "[target.broker]\ncommand = [\"mosquitto\", \"-p\", \"${broker.port}\"]\naddress = \"tcp://127.0.0.1:${broker.port}\"\n";
    let folder = mqtt(target);
    bench(&folder, &["--from", "ready", "--rate", "200", "--duration", "200ms", "-c", "2"]);
    let result = result(&folder);
    assert_eq!((&result["counts"]["begun"], &result["counts"]["iterations"]), (&40.into(), &40.into()));
}

#[test]
fn what_one_says_the_others_hear_in_one_order_of_all() {
    let actors = "[actor.alice]\nconnect = \"target\"\nframing = \"line\"\n[actor.bob]\nconnect = \"target\"\nframing = \"line\"\ncount = 2\n";
    let steps = case(
        "{ alice.send = \"hello ${iteration}\" }, { bob.expect = { regex = \"hello (?<heard>[0-9]+)\" } },\n\
         { alice.send = \"did you hear ${heard}\" }, { bob.expect = \"did you hear ${iteration}\" }",
    );
    let folder = Folder::with(&format!("{CHAT}{actors}{steps}"));
    bench(&folder, &["--iterations", "50"]).exits(0);
    let result = result(&folder);
    assert_eq!((&result["counts"]["iterations"], &result["actors"]), (&50.into(), &3.into()));
    let steps = result["steps"].as_array().expect("there are steps");
    assert!(steps.iter().all(|step| step["ns"]["count"] == 50), "{steps:?}");
}

#[test]
fn notices_and_barriers_order_who_play_side_by_side() {
    let steps = "[[case]]\nname = \"c\"\n[case.play]\n\
                 one = [{ await = \"heard\" }, { send = \"b\" }, { expect = \"b\" }, { barrier = \"both\" }, { send = \"c\" }, { expect = \"c\" }]\n\
                 two = [{ send = \"a\" }, { expect = \"a\" }, { notify = \"heard\" }, { barrier = \"both\" }]\n";
    let folder = Folder::with(&format!("{ECHO}{PAIR}{steps}"));
    bench(&folder, &["--iterations", "40", "-c", "2"]).exits(0);
    let counts = result(&folder)["counts"].clone();
    assert_eq!((&counts["iterations"], &counts["messages"]), (&40.into(), &240.into()), "{counts}");
}

#[test]
fn datagrams_wait_for_their_actors_turn() {
    let actors = "[actor.one]\nconnect = \"target\"\n[actor.two]\nconnect = \"target\"\n";
    let steps = case("{ one.send = \"a\" }, { two.send = \"b\" }, { one.expect = \"a\" }, { two.expect = \"b\" }");
    let folder = Folder::with(&format!("[target]\nbuiltin = \"udp-echo\"\n{actors}{steps}"));
    bench(&folder, &["--iterations", "200", "--timeout", "20s"]).exits(0);
    assert_eq!(result(&folder)["counts"]["iterations"], 200);
}

#[test]
fn an_actor_that_ends_its_connection_gives_all_of_them_new_ones() {
    let steps = case(
        "{ one.send = \"a\" }, { one.expect = \"a\" }, { one.close = true }, { two.send = \"b\" }, { two.expect = \"b\" }",
    );
    let folder = Folder::with(&format!("{ECHO}{PAIR}{steps}"));
    bench(&folder, &["--iterations", "10"]).exits(0);
    let result = result(&folder);
    assert_eq!((&result["fresh"], &result["counts"]["iterations"]), (&true.into(), &10.into()));
    assert!(result["counts"]["connections"].as_u64() >= Some(20), "two for each iteration: {result}");
}

#[test]
fn a_wrong_answer_to_one_of_them_is_one_iteration() {
    let steps = case("{ one.send = \"a\" }, { two.send = \"b\" }, { one.expect = \"a\" }, { two.expect = \"c\" }");
    let folder = Folder::with(&format!("{ECHO}{PAIR}{steps}"));
    bench(&folder, &["--iterations", "5"]).exits(1).says("it does not hold even once: two: expected `c`, got `b`");
}

#[test]
fn what_several_actors_cannot_do_is_refused_in_words() {
    let steps = case("{ one.send = \"a\" }, { one.expect = \"a\" }, { two.send = \"b\" }, { two.expect = \"b\" }");
    let folder = Folder::with(&format!("{ECHO}{PAIR}{steps}"));
    bench(&folder, &["--depth", "2", "--iterations", "4"]).exits(4).says("several actors play each of them together");
    bench(&folder, &["--bulk", "--duration", "100ms"]).exits(4).says("several actors take part in it");
    bench(&folder, &["--stamps", "rx", "--iterations", "4"]).exits(4).says("`--stamps` is for one actor");
    let listener = "[actor.one]\nconnect = \"target\"\n[actor.two]\nlisten = \"tcp://127.0.0.1:0\"\n";
    let steps = case("{ one.send = \"a\" }, { one.expect = \"a\" }, { two.accept = \"c\" }, { c.expect = \"x\" }");
    let folder = Folder::with(&format!("{ECHO}{listener}{steps}"));
    bench(&folder, &["--iterations", "4"]).exits(4).says("its actor `two` listens");
}

#[test]
fn who_waits_before_the_mark_for_what_comes_after_it_is_told() {
    let steps = "[[case]]\nname = \"c\"\n[case.play]\n\
                 one = [{ await = \"there\", mark = \"go\" }, { send = \"b\" }, { expect = \"b\" }]\n\
                 two = [{ send = \"a\" }, { expect = \"a\" }, { notify = \"there\" }]\n";
    let folder = Folder::with(&format!("{ECHO}{PAIR}{steps}"));
    bench(&folder, &["--from", "go", "--iterations", "4"])
        .exits(4)
        .says("waits for a notice that is given only in them");
}
