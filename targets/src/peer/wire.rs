//! A connection to a peer: the handshake, then messages.

use std::net::SocketAddr;

use super::message::{HANDSHAKE_LEN, Message, PROTOCOL, emit, emit_handshake, parse};
use super::swarm::{Gone, TICK};
use super::torrent::PIECES_MAX;
use super::{Shared, Swarm};
use crate::bell::Bell;
use crate::inbox::Inbox;
use crate::service::{Reply, Service};

/// The longest message: a block or a bitfield would need less, and what extensions add is read and dropped.
const MESSAGE_LEN_MAX: usize = 128 << 10;
const _: () = assert!(MESSAGE_LEN_MAX > PIECES_MAX / 8 + 1);
/// After so many ticks without a word of ours a keep-alive is due: "generally sent once every two minutes".
const KEEP_ALIVE_TICKS: u32 = 11;
/// After so many without a word of the peer it is gone.
const SILENCE_TICKS: u32 = 15;

pub(super) struct Wire {
    shared: Shared,
    bell: Bell,
    inbox: Inbox,
    stage: Stage,
    message_len_max: usize,
    /// Where the peer is, if we have made the connection; and whether to make it again.
    dialled: Option<(SocketAddr, bool)>,
    was_useful: bool,
    /// Ticks in a row in which nothing was received, and nothing sent.
    silence: u32,
    quiet: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The peer's handshake is not whole up to its id. If we have made the connection ours is sent.
    Handshake,
    /// The peer's id is missing.
    Id,
    /// The number of its link.
    Linked(u64),
    Over,
}

impl Wire {
    pub(super) fn new(shared: Shared, bell: Bell, frame_len_max: usize, dialled: Option<SocketAddr>) -> Wire {
        Wire {
            shared,
            bell,
            inbox: Inbox::default(),
            stage: Stage::Handshake,
            message_len_max: MESSAGE_LEN_MAX.min(frame_len_max),
            dialled: dialled.map(|address| (address, true)),
            was_useful: false,
            silence: 0,
            quiet: 0,
        }
    }

    /// Reads what has come and sends what is due, as far as `reply` takes it.
    fn advance(&mut self, reply: &mut Reply) {
        let shared = self.shared.clone();
        let mut swarm = shared.lock();
        let before = reply.unwritten().len();
        while let Ok(true) = self.step(&mut swarm, reply).inspect_err(|Gone| self.leave(&mut swarm, false, reply)) {}
        if reply.unwritten().len() > before {
            self.quiet = 0;
        }
        self.inbox.compact();
    }

    /// Sends what is due and reads a message; `false` if there is none, or no room.
    fn step(&mut self, swarm: &mut Swarm, reply: &mut Reply) -> Result<bool, Gone> {
        if let Stage::Linked(id) = self.stage {
            swarm.pump(id, reply)?;
        }
        if reply.is_full() {
            return Ok(false);
        }
        let input = self.inbox.rest();
        match self.stage {
            Stage::Handshake => {
                let protocol_len = input.len().min(PROTOCOL.len());
                if input[..protocol_len] != PROTOCOL[..protocol_len] {
                    return Err(Gone);
                }
                let Some((head, _)) = input.split_at_checked(HANDSHAKE_LEN) else { return Ok(false) };
                // "If both sides don't send the same value, they sever the connection."
                if head[HANDSHAKE_LEN - 20..] != swarm.torrent.info_hash {
                    return Err(Gone);
                }
                if self.dialled.is_none() {
                    emit_handshake(&swarm.torrent.info_hash, &swarm.peer_id, reply);
                }
                self.inbox.consume(HANDSHAKE_LEN);
                self.stage = Stage::Id;
            }
            Stage::Id => {
                let Some((peer_id, _)) = input.split_first_chunk() else { return Ok(false) };
                let id = swarm.join(*peer_id, self.bell.clone(), self.dialled.is_some())?;
                swarm.emit_bitfield(reply);
                self.inbox.consume(peer_id.len());
                self.stage = Stage::Linked(id);
            }
            Stage::Linked(id) => {
                let Some((message, len)) = parse(input, self.message_len_max)? else { return Ok(false) };
                swarm.handle(id, message)?;
                self.inbox.consume(len);
            }
            Stage::Over => return Ok(false),
        }
        Ok(true)
    }

    /// Closes the connection and lets others have what it leaves.
    fn leave(&mut self, swarm: &mut Swarm, again: bool, reply: &mut Reply) {
        self.detach(swarm, again);
        reply.close();
    }

    fn detach(&mut self, swarm: &mut Swarm, again: bool) {
        if let Stage::Linked(id) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.was_useful = swarm.leave(id);
        }
        if let Some((_, may_again)) = &mut self.dialled {
            *may_again &= again;
        }
    }

    fn tick(&mut self, swarm: &mut Swarm, reply: &mut Reply) -> Result<(), Gone> {
        let Stage::Linked(id) = self.stage else { return Err(Gone) }; // its handshake takes too long
        swarm.tick(id)?;
        self.silence += 1;
        self.quiet += 1;
        if self.silence > SILENCE_TICKS {
            return Err(Gone);
        }
        if self.quiet >= KEEP_ALIVE_TICKS {
            self.quiet = 0;
            emit(Message::KeepAlive, reply);
        }
        reply.wake_after(TICK);
        Ok(())
    }
}

impl Service for Wire {
    fn open(&mut self, reply: &mut Reply) {
        if self.dialled.is_some() {
            self.bell = reply.bell();
            let swarm = self.shared.lock();
            emit_handshake(&swarm.torrent.info_hash, &swarm.peer_id, reply);
            reply.wake_after(TICK);
        }
    }

    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.silence = 0;
        self.inbox.push(input);
        self.advance(reply);
    }

    fn end(&mut self, _: &mut Reply) {
        let shared = self.shared.clone();
        self.detach(&mut shared.lock(), true);
    }

    fn drained(&mut self, reply: &mut Reply) {
        self.advance(reply);
    }

    fn woken(&mut self, reply: &mut Reply) {
        self.advance(reply);
    }

    fn timed_out(&mut self, reply: &mut Reply) {
        let shared = self.shared.clone();
        let mut swarm = shared.lock();
        if self.tick(&mut swarm, reply).is_err() {
            self.leave(&mut swarm, false, reply);
        }
        drop(swarm);
        self.advance(reply);
    }
}

impl Drop for Wire {
    /// A connection that broke, or that never came about, says nothing else.
    fn drop(&mut self) {
        let shared = self.shared.clone();
        let mut swarm = shared.lock();
        let was_open = self.stage != Stage::Handshake;
        self.detach(&mut swarm, true);
        if let Some((address, may_again)) = self.dialled {
            // One that has all has no need of others, but some may not be up yet that have need of it.
            let again = may_again && (swarm.missing() > 0 || !was_open);
            swarm.calls.hung_up(address, self.was_useful, again);
        }
    }
}
