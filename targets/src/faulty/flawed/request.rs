//! What is asked and answered, whatever the wire.

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Close,
    Delete(Vec<u8>),
    Echo(Vec<u8>),
    Get(Vec<u8>),
    Hello(Vec<u8>),
    Open,
    Put(Vec<u8>, Vec<u8>),
    Quit(Vec<u8>),
    Read,
    Sum(Vec<u8>),
    /// No request: why not, and what stands in its place.
    Wrong(&'static str, Vec<u8>),
}

/// What it gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Bye,
    Data(u32),
    Echo(Vec<u8>),
    Error(&'static str),
    Hello(Vec<u8>),
    None,
    Ok,
    Sum(u64),
    Value(Vec<u8>),
}

/// The longest key, and the longest name.
pub(super) const KEY_LEN_MAX: usize = 64;

/// How deep lists stand in lists.
pub(super) const DEPTH_MAX: usize = 32;

impl Request {
    /// Reads a line of text without its end.
    pub(super) fn parse(line: &[u8]) -> Request {
        let (verb, rest) = split(line);
        let rest = rest.to_vec();
        match verb {
            b"CLOSE" => Request::Close,
            b"DEL" => Request::Delete(rest),
            b"ECHO" => Request::Echo(rest),
            b"GET" => Request::Get(rest),
            b"HELLO" => Request::Hello(rest),
            b"OPEN" => Request::Open,
            b"PUT" => {
                let (key, value) = split(&rest);
                Request::Put(key.to_vec(), value.to_vec())
            }
            b"QUIT" => Request::Quit(rest),
            b"READ" => Request::Read,
            b"SUM" => Request::Sum(rest),
            verb => Request::Wrong("unknown command", verb.to_vec()),
        }
    }
}

/// What stands before the first space, and behind it.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, b""),
    }
}

impl Answer {
    /// The answer to a list that goes `depth` deep at most.
    pub(super) fn sum(list: &[u8], depth: usize) -> Answer {
        match sum(list, depth) {
            Some((sum, b"")) => Answer::Sum(sum),
            _ => Answer::Error("no list"),
        }
    }

    /// As text, without an end.
    pub(super) fn text(&self) -> Vec<u8> {
        match self {
            Answer::Bye => b"BYE".to_vec(),
            Answer::Data(number) => format!("DATA {number}").into_bytes(),
            Answer::Echo(text) => [b"ECHO ", &text[..]].concat(),
            Answer::Error(why) => format!("ERROR {why}").into_bytes(),
            Answer::Hello(name) => [b"HELLO ", &name[..]].concat(),
            Answer::None => b"NONE".to_vec(),
            Answer::Ok => b"OK".to_vec(),
            Answer::Sum(sum) => format!("SUM {sum}").into_bytes(),
            Answer::Value(value) => [b"VALUE ", &value[..]].concat(),
        }
    }
}

/// The sum of the numbers of a list, with what stands behind it; a list goes `depth` deep at most.
fn sum(list: &[u8], depth: usize) -> Option<(u64, &[u8])> {
    let mut rest = list.strip_prefix(b"(").filter(|_| depth > 0)?;
    // Room that each level takes of the stack, as a parser's would that keeps its tokens there.
    let room = std::hint::black_box([0_u8; 2_048]);
    let mut whole = u64::from(room[depth % room.len()]);
    loop {
        rest = rest.trim_ascii_start();
        match rest.first()? {
            b')' => return Some((whole, &rest[1..])),
            b'(' => {
                let (part, behind) = sum(rest, depth - 1)?;
                (whole, rest) = (whole.checked_add(part)?, behind);
            }
            _ => {
                let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let number: u64 = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
                (whole, rest) = (whole.checked_add(number)?, &rest[len..]);
            }
        }
    }
}
