//! `liar`: a server that misbehaves on request, one way at a time.
//!
//! The truth is simple: it answers each line, or each datagram, with the setting `answer`, and closes when its client does.
//! A lie departs from that in one way. Each row of [`LIES`] names the scenario that has to notice it.

use std::sync::Arc;
use std::time::Duration;

use crate::service::{Peer, ProcessEnd, Reply, Server, Service};
use crate::settings::{Setting, SettingError, Setup, parse_duration};

/// How it misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Its process ends by a signal in place of an answer.
    Crash,
    /// Its process exits with status 3 in place of an answer.
    Exit,
    /// Sends its answer twice.
    Duplicate,
    /// Answers when the connection opens, before anything was asked, and not after that.
    Early,
    /// Answers without end, up to the setting `bytes`, and only as fast as it is read.
    Flood,
    /// Closes in the middle of an answer.
    Half,
    /// Answers after the setting `delay`.
    Late,
    /// None: it tells the truth.
    None,
    /// Resets the connection where it should close it.
    Reset,
    /// Accepts, reads, and says nothing.
    Silent,
    /// Sends one byte too many.
    TrailingByte,
    /// Has one byte of an answer wrong, the one that the setting `at` says.
    WrongByte,
}

/// A row of the table of lies.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// How the setting `lie` names it.
    pub name: &'static str,
    /// What it is.
    pub lie: Lie,
    /// The scenario that has to notice it, in `scenarios/failing`; `None` for the truth.
    pub caught_by: Option<&'static str>,
}

/// Every lie, in alphabetical order.
pub const LIES: &[Row] = &[
    Row { name: "crash", lie: Lie::Crash, caught_by: Some("liar-crash.toml") },
    Row { name: "duplicate", lie: Lie::Duplicate, caught_by: Some("liar-duplicate.toml") },
    Row { name: "early", lie: Lie::Early, caught_by: Some("liar-early.toml") },
    Row { name: "exit", lie: Lie::Exit, caught_by: Some("liar-exit.toml") },
    Row { name: "flood", lie: Lie::Flood, caught_by: Some("liar-flood.toml") },
    Row { name: "half", lie: Lie::Half, caught_by: Some("liar-half.toml") },
    Row { name: "late", lie: Lie::Late, caught_by: Some("liar-late.toml") },
    Row { name: "none", lie: Lie::None, caught_by: None },
    Row { name: "reset", lie: Lie::Reset, caught_by: Some("liar-reset.toml") },
    Row { name: "silent", lie: Lie::Silent, caught_by: Some("liar-silent.toml") },
    Row { name: "trailing-byte", lie: Lie::TrailingByte, caught_by: Some("liar-trailing-byte.toml") },
    Row { name: "wrong-byte", lie: Lie::WrongByte, caught_by: Some("liar-wrong-byte.toml") },
];

pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "answer", default: "pong\n", about: "what it answers" },
    Setting { name: "at", default: "0", about: "the byte that `wrong-byte` has wrong, from 0" },
    Setting { name: "bytes", default: "1024MiB", about: "how much `flood` sends at most" },
    Setting { name: "delay", default: "1s", about: "how late `late` is" },
    Setting {
        name: "lie",
        default: "none",
        about: "crash, duplicate, early, exit, flood, half, late, none, reset, silent, trailing-byte or wrong-byte",
    },
];

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let settings = &setup.settings;
    let name = settings.text("lie");
    let Some(row) = LIES.iter().find(|row| row.name == name) else {
        let known = LIES.iter().map(|row| row.name).collect();
        return Err(SettingError::NotOneOf { name: "lie".into(), value: name.into(), known });
    };
    let plan = Plan {
        lie: row.lie,
        answer: settings.text("answer").as_bytes().to_vec(),
        at: settings.number("at")?,
        flood_len: settings.number("bytes")?,
        delay: parse_duration("delay", settings.text("delay"))?,
    };
    if plan.lie == Lie::WrongByte && plan.at >= plan.answer.len() {
        return Err(SettingError::OutOfRange { name: "at".into(), value: plan.at, below: plan.answer.len() });
    }
    let plan = Arc::new(plan);
    Ok(Arc::new(move |peer: &Peer| Liar {
        plan: Arc::clone(&plan),
        is_datagram: peer.transport.is_datagram(),
        flooding: 0,
    }))
}

struct Plan {
    lie: Lie,
    answer: Vec<u8>,
    at: usize,
    flood_len: usize,
    delay: Duration,
}

struct Liar {
    plan: Arc<Plan>,
    is_datagram: bool,
    /// How many bytes of a flood are still to come.
    flooding: usize,
}

impl Liar {
    fn answer(&mut self, reply: &mut Reply) {
        let Plan { lie, answer, at, flood_len, delay } = &*self.plan;
        match lie {
            Lie::Crash => reply.end_process(ProcessEnd::Crash),
            Lie::Duplicate if self.is_datagram => {
                reply.send(answer);
                reply.copies(2);
            }
            Lie::Duplicate => (0..2).for_each(|_| reply.send(answer)),
            // There is no moment before the first datagram.
            Lie::Early if self.is_datagram => reply.send(answer),
            Lie::Early | Lie::Silent => {}
            Lie::Exit => reply.end_process(ProcessEnd::Exit(EXIT_STATUS)),
            Lie::Flood if self.is_datagram => reply.send(&answer.repeat(FLOOD_STEP / answer.len().max(1))),
            Lie::Flood => {
                self.flooding = *flood_len;
                self.drained(reply);
            }
            Lie::Half => {
                reply.send(&answer[..answer.len() / 2]);
                reply.close();
            }
            Lie::Late => {
                reply.pause(*delay);
                reply.send(answer);
            }
            Lie::None | Lie::Reset => reply.send(answer),
            Lie::TrailingByte => {
                reply.send(answer);
                reply.send(b"!");
            }
            Lie::WrongByte => {
                let mut wrong = answer.clone();
                wrong[*at] ^= 0x01;
                reply.send(&wrong);
            }
        }
    }
}

