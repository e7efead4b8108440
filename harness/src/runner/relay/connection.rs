//! One connection through a relay for streams.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};

use super::super::socket::{Block, Socket};
use super::{Route, Timer};
use crate::conversation::Input;
use crate::event::EventKind;
use crate::fault::{Action, Direction, End, Marks, Stream};
use crate::time::Time;

/// How long a connection that a fault has cut waits for its sides to close as well. What they still send is dropped; a
/// socket that is closed with bytes unread would tell its peer so with RST.
const CUT_LINGER: Duration = Duration::from_secs(1);

/// The side that came, and the side that was connected to.
const CLIENT: usize = 0;
const SERVER: usize = 1;

pub(super) struct Connection {
    route: Route,
    number: u32,
    sides: [Option<Side>; 2],
    /// What goes on from each side to the other.
    flows: [Flow; 2],
    block: Block,
    marks: Marks,
    timer: Timer,
    /// A fault has cut it: until then it waits for its sides.
    lingers_until: Option<Time>,
}

struct Side {
    socket: Socket,
    /// Nothing more comes from it.
    is_read: bool,
    /// It was lost while it was written to: its end is no orderly one.
    is_lost: bool,
}

struct Flow {
    stream: Stream,
    writing: Option<Bytes>,
    /// Its end has been passed on.
    is_done: bool,
    /// Its source was reset: what cannot be delivered at once is not waited for.
    is_reset: bool,
}

/// What a look at the sockets came to.
enum Progress {
    /// There may be more to do.
    More,
    /// Nothing until something happens.
    None,
    /// The connection is over.
    Over,
}

impl Connection {
    /// Between whoever came and whoever was connected to.
    pub(super) fn new(route: Route, number: u32, sides: [Socket; 2]) -> Connection {
        let now = route.log.clock.now();
        let marks = route.board.marks.borrow().clone();
        let flow = |direction| Flow {
            stream: Stream::new(&route.plan, number, direction, &marks, now),
            writing: None,
            is_done: false,
            is_reset: false,
        };
        let flows = [flow(Direction::Up), flow(Direction::Down)];
        let sides = sides.map(|socket| Some(Side { socket, is_read: false, is_lost: false }));
        Connection {
            route,
            number,
            sides,
            flows,
            block: Block::default(),
            marks,
            timer: Timer::default(),
            lingers_until: None,
        }
    }

