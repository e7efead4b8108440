//! What all connections share: the pieces, the peers, and who may have what from whom.
//!
//! # What is chosen, and how
//!
//! - The rarest piece comes first, among equals the one that this peer's id points at, so that peers begin with different
//!   ones. A piece comes from one peer, and so does the blame. When nothing else is left to ask for, a second peer is asked
//!   for the same piece, and told to stop when the first was faster (BEP 3, "end game mode").
//! - So many peers are served at once as there are slots, in the order in which they became interested. Who has waited gets
//!   the place of who was served for [`TICK`] or more. What peers give in return is not looked at: on one machine it would
//!   show its scheduler.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::calls::Calls;
use super::link::{Link, Partial};
use super::message::{BLOCK_LEN_MAX, Block, Malformed, Message, PeerId, emit, emit_bits, parse_bits};
use super::torrent::{Torrent, hash};
use super::tracker::Tracker;
use crate::bell::Bell;
use crate::service::Reply;

/// How often a peer's connection looks at how things are.
pub(super) const TICK: Duration = Duration::from_secs(10);
/// How many connections to peers there may be.
pub(super) const LINKS_MAX: usize = 50;
/// How many ids of peers that lied are kept; then the oldest is forgotten.
const BANNED_MAX: usize = 1_000;
/// How many blocks are asked for before the first has come.
const AWAITED_MAX: usize = 10;
/// How many blocks a peer may ask for before the first is sent.
const ASKED_MAX: usize = 1_024;
/// How many bytes of blocks are handed to the connection before those are written: what is not may still be cancelled.
const AHEAD_LEN_MAX: usize = 64 << 10;
/// How many peers are asked for one piece at the end.
const TAKERS_MAX: u8 = 2;
/// For how many ticks in a row a peer may owe what was asked for; the first may follow on what was asked.
const STALLED_MAX: u32 = 4;

/// The connection to a peer is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl From<Malformed> for Gone {
    fn from(Malformed: Malformed) -> Gone {
        Gone
    }
}

pub(super) struct Swarm {
    pub(super) torrent: Torrent,
    pub(super) peer_id: PeerId,
    pub(super) calls: Calls,
    pub(super) tracker: Tracker,
    pieces: Vec<Option<Arc<[u8]>>>,
    missing: usize,
    /// The pieces that came, in their order.
    got: Vec<u32>,
    links: BTreeMap<u64, Link>,
    links_made: u64,
    /// How many peers have each piece.
    havers: Vec<usize>,
    /// From how many each comes.
    takers: Vec<u8>,
    /// Who waits to be served.
    line: VecDeque<u64>,
    slots: usize,
    banned: VecDeque<PeerId>,
    /// The piece to begin with.
    first: usize,
    /// How many bytes were sent and received in blocks.
    pub(super) uploaded: u64,
    pub(super) downloaded: u64,
}

impl Swarm {
    /// A peer that has `pieces` of a torrent.
    pub(super) fn new(
        torrent: Torrent,
        peer_id: PeerId,
        pieces: Vec<Option<Arc<[u8]>>>,
        slots: usize,
        calls: Calls,
    ) -> Swarm {
        let len = pieces.len();
        let first = hash(&peer_id).into_iter().fold(0, |at, byte| (at * 256 + usize::from(byte)) % len);
        Swarm {
            torrent,
            peer_id,
            calls,
            tracker: Tracker::default(),
            missing: pieces.iter().filter(|piece| piece.is_none()).count(),
            pieces,
            got: Vec::new(),
            links: BTreeMap::new(),
            links_made: 0,
            havers: vec![0; len],
            takers: vec![0; len],
            line: VecDeque::new(),
            slots,
            banned: VecDeque::new(),
            first,
            uploaded: 0,
            downloaded: 0,
        }
    }

    /// How many pieces are not here.
    pub(super) fn missing(&self) -> usize {
        self.missing
    }

    /// How many bytes are not here.
    pub(super) fn left(&self) -> usize {
        let missing = self.pieces.iter().enumerate().filter(|(_, piece)| piece.is_none());
        missing.map(|(index, _)| self.torrent.piece_len(index)).sum()
    }

    /// How many peers there are connections to.
    pub(super) fn links(&self) -> usize {
        self.links.len()
    }

    /// The whole file, once it is here.
    pub(super) fn file(&self) -> Option<Vec<Arc<[u8]>>> {
        self.pieces.iter().cloned().collect()
    }

