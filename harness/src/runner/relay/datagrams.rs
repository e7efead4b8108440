//! A relay for datagrams: one socket for all peers, and one for each on the other side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::super::listen::{Arrival, Listener};
use super::super::player::{Dial, Origin};
use super::super::socket::{self, Block, NotOpened, Opened, Opening, Socket};
use super::{CONNECTIONS_MAX, Route, Timer};
use crate::conversation::Input;
use crate::event::{Endpoint, EventKind};
use crate::fault::{Datagrams, Delivery, Direction, Marks, Plan};

/// Passes datagrams on until it is stopped.
pub(super) async fn serve(route: Route, listener: Listener, mut stopped: oneshot::Receiver<()>) {
    let datagrams = Datagrams::new(Plan::clone(&route.plan));
    let mut relay = Relay {
        route,
        listener,
        datagrams,
        peers: Vec::new(),
        marks: Marks::new(),
        block: Block::default(),
        blocked: None,
        timer: Timer::default(),
    };
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => return,
            () = std::future::poll_fn(|cx| relay.poll(cx)) => tokio::task::yield_now().await,
        }
    }
}

struct Relay {
    route: Route,
    listener: Listener,
    datagrams: Datagrams,
    /// In the order in which they came: the first is connection 1.
    peers: Vec<Peer>,
    marks: Marks,
    block: Block,
    /// What its socket does not take yet.
    blocked: Option<Delivery>,
    timer: Timer,
}

struct Peer {
    from: SocketAddr,
    link: Link,
    /// How many bytes have come from it, and from the other side.
    bytes: [u64; 2],
    /// Nobody was there on the other side, and that was told.
    is_told: bool,
}

enum Link {
    Opening(Opening),
    Open { socket: Socket, to: Endpoint },
    Failed,
}

