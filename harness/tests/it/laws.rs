//! The laws of conversations, matchers and the file parser: on the corpus, and at random.

use std::fs;
use std::path::Path;

use harness::conversation::laws;
use harness::protocol::PROTOCOLS;
use harness::random::Random;
use harness::scenario;
use proptest::collection::vec;
use proptest::prelude::*;

#[track_caller]
fn replay(target: &str, at_least: usize, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the project") {
        let path = entry.expect("the folder can be read").path();
        let bytes = fs::read(&path).expect("a seed can be read");
        let kept = std::panic::catch_unwind(|| check(&bytes));
        assert!(kept.is_ok(), "{}: breaks a law, see above", path.display());
        replayed += 1;
    }
    assert!(replayed >= at_least, "expected at least the {at_least} named seeds, found {replayed}");
}

#[test]
fn the_corpus_of_conversations_keeps_the_laws() {
    replay("conversation", 30, laws::check_bytes);
}

/// One message of each kind of each description, as a seed. `SNAPSHOTS=overwrite` writes them anew.
#[test]
fn every_message_of_every_description_is_a_seed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/protocol");
    for (number, entry) in PROTOCOLS.iter().enumerate() {
        let protocol = entry.protocol();
        for (message, description) in protocol.messages.iter().enumerate() {
            let path = folder.join(format!("{}-{}", entry.name, description.name.replace('_', "-")));
            if std::env::var_os("SNAPSHOTS").is_some() {
                let values =
                    protocol.generate(message, &mut Random::new(3, &description.name)).expect("something fits");
                let encoded = protocol.encode(message, &values).expect("what is made up can be encoded");
                fs::write(&path, [&[number as u8][..], &encoded].concat()).expect("a seed can be written");
            }
            let seed = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let decoded = protocol.decode_message(message, &seed[1..], true);
            assert!(matches!(decoded, Ok(Some(_))), "{}: {decoded:?}", path.display());
        }
    }
}

#[test]
fn the_corpus_of_protocols_keeps_the_laws() {
    replay("protocol", 100, harness::protocol::laws::check_bytes);
    replay("protocol", 100, harness::protocol::laws::check_bytes_fully);
}

#[test]
fn the_corpus_of_scenarios_keeps_the_laws() {
    replay("scenario", 12, scenario::check_bytes);
}

/// Pieces of scenario files, which meet in ways that random bytes never would.
const PIECES: &[&str] = &[
    "[target]\n",
    "builtin = \"tcp-echo\"\n",
    "[[case]]\n",
    "name = \"c\"\n",
    "steps = [",
    "]",
    "{ send = \"a\" },",
    "{ expect = ",
    "{ hex = \"0?\" }",
    "{ regex = '(?P<a>.)' }",
    "\"${a}\"",
    "\"${\"",
    "}",
    "},\n",
    ", within = \"1s\"",
    ", save = \"a\"",
    "{ repeat = { times = 2, steps = [",
    "{ for = { k = [1] }, steps = [",
    "[actor.x]\n",
    "connect = \"target\"\n",
    "framing = ",
    "{ length_prefix = \"u16be\" }\n",
    "\"line\"\n",
    "[vars]\n",
    "x = \"y\"\n",
    "{ all = [",
    "{ not = ",
    "-1",
    "1.5",
    "true",
    "\n",
    " ",
];

proptest! {
    #[test]
    fn any_peer_keeps_the_laws_of_conversations(bytes in vec(any::<u8>(), 0..120)) {
        laws::check_bytes(&bytes);
    }

    // Bytes that the scripts ask for meet more often than among all 256.
    #[test]
    fn a_likely_peer_keeps_the_laws_of_conversations(
        head in any::<[u8; 2]>(),
        cuts in vec(1..5_u8, 0..6),
        words in vec(prop::sample::select(&[
            "hello", "\0\x01", "*", "220 ", "\r\n", "\n", "END", "+OK\n", "a", "z", "x", "--", "{\"id\":7,\"list\":[1,2]}", "12", "-5", ".", "aab", "4",
        ][..]), 0..12),
    ) {
        let mut bytes = vec![head[0], head[1], cuts.len() as u8];
        bytes.extend(&cuts);
        bytes.extend(words.concat().as_bytes());
        laws::check_bytes(&bytes);
    }

    #[test]
    fn any_text_is_a_scenario_or_has_mistakes(text in "\\PC{0,200}") {
        scenario::check_bytes(text.as_bytes());
    }

    #[test]
    fn any_pieces_of_scenarios_are_one_or_have_mistakes(pieces in vec(prop::sample::select(PIECES), 0..24)) {
        scenario::check_bytes(pieces.concat().as_bytes());
    }
}
