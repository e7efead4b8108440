//! What is new about a case: edges and how often they were taken, or without instrumentation what was answered and logged.

use std::collections::HashSet;
use std::time::Duration;

use super::player::Reply;
use super::socket::End;
use crate::event::OutputLine;
use crate::protocol::{Direction, Protocol};
use crate::random::{fnv1a, mix};

/// The most answers, states and log lines that are told apart.
const SEEN_MAX: usize = 200_000;

/// The most log lines of a kind that are told apart: whoever logs what it was sent makes new ones without end.
const LOG_SEEN_MAX: usize = 256;

/// The longest beginning of an answer that names it.
const TOKEN_LEN_MAX: usize = 12;

/// How long a target has to rest before an answer for that to be another kind of answer.
const LATE_MIN: Duration = Duration::from_millis(10);

/// Edges that were seen.
#[derive(Clone, Debug, Default)]
pub struct Virgin {
    /// For each edge the classes of counts that were seen; all of them where it is of no use.
    seen: Vec<u8>,
    unstable: Vec<bool>,
    edges: usize,
    masked: usize,
}

/// What is new in some counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Edges that were never taken before.
    pub edges: usize,
    /// Edges that were never taken so often before.
    pub counts: usize,
}

impl News {
    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.edges + self.counts > 0
    }
}

impl Virgin {
    /// What is new in `counts`.
    pub fn news(&self, counts: &[u8]) -> News {
        let mut news = News::default();
        each(counts, |at, count| {
            let seen = self.seen.get(at).copied().unwrap_or(0);
            if seen & class(count) == 0 {
                match seen {
                    0 => news.edges += 1,
                    _ => news.counts += 1,
                }
            }
        });
        news
    }

    /// Notes that `counts` were seen.
    pub fn note(&mut self, counts: &[u8]) -> News {
        if self.seen.len() < counts.len() {
            self.seen.resize(counts.len(), 0);
            self.unstable.resize(counts.len(), false);
        }
        let news = self.news(counts);
        if news.any() {
            let (seen, edges) = (&mut self.seen, &mut self.edges);
            each(counts, |at, count| {
                *edges += usize::from(seen[at] == 0);
                seen[at] |= class(count);
            });
        }
        news
    }

    /// Whether an edge was never taken as often as these classes say.
    pub fn is_new(&self, edge: usize, classes: u8) -> bool {
        classes & !self.seen.get(edge).copied().unwrap_or(0) != 0
    }

    /// Notes that an edge was taken as often as these classes say.
    pub fn note_class(&mut self, edge: usize, classes: u8) -> News {
        if self.seen.len() <= edge {
            self.seen.resize(edge + 1, 0);
            self.unstable.resize(edge + 1, false);
        }
        let before = self.seen[edge];
        self.seen[edge] |= classes;
        self.edges += usize::from(before == 0);
        match (before, before | classes) {
            (0, _) => News { edges: 1, counts: 0 },
            (before, after) => News { edges: 0, counts: usize::from(before != after) },
        }
    }

    /// Takes an edge for one that comes and goes by itself: it is never new again.
    pub fn mask(&mut self, edge: usize) {
        if self.seen.len() <= edge {
            self.seen.resize(edge + 1, 0);
            self.unstable.resize(edge + 1, false);
        }
        self.edges += usize::from(self.seen[edge] == 0);
        self.seen[edge] = 0xff;
        if !std::mem::replace(&mut self.unstable[edge], true) {
            self.masked += 1;
        }
    }

    /// Whether an edge comes and goes by itself.
    pub fn is_masked(&self, edge: usize) -> bool {
        self.unstable.get(edge).copied().unwrap_or(false)
    }

    /// How many edges were taken.
    pub fn edges(&self) -> usize {
        self.edges
    }

    /// How many come and go by themselves.
    pub fn masked(&self) -> usize {
        self.masked
    }

    /// What was seen, for a file.
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// As it was stored.
    pub fn restore(seen: Vec<u8>) -> Virgin {
        let unstable: Vec<bool> = seen.iter().map(|classes| *classes == 0xff).collect();
        let edges = seen.iter().filter(|classes| **classes > 0).count();
        let masked = unstable.iter().filter(|unstable| **unstable).count();
        Virgin { seen, unstable, edges, masked }
    }
}

/// Tells `visit` each edge that was taken. Most were not, and are passed over eight at a time.
pub fn each(counts: &[u8], mut visit: impl FnMut(usize, u8)) {
    let (chunks, rest) = counts.as_chunks::<8>();
    for (at, chunk) in chunks.iter().enumerate() {
        if u64::from_ne_bytes(*chunk) != 0 {
            for (offset, count) in chunk.iter().enumerate().filter(|(_, count)| **count > 0) {
                visit(at * 8 + offset, *count);
            }
        }
    }
    for (at, count) in rest.iter().enumerate().filter(|(_, count)| **count > 0) {
        visit(chunks.len() * 8 + at, *count);
    }
}