impl Relay {
    /// Does whatever there is to do, or waits for it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.take_marks(cx);
        let mut more = self.poll_output(cx);
        if self.datagrams.has_room() {
            more |= self.poll_arrival(cx);
            for at in 0..self.peers.len() {
                more |= self.poll_peer(cx, at);
            }
        }
        while let Some(fired) = self.datagrams.poll_fired() {
            self.route.log.tell_fired(&self.route, fired);
        }
        if more { Poll::Ready(()) } else { self.poll_timer(cx) }
    }

    fn take_marks(&mut self, cx: &mut Context<'_>) {
        for mark in self.route.board.poll(cx, &mut self.marks) {
            self.datagrams.handle_mark(&mark);
        }
    }

    /// Sends what it is time for. Whether there may be more.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.route.log.clock.now();
        let Some(delivery) = self.blocked.take().or_else(|| self.datagrams.poll_delivery(now)) else { return false };
        let at = delivery.connection as usize - 1;
        let peer = &mut self.peers[at];
        let listener = self.listener.datagrams().expect("it listens for datagrams");
        let (sent, writable) = match (delivery.direction, &mut peer.link) {
            (Direction::Down, _) => {
                let sent = socket::send_to(listener, &delivery.data, peer.from);
                let waits = sent.is_none();
                (sent, waits && listener.poll_send_ready(cx).is_ready())
            }
            (Direction::Up, Link::Open { socket, .. }) => {
                // An error to an earlier datagram is told in place of sending this one.
                let sent = match socket.write(&delivery.data) {
                    Some(Input::Unreachable) => {
                        self.lost(at);
                        match &mut self.peers[at].link {
                            Link::Open { socket, .. } => socket.write(&delivery.data),
                            _ => return true,
                        }
                    }
                    sent => sent,
                };
                let waits = sent.is_none();
                let Link::Open { socket, .. } = &mut self.peers[at].link else { return true };
                (sent, waits && socket.poll_writable(cx).is_ready())
            }
            // It is to be opened first.
            (Direction::Up, Link::Opening(_)) => {
                let is_open = self.poll_peer(cx, at);
                (None, is_open)
            }
            (Direction::Up, Link::Failed) => return true,
        };
        if sent.is_none() {
            self.blocked = Some(delivery);
            return writable;
        }
        true
    }

    /// Takes in a datagram of a peer, who may be new.
    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(arrival) = self.listener.poll(cx) else { return false };
        // An error on the socket is one of an answer to somebody who is gone.
        let Ok(Arrival::Datagram { from, connection, data }) = arrival else { return true };
        let connection = match connection {
            Some(connection) => connection,
            None if self.peers.len() >= CONNECTIONS_MAX as usize => return true,
            None => {
                let dial = Dial { follow: self.route.follow, ..Dial::to(self.route.to.clone()) };
                let opening = socket::open(&dial, None, &Origin::default());
                self.peers.push(Peer { from, link: Link::Opening(opening), bytes: [0; 2], is_told: false });
                let connection = self.peers.len() as u32;
                self.listener.know(from, Some(connection));
                connection
            }
        };
        self.peers[connection as usize - 1].bytes[0] += data.len() as u64;
        let delivery = Delivery { connection, direction: Direction::Up, data };
        self.datagrams.handle_datagram(self.route.log.clock.now(), delivery);
        true
    }

    /// Takes in what comes back for a peer.
    fn poll_peer(&mut self, cx: &mut Context<'_>, at: usize) -> bool {
        let peer = &mut self.peers[at];
        let (relay, connection) = (Arc::clone(&self.route.relay), at as u32 + 1);
        let from = Endpoint::Ip(peer.from);
        match &mut peer.link {
            Link::Failed => false,
            Link::Opening(opening) => {
                let Poll::Ready(opened) = opening.as_mut().poll(cx) else { return false };
                match opened {
                    Ok(Opened { socket, peer: to, .. }) => {
                        let transport = self.listener.address().transport();
                        let opened =
                            EventKind::RelayOpened { relay, connection, transport, peer: from, to: to.clone() };
                        peer.link = Link::Open { socket, to };
                        self.route.log.tell(opened);
                    }
                    Err(NotOpened { peer: to, refused, reason }) => {
                        peer.link = Link::Failed;
                        let failed = EventKind::RelayFailed { relay, connection, peer: from, to, refused, reason };
                        self.route.log.tell(failed);
                    }
                }
                true
            }
            Link::Open { socket, .. } => {
                let Poll::Ready(input) = socket.poll_read(cx, &mut self.block) else { return false };
                match input {
                    Input::Data(data) => {
                        peer.bytes[1] += data.len() as u64;
                        let delivery = Delivery { connection, direction: Direction::Down, data };
                        self.datagrams.handle_datagram(self.route.log.clock.now(), delivery);
                    }
                    _ => self.lost(at),
                }
                true
            }
        }
    }

    /// Nobody is there on the other side: a peer cannot be told, so the events are, once.
    fn lost(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        let Link::Open { to, .. } = &peer.link else { return };
        if !std::mem::replace(&mut peer.is_told, true) {
            let reason = format!("nobody listens at {}", self.route.to);
            self.route.log.tell(EventKind::RelayFailed {
                relay: Arc::clone(&self.route.relay),
                connection: at as u32 + 1,
                peer: Endpoint::Ip(peer.from),
                to: to.clone(),
                refused: true,
                reason,
            });
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.datagrams.poll_timeout().filter(|_| self.blocked.is_none());
        due.map_or(Poll::Pending, |due| self.timer.poll(cx, self.route.log.clock, due))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        while let Some(fired) = self.datagrams.poll_fired() {
            self.route.log.tell_fired(&self.route, fired);
        }
        for (at, peer) in self.peers.iter().enumerate() {
            let (relay, connection, [up, down]) = (Arc::clone(&self.route.relay), at as u32 + 1, peer.bytes);
            self.route.log.tell(EventKind::RelayClosed { relay, connection, up, down });
        }
    }
}
