//! One connection: requests are cut from what came, carried out, and answered in their order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::request::{Answer, KEY_LEN_MAX, Request};
use super::state::{Halfway, Leaked, Shared, State};
use super::wire::{self, Cut, HEADER_LEN, LEN_MAX};
use super::{Flaw, Wire};
use crate::bell::Bell;
use crate::inbox::Inbox;
use crate::service::{ProcessEnd, Reply, Service};

/// So many requests are answered at once.
const BATCH_MAX: usize = 64;

/// How long answers are made where a client that does not wait loses them.
const ANSWER_AFTER: Duration = Duration::from_millis(150);

/// From this greeting on each is slow, and how slow.
const GREETINGS_MAX: u32 = 12;
const SLOW: Duration = Duration::from_millis(700);

/// The longest output where it is truncated.
const TRUNCATED_LEN: usize = 4_096;

/// How much memory a connection leaves behind.
const LEAKED_LEN: usize = 256 << 10;

/// How much is kept of what was read from a channel.
const KEPT_LEN: usize = 1 << 10;

/// The longest command that does no harm, and the word that does.
const COMMAND_LEN_MAX: usize = 32;
const SECRET: [u8; 4] = [0xc5, 0x3a, 0x9e, 0x71];

/// Where a channel stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Channel {
    Closed,
    New,
    Open(u32),
}