/// The status of a server that exits in place of an answer.
pub const EXIT_STATUS: i32 = 3;

/// How much of a flood is sent at a time.
const FLOOD_STEP: usize = 32 << 10;

impl Service for Liar {
    fn open(&mut self, reply: &mut Reply) {
        if self.plan.lie == Lie::Early {
            reply.send(&self.plan.answer);
        }
    }

    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        let questions = if self.is_datagram { 1 } else { input.iter().filter(|byte| **byte == b'\n').count() };
        for _ in 0..questions {
            self.answer(reply);
        }
    }

    fn end(&mut self, reply: &mut Reply) {
        if self.plan.lie == Lie::Reset {
            reply.reset();
        }
    }

    fn drained(&mut self, reply: &mut Reply) {
        let answer = &self.plan.answer;
        while self.flooding > 0 && !answer.is_empty() && !reply.is_full() {
            let len = answer.len().min(self.flooding);
            reply.send(&answer[..len]);
            self.flooding -= len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Connection, answer};
    use crate::service::Transport;
    use crate::{Ending, Limits, find};

    fn server(lie: &str, more: &[(&str, &str)]) -> Arc<dyn Server> {
        let pairs: Vec<_> = [("lie", lie)].into_iter().chain(more.iter().copied()).collect();
        let target = find("liar").expect("it is in the table");
        target.make(&pairs, &Limits::default(), || jiff::Timestamp::UNIX_EPOCH).expect("these are right")
    }

    fn open(lie: &str) -> Connection {
        Connection::open(&*server(lie, &[]), &Peer::new(0, Transport::Tcp, None), 1 << 16)
    }

    #[track_caller]
    fn check(lie: &str, expected: &[u8], ending: Option<Ending>) {
        let mut connection = open(lie);
        connection.receive(b"ping");
        connection.receive(b"\n");
        assert_eq!(connection.output().escape_ascii().to_string(), expected.escape_ascii().to_string());
        connection.written(connection.output().len());
        assert_eq!(connection.ending(), ending);
    }

    #[test]
    fn each_lie_departs_from_the_truth_in_one_way() {
        check("none", b"pong\n", None);
        check("wrong-byte", b"qong\n", None);
        check("trailing-byte", b"pong\n!", None);
        check("duplicate", b"pong\npong\n", None);
        check("silent", b"", None);
        check("half", b"po", Some(Ending::Close));
        check("early", b"pong\n", None);
        check("late", b"pong\n", None);
    }

    #[test]
    fn late_pauses_before_its_answer() {
        let mut connection = open("late");
        connection.receive(b"ping\n");
        assert_eq!(connection.take_pause(), Some(Duration::from_secs(1)));
        assert_eq!(connection.take_pause(), None);
    }

    #[test]
    fn a_reset_stands_where_a_close_should() {
        let mut connection = open("reset");
        connection.receive(b"ping\n");
        connection.written(5);
        connection.end();
        assert_eq!(connection.ending(), Some(Ending::Reset));
    }

    #[test]
    fn a_flood_ends_and_is_never_far_ahead_of_its_reader() {
        let server = server("flood", &[("bytes", "1MiB")]);
        let mut connection = Connection::open(&*server, &Peer::new(0, Transport::Tcp, None), 4_096);
        connection.receive(b"ping\n");
        let mut sent = 0;
        while !connection.output().is_empty() {
            let len = connection.output().len();
            assert!(len < 5_000, "{len}");
            sent += len;
            connection.written(len);
        }
        assert_eq!(sent, 1 << 20);
    }

    #[test]
    fn the_ends_of_a_process_are_left_to_whoever_runs_it() {
        for (lie, end) in [("crash", ProcessEnd::Crash), ("exit", ProcessEnd::Exit(3))] {
            let mut connection = open(lie);
            connection.receive(b"ping\n");
            assert_eq!(connection.take_process_end(), Some(end));
            assert_eq!(connection.ending(), Some(Ending::Reset));
        }
    }

    #[test]
    fn a_datagram_is_a_question_too() {
        let peer = Peer::new(0, Transport::Udp, None);
        assert_eq!(answer(&*server("none", &[]), &peer, b"ping").as_deref(), Some(&b"pong\n"[..]));
        assert_eq!(answer(&*server("silent", &[]), &peer, b"ping"), None);
    }

    #[test]
    fn what_is_no_lie_is_named() {
        let target = find("liar").expect("it is in the table");
        let make = |pairs: &[(&str, &str)]| {
            let made = target.make(pairs, &Limits::default(), || jiff::Timestamp::UNIX_EPOCH);
            made.err().map(|error| error.to_string())
        };
        let known = "`lie`: expected one of `crash`, `duplicate`, `early`, `exit`, `flood`, `half`, `late`, `none`, `reset`, \
                     `silent`, `trailing-byte`, `wrong-byte`, got `honest`";
        assert_eq!(make(&[("lie", "honest")]).as_deref(), Some(known));
        let range = "`at`: expected a number below 5, got 9";
        assert_eq!(make(&[("lie", "wrong-byte"), ("at", "9")]).as_deref(), Some(range));
    }

    #[test]
    fn the_table_is_in_alphabetical_order() {
        assert!(LIES.is_sorted_by(|a, b| a.name < b.name));
    }
}
