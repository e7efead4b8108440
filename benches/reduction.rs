//! How many replays it takes to make a failing case small, beside delta debugging (Zeller and Hildebrandt, "Simplifying and
//! isolating failure-inducing input", TSE 28(2), 2002).
//!
//! Sixty cases are planted whose smallest is known: five sizes of each of twelve shapes. Both ways ask the same oracle: the
//! candidate is loaded as the scenario that it is, played by a conversation with virtual time, and what arrives is judged, by a
//! reference server with a flaw where there is one with this shape. So every count is the same each time.
//!
//! `ddmin` goes over connections' and messages' steps, then over what stands beside each `send`, then over the cuts of those
//! that are cut, then over bytes, and asks nothing twice. It takes the failure on trust; so the columns of replays to the minimum,
//! which end where it was met first, begin for both when the failure is known to come each time. Those of all replays have
//! what `reduce` does besides: to know that, to play the result again before that is said of it, to put simple bytes in the place
//! of those that may be any, and to ask which matter.
//!
//!     cargo test -p benches --bench reduction
//!
//! It ends with a failure where `reduce` misses a minimum, or needs more replays to those of a shape than `ddmin`.

#![expect(clippy::print_stdout, reason = "a table is what it makes")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use harness::conversation::{Action, Conversation, Input};
use harness::document::{Node, Table, Value};
use harness::event::{Endpoint, Transport};
use harness::random::Random;
use harness::reduce::{Budget, Effort, Replay, Size, Subject, Told, reduce, search};
use harness::scenario::Known;
use harness::template::Variables;
use harness::testcase::step::{parts, send, sleep, split, table_mut, verb, with};
use harness::testcase::{Class, Failed, TestCase};
use harness::time::Time;

/// How many sizes each shape comes in.
const SIZES: usize = 5;

/// More replays than any reduction here takes.
const REPLAYS_MAX: u64 = 100_000;

/// The replays after which `reduce` takes a failure for one that comes each time, as `ddmin` does without any.
const SURE_REPLAYS: u64 = 3;

/// A pause that is long enough to be one.
const LONG: std::time::Duration = std::time::Duration::from_millis(800);

/// What arrives at a server in one read.
struct Arrived {
    at: Time,
    connection: u32,
    data: Vec<u8>,
}

type Bad = Box<dyn Fn(&[Arrived]) -> bool>;

/// A case with a failure whose smallest case is known.
struct Planted {
    case: TestCase,
    bad: Bad,
    /// Connections, messages and bytes of the smallest.
    smallest: (usize, usize, usize),
}

/// What a case says, as it arrives; `None` if it is no valid case.
fn arrived(case: &TestCase) -> Option<Vec<Arrived>> {
    let scenario = case.load("case.toml", &Known::default()).ok()?;
    let script = Arc::clone(&scenario.cases.first()?.script);
    let transports = vec![Transport::Tcp; scenario.actors.len()];
    let random = Random::new(1, "reduction");
    let mut conversation = Conversation::new(script, transports, Variables::new(), random, 0, Time::ZERO);
    let mut now = Time::ZERO;
    let mut arrived = Vec::new();
    while conversation.ended().is_none() {
        while let Some(action) = conversation.poll_action() {
            match action {
                Action::Connect { connection, .. } => {
                    let local = Endpoint::Path(String::new());
                    conversation.handle_input(now, connection, Input::Connected { local: local.clone(), peer: local });
                }
                Action::Send { connection, data } => {
                    conversation.handle_input(now, connection, Input::Written(data.len()));
                    arrived.push(Arrived { at: now, connection, data: data.to_vec() });
                }
                _ => {}
            }
        }
        if conversation.ended().is_none() {
            now = now.max(conversation.poll_timeout()?);
            conversation.handle_timeout(now);
        }
    }
    Some(arrived)
}