/// The class of a count: what is as good as the same has the same bit.
pub fn class(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        32..=127 => 64,
        128.. => 128,
    }
}

/// Answers, states and log lines that were seen.
#[derive(Clone, Debug, Default)]
pub struct Novelty {
    answers: HashSet<u64>,
    states: HashSet<u64>,
    logs: HashSet<u64>,
}

/// What a case was answered.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    /// For each message its connection, what it was answered, and where that leaves this connection.
    replies: Vec<(u16, u64, u64)>,
    logs: Vec<u64>,
}

impl Signature {
    /// Whether another case was answered the same, whatever was logged.
    pub fn is_answered_as(&self, other: &Signature) -> bool {
        self.replies == other.replies
    }

    /// What a case was answered, in the order of its messages. `names` are the connections and names of those.
    pub fn of(replies: &[Reply], names: &[(u16, u64)], lines: &[OutputLine], protocol: Option<&Protocol>) -> Signature {
        let mut signature = Signature::default();
        // A connection is where its own last answer has left it, whatever was said on others in between.
        let mut states: Vec<(u16, u64)> = Vec::new();
        for (reply, (link, message)) in replies.iter().zip(names) {
            let answer = answer(reply, protocol);
            let at = states.iter().position(|(other, _)| other == link).unwrap_or_else(|| {
                states.push((*link, 0));
                states.len() - 1
            });
            // What was said to get there is part of it.
            let before = std::mem::replace(&mut states[at].1, answer);
            signature.replies.push((*link, answer, mix(mix(before, *message), answer)));
        }
        signature.logs = lines.iter().map(|line| fnv1a(template(&line.text).as_bytes())).collect();
        signature
    }

    /// What the messages up to one of them were answered.
    pub fn until(mut self, message: usize) -> Signature {
        self.replies.truncate(message + 1);
        self
    }

    /// What was answered on one connection.
    pub fn only(&self, link: u16) -> Signature {
        let replies = self.replies.iter().filter(|(other, ..)| *other == link).copied().collect();
        Signature { replies, logs: self.logs.clone() }
    }
}

/// A number for the kind of an answer: its name or first word, its length's class, how the connection went on, and whether it came
/// at once or after a rest, and of how many ms, by powers of eight.
fn answer(reply: &Reply, protocol: Option<&Protocol>) -> u64 {
    let end = match reply.end {
        None => 0,
        Some(End::Eof) => 1,
        Some(End::Reset) => 2,
    };
    let len = u64::from(64 - reply.len.leading_zeros());
    let late = reply.late.as_millis() / LATE_MIN.as_millis();
    let late = late.checked_ilog2().map_or(0, |power| 1 + power / 3);
    mix(mix(mix(name(&reply.data, protocol, Direction::Reply), len), end), u64::from(late))
}

/// A number for a message's name; where there is no description, for its first word, or its first byte.
pub fn name(data: &[u8], protocol: Option<&Protocol>, direction: Direction) -> u64 {
    if let Some(name) = protocol.and_then(|protocol| protocol.name_whole(data, Some(direction))) {
        return fnv1a(name.as_bytes());
    }
    let is_word =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'_' | b'/' | b'.' | b'*' | b'$');
    let word = data.iter().take(TOKEN_LEN_MAX).take_while(|byte| is_word(byte)).count();
    match word {
        0 => data.first().map_or(0, |first| 0x100 + u64::from(*first)),
        _ => fnv1a(&data[..word].to_ascii_uppercase()),
    }
}

/// A log line without what changes from one to the next: numbers and what looks like one.
pub fn template(line: &str) -> String {
    let mut text = String::new();
    for word in line.split_inclusive(|c: char| !c.is_ascii_alphanumeric()).take(64) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_number = bare.starts_with(|c: char| c.is_ascii_digit())
            || (bare.len() >= 4
                && bare.chars().all(|c| c.is_ascii_hexdigit())
                && bare.contains(|c: char| c.is_ascii_digit()));
        match is_number {
            true => text.push('0'),
            false => text.push_str(bare),
        }
        text.push_str(&word[bare.len()..]);
    }
    text
}

