//! What is known of one peer: what it has, who chokes whom, and the pieces that come from it.

use std::collections::VecDeque;

use super::message::{BLOCK_LEN_MAX, Block, PeerId};
use crate::bell::Bell;

/// A peer that has said who it is.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer_id: PeerId,
    pub(super) bell: Bell,
    /// We made the connection.
    pub(super) is_dialled: bool,
    /// Another connection to the same peer is in its place.
    pub(super) is_over: bool,

    /// The pieces that it has.
    pub(super) has: Vec<bool>,
    /// How many of those we lack.
    pub(super) wanted: usize,

    /// It wants something from us.
    pub(super) is_interested: bool,
    /// We send it nothing.
    pub(super) is_choked: bool,
    /// At its last tick it was not choked.
    pub(super) was_unchoked: bool,
    /// What it has asked for.
    pub(super) asked: VecDeque<Block>,

    /// It sends us nothing.
    pub(super) chokes: bool,
    /// The pieces that come from it.
    pub(super) partials: Vec<Partial>,
    /// How many blocks are on their way.
    pub(super) awaited: usize,
    /// How many have come.
    pub(super) received: u64,
    /// How many had at its last tick, and how many ticks in a row nothing came that was asked for.
    pub(super) stalled: (u64, u32),

    /// What it was told last: whether it is choked, whether we are interested, and of how many pieces that we got.
    pub(super) told: Told,
    /// What it is to be told not to send.
    pub(super) cancels: Vec<Block>,
}

/// What a peer was told last.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) is_choked: bool,
    pub(super) we_are_interested: bool,
    pub(super) haves: usize,
}

impl Link {
    /// A peer as it is after its handshake (BEP 3: "connections start out choked and not interested"), which is told of
    /// the first `haves` of the pieces that we got.
    pub(super) fn new(peer_id: PeerId, bell: Bell, is_dialled: bool, pieces: usize, haves: usize) -> Link {
        Link {
            peer_id,
            bell,
            is_dialled,
            is_over: false,
            has: vec![false; pieces],
            wanted: 0,
            is_interested: false,
            is_choked: true,
            was_unchoked: false,
            asked: VecDeque::new(),
            chokes: true,
            partials: Vec::new(),
            awaited: 0,
            received: 0,
            stalled: (0, 0),
            told: Told { is_choked: true, we_are_interested: false, haves },
            cancels: Vec::new(),
        }
    }

    /// Asks for the next block of the pieces that come from it.
    pub(super) fn ask(&mut self) -> Option<Block> {
        let block = self.partials.iter_mut().find_map(Partial::ask)?;
        self.awaited += 1;
        Some(block)
    }

    /// Takes a block. The piece, where it is whole now; what nobody waits for is dropped.
    pub(super) fn take(&mut self, index: u32, begin: u32, block: &[u8]) -> Option<Partial> {
        let at = self.partials.iter().position(|partial| partial.index == index)?;
        if !self.partials[at].take(begin, block) {
            return None;
        }
        self.awaited -= 1;
        self.received += 1;
        self.partials[at].is_whole().then(|| self.partials.swap_remove(at))
    }

    /// Wants nothing more of a piece that it sends; whether it did send it.
    pub(super) fn give_up(&mut self, index: u32) -> bool {
        let Some(at) = self.partials.iter().position(|partial| partial.index == index) else { return false };
        let partial = self.partials.swap_remove(at);
        let cancels = self.cancels.len();
        self.cancels.extend(partial.awaited());
        self.awaited -= self.cancels.len() - cancels;
        true
    }

    /// It chokes us: what is on its way does not come any more. The pieces of which nothing is here yet are given back.
    pub(super) fn choke(&mut self) -> Vec<Partial> {
        self.chokes = true;
        self.awaited = 0;
        self.cancels.clear();
        self.partials.iter_mut().for_each(Partial::forget_awaited);
        self.partials.extract_if(.., |partial| partial.is_empty()).collect()
    }
}

/// A piece that comes from one peer, so that it is known who lied if it is wrong.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) index: u32,
    pub(super) bytes: Vec<u8>,
    blocks: Vec<State>,
}

/// How far a block has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Awaited,
    Here,
    Wanted,
}

impl Partial {
    pub(super) fn new(index: u32, len: usize) -> Partial {
        let blocks = vec![State::Wanted; len.div_ceil(BLOCK_LEN_MAX as usize)];
        Partial { index, bytes: vec![0; len], blocks }
    }

    fn block(&self, at: usize) -> Block {
        let begin = at as u32 * BLOCK_LEN_MAX; // a piece is shorter than 4 GiB
        Block { index: self.index, begin, len: BLOCK_LEN_MAX.min(self.bytes.len() as u32 - begin) }
    }

    fn ask(&mut self) -> Option<Block> {
        let at = self.blocks.iter().position(|state| *state == State::Wanted)?;
        self.blocks[at] = State::Awaited;
        Some(self.block(at))
    }

    /// Takes a block that is waited for.
    fn take(&mut self, begin: u32, bytes: &[u8]) -> bool {
        let at = (begin / BLOCK_LEN_MAX) as usize;
        if self.blocks.get(at) != Some(&State::Awaited) {
            return false;
        }
        let Block { begin: expected, len, .. } = self.block(at);
        if (begin, bytes.len()) != (expected, len as usize) {
            return false;
        }
        self.bytes[begin as usize..][..bytes.len()].copy_from_slice(bytes);
        self.blocks[at] = State::Here;
        true
    }

    fn is_whole(&self) -> bool {
        self.blocks.iter().all(|state| *state == State::Here)
    }

    fn is_empty(&self) -> bool {
        !self.blocks.contains(&State::Here)
    }

    fn awaited(&self) -> impl Iterator<Item = Block> {
        (0..self.blocks.len()).filter(|at| self.blocks[*at] == State::Awaited).map(|at| self.block(at))
    }

    fn forget_awaited(&mut self) {
        self.blocks.iter_mut().filter(|state| **state == State::Awaited).for_each(|state| *state = State::Wanted);
    }
}