/// Whether what arrives ends the process of the server with this flaw.
fn ends(flaw: &'static str, wire: &'static str) -> Bad {
    Box::new(move |arrived| {
        let target = targets::find("flawed").expect("it is in the table");
        let pairs = [("flaw", flaw), ("wire", wire)];
        let server = target.make(&pairs, &targets::Limits::default(), || jiff::Timestamp::UNIX_EPOCH);
        let server = server.expect("these are right");
        let mut open: HashMap<u32, targets::Connection> = HashMap::new();
        arrived.iter().any(|piece| {
            let peer = targets::Peer::new(u64::from(piece.connection), targets::Transport::Tcp, None);
            let connection = open
                .entry(piece.connection)
                .or_insert_with(|| targets::Connection::open(&*server, &peer, targets::memory::OUTPUT_LEN_MAX));
            if connection.wants_input() {
                connection.receive(&piece.data);
            }
            let len = connection.output().len();
            connection.written(len);
            connection.take_process_end().is_some()
        })
    })
}

fn scenario(actor: &str, steps: Vec<Node>) -> TestCase {
    let text = format!(
        "[actor.client]\nconnect = \"tcp://127.0.0.1:1\"\n{actor}\n[[case]]\nname = \"c\"\nsteps = [{{ log = \"x\" }}]\n"
    );
    let base = TestCase::from_scenario(Path::new("c.toml"), &text, &Known::default(), None).expect("it is valid");
    base.like("planted", steps)
}

/// A message of words without any of those that are needed.
fn filler(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len).map(|_| b'b' + random.below(20) as u8).collect()
}

/// So many messages of fillers, of which those at these places say something else.
fn among(random: &mut Random, count: usize, special: &[(usize, Vec<u8>)]) -> Vec<Node> {
    let one = |at: usize| special.iter().find(|(place, _)| *place == at).map(|(_, bytes)| bytes.clone());
    (0..count).map(|at| send(Some("client"), &one(at).unwrap_or_else(|| filler(random, 12)))).collect()
}

/// So many places below `count`, in order.
fn places(random: &mut Random, wanted: usize, count: usize) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    while found.len() < wanted {
        let at = random.below(count as u64) as usize;
        if !found.contains(&at) {
            found.push(at);
        }
    }
    found.sort_unstable();
    found
}

/// Whether one word comes after the other in all that a connection said.
fn in_order(arrived: &[Arrived], words: &[&[u8]]) -> bool {
    let all: Vec<u8> = arrived.iter().flat_map(|piece| piece.data.clone()).collect();
    let mut rest = &all[..];
    words.iter().all(|word| match rest.windows(word.len()).position(|window| window == *word) {
        Some(at) => {
            rest = &rest[at + word.len()..];
            true
        }
        None => false,
    })
}

type Plant = fn(usize, &mut Random) -> Planted;