pub(super) struct Session {
    shared: Arc<Shared>,
    wire: Wire,
    number: u64,
    inbox: Inbox,
    is_greeted: bool,
    channel: Channel,
    closing: bool,
    // From here on what only flaws need.
    reads: u32,
    requests: u8,
    puts: Vec<(Vec<u8>, Vec<u8>)>,
    owed: Option<Answer>,
    kept: Vec<Vec<u8>>,
    waiting: Vec<u8>,
    bell: Bell,
    mail: Arc<Mutex<Vec<u8>>>,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, wire: Wire, number: u64) -> Session {
        Session {
            shared,
            wire,
            number,
            inbox: Inbox::default(),
            is_greeted: false,
            channel: Channel::New,
            closing: false,
            reads: 0,
            requests: 0,
            puts: Vec::new(),
            owed: None,
            kept: Vec::new(),
            waiting: Vec::new(),
            bell: Bell::default(),
            mail: Arc::default(),
        }
    }

    fn cut(&self) -> Cut {
        match self.wire {
            Wire::Binary => wire::message(self.inbox.rest(), self.shared.flaw),
            _ if self.shared.is(Flaw::ScansAgain) && !has_end(self.inbox.rest()) => Cut::Short,
            _ => wire::line(self.inbox.rest()),
        }
    }

    fn emit(&self, answer: &Answer, id: u16) -> Vec<u8> {
        match self.wire {
            Wire::Binary => wire::emit(answer, id),
            _ => [&answer.text()[..], b"\r\n"].concat(),
        }
    }

    /// Answers what is whole, some of it at a time. `false`: nothing was.
    fn batch(&mut self, reply: &mut Reply) -> bool {
        let mut answers = Vec::new();
        while answers.len() < BATCH_MAX && !self.closing {
            let (request, id) = match self.cut() {
                Cut::Short => break,
                Cut::Fatal => {
                    reply.end_process(ProcessEnd::Crash);
                    return false;
                }
                Cut::Lost(why) => {
                    self.closing = true;
                    answers.push((Answer::Error(why), 0));
                    break;
                }
                Cut::Request(request, id, len) => {
                    self.inbox.consume(len);
                    if self.shared.is(Flaw::IdZero) && self.wire == Wire::Binary && id == 0 {
                        continue;
                    }
                    (request, id)
                }
            };
            let Some(answer) = self.answer(request, reply) else { return false };
            if self.shared.is(Flaw::DoubleDelivery) && std::mem::take(&mut self.reads) >= 4 {
                answers.push((self.owed.take().unwrap_or(Answer::Ok), id));
            }
            answers.push((answer, id));
            if self.shared.is(Flaw::PipelinedLost) {
                self.inbox.consume(self.inbox.rest().len());
            }
        }
        let any = !answers.is_empty();
        self.deliver(answers, reply);
        any
    }

    /// Carries out a request; `None` where there is nobody left who could answer.
    fn answer(&mut self, request: Request, reply: &mut Reply) -> Option<Answer> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let flaw = shared.flaw;
        if state.is_stuck {
            return None;
        }
        self.requests = self.requests.wrapping_add(1);
        let is_fatal = match &request {
            _ if flaw == Flaw::CounterWraps && self.requests == 0 => true,
            Request::Delete(key) | Request::Get(key) | Request::Put(key, _) => {
                flaw == Flaw::Crash && key.len() > KEY_LEN_MAX || flaw == Flaw::Nul && key.contains(&0)
            }
            Request::Hello(name) => {
                let others = || state.names.iter().any(|(number, other)| *number != self.number && other == name);
                flaw == Flaw::SecondConnection && others()
            }
            Request::Echo(text) => flaw == Flaw::Secret && *text == SECRET,
            Request::Read => flaw == Flaw::StateConfusion && self.channel == Channel::Closed,
            _ => false,
        };
        if is_fatal {
            reply.end_process(ProcessEnd::Crash);
            return None;
        }
        match (flaw, &request) {
            (Flaw::CaseFolded, Request::Wrong(_, verb)) if is_known(&verb.to_ascii_uppercase()) => {
                unreachable!("the parser knows all commands");
            }
            (Flaw::Exit, Request::Quit(rest)) if !rest.is_empty() => {
                reply.end_process(ProcessEnd::Exit(0));
                return None;
            }
            (Flaw::Hang, Request::Read) if self.channel == Channel::New => {
                state.is_stuck = true;
                return None;
            }
            // With the lock of all connections held: nobody is answered any more.
            (Flaw::Busy, Request::Sum(list)) if is_closed_too_often(list) => loop {
                std::hint::spin_loop();
            },
            (Flaw::Slow, Request::Read) => reply.pause(SLOW),
            (Flaw::Spinning, Request::Sum(list)) if is_closed_too_often(list) => {
                std::thread::spawn(|| {
                    loop {
                        std::hint::spin_loop();
                    }
                });
            }
            (Flaw::LeakOnError, Request::Wrong(..)) => state.leak_descriptor(),
            (Flaw::Panic, Request::Get(key)) => _ = key[0],
            (Flaw::Poisoned, Request::Wrong(_, verb)) if verb.len() > COMMAND_LEN_MAX => state.is_poisoned = true,
            (Flaw::SlowsDown, Request::Hello(_)) => {
                state.greetings += 1;
                if state.greetings >= GREETINGS_MAX {
                    reply.pause(SLOW);
                }
            }
            (Flaw::Utf8, Request::Hello(name)) => _ = std::str::from_utf8(name).expect("a name is text"),
            _ => {}
        }
        let is_error = matches!(request, Request::Wrong(..));
        let mut answer = self.carry_out(request, &mut state);
        if flaw == Flaw::ErrorOutOfStep && (is_error || self.owed.is_some()) {
            answer = self.owed.replace(answer).unwrap_or(Answer::Ok);
        }
        Some(answer)
    }

    /// What a sound server does, and what its flaws change in that.
    fn carry_out(&mut self, request: Request, state: &mut State) -> Answer {
        let flaw = self.shared.flaw;
        match request {
            Request::Get(_) if state.is_poisoned => Answer::Error("not now"),
            Request::Put(key, value) if flaw == Flaw::NotIdempotent && state.value(&key) == Some(&value[..]) => {
                Answer::Error("it is there")
            }
            Request::Put(key, value) if flaw == Flaw::StaleRead => {
                self.puts.push((key, value));
                Answer::Ok
            }
            Request::Sum(list) if flaw == Flaw::DeepNesting => Answer::sum(&list, usize::MAX),
            Request::Hello(name) if state.names_kept.contains(&name) => Answer::Error("name taken"),
            Request::Hello(name) => {
                let answer = state.answer(Request::Hello(name.clone()));
                if let Answer::Hello(_) = answer {
                    self.is_greeted = true;
                    state.names.insert(self.number, name);
                }
                answer
            }
            Request::Open if !self.is_greeted => Answer::Error("say hello first"),
            Request::Open => {
                self.channel = Channel::Open(if flaw == Flaw::Uninitialised { state.read } else { 0 });
                Answer::Ok
            }
            Request::Read => {
                let Channel::Open(read) = &mut self.channel else { return Answer::Error("no channel") };
                *read = read.wrapping_add(1);
                state.read = *read;
                if flaw == Flaw::KeepsRead {
                    self.kept.push(vec![1; KEPT_LEN]);
                }
                Answer::Data(*read)
            }
            Request::Close if matches!(self.channel, Channel::Open(_)) => {
                self.channel = Channel::Closed;
                Answer::Ok
            }
            Request::Close => Answer::Error("no channel"),
            Request::Quit(_) => {
                self.closing = true;
                Answer::Bye
            }
            request => state.answer(request),
        }
    }

    /// Sends what was answered at once.
    fn deliver(&mut self, mut answers: Vec<(Answer, u16)>, reply: &mut Reply) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        for (key, value) in self.puts.drain(..) {
            state.put(key, value);
        }
        match (shared.flaw, answers.as_mut_slice()) {
            (Flaw::Reordered, [_, _, _, _, _, _, _, .., last_but_one, last]) => std::mem::swap(last_but_one, last),
            (Flaw::IdTwice, [_, _, _, last_but_one, last]) | (Flaw::IdTwice, [_, _, _, .., last_but_one, last]) => {
                last.1 = last_but_one.1;
            }
            _ => {}
        }
        let mut output = Vec::new();
        for (answer, id) in &answers {
            match answer {
                Answer::Error(_) if shared.is(Flaw::ErrorAstray) => state.errors = self.emit(answer, *id),
                answer => {
                    output.append(&mut state.errors);
                    output.extend(self.emit(answer, *id));
                }
            }
        }
        match shared.flaw {
            Flaw::AnswerTruncated => output.truncate(TRUNCATED_LEN),
            Flaw::HalfCloseLost if !output.is_empty() => {
                self.waiting.append(&mut output);
                reply.withhold(self.waiting.len());
                reply.wake_after(ANSWER_AFTER);
            }
            Flaw::AnswerAstray => {
                if let Some(halfway) = state.halfway.as_ref().filter(|halfway| halfway.connection != self.number) {
                    halfway.mail.lock().unwrap_or_else(PoisonError::into_inner).append(&mut output);
                    halfway.bell.ring();
                }
            }
            _ => {}
        }
        if !output.is_empty() {
            reply.send(&output);
        }
        if self.closing && self.waiting.is_empty() {
            reply.close();
        }
    }
}

