//! Plays one conversation on sockets: actions out, inputs in, and a timer.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Sleep;

use super::clock::Clock;
use super::control::{Doing, Hands, Looking, no_hands};
use super::listen::{Arrival, Listener};
use super::process::Address;
use super::relay::Relay;
use super::socket::{self, Block, NotOpened, Opened, Opening, Socket};
use super::tls::{Broken, Inner, Keys, Profiles, TlsStream, Wire};
use crate::conversation::{Action, Conversation, Input};
use crate::event::{Endpoint, FailureKind};
use crate::time::Time;

/// Where an actor connects.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The peer's address; `None` where a step has to tell it first.
    pub address: Option<Address>,
    /// Our own, if it matters.
    pub bind: Option<SocketAddr>,
    /// Whether whoever answers first is the peer from there on.
    pub follow: bool,
}

impl Dial {
    /// To `address`.
    pub fn to(address: Address) -> Dial {
        Dial { address: Some(address), bind: None, follow: false }
    }
}

/// How an actor gets its connections.
#[derive(Debug)]
pub enum Station {
    /// It dials.
    Client(Dial),
    /// It stands in between, and passes on by itself.
    Relay(Relay),
    /// It listens.
    Server(Listener),
}

/// What a URL that a step makes is held against.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Whether it may lead off this machine.
    pub allow_remote: bool,
    /// Where a relative path starts.
    pub folder: std::path::PathBuf,
}

/// What a conversation is played in.
#[derive(Debug)]
pub struct World<'h> {
    /// What a URL that a step makes is held against.
    pub origin: Origin,
    /// How its actors do TLS.
    pub tls: Profiles,
    /// What deals with processes.
    pub hands: Hands<'h>,
}

impl World<'_> {
    /// One without processes, files and TLS.
    pub fn bare() -> World<'static> {
        World { origin: Origin::default(), tls: Profiles::default(), hands: Hands { act: &no_hands, looped: None } }
    }
}

/// What ends a case from outside.
pub type Abort<'a> = Pin<Box<dyn Future<Output = (FailureKind, String)> + 'a>>;

/// Called now and then in a case that takes long, with what is to be done and when to call again.
pub type Tick<'a> = &'a mut dyn FnMut(&mut Conversation) -> Option<Time>;

/// Plays a conversation to its end. There is a station for each actor.
pub async fn play<'h>(
    conversation: &mut Conversation,
    stations: &mut [Station],
    world: &World<'h>,
    clock: &Clock,
    abort: Abort<'_>,
    tick: Tick<'_>,
) {
    let next_tick = tick(conversation);
    let mut player = Player {
        conversation,
        stations,
        world,
        clock,
        deeds: Vec::new(),
        links: Vec::new(),
        block: Block::default(),
        timer: None,
        abort: Some(abort),
        tick,
        next_tick,
    };
    player.act().await;
    while player.conversation.ended().is_none() {
        if player.conversation.poll_timeout() == Some(Time::ZERO) {
            // It has more to do than it wants to do in one go; others come first.
            tokio::task::yield_now().await;
            player.conversation.handle_timeout(clock.now());
        } else {
            std::future::poll_fn(|cx| player.poll(cx)).await;
        }
        player.act().await;
    }
}

struct Player<'a, 'h> {
    conversation: &'a mut Conversation,
    stations: &'a mut [Station],
    world: &'a World<'h>,
    clock: &'a Clock,
    /// What is being done to processes, by number.
    deeds: Vec<(u32, Doing<'h>)>,
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
    Opening(Opening),
    /// In the middle of a handshake.
    Securing(Box<TlsStream>),
    Open {
        socket: Socket,
        writing: Option<Bytes>,
        over: bool,
    },
    /// Somebody whose datagrams come to a listener, by the actor's number.
    Peer {
        actor: usize,
        address: SocketAddr,
        writing: Option<Bytes>,
    },
}

impl<'h> Player<'_, 'h> {
    /// Does whatever the conversation wants done.
    async fn act(&mut self) {
        // A round is looked at before the next one begins.
        while let Some(looped) = self.act_on() {
            looped.await;
        }
    }