/// The shapes, each for a size from 0 to 4.
const SHAPES: &[(&str, Plant)] = &[
    ("one message of many", |size, random| {
        let count = 12 << size;
        let at = places(random, 1, count)[0];
        let message = [filler(random, 6), b"BUG".to_vec(), filler(random, 6)].concat();
        let steps = among(random, count, &[(at, message)]);
        let bad: Bad = Box::new(|arrived| in_order(arrived, &[b"BUG"]));
        Planted { case: scenario("", steps), bad, smallest: (1, 1, 3) }
    }),
    ("two messages that belong together", |size, random| {
        let count = 12 << size;
        let special: Vec<(usize, Vec<u8>)> =
            places(random, 2, count).into_iter().zip([b"xUPx".to_vec(), b"DOWNx".to_vec()]).collect();
        let bad: Bad = Box::new(|arrived| {
            let first = arrived.iter().position(|piece| in_order(std::slice::from_ref(piece), &[b"UP"]));
            first.is_some_and(|at| in_order(&arrived[at + 1..], &[b"DOWN"]))
        });
        Planted { case: scenario("", among(random, count, &special)), bad, smallest: (1, 2, 6) }
    }),
    ("a state that takes four messages (`state-confusion`)", |size, random| {
        let count = 12 << size;
        let words: [&[u8]; 4] = [b"HELLO ann", b"OPEN", b"CLOSE", b"READ"];
        let special: Vec<(usize, Vec<u8>)> =
            places(random, 4, count).into_iter().zip(words.map(<[u8]>::to_vec)).collect();
        let steps = among(random, count, &special);
        Planted {
            case: scenario("framing = \"crlf\"", steps),
            bad: ends("state-confusion", "text"),
            smallest: (1, 4, 20),
        }
    }),
    ("a byte in a long message (`nul`)", |size, random| {
        let mut bytes = [b"DEL ".to_vec(), filler(random, 128 << size)].concat();
        let at = 4 + places(random, 1, 128 << size)[0];
        bytes[at] = 0;
        let steps = among(random, 4, &[(2, bytes)]);
        Planted { case: scenario("framing = \"crlf\"", steps), bad: ends("nul", "text"), smallest: (1, 1, 5) }
    }),
    ("two bytes of a long message", |size, random| {
        let mut bytes = filler(random, 128 << size);
        let at = places(random, 2, bytes.len());
        (bytes[at[0]], bytes[at[1]]) = (b'!', b'?');
        let bad: Bad =
            Box::new(|arrived| arrived.iter().any(|piece| in_order(std::slice::from_ref(piece), &[b"!", b"?"])));
        Planted { case: scenario("", vec![send(Some("client"), &bytes)]), bad, smallest: (1, 1, 2) }
    }),
    ("a field beyond a length (`crash`)", |size, random| {
        let message = [b"DEL ".to_vec(), filler(random, 100 << size)].concat();
        let steps = among(random, 4, &[(1, message)]);
        Planted { case: scenario("framing = \"crlf\"", steps), bad: ends("crash", "text"), smallest: (1, 1, 69) }
    }),
    ("a length that stays true", |size, random| {
        // A length u16, and a 0xff in what it covers.
        let len = 40 << size;
        let mut body = filler(random, len);
        body[places(random, 1, len)[0]] = 0xff;
        let message = [(len as u16).to_be_bytes().to_vec(), body].concat();
        let bad: Bad = Box::new(|arrived| {
            arrived.iter().any(|piece| match piece.data.split_first_chunk::<2>() {
                Some((len, body)) => usize::from(u16::from_be_bytes(*len)) == body.len() && body.contains(&0xff),
                None => false,
            })
        });
        Planted { case: scenario("", among(random, 4, &[(3, message)])), bad, smallest: (1, 1, 3) }
    }),
    ("a cut", |size, random| {
        // The half behind a cut begins with a word.
        let len = 20 << size;
        let mut bytes = filler(random, len);
        let at = 2 + places(random, 1, len - 8)[0];
        bytes[at..at + 2].copy_from_slice(b"GO");
        let mut steps = among(random, 6, &[]);
        let every = with(send(Some("client"), &bytes), "split", "every-byte");
        steps[3] = if size % 2 == 0 { every } else { split(send(Some("client"), &bytes), &[1, at - 1, 1]) };
        let bad: Bad = Box::new(|arrived| {
            let tail =
                |at: usize| arrived[at..].iter().take(2).flat_map(|piece| piece.data.clone()).collect::<Vec<_>>();
            // Not the first that comes, since that begins a message.
            (1..arrived.len()).any(|at| {
                arrived[at - 1].at == arrived[at].at && arrived[at - 1].data != *b"" && tail(at).starts_with(b"GO")
            })
        });
        Planted { case: scenario("", steps), bad, smallest: (1, 1, 3) }
    }),
    ("a second connection (`second-connection`)", |size, random| {
        let count = 12 << size;
        let at = places(random, 2, count);
        let mut steps = Vec::new();
        for number in 0..count {
            let actor = format!("client[{}]", if number == at[1] { 1 } else { [0, 2][number % 2] });
            let bytes = if at.contains(&number) { b"HELLO eve".to_vec() } else { filler(random, 12) };
            steps.push(send(Some(&actor), &bytes));
        }
        Planted {
            case: scenario("count = 3\nframing = \"crlf\"", steps),
            bad: ends("second-connection", "text"),
            smallest: (2, 2, 14),
        }
    }),
    ("a pause", |size, random| {
        let count = 12 << size;
        let at = 1 + places(random, 1, count - 1)[0];
        let mut steps = among(random, count, &[(at, b"xLATEx".to_vec())]);
        steps.insert(at, sleep(LONG));
        let bad: Bad = Box::new(|arrived| {
            arrived.iter().any(|piece| {
                piece.at.since(Time::ZERO) >= LONG / 2 && in_order(std::slice::from_ref(piece), &[b"LATE"])
            })
        });
        Planted { case: scenario("", steps), bad, smallest: (1, 1, 4) }
    }),
    ("eight messages of many", |size, random| {
        let count = 16 << size;
        let words = [b"A", b"C", b"D", b"E", b"F", b"G", b"H", b"I"];
        let special: Vec<(usize, Vec<u8>)> =
            places(random, 8, count).into_iter().zip(words.map(|word| word.to_vec())).collect();
        let bad: Bad = Box::new(move |arrived| {
            let mut wanted = words.iter();
            let mut next = wanted.next();
            for piece in arrived {
                if next.is_some_and(|next| piece.data.starts_with(*next)) {
                    next = wanted.next();
                }
            }
            next.is_none()
        });
        Planted { case: scenario("", among(random, count, &special)), bad, smallest: (1, 8, 8) }
    }),
    ("a number of messages, whichever", |size, random| {
        let needed = 4 << size;
        let bad: Bad = Box::new(move |arrived| arrived.len() >= needed);
        Planted { case: scenario("", among(random, needed * 3, &[])), bad, smallest: (1, needed, needed) }
    }),
];