    /// Passes bytes on until both sides have ended.
    pub(super) async fn run(mut self) {
        loop {
            match std::future::poll_fn(|cx| self.poll(cx)).await {
                Progress::Over => return,
                // Whoever reads what was written gets a turn before the next write: what is sliced is seen so.
                Progress::More | Progress::None => tokio::task::yield_now().await,
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        self.take_marks(cx);
        let mut progress = Progress::None;
        for from in [CLIENT, SERVER] {
            for step in [Connection::poll_output, Connection::poll_input] {
                match step(self, cx, from) {
                    Progress::Over => return Poll::Ready(Progress::Over),
                    Progress::More => progress = Progress::More,
                    Progress::None => {}
                }
            }
        }
        self.tell_fired();
        if let Progress::More = progress {
            return Poll::Ready(progress);
        }
        self.poll_timer(cx)
    }

    /// Takes in marks that were reached since the last look.
    fn take_marks(&mut self, cx: &mut Context<'_>) {
        let now = self.route.log.clock.now();
        for mark in self.route.board.poll(cx, &mut self.marks) {
            self.flows.iter_mut().for_each(|flow| flow.stream.handle_mark(now, &mark));
        }
    }

    /// Writes what it is time for, from this side to the other.
    fn poll_output(&mut self, cx: &mut Context<'_>, from: usize) -> Progress {
        let now = self.route.log.clock.now();
        let (to, flow) = (1 - from, &mut self.flows[from]);
        if flow.is_done || self.lingers_until.is_some() {
            return Progress::None;
        }
        if flow.writing.is_none() {
            match flow.stream.poll_action(now) {
                Some(Action::Write(data)) => flow.writing = Some(data),
                Some(Action::End(end)) => return self.end(from, end, now),
                None => return Progress::None,
            }
        }
        let data = flow.writing.as_mut().expect("it was just filled");
        let side = self.sides[to].as_mut().expect("it is there as long as the connection");
        if side.is_lost {
            // Nobody takes it any more.
            flow.writing = None;
            return Progress::More;
        }
        match side.socket.write(data) {
            Some(Input::Written(len)) => {
                data.advance(len);
                if data.is_empty() {
                    flow.writing = None;
                }
                Progress::More
            }
            Some(_) => {
                // What it has sent before is still to be read, and then it is known how it ended.
                side.is_lost = true;
                if side.is_read {
                    return self.reset();
                }
                Progress::More
            }
            None if flow.is_reset => self.reset(),
            None => match side.socket.poll_writable(cx) {
                Poll::Ready(_) => Progress::More,
                Poll::Pending => Progress::None,
            },
        }
    }

    /// Reads from this side what there is room for.
    fn poll_input(&mut self, cx: &mut Context<'_>, from: usize) -> Progress {
        let flow = &mut self.flows[from];
        let side = self.sides[from].as_mut().expect("it is there as long as the connection");
        // What comes after a cut is read and dropped.
        let is_over = flow.stream.is_over() || self.lingers_until.is_some();
        if side.is_read || !(is_over || flow.stream.has_room()) {
            return Progress::None;
        }
        let Poll::Ready(input) = side.socket.poll_read(cx, &mut self.block) else { return Progress::None };
        let now = self.route.log.clock.now();
        match input {
            Input::Data(_) if is_over => {}
            Input::Data(data) => flow.stream.handle_data(now, data),
            Input::Eof if !side.is_lost => {
                side.is_read = true;
                flow.stream.handle_end(now, End::Fin);
            }
            _ => {
                side.is_read = true;
                if self.lingers_until.is_none() && flow.stream.is_over() && flow.is_done {
                    // It has ended in order before, and is gone now.
                    return self.reset();
                }
                flow.is_reset = true;
                flow.stream.handle_end(now, End::Reset);
            }
        }
        if self.lingers_until.is_some() && self.sides.iter().flatten().all(|side| side.is_read) {
            return Progress::Over;
        }
        Progress::More
    }

    /// Passes on the end of a direction.
    fn end(&mut self, from: usize, end: End, now: Time) -> Progress {
        self.flows[from].is_done = true;
        match end {
            End::Cut => {
                self.sides.iter_mut().flatten().for_each(|side| side.socket.shutdown());
                self.lingers_until = Some(now + CUT_LINGER);
                if self.sides.iter().flatten().all(|side| side.is_read) { Progress::Over } else { Progress::More }
            }
            End::Fin => {
                if let Some(to) = &mut self.sides[1 - from] {
                    to.socket.shutdown();
                }
                let is_over = self.flows.iter().all(|flow| flow.is_done);
                // After half a cut, whoever still sends is heard to the end.
                if is_over && self.sides.iter().flatten().all(|side| side.is_read) {
                    return Progress::Over;
                }
                if is_over {
                    self.lingers_until = Some(now + CUT_LINGER);
                }
                Progress::More
            }
            End::Reset => self.reset(),
        }
    }

    /// Resets both sides.
    fn reset(&mut self) -> Progress {
        self.sides.iter_mut().filter_map(Option::take).for_each(|side| side.socket.reset());
        Progress::Over
    }

    fn tell_fired(&mut self) {
        for flow in &mut self.flows {
            while let Some(fired) = flow.stream.poll_fired() {
                self.route.log.tell_fired(&self.route, fired);
            }
        }
    }

    /// Waits for the next thing that has its time.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        let clock = self.route.log.clock;
        let due = match self.lingers_until {
            Some(until) => Some(until),
            // What waits for its socket waits for no time.
            None => {
                let waiting = self.flows.iter_mut().filter(|flow| flow.writing.is_none() && !flow.is_done);
                waiting.filter_map(|flow| flow.stream.poll_timeout()).min()
            }
        };
        let Some(due) = due else { return Poll::Pending };
        ready!(self.timer.poll(cx, clock, due));
        let is_over = self.lingers_until.is_some_and(|until| until <= clock.now());
        Poll::Ready(if is_over { Progress::Over } else { Progress::More })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tell_fired();
        let [up, down] = [CLIENT, SERVER].map(|side| self.flows[side].stream.position());
        let (relay, connection) = (Arc::clone(&self.route.relay), self.number);
        self.route.log.tell(EventKind::RelayClosed { relay, connection, up, down });
    }
}