    /// Takes in a peer that has said who it is, if it may stay.
    pub(super) fn join(&mut self, peer_id: PeerId, bell: Bell, is_dialled: bool) -> Result<u64, Gone> {
        if peer_id == self.peer_id || self.banned.contains(&peer_id) || self.links.len() >= LINKS_MAX {
            return Err(Gone);
        }
        if let Some(other) = self.links.values_mut().find(|link| link.peer_id == peer_id && !link.is_over) {
            // Where both have connected at once both have to choose the same: that of the lesser id stays.
            let stays = self.peer_id < peer_id;
            if other.is_dialled == is_dialled || is_dialled != stays {
                return Err(Gone);
            }
            other.is_over = true;
            other.bell.ring();
        }
        self.links_made += 1;
        let link = Link::new(peer_id, bell, is_dialled, self.pieces.len(), self.got.len());
        self.links.insert(self.links_made, link);
        Ok(self.links_made)
    }

    /// Tells a new peer what is here; nothing of nothing, as "downloaders which don't have anything yet may skip".
    pub(super) fn emit_bitfield(&self, reply: &mut Reply) {
        if self.missing < self.pieces.len() {
            emit(Message::Bitfield(&emit_bits(self.pieces.iter().map(Option::is_some))), reply);
        }
    }

    /// The connection to a peer is over. What it leaves undone others may do. Whether it had sent anything.
    pub(super) fn leave(&mut self, id: u64) -> bool {
        let Some(link) = self.links.remove(&id) else { return false };
        for (index, _) in link.has.iter().enumerate().filter(|(_, has)| **has) {
            self.havers[index] -= 1;
        }
        self.release(&link.partials);
        self.line.retain(|waiting| *waiting != id);
        self.serve_next();
        self.links.values().for_each(|link| link.bell.ring());
        link.received > 0
    }

    fn release(&mut self, partials: &[Partial]) {
        partials.iter().for_each(|partial| self.takers[partial.index as usize] -= 1);
    }

    /// Does what a message asks for; what there is to send is sent by [`Swarm::pump`].
    pub(super) fn handle(&mut self, id: u64, message: Message<'_>) -> Result<(), Gone> {
        let link = self.links.get_mut(&id).ok_or(Gone)?;
        match message {
            // "It's only ever sent as the first message", and yet aria2 sends one in place of many `have`.
            Message::Bitfield(bytes) => {
                let bits = parse_bits(bytes, self.pieces.len())?;
                for (index, _) in bits.iter().enumerate().filter(|(_, has)| **has) {
                    self.has(id, index);
                }
            }
            Message::Cancel(block) => {
                if let Some(at) = link.asked.iter().position(|asked| *asked == block) {
                    link.asked.remove(at);
                }
            }
            Message::Choke => {
                let given_back = link.choke();
                self.release(&given_back);
                self.links.values().for_each(|link| link.bell.ring());
            }
            Message::Have(index) => {
                let index = usize::try_from(index).ok().filter(|index| *index < self.pieces.len());
                self.has(id, index.ok_or(Gone)?);
            }
            Message::Interested => {
                link.is_interested = true;
                if link.is_choked && !self.line.contains(&id) {
                    self.line.push_back(id);
                }
                self.serve_next();
            }
            Message::KeepAlive | Message::Other => {}
            Message::NotInterested => {
                link.is_interested = false;
                self.line.retain(|waiting| *waiting != id);
                self.choke(id);
                self.serve_next();
            }
            Message::Piece { index, begin, block } => self.take(id, index, begin, block)?,
            Message::Request(block) => self.asked(id, block)?,
            Message::Unchoke => link.chokes = false,
        }
        Ok(())
    }

