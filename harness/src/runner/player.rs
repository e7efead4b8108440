//! Plays one conversation on sockets: actions out, inputs in, and a timer.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Sleep;

use super::clock::Clock;
use super::process::Address;
use super::socket::{self, Block, Opening, Socket};
use crate::conversation::{Action, Conversation, Input};
use crate::event::FailureKind;
use crate::time::Time;

/// Where an actor connects.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The peer's address.
    pub address: Address,
    /// Our own, if it matters.
    pub bind: Option<SocketAddr>,
}

/// What ends a case from outside.
pub type Abort<'a> = Pin<Box<dyn Future<Output = (FailureKind, String)> + 'a>>;

/// Called now and then in a case that takes long, with what is to be done and when to call again.
pub type Tick<'a> = &'a mut dyn FnMut(&mut Conversation) -> Option<Time>;

/// Plays a conversation to its end.
pub async fn play(conversation: &mut Conversation, dials: &[Dial], clock: &Clock, abort: Abort<'_>, tick: Tick<'_>) {
    let next_tick = tick(conversation);
    let mut player = Player {
        conversation,
        dials,
        clock,
        links: Vec::new(),
        block: Block::default(),
        timer: None,
        abort: Some(abort),
        tick,
        next_tick,
    };
    player.act();
    while player.conversation.ended().is_none() {
        if player.conversation.poll_timeout() == Some(Time::ZERO) {
            // It has more to do than it wants to do in one go; others come first.
            tokio::task::yield_now().await;
            player.conversation.handle_timeout(clock.now());
        } else {
            std::future::poll_fn(|cx| player.poll(cx)).await;
        }
        player.act();
    }
}

struct Player<'a> {
    conversation: &'a mut Conversation,
    dials: &'a [Dial],
    clock: &'a Clock,
    links: Vec<Link>,
    block: Block,
    /// A timer, and when it fires. It may fire early; it is not moved when the next deadline is a later one.
    timer: Option<(Time, Pin<Box<Sleep>>)>,
    abort: Option<Abort<'a>>,
    tick: Tick<'a>,
    next_tick: Option<Time>,
}

enum Link {
    Closed,
    Opening(Opening, Address),
    Open { socket: Socket, writing: Option<Bytes>, over: bool },
}

impl Player<'_> {
    /// Does whatever the conversation wants done.
    fn act(&mut self) {
        while let Some(action) = self.conversation.poll_action() {
            match action {
                Action::Connect { actor, .. } => {
                    let Dial { address, bind } = self.dials[actor].clone();
                    self.links.push(Link::Opening(socket::open(address.clone(), bind), address));
                }
                Action::Send { connection, data } => self.write(connection, data),
                Action::Shutdown(connection) => {
                    if let Link::Open { socket, .. } = &self.links[connection as usize] {
                        socket.shutdown();
                    }
                }
                Action::Close(connection) => self.links[connection as usize] = Link::Closed,
                Action::Reset(connection) => {
                    let link = std::mem::replace(&mut self.links[connection as usize], Link::Closed);
                    if let Link::Open { socket, .. } = link {
                        socket.reset();
                    }
                }
            }
        }
    }

    fn write(&mut self, connection: u32, mut data: Bytes) {
        let Link::Open { socket, writing, .. } = &mut self.links[connection as usize] else { return };
        // The stamp is of the moment before the write: an answer can be there before the call returns.
        let now = self.clock.now();
        match socket.write(&data) {
            Some(Input::Written(len)) => {
                bytes::Buf::advance(&mut data, len);
                if !data.is_empty() {
                    *writing = Some(data);
                }
                self.conversation.handle_input(now, connection, Input::Written(len));
            }
            Some(input) => {
                if matches!(input, Input::Unreachable) {
                    *writing = Some(data);
                }
                self.conversation.handle_input(now, connection, input);
            }
            None => *writing = Some(data),
        }
    }

    /// Waits for the next thing to happen, and hands it over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for at in 0..self.links.len() {
            if self.poll_link(cx, at).is_ready() {
                return Poll::Ready(());
            }
        }
        if let Some(abort) = &mut self.abort
            && let Poll::Ready((kind, message)) = abort.as_mut().poll(cx)
        {
            self.abort = None;
            self.conversation.handle_abort(self.clock.now(), kind, message);
            return Poll::Ready(());
        }
        self.poll_timer(cx)
    }

    fn poll_link(&mut self, cx: &mut Context<'_>, at: usize) -> Poll<()> {
        let connection = at as u32;
        match &mut self.links[at] {
            Link::Closed => Poll::Pending,
            Link::Opening(opening, address) => {
                let Poll::Ready(opened) = opening.as_mut().poll(cx) else { return Poll::Pending };
                let now = self.clock.now();
                let input = match opened {
                    Ok(socket) => {
                        let (local, peer) = socket.endpoints(address);
                        self.links[at] = Link::Open { socket, writing: None, over: false };
                        Input::Connected { local, peer }
                    }
                    Err(error) => {
                        let (peer, refused) = (address.endpoint(), socket::is_refusal(&error));
                        let reason = match refused {
                            true => format!("nobody listens at {address}"),
                            false => format!("{address}: {error}"),
                        };
                        self.links[at] = Link::Closed;
                        Input::ConnectFailed { peer, refused, reason }
                    }
                };
                self.conversation.handle_input(now, connection, input);
                Poll::Ready(())
            }
            Link::Open { socket, writing, over } => {
                if writing.is_some() && socket.poll_writable(cx).is_ready() {
                    let data = writing.take().expect("just seen");
                    self.write(connection, data);
                    return Poll::Ready(());
                }
                if *over || !self.conversation.reads(connection) {
                    return Poll::Pending;
                }
                let Poll::Ready(input) = socket.poll_read(cx, &mut self.block) else { return Poll::Pending };
                *over = !matches!(input, Input::Data(_) | Input::Unreachable);
                self.conversation.handle_input(self.clock.now(), connection, input);
                Poll::Ready(())
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(next) = self.conversation.poll_timeout().into_iter().chain(self.next_tick).min() else {
                return Poll::Pending;
            };
            match &mut self.timer {
                Some((at, _)) if *at <= next => {}
                Some((at, sleep)) => {
                    *at = next;
                    sleep.as_mut().reset(self.clock.instant(next));
                }
                None => self.timer = Some((next, Box::pin(tokio::time::sleep_until(self.clock.instant(next))))),
            }
            let (at, sleep) = self.timer.as_mut().expect("it was just set");
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = self.clock.now();
            if now < next {
                *at = next;
                sleep.as_mut().reset(self.clock.instant(next));
                continue;
            }
            self.timer = None;
            if self.next_tick.is_some_and(|tick| tick <= now) {
                self.next_tick = (self.tick)(self.conversation);
            }
            if self.conversation.poll_timeout().is_some_and(|timeout| timeout <= now) {
                self.conversation.handle_timeout(now);
                return Poll::Ready(());
            }
        }
    }
}