/// What one way has come to.
struct Way {
    /// Replays until the minimum was met; `None` where it was not.
    to_minimum: Option<u64>,
    /// All of them.
    replays: u64,
    size: Size,
}

fn is_smallest(size: Size, smallest: (usize, usize, usize)) -> bool {
    size.connections <= smallest.0 && size.messages <= smallest.1 && size.bytes <= smallest.2
}

fn ours(planted: &Planted) -> Way {
    let mut oracle = |case: &TestCase| match arrived(case) {
        None => Replay::Invalid,
        Some(arrived) if (planted.bad)(&arrived) => {
            Replay::Failed { failed: Failed::new(Class::Hang, "planted", ""), position: None }
        }
        Some(_) => Replay::Passed,
    };
    let mut to_minimum = None;
    let subject = Subject { case: &planted.case, history: &[], wanted: None };
    let reduced = reduce(subject, &mut oracle, Budget::of(Effort::Replays(REPLAYS_MAX)), &mut |told| {
        if let Told::Better { case, replays } = told
            && is_smallest(Size::of(case), planted.smallest)
        {
            to_minimum.get_or_insert(replays - SURE_REPLAYS);
        }
    });
    Way { to_minimum, replays: reduced.replays, size: reduced.to }
}

/// Delta debugging, with the answers that it already has.
struct Debugging<'p> {
    planted: &'p Planted,
    known: HashMap<String, bool>,
    best: TestCase,
    to_minimum: Option<u64>,
    replays: u64,
}

impl Debugging<'_> {
    fn fails(&mut self, case: &TestCase) -> bool {
        let content = case.content();
        if let Some(known) = self.known.get(&content) {
            return *known;
        }
        let Some(arrived) = arrived(case) else { return false };
        self.replays += 1;
        let fails = (self.planted.bad)(&arrived);
        if fails && is_smallest(Size::of(case), self.planted.smallest) {
            self.to_minimum.get_or_insert(self.replays);
        }
        self.known.insert(content, fails);
        fails
    }

    fn minimise(&mut self, count: usize, make: &dyn Fn(&TestCase, &[usize]) -> TestCase) {
        let base = self.best.clone();
        let kept = search::ddmin(count, &mut |kept| self.fails(&make(&base, kept)));
        self.best = make(&base, &kept);
    }

    fn sends(&self) -> Vec<usize> {
        let steps = self.best.lanes()[0].1;
        (0..steps.len()).filter(|at| verb(&steps[*at]) == Some("send")).collect()
    }
}

/// The case with another step in the place of one.
fn with_step(case: &TestCase, at: usize, change: impl FnOnce(&mut Table)) -> TestCase {
    let mut case = case.clone();
    case.lane_mut("steps").and_then(|steps| table_mut(&mut steps[at])).map(change).expect("it is a step");
    case
}