/// Whether there is a whole line, looked for byte by byte.
fn has_end(rest: &[u8]) -> bool {
    rest.iter().any(|byte| std::hint::black_box(*byte) == b'\n')
}

fn is_closed_too_often(list: &[u8]) -> bool {
    let count = |wanted| list.iter().filter(|byte| **byte == wanted).count();
    count(b')') > count(b'(')
}

fn is_known(verb: &[u8]) -> bool {
    !matches!(Request::parse(verb), Request::Wrong(..))
}

impl Service for Session {
    fn open(&mut self, reply: &mut Reply) {
        match self.shared.flaw {
            Flaw::AnswerAstray => self.bell = reply.bell(),
            Flaw::LeakDescriptor => self.shared.lock().leak_descriptor(),
            Flaw::LeakMemory => self.shared.lock().leaked.push(Leaked::Memory(vec![1; LEAKED_LEN])),
            Flaw::LeakThread => _ = std::thread::spawn(std::thread::park),
            _ => {}
        }
    }

    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.reads += 1;
        if self.shared.is(Flaw::PartialShared) && self.inbox.rest().is_empty() {
            self.inbox.push(&std::mem::take(&mut self.shared.lock().partial));
        }
        let is_at_start = self.inbox.rest().is_empty();
        self.inbox.push(input);
        match self.shared.flaw {
            Flaw::CutNewline if input.ends_with(b"\r") => self.inbox.push(b"\n"),
            Flaw::CutHeader if is_at_start && input.len() == HEADER_LEN => {
                self.inbox.consume(HEADER_LEN);
                self.inbox.push(&[&input[..HEADER_LEN - 2], &[0, 0][..]].concat());
            }
            _ => {}
        }
        self.drained(reply);
        match self.shared.flaw {
            Flaw::PartialShared if self.inbox.rest().len() < LEN_MAX => {
                self.shared.lock().partial = self.inbox.rest().to_vec();
                self.inbox.consume(self.inbox.rest().len());
            }
            Flaw::AnswerAstray if self.inbox.rest().is_empty() => {
                let mut state = self.shared.lock();
                state.halfway.take_if(|halfway| halfway.connection == self.number);
            }
            Flaw::AnswerAstray => {
                let (bell, mail) = (self.bell.clone(), Arc::clone(&self.mail));
                self.shared.lock().halfway = Some(Halfway { connection: self.number, bell, mail });
            }
            _ => {}
        }
        self.inbox.compact();
    }

    fn end(&mut self, reply: &mut Reply) {
        match self.shared.flaw {
            Flaw::PrefixCrash if !self.inbox.rest().is_empty() => reply.end_process(ProcessEnd::Crash),
            Flaw::HalfCloseLost => {
                self.waiting.clear();
                reply.withhold(0);
            }
            _ => {}
        }
    }

    fn drained(&mut self, reply: &mut Reply) {
        while !reply.is_full() && self.batch(reply) {}
    }

    fn woken(&mut self, reply: &mut Reply) {
        let mail = std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        if !mail.is_empty() {
            reply.send(&mail);
        }
    }

    fn timed_out(&mut self, reply: &mut Reply) {
        reply.withhold(0);
        reply.send(&std::mem::take(&mut self.waiting));
        if self.closing {
            reply.close();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let name = state.names.remove(&self.number);
        state.halfway.take_if(|halfway| halfway.connection == self.number);
        if self.shared.is(Flaw::NameKept) && !self.inbox.rest().is_empty() {
            state.names_kept.extend(name);
        }
    }
}