    /// A peer has a piece.
    fn has(&mut self, id: u64, index: usize) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !std::mem::replace(&mut link.has[index], true) {
            self.havers[index] += 1;
            link.wanted += usize::from(self.pieces[index].is_none());
        }
    }

    /// A peer asks for a block.
    fn asked(&mut self, id: u64, block: Block) -> Result<(), Gone> {
        let index = self.torrent.piece_of(block).filter(|_| block.len <= BLOCK_LEN_MAX).ok_or(Gone)?;
        let link = self.links.get_mut(&id).ok_or(Gone)?;
        if self.pieces[index].is_none() || link.asked.len() >= ASKED_MAX {
            return Err(Gone);
        }
        // It may have been sent before the peer heard that it is choked; it counts on what it asked for before it was told.
        if !link.told.is_choked {
            link.asked.push_back(block);
        }
        Ok(())
    }

    /// A block has come.
    fn take(&mut self, id: u64, index: u32, begin: u32, block: &[u8]) -> Result<(), Gone> {
        let link = self.links.get_mut(&id).ok_or(Gone)?;
        self.downloaded += block.len() as u64;
        let Some(partial) = link.take(index, begin, block) else { return Ok(()) };
        let at = index as usize;
        self.takers[at] -= 1;
        if !self.torrent.is_piece(at, &partial.bytes) {
            if self.banned.len() == BANNED_MAX {
                self.banned.pop_front();
            }
            self.banned.push_back(link.peer_id);
            return Err(Gone);
        }
        self.pieces[at] = Some(partial.bytes.into());
        self.missing -= 1;
        self.got.push(index);
        for link in self.links.values_mut() {
            link.wanted -= usize::from(link.has[at]);
            self.takers[at] -= u8::from(link.give_up(index));
            link.bell.ring();
        }
        if self.missing == 0 {
            self.calls.complete();
        }
        Ok(())
    }

    /// Chokes a peer. When it is told what it has asked for is dropped.
    fn choke(&mut self, id: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.is_choked = true;
            link.was_unchoked = false;
        }
    }

    /// Serves whoever waits while there are slots.
    fn serve_next(&mut self) {
        let served = self.links.values().filter(|link| !link.is_choked).count();
        for _ in served..self.slots {
            let Some(id) = self.line.pop_front() else { break };
            if let Some(link) = self.links.get_mut(&id) {
                link.is_choked = false;
                link.bell.ring();
            }
        }
    }

    /// Time has passed for a peer.
    pub(super) fn tick(&mut self, id: u64) -> Result<(), Gone> {
        let link = self.links.get_mut(&id).ok_or(Gone)?;
        let (received, stalled) = link.stalled;
        let stalls = link.awaited > 0 && received == link.received;
        link.stalled = (link.received, if stalls { stalled + 1 } else { 0 });
        if link.stalled.1 >= STALLED_MAX {
            return Err(Gone);
        }
        let was_unchoked = std::mem::replace(&mut link.was_unchoked, !link.is_choked);
        if was_unchoked && !self.line.is_empty() {
            self.choke(id);
            self.line.push_back(id);
            self.serve_next();
        }
        Ok(())
    }

    /// Sends a peer what it is to know and to have, as far as `reply` takes it.
    pub(super) fn pump(&mut self, id: u64, reply: &mut Reply) -> Result<(), Gone> {
        loop {
            let link = self.links.get_mut(&id).filter(|link| !link.is_over).ok_or(Gone)?;
            if reply.is_full() {
                return Ok(());
            }
            if link.is_choked != link.told.is_choked {
                link.told.is_choked = link.is_choked;
                link.asked.clear();
                emit(if link.is_choked { Message::Choke } else { Message::Unchoke }, reply);
            } else if let Some(index) = self.got.get(link.told.haves) {
                link.told.haves += 1;
                emit(Message::Have(*index), reply);
            } else if (link.wanted > 0) != link.told.we_are_interested {
                link.told.we_are_interested = link.wanted > 0;
                emit(if link.wanted > 0 { Message::Interested } else { Message::NotInterested }, reply);
            } else if let Some(block) = link.cancels.pop() {
                emit(Message::Cancel(block), reply);
            } else if let Some(block) = self.ask(id) {
                emit(Message::Request(block), reply);
            } else if !self.serve(id, reply) {
                return Ok(());
            }
        }
    }

    /// The next block to ask a peer for.
    fn ask(&mut self, id: u64) -> Option<Block> {
        let link = self.links.get_mut(&id)?;
        if link.chokes || link.awaited >= AWAITED_MAX {
            return None;
        }
        if let Some(block) = link.ask() {
            return Some(block);
        }
        let index = self.pick(id)?;
        self.takers[index] += 1;
        let link = self.links.get_mut(&id)?;
        link.partials.push(Partial::new(index as u32, self.torrent.piece_len(index))); // it is below the limit on pieces
        link.ask()
    }

    /// The piece that a peer is to be asked for.
    fn pick(&self, id: u64) -> Option<usize> {
        let link = self.links.get(&id).filter(|link| link.wanted > 0)?;
        let (len, first) = (self.pieces.len(), self.first);
        let is_choice = |index: &usize| {
            link.has[*index]
                && self.pieces[*index].is_none()
                && self.takers[*index] < TAKERS_MAX
                && !link.partials.iter().any(|partial| partial.index as usize == *index)
        };
        let choices = (0..len).map(|at| (first + at) % len).filter(is_choice);
        choices.min_by_key(|index| (self.takers[*index], self.havers[*index]))
    }

    /// Sends the next block that a peer has asked for, if not too much is on its way to it.
    fn serve(&mut self, id: u64, reply: &mut Reply) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        if reply.unwritten().len() >= AHEAD_LEN_MAX {
            return false;
        }
        let Some(Block { index, begin, len }) = link.asked.pop_front() else { return false };
        let piece = self.pieces[index as usize].as_ref().expect("only what is here is put into `asked`");
        let block = &piece[begin as usize..][..len as usize];
        self.uploaded += block.len() as u64;
        emit(Message::Piece { index, begin, block }, reply);
        true
    }
}