fn ddmin(planted: &Planted) -> Way {
    let mut debugging =
        Debugging { planted, known: HashMap::new(), best: planted.case.clone(), to_minimum: None, replays: 0 };
    let count = planted.case.lanes()[0].1.len();
    debugging.minimise(count, &|case, kept| {
        let steps = case.lanes()[0].1;
        case.like("planted", kept.iter().map(|at| steps[*at].clone()).collect())
    });
    for at in debugging.sends() {
        let whole = debugging.best.lanes()[0].1[at].clone();
        let table = parts(&whole).expect("it is a step").1;
        let len = table.get("send").map(bytes).expect("it sends").len();
        let cuts: Vec<usize> = match table.get("split").map(|node| &node.value) {
            Some(Value::Array(sizes)) => sizes
                .iter()
                .scan(0, |at, size| {
                    *at += if let Value::Integer(size) = size.value { size as usize } else { 0 };
                    Some(*at)
                })
                .collect(),
            Some(_) => (1..len).collect(),
            None => Vec::new(),
        };
        if !cuts.is_empty() {
            let cut = |case: &TestCase, kept: &[usize]| {
                let ends = kept.iter().map(|at| cuts[*at]);
                let begins = std::iter::once(0).chain(ends.clone());
                let sizes: Vec<Node> = begins.zip(ends).map(|(from, to)| Node::from((to - from) as i64)).collect();
                with_step(case, at, |table| match sizes.is_empty() {
                    true => _ = table.remove("split"),
                    false => table.set("split", sizes),
                })
            };
            debugging.minimise(cuts.len(), &cut);
        }
        debugging.minimise(len, &|case, kept| {
            with_step(case, at, |table| {
                let all = table.get("send").map(bytes).expect("it sends");
                let kept: Vec<u8> = kept.iter().map(|at| all[*at]).collect();
                table.set("send", harness::testcase::payload::payload(&kept));
            })
        });
    }
    let size = Size::of(&debugging.best);
    Way { to_minimum: debugging.to_minimum, replays: debugging.replays, size }
}

/// The bytes of a payload as this file makes them.
fn bytes(node: &Node) -> Vec<u8> {
    match &node.value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Table(table) => match table.entries.as_slice() {
            [entry] if entry.key == "hex" => {
                harness::text::parse_hex(entry.node.as_str().expect("it is text")).expect("it is hexadecimal")
            }
            [entry] => match entry.node.as_array() {
                Some([Node { value: Value::Integer(times), .. }, what]) => bytes(what).repeat(*times as usize),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// The one in the middle, and the sum.
fn summary(mut counts: Vec<u64>) -> (u64, u64) {
    counts.sort_unstable();
    (counts.get(counts.len() / 2).copied().unwrap_or(0), counts.iter().sum())
}

fn main() {
    let mut wrong = Vec::new();
    let mut all: Vec<(Way, Way)> = Vec::new();
    println!("| shape | smallest: ddmin | reduce | replays to it: ddmin | reduce | all replays: ddmin | reduce |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    // Until the minimum, or until there was nothing left to try where it was missed.
    let to = |way: &Way| way.to_minimum.unwrap_or(way.replays);
    let row = |name: &str, ways: &[(Way, Way)]| {
        let of = |side: &dyn Fn(&(Way, Way)) -> u64| {
            let (middle, sum) = summary(ways.iter().map(side).collect());
            format!("{middle}, {sum}")
        };
        let reached = |side: &dyn Fn(&(Way, Way)) -> bool| ways.iter().filter(|ways| side(ways)).count();
        println!(
            "| {name} | {} of {} | {} of {} | {} | {} | {} | {} |",
            reached(&|(ddmin, _)| ddmin.to_minimum.is_some()),
            ways.len(),
            reached(&|(_, ours)| ours.to_minimum.is_some()),
            ways.len(),
            of(&|(ddmin, _)| to(ddmin)),
            of(&|(_, ours)| to(ours)),
            of(&|(ddmin, _)| ddmin.replays),
            of(&|(_, ours)| ours.replays),
        );
    };
    for (name, plant) in SHAPES {
        let mut ways = Vec::new();
        for size in 0..SIZES {
            let mut random = Random::new(size as u64, name);
            let planted = plant(size, &mut random);
            let both = (ddmin(&planted), ours(&planted));
            if both.1.to_minimum.is_none() {
                wrong.push(format!("{name}, size {size}: the smallest is missed, {} is left", both.1.size));
            }
            ways.push(both);
        }
        row(name, &ways);
        let sum = |side: &dyn Fn(&(Way, Way)) -> u64| ways.iter().map(side).sum::<u64>();
        let (theirs, own) = (sum(&|(ddmin, _)| to(ddmin)), sum(&|(_, ours)| to(ours)));
        if own > theirs {
            wrong.push(format!("{name}: {own} replays to the minimum, and ddmin takes {theirs}"));
        }
        all.append(&mut ways);
    }
    row("all", &all);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