    /// Does it up to the end of a round that somebody wants to look at.
    fn act_on(&mut self) -> Option<Looking<'h>> {
        while let Some(action) = self.conversation.poll_action() {
            match action {
                Action::Connect { connection, actor, url } => {
                    let Station::Client(dial) = &self.stations[actor] else { unreachable!("only clients dial") };
                    let opening = socket::open(dial, url, &self.world.origin);
                    self.set_link(connection, Link::Opening(opening));
                }
                Action::Control { number, deed } => self.deeds.push((number, (self.world.hands.act)(deed))),
                Action::Looped => {
                    if let Some(looped) = self.world.hands.looped {
                        return Some(looped());
                    }
                }
                Action::Marked(mark) => {
                    for station in &*self.stations {
                        if let Station::Relay(relay) = station {
                            relay.mark(&mark);
                        }
                    }
                }
                Action::Send { connection, data } => self.write(connection, data),
                Action::Shutdown(connection) => {
                    if let Link::Open { socket, .. } = &mut self.links[connection as usize] {
                        socket.shutdown();
                    }
                }
                Action::StartTls { connection, profile, server } => self.secure(connection, profile, server),
                Action::Close(connection) => {
                    if let Link::Open { socket, .. } = self.take_link(connection) {
                        socket.close();
                    }
                }
                Action::Reset(connection) => {
                    if let Link::Open { socket, .. } = self.take_link(connection) {
                        socket.reset();
                    }
                }
            }
        }
        None
    }

    /// Begins TLS on a connection.
    fn secure(&mut self, connection: u32, profile: usize, server: bool) {
        let Link::Open { socket, .. } = self.take_link(connection) else { return };
        let inner = match socket {
            Socket::Lost(stream) | Socket::Tcp(stream) => Inner::Tcp(stream),
            Socket::Unix(stream) => Inner::Unix(stream),
            socket => return self.set_link(connection, Link::Open { socket, writing: None, over: false }),
        };
        let setup = self.world.tls.setup(profile, server);
        match setup.and_then(|setup| TlsStream::begin(inner, &setup, *self.clock)) {
            Ok(stream) => self.set_link(connection, Link::Securing(Box::new(stream))),
            Err(Broken { reason, hint }) => {
                self.conversation.handle_input(self.clock.now(), connection, Input::TlsFailed { reason, hint });
            }
        }
    }

    /// Hands over what went over the wire under TLS.
    fn tell_wire(&mut self, connection: u32) {
        let (Link::Securing(stream) | Link::Open { socket: Socket::Tls(stream), .. }) =
            &mut self.links[connection as usize]
        else {
            return;
        };
        for Wire { at, sent, data } in stream.take_wire() {
            self.conversation.handle_wire(at, connection, sent, data);
        }
        if let Some((lines, own)) = stream.take_keys() {
            let told = match self.world.tls.keys {
                Keys::Always => true,
                Keys::Never => false,
                Keys::Own => own,
            };
            if told {
                self.conversation.handle_secrets(self.clock.now(), connection, lines);
            }
        }
    }

    fn set_link(&mut self, connection: u32, link: Link) {
        let at = connection as usize;
        if self.links.len() <= at {
            self.links.resize_with(at + 1, || Link::Closed);
        }
        self.links[at] = link;
    }

    fn take_link(&mut self, connection: u32) -> Link {
        let Some(link) = self.links.get_mut(connection as usize) else { return Link::Closed };
        let link = std::mem::replace(link, Link::Closed);
        if let Link::Peer { actor, address, .. } = &link
            && let Station::Server(listener) = &mut self.stations[*actor]
        {
            // What comes from there now comes from somebody new.
            listener.know(*address, None);
        }
        link
    }

    fn write(&mut self, connection: u32, mut data: Bytes) {
        // The stamp is of the moment before the write: an answer can be there before the call returns.
        let now = self.clock.now();
        let (written, writing) = match &mut self.links[connection as usize] {
            Link::Open { socket, writing, .. } => (socket.write(&data), writing),
            Link::Peer { actor, address, writing } => {
                let Station::Server(listener) = &self.stations[*actor] else { unreachable!("it came to a listener") };
                let socket = listener.datagrams().expect("it listens for datagrams");
                (socket::send_to(socket, &data, *address), writing)
            }
            _ => return,
        };
        match written {
            Some(Input::Written(len)) => {
                bytes::Buf::advance(&mut data, len);
                if !data.is_empty() {
                    *writing = Some(data);
                }
                self.tell_wire(connection);
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
        for actor in 0..self.stations.len() {
            if self.poll_listener(cx, actor).is_ready() {
                return Poll::Ready(());
            }
        }
        for at in 0..self.links.len() {
            if self.poll_link(cx, at).is_ready() {
                return Poll::Ready(());
            }
        }
        for at in 0..self.deeds.len() {
            let (number, doing) = &mut self.deeds[at];
            if let Poll::Ready(outcome) = doing.as_mut().poll(cx) {
                let number = *number;
                drop(self.deeds.swap_remove(at));
                self.conversation.handle_control(self.clock.now(), number, outcome);
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

    /// Takes in whoever comes to a listener.
    fn poll_listener(&mut self, cx: &mut Context<'_>, actor: usize) -> Poll<()> {
        let Station::Server(listener) = &mut self.stations[actor] else { return Poll::Pending };
        let Poll::Ready(arrival) = listener.poll(cx) else { return Poll::Pending };
        let now = self.clock.now();
        match arrival {
            Ok(Arrival::Stream { socket, local, peer }) => {
                // Where there is no room for it, it is closed at once.
                if let Some(connection) = self.conversation.handle_accept(now, actor) {
                    self.set_link(connection, Link::Open { socket, writing: None, over: false });
                    self.conversation.handle_input(now, connection, Input::Connected { local, peer });
                }
            }
            Ok(Arrival::Datagram { from, connection, data }) => {
                let mut known = connection;
                if known.is_none() {
                    known = self.conversation.handle_accept(now, actor);
                    if let Some(connection) = known {
                        let (local, peer) = (listener.address().endpoint(), Endpoint::Ip(from));
                        listener.know(from, known);
                        self.set_link(connection, Link::Peer { actor, address: from, writing: None });
                        self.conversation.handle_input(now, connection, Input::Connected { local, peer });
                    }
                }
                // What nobody takes is lost, as datagrams are.
                if let Some(connection) = known.filter(|connection| self.conversation.reads(*connection)) {
                    self.conversation.handle_input(now, connection, Input::Data(data));
                }
            }
            Err(error) => {
                let message = format!("cannot take in a connection: {error}");
                self.conversation.handle_abort(now, FailureKind::System, message);
            }
        }
        Poll::Ready(())
    }

    fn poll_link(&mut self, cx: &mut Context<'_>, at: usize) -> Poll<()> {
        let connection = at as u32;
        match &mut self.links[at] {
            Link::Closed => Poll::Pending,
            Link::Opening(opening) => {
                let Poll::Ready(opened) = opening.as_mut().poll(cx) else { return Poll::Pending };
                let now = self.clock.now();
                let input = match opened {
                    Ok(Opened { socket, local, peer }) => {
                        self.links[at] = Link::Open { socket, writing: None, over: false };
                        Input::Connected { local, peer }
                    }
                    Err(NotOpened { peer, refused, reason }) => {
                        self.links[at] = Link::Closed;
                        Input::ConnectFailed { peer, refused, reason }
                    }
                };
                self.conversation.handle_input(now, connection, input);
                Poll::Ready(())
            }
            Link::Securing(stream) => {
                let polled = stream.poll_handshake(cx);
                self.tell_wire(connection);
                let Poll::Ready(outcome) = polled else { return Poll::Pending };
                let Link::Securing(stream) = self.take_link(connection) else { unreachable!("it was one") };
                let input = match outcome {
                    Ok(session) => {
                        let socket = Socket::Tls(stream);
                        self.set_link(connection, Link::Open { socket, writing: None, over: false });
                        Input::Secured(Box::new(session))
                    }
                    Err(Broken { reason, hint }) => Input::TlsFailed { reason, hint },
                };
                self.conversation.handle_input(self.clock.now(), connection, input);
                Poll::Ready(())
            }
            Link::Peer { actor, writing, .. } => {
                let Station::Server(listener) = &self.stations[*actor] else { return Poll::Pending };
                let socket = listener.datagrams().expect("it listens for datagrams");
                if writing.is_some() && socket.poll_send_ready(cx).is_ready() {
                    let data = writing.take().expect("just seen");
                    self.write(connection, data);
                    return Poll::Ready(());
                }
                Poll::Pending
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
                let read = socket.poll_read(cx, &mut self.block);
                let moved = socket.take_moved();
                if let Poll::Ready(input) = &read {
                    *over = !matches!(input, Input::Data(_) | Input::Unreachable);
                }
                self.tell_wire(connection);
                let Poll::Ready(input) = read else { return Poll::Pending };
                let now = self.clock.now();
                if let Some(peer) = moved {
                    self.conversation.handle_input(now, connection, Input::Moved { peer });
                }
                self.conversation.handle_input(now, connection, input);
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
                return Poll::Ready(());
            }
            if self.conversation.poll_timeout().is_some_and(|timeout| timeout <= now) {
                self.conversation.handle_timeout(now);
                return Poll::Ready(());
            }
        }
    }
}
