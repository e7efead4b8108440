//! Relays: sockets that pass on what comes to them, under the faults of the case.
//!
//! Each relay is a task beside the player, on the same thread; it begins with its case and ends with it. What is done to
//! which byte and when is [`crate::fault`]'s to say; here are the sockets, the clock and the events. A relay without a fault
//! passes everything on as it comes: bytes, FIN for FIN and RST for RST.

mod connection;
mod datagrams;
mod stream;

use std::cell::RefCell;
use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

use super::clock::Clock;
use super::listen::Listener;
use super::process::Address;
use crate::event::{Event, EventKind};
use crate::fault::{Fired, Marks, Plan};
use crate::time::Time;

/// The most connections, or peers, of one relay in one case. Whoever comes then is turned away.
const CONNECTIONS_MAX: u32 = 1_000;

/// The most events of the relays of one case.
const EVENTS_MAX: usize = 10_000;

/// What is waited for by the clock: one sleep for as long as it is the same time.
#[derive(Debug, Default)]
struct Timer(Option<(Time, Pin<Box<tokio::time::Sleep>>)>);

impl Timer {
    /// Waits until `due`.
    fn poll(&mut self, cx: &mut Context<'_>, clock: Clock, due: Time) -> Poll<()> {
        if self.0.as_ref().is_none_or(|(at, _)| *at != due) {
            self.0 = Some((due, Box::pin(tokio::time::sleep_until(clock.instant(due)))));
        }
        if let Some((_, sleep)) = &mut self.0 {
            ready!(sleep.as_mut().poll(cx));
        }
        self.0 = None;
        Poll::Ready(())
    }
}

/// A relay.
#[derive(Debug)]
pub struct Relay {
    name: Arc<str>,
    address: Address,
    to: Address,
    follow: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Bound(Box<Listener>),
    Running { board: Rc<Board>, stop: oneshot::Sender<()>, task: JoinHandle<()> },
    Stopped,
}

impl Relay {
    /// A relay that listens, and that will pass on to `to`, or with `follow` to whoever answers first from there.
    pub(super) fn new(name: &str, listener: Listener, to: Address, follow: bool) -> Relay {
        let address = listener.address().clone();
        Relay { name: name.into(), address, to, follow, state: State::Bound(Box::new(listener)) }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Begins to pass on.
    pub(super) fn start(&mut self, plan: Plan, log: &Rc<Log>) {
        let State::Bound(listener) = std::mem::replace(&mut self.state, State::Stopped) else {
            unreachable!("a relay is started once")
        };
        let board = Rc::new(Board::default());
        let (stop, stopped) = oneshot::channel();
        let route = Route {
            relay: Arc::clone(&self.name),
            to: self.to.clone(),
            follow: self.follow,
            plan: Rc::new(plan),
            log: Rc::clone(log),
            board: Rc::clone(&board),
        };
        let is_datagram = self.address.transport().is_datagram();
        let task = tokio::task::spawn_local(async move {
            match is_datagram {
                true => datagrams::serve(route, *listener, stopped).await,
                false => stream::serve(route, *listener, stopped).await,
            }
        });
        self.state = State::Running { board, stop, task };
    }

    /// A step has reached a mark.
    pub(super) fn mark(&self, mark: &Arc<str>) {
        if let State::Running { board, .. } = &self.state {
            board.mark(mark);
        }
    }

    /// Ends it and all connections through it.
    pub(super) async fn stop(&mut self) {
        if let State::Running { stop, task, .. } = std::mem::replace(&mut self.state, State::Stopped) {
            // It may have ended by itself.
            let _ = stop.send(());
            told_on(task.await);
        }
    }
}

/// A bug in a task of a relay is one of the case's.
fn told_on(joined: Result<(), JoinError>) {
    if let Err(error) = joined
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let State::Running { task, .. } = &self.state {
            task.abort();
        }
    }
}

/// What the connections through a relay have in common.
#[derive(Clone, Debug)]
struct Route {
    relay: Arc<str>,
    to: Address,
    follow: bool,
    plan: Rc<Plan>,
    log: Rc<Log>,
    board: Rc<Board>,
}

/// The marks that were reached, and who wants to know of the next.
#[derive(Debug, Default)]
struct Board {
    marks: RefCell<Marks>,
    waiting: RefCell<Vec<Waker>>,
}

impl Board {
    fn mark(&self, mark: &Arc<str>) {
        if self.marks.borrow_mut().insert(Arc::clone(mark)) {
            self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }

    /// The marks that `seen` does not have yet. Whoever asks is woken by the next.
    fn poll(&self, cx: &Context<'_>, seen: &mut Marks) -> Vec<Arc<str>> {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        let marks = self.marks.borrow();
        if marks.len() == seen.len() {
            return Vec::new();
        }
        let new: Vec<Arc<str>> = marks.difference(seen).cloned().collect();
        seen.extend(new.iter().cloned());
        new
    }
}

/// What the relays of a case have to tell.
#[derive(Debug)]
pub(super) struct Log {
    clock: Clock,
    case: u32,
    told: RefCell<Told>,
}

#[derive(Debug, Default)]
struct Told {
    events: Vec<Event>,
    is_full: bool,
    /// The numbers of the faults that have fired.
    fired: Vec<usize>,
}

impl Log {
    pub(super) fn new(clock: Clock, case: u32) -> Rc<Log> {
        Rc::new(Log { clock, case, told: RefCell::default() })
    }

    fn tell(&self, kind: EventKind) {
        let mut told = self.told.borrow_mut();
        if told.is_full {
            return;
        }
        told.is_full = told.events.len() + 1 >= EVENTS_MAX;
        let kind = match told.is_full {
            true => EventKind::Warning { message: format!("relays tell {EVENTS_MAX} events of a case and no more") },
            false => kind,
        };
        told.events.push(Event { at: self.clock.now(), case: Some(self.case), kind });
    }

    fn tell_fired(&self, route: &Route, fired: Fired) {
        let Fired { fault, connection, direction, at_byte, nth, what } = fired;
        if !self.told.borrow().fired.contains(&fault) {
            self.told.borrow_mut().fired.push(fault);
        }
        let place = route.plan.faults[fault].place.clone();
        let (fault, relay) = (fault as u32 + 1, Arc::clone(&route.relay));
        self.tell(EventKind::FaultFired { fault, place, relay, connection, direction, at_byte, nth, what });
    }

    /// The events so far, and the numbers of the faults that have fired.
    pub(super) fn take(&self) -> (Vec<Event>, Vec<usize>) {
        let told = std::mem::take(&mut *self.told.borrow_mut());
        (told.events, told.fired)
    }
}

/// Puts the events of relays among those of a conversation, each in its own order.
pub(super) fn merge(events: &mut Vec<Event>, others: Vec<Event>) {
    if others.is_empty() {
        return;
    }
    let mut others = others.into_iter().peekable();
    let mut merged = Vec::with_capacity(events.len() + others.len());
    for event in events.drain(..) {
        while let Some(other) = others.next_if(|other| other.at < event.at) {
            merged.push(other);
        }
        merged.push(event);
    }
    merged.extend(others);
    *events = merged;
}