impl Novelty {
    /// Notes a case's answers. Which feedback they are new to, if any, and the last of its messages that has shown it: what
    /// was logged may come of any.
    pub fn note(&mut self, signature: &Signature) -> Option<(&'static str, usize)> {
        let (mut answer, mut state) = (None, None);
        for (at, (_, reply, went)) in signature.replies.iter().enumerate() {
            if self.answers.len() < SEEN_MAX && self.answers.insert(*reply) {
                answer = Some(at);
            }
            if self.states.len() < SEEN_MAX && self.states.insert(*went) {
                state = Some(at);
            }
        }
        let mut log = false;
        for line in &signature.logs {
            log |= self.logs.len() < LOG_SEEN_MAX && self.logs.insert(*line);
        }
        let last = log.then(|| signature.replies.len().saturating_sub(1)).max(answer).max(state)?;
        let what = match (answer, state) {
            (Some(_), _) => "answer",
            (None, Some(_)) => "state",
            (None, None) => "log",
        };
        Some((what, last))
    }

    /// What was seen, for a file: in the same order each time.
    pub fn seen(&self) -> [Vec<u64>; 3] {
        [&self.answers, &self.states, &self.logs].map(|set| {
            let mut values: Vec<u64> = set.iter().copied().collect();
            values.sort_unstable();
            values
        })
    }

    /// As it was stored.
    pub fn restore([answers, states, logs]: [Vec<u64>; 3]) -> Novelty {
        let set = |values: Vec<u64>| values.into_iter().collect();
        Novelty { answers: set(answers), states: set(states), logs: set(logs) }
    }

    /// How many states were seen.
    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// How many kinds of answers were seen.
    pub fn answers(&self) -> usize {
        self.answers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_new_once_and_a_class_of_counts_once_more() {
        let mut virgin = Virgin::default();
        assert_eq!(virgin.note(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 2]), News { edges: 2, counts: 0 });
        assert_eq!(virgin.note(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 2]), News::default());
        assert_eq!(virgin.note(&[0, 5]), News { edges: 0, counts: 1 });
        assert_eq!(virgin.note(&[0, 7]), News::default());
        assert_eq!(virgin.edges(), 2);
    }

    #[test]
    fn a_masked_edge_is_never_new() {
        let mut virgin = Virgin::default();
        virgin.mask(3);
        assert!(!virgin.note(&[0, 0, 0, 9]).any());
        assert_eq!((virgin.masked(), Virgin::restore(virgin.seen().to_vec()).masked()), (1, 1));
    }

    #[test]
    fn numbers_do_not_make_a_log_line_new() {
        assert_eq!(template("client 17 from 0x7ffe12 left"), template("client 2 from 0xdead99 left"));
        assert_ne!(template("client 17 left"), template("client 17 came"));
    }

    #[test]
    fn a_connection_is_where_its_own_answers_have_left_it() {
        let reply = |data: &[u8]| Reply { data: data.to_vec(), len: data.len() as u64, ..Reply::default() };
        let (hello, done) = (reply(b"220 hello"), reply(b"250 done"));
        let of = |said: &[(u16, &Reply)]| {
            let names: Vec<(u16, u64)> = said.iter().map(|(link, _)| (*link, 7)).collect();
            let replies: Vec<Reply> = said.iter().map(|(_, reply)| (*reply).clone()).collect();
            Signature::of(&replies, &names, &[], None)
        };
        let mut novelty = Novelty::default();
        assert_eq!(novelty.note(&of(&[(0, &hello), (0, &done)])), Some(("answer", 1)));
        // The same conversation on each of two connections, one in between the other.
        assert_eq!(novelty.note(&of(&[(0, &hello), (1, &hello), (0, &done), (1, &done)])), None);
        // Of another one the first messages are enough.
        assert_eq!(novelty.note(&of(&[(0, &hello), (0, &hello), (0, &done)])), Some(("state", 1)));
    }

    #[test]
    fn an_answer_is_known_by_its_beginning_its_length_and_its_end() {
        let reply = |data: &[u8], end| Reply { data: data.to_vec(), len: data.len() as u64, end, ..Reply::default() };
        assert_eq!(answer(&reply(b"220 ab", None), None), answer(&reply(b"220 cd", None), None));
        assert_ne!(answer(&reply(b"220 ab", None), None), answer(&reply(b"221 ab", None), None));
        assert_ne!(answer(&reply(b"220 ab", None), None), answer(&reply(b"220 ab", Some(End::Eof)), None));
    }

    #[test]
    fn an_answer_after_a_rest_is_another_one_by_the_class_of_that() {
        let after = |ms| answer(&Reply { len: 1, late: Duration::from_millis(ms), ..Reply::default() }, None);
        assert_eq!(after(0), after(9));
        assert_ne!(after(9), after(10));
        assert_eq!(after(10), after(79));
        assert_ne!(after(79), after(80));
        assert_eq!(after(80), after(600));
        assert_ne!(after(600), after(700));
    }
}
