//! Plays a conversation without sockets: a peer of bytes, and time that moves only when nothing else can happen.
//!
//! The same script, the same peer and the same seed give the same events to the nanosecond.

use bytes::Bytes;

use crate::conversation::{Action, Conversation, Input};
use crate::event::Endpoint;
use crate::time::Time;

/// The other side, made of bytes.
pub trait Peer {
    /// A connection was opened: what it says first.
    fn open(&mut self, connection: u32, answer: &mut Answer);

    /// Bytes, or a datagram, came.
    fn receive(&mut self, connection: u32, data: &[u8], answer: &mut Answer);

    /// Its client closed its direction.
    fn end(&mut self, connection: u32, answer: &mut Answer);

    /// Its client is gone.
    fn close(&mut self, connection: u32) {
        let _ = connection;
    }

    /// Something happened on another connection: what that leads to on this one.
    fn look(&mut self, connection: u32, answer: &mut Answer) {
        let _ = (connection, answer);
    }
}

/// What a peer does in return.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// One read or datagram each.
    pub pieces: Vec<Bytes>,
    /// Whether it closes after them.
    pub closes: bool,
    /// Whether it resets the connection after them.
    pub resets: bool,
}

/// How often time may move in one conversation. What needs more has no end.
const MOVES_MAX: u32 = 1_000_000;

/// Plays to the end, and says what time it is then; `None` if there is no end to be seen.
pub fn play(conversation: &mut Conversation, peer: &mut dyn Peer, now: Time) -> Option<Time> {
    let mut now = now;
    // What a peer said and the conversation had no room for yet.
    let mut waiting: Vec<(u32, std::collections::VecDeque<Input>)> = Vec::new();
    for _ in 0..MOVES_MAX {
        let mut acted = true;
        while acted {
            acted = false;
            while let Some(action) = conversation.poll_action() {
                acted = true;
                act(conversation, peer, now, action, &mut waiting);
            }
            for (connection, inputs) in &mut waiting {
                while conversation.reads(*connection) || matches!(inputs.front(), Some(Input::Eof | Input::Reset)) {
                    let Some(input) = inputs.pop_front() else { break };
                    acted = true;
                    conversation.handle_input(now, *connection, input);
                }
            }
        }
        if conversation.ended().is_some() {
            return Some(now);
        }
        now = now.max(conversation.poll_timeout()?);
        conversation.handle_timeout(now);
    }
    None
}

fn act(
    conversation: &mut Conversation,
    peer: &mut dyn Peer,
    now: Time,
    action: Action,
    waiting: &mut Vec<(u32, std::collections::VecDeque<Input>)>,
) {
    let mut answer = Answer::default();
    let connection = match action {
        Action::Connect { connection, .. } => {
            let local = Endpoint::Path(String::new());
            conversation.handle_input(now, connection, Input::Connected { local: local.clone(), peer: local });
            peer.open(connection, &mut answer);
            waiting.push((connection, std::collections::VecDeque::new()));
            connection
        }
        Action::Send { connection, data } => {
            conversation.handle_input(now, connection, Input::Written(data.len()));
            peer.receive(connection, &data, &mut answer);
            connection
        }
        Action::Shutdown(connection) => {
            peer.end(connection, &mut answer);
            connection
        }
        Action::Control { number, .. } => {
            return conversation.handle_control(now, number, Err("there are no processes in memory".into()));
        }
        Action::StartTls { connection, .. } => {
            let reason = "there is no TLS in memory".to_owned();
            return conversation.handle_input(now, connection, Input::TlsFailed { reason, hint: None });
        }
        Action::Close(connection) | Action::Reset(connection) => {
            peer.close(connection);
            connection
        }
        Action::Looped | Action::Marked(_) => return,
    };
    for (number, inputs) in waiting {
        let mut answer = if *number == connection { std::mem::take(&mut answer) } else { Answer::default() };
        if *number != connection {
            peer.look(*number, &mut answer);
        }
        inputs.extend(answer.pieces.into_iter().map(Input::Data));
        inputs.extend(answer.resets.then_some(Input::Reset));
        inputs.extend((answer.closes && !answer.resets).then_some(Input::Eof));
    }
}

/// A reference server as a peer.
pub struct Served<'a> {
    server: &'a dyn targets::Server,
    pipes: Vec<Option<targets::memory::Pipe>>,
}

impl std::fmt::Debug for Served<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("connections", &self.pipes.len()).finish_non_exhaustive()
    }
}

impl<'a> Served<'a> {
    /// Serves every connection with `server`.
    pub fn new(server: &'a dyn targets::Server) -> Served<'a> {
        Served { server, pipes: Vec::new() }
    }

    fn with(&mut self, connection: u32, answer: &mut Answer, act: impl FnOnce(&mut targets::memory::Pipe)) {
        let Some(Some(pipe)) = self.pipes.get_mut(connection as usize) else { return };
        act(pipe);
        let output = pipe.take_output();
        if !output.is_empty() {
            answer.pieces.push(output.into());
        }
        if let Some(ending) = pipe.ending() {
            answer.closes = true;
            answer.resets = ending == targets::Ending::Reset;
            self.pipes[connection as usize] = None;
        }
    }
}

impl Peer for Served<'_> {
    fn open(&mut self, connection: u32, answer: &mut Answer) {
        self.pipes.resize_with(connection as usize + 1, || None);
        let pipe = targets::memory::Pipe::open(self.server, targets::memory::OUTPUT_LEN_MAX);
        self.pipes[connection as usize] = Some(pipe);
        self.with(connection, answer, |_| {});
    }

    fn receive(&mut self, connection: u32, data: &[u8], answer: &mut Answer) {
        self.with(connection, answer, |pipe| {
            // A server that has closed takes nothing more.
            let _ = pipe.send(data);
        });
    }

    fn end(&mut self, connection: u32, answer: &mut Answer) {
        self.with(connection, answer, targets::memory::Pipe::end);
    }

    fn close(&mut self, connection: u32) {
        if let Some(pipe) = self.pipes.get_mut(connection as usize) {
            *pipe = None;
        }
    }

    fn look(&mut self, connection: u32, answer: &mut Answer) {
        self.with(connection, answer, |_| {});
    }
}
