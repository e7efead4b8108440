//! One direction of a stream through a relay.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::armed::{Armed, arm};
use super::names::Names;
use super::units::{Part, Units};
use super::{Direction, Do, Fired, Marks, Plan, bytes};
use crate::time::{Time, show_duration};

/// How many bytes wait for their time; whoever sends more has to wait, too.
pub const QUEUE_LEN_MAX: usize = 256 << 10;

/// How many parts they come in, so that single bytes are bounded, too.
const QUEUE_PARTS_MAX: usize = 16 << 10;

/// How many bytes a spoiling fault may have ahead of it.
const SPOILS_MAX: usize = 1_024;

/// How long a direction with a rate is silent between two writes, at most: it sends a little often.
const RATE_STEP: Duration = Duration::from_millis(10);

/// What is to be done with the side that a direction leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// One write.
    Write(Bytes),
    /// Its end. There is none after it.
    End(End),
}

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order, both directions: a fault wants it so.
    Cut,
    /// In order, this direction.
    Fin,
    /// Abruptly, both directions.
    Reset,
}

/// One direction of a stream: bytes in, and out again when it is their time.
#[derive(Debug)]
pub struct Stream {
    connection: u32,
    direction: Direction,
    units: Units,
    unit: u64,
    /// What finds the names of messages, where a fault asks for them, and the name of the one in hand.
    names: Option<Names>,
    name: Option<Arc<str>>,
    armed: Vec<Armed>,
    /// For each that is armed, whether what it does goes on.
    active: Vec<Active>,
    /// Bytes that are to be spoiled: where, with what, by which fault, and whether only in the unit in hand.
    spoils: Vec<Spoil>,
    /// How many bytes have come.
    position: u64,
    queue: VecDeque<Item>,
    queued: usize,
    /// Nothing that comes leaves before.
    floor: Time,
    /// When a line with a rate is free again.
    free: Time,
    /// When the piece in hand has passed such a line.
    passed: Option<Time>,
    /// The source has ended, or a fault has ended it.
    is_over: bool,
    fired: VecDeque<Fired>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Active {
    No,
    /// From here on.
    Open,
    /// As long as this part of a unit.
    Part,
    /// As long as the unit.
    Unit,
}

#[derive(Clone, Copy, Debug)]
struct Spoil {
    at: u64,
    xor: u8,
    by: usize,
    in_unit: bool,
}

#[derive(Debug)]
struct Item {
    ready: Time,
    what: What,
}

#[derive(Debug)]
enum What {
    Data { data: Bytes, slice: usize, rate: Option<u64> },
    End(End),
}

impl Stream {
    /// This direction of this connection, where these marks have been reached already.
    pub fn new(plan: &Plan, connection: u32, direction: Direction, marks: &Marks, now: Time) -> Stream {
        let armed = arm(plan, connection, direction, marks);
        let mut stream = Stream {
            connection,
            direction,
            units: Units::new(plan.framing_of(direction)),
            unit: 0,
            names: plan.wants_names().then(|| Names::new(plan, direction)),
            name: None,
            active: vec![Active::No; armed.len()],
            armed,
            spoils: Vec::new(),
            position: 0,
            queue: VecDeque::new(),
            queued: 0,
            floor: now,
            free: now,
            passed: None,
            is_over: false,
            fired: VecDeque::new(),
        };
        for at in 0..stream.armed.len() {
            stream.fire_at_once(now, at);
        }
        stream
    }

    /// Takes in what has arrived.
    pub fn handle_data(&mut self, now: Time, data: Bytes) {
        if self.armed.is_empty() {
            return self.push(now, data);
        }
        let Some(names) = &mut self.names else { return self.handle_unit(now, data) };
        for (name, data) in names.push(&data) {
            self.name = name;
            self.handle_unit(now, data);
        }
    }

    /// Takes in the end of the direction.
    pub fn handle_end(&mut self, now: Time, end: End) {
        if let Some(rest) = self.names.as_mut().and_then(Names::take) {
            self.name = None;
            self.handle_unit(now, rest);
        }
        if !self.is_over {
            self.end(now, end);
        }
    }

    /// Takes in that a mark was reached.
    pub fn handle_mark(&mut self, now: Time, mark: &Arc<str>) {
        for at in 0..self.armed.len() {
            if self.armed[at].mark(mark) {
                self.fire_at_once(now, at);
            }
        }
    }

    /// What is to be done now.
    pub fn poll_action(&mut self, now: Time) -> Option<Action> {
        if self.poll_timeout()? > now {
            return None;
        }
        let item = self.queue.front_mut().expect("it has just been seen");
        let What::Data { data, slice, rate } = &mut item.what else {
            let Some(Item { what: What::End(end), .. }) = self.queue.pop_front() else {
                unreachable!("it has just been seen")
            };
            return Some(Action::End(end));
        };
        let piece = data.split_to(piece_len(data.len(), *slice, *rate));
        if let Some(passed) = self.passed.take() {
            self.free = passed;
        }
        if data.is_empty() {
            self.queue.pop_front();
        }
        self.queued -= piece.len();
        Some(Action::Write(piece))
    }

    /// When there is something to be done; a time in the past is now.
    pub fn poll_timeout(&mut self) -> Option<Time> {
        let item = self.queue.front()?;
        let What::Data { data, slice, rate: Some(rate) } = &item.what else { return Some(item.ready) };
        let len = piece_len(data.len(), *slice, Some(*rate));
        let begun = item.ready.max(self.free);
        Some(*self.passed.get_or_insert(begun + time_of(len, *rate)))
    }

    /// The next fault that has fired.
    pub fn poll_fired(&mut self) -> Option<Fired> {
        self.fired.pop_front()
    }

    /// Whether there is room for more.
    pub fn has_room(&self) -> bool {
        self.queued < QUEUE_LEN_MAX && self.queue.len() < QUEUE_PARTS_MAX
    }

    /// Whether the direction has ended, at least at its source.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// How many bytes have come.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn handle_unit(&mut self, now: Time, data: Bytes) {
        for part in self.units.cut(data) {
            if self.is_over {
                return;
            }
            self.handle_part(now, part);
        }
    }

    fn handle_part(&mut self, now: Time, part: Part) {
        let Part { mut data, begins, ends } = part;
        if begins {
            self.unit += 1;
            if self.units.are_messages() {
                self.armed.iter_mut().for_each(Armed::begin_message);
            }
        }
        let mut places: Vec<(usize, usize)> = Vec::new();
        for (fault, armed) in self.armed.iter_mut().enumerate() {
            let mut found = armed.occasions(&data, self.position, (self.unit, self.name.as_deref()), begins);
            if let (Do::Delay { .. } | Do::Rate(_) | Do::Slice(_), Some(_)) = (&armed.does, &armed.when.contains) {
                // What has come together with the content is kept together with it.
                found.truncate(1);
                found.fill(0);
            }
            places.extend(found.into_iter().map(|at| (at, fault)));
        }
        places.sort_unstable();
        let mut taken = 0;
        for (at, fault) in places {
            self.push(now, data.split_to(at - taken));
            taken = at;
            self.fire(now, fault);
            if self.is_over {
                return;
            }
        }
        self.push(now, data);
        for active in &mut self.active {
            if *active == Active::Part || (*active == Active::Unit && ends) {
                *active = Active::No;
            }
        }
        if ends {
            self.spoils.retain(|spoil| !spoil.in_unit);
        }
    }

    fn fire_at_once(&mut self, now: Time, at: usize) {
        let armed = &mut self.armed[at];
        // A link that is cut at once is cut in both directions, and that is told of one.
        let is_others = armed.is_for_both && self.direction == Direction::Down;
        let ends = matches!(armed.does, Do::Cut { .. } | Do::Reset);
        if ends && !is_others && !self.is_over && armed.fires_at_once() {
            self.fire(now, at);
        }
    }

    /// The fault fires after all bytes that have been pushed.
    fn fire(&mut self, now: Time, fault: usize) {
        let armed = &self.armed[fault];
        let when = &armed.when;
        let lasts = if when.byte.is_some() { Active::Open } else { Active::Unit };
        let what = match armed.does.clone() {
            Do::Corrupt { at, xor } => {
                // It is told when the byte is there.
                if self.spoils.len() < SPOILS_MAX {
                    let in_unit = when.byte.is_none() && when.contains.is_none();
                    self.spoils.push(Spoil { at: self.position + at, xor, by: fault, in_unit });
                    self.spoils.sort_by_key(|spoil| spoil.at);
                }
                return;
            }
            Do::Cut { half } => {
                self.end(now, if half { End::Fin } else { End::Cut });
                let what = if half { "cut this direction" } else { "cut the connection" };
                format!("{what} after {}", bytes(self.position))
            }
            Do::Delay { delay, jitter } => {
                self.active[fault] = if when.contains.is_some() { Active::Part } else { lasts };
                match jitter.is_zero() {
                    true => format!("delays by {}", show_duration(delay)),
                    false => format!("delays by {} ± {}", show_duration(delay), show_duration(jitter)),
                }
            }
            Do::Rate(rate) => {
                self.active[fault] = if when.contains.is_some() { Active::Open } else { lasts };
                format!("passes {} a second", bytes(rate))
            }
            Do::Reset => {
                self.end(now, End::Reset);
                format!("reset the connection after {}", bytes(self.position))
            }
            Do::Slice(len) => {
                self.active[fault] = if when.contains.is_some() { Active::Open } else { lasts };
                format!("writes {} at a time", bytes(len as u64))
            }
            Do::Stall(stall) => {
                self.floor = self.floor.max(now) + stall;
                format!("stalls for {}", show_duration(stall))
            }
            // These are for datagrams, and are refused for streams where they are read.
            Do::Drop | Do::Duplicate | Do::Reorder(_) => return,
        };
        self.tell(fault, self.position, what);
    }

    fn tell(&mut self, fault: usize, at_byte: u64, what: String) {
        let armed = &mut self.armed[fault];
        if armed.tells() {
            let Stream { connection, direction, unit: nth, .. } = *self;
            let fault = armed.number;
            self.fired.push_back(Fired { fault, connection, direction, at_byte, nth, what });
        }
    }

    fn end(&mut self, now: Time, end: End) {
        self.is_over = true;
        self.floor = self.floor.max(now);
        self.queue.push_back(Item { ready: self.floor, what: What::End(end) });
    }

    /// Bytes go into the queue, under whatever is active.
    fn push(&mut self, now: Time, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let (mut slice, mut rate, mut late) = (usize::MAX, None::<u64>, Duration::ZERO);
        for (armed, _) in self.armed.iter_mut().zip(&self.active).filter(|(_, active)| **active != Active::No) {
            match armed.does {
                Do::Delay { delay, jitter } => late += armed.jittered(delay, jitter),
                Do::Rate(wanted) => rate = Some(rate.map_or(wanted, |rate| rate.min(wanted))),
                Do::Slice(len) => slice = slice.min(len),
                _ => {}
            }
        }
        let data = self.spoil(data);
        self.floor = self.floor.max(now + late);
        self.position += data.len() as u64;
        self.queued += data.len();
        self.queue.push_back(Item { ready: self.floor, what: What::Data { data, slice, rate } });
    }

    fn spoil(&mut self, data: Bytes) -> Bytes {
        let end = self.position + data.len() as u64;
        if self.spoils.first().is_none_or(|spoil| spoil.at >= end) {
            return data;
        }
        let mut data = BytesMut::from(data);
        let due = self.spoils.partition_point(|spoil| spoil.at < end);
        for spoil in self.spoils.drain(..due).collect::<Vec<_>>() {
            let byte = &mut data[(spoil.at - self.position) as usize];
            let was = *byte;
            *byte ^= spoil.xor;
            let what = format!("made 0x{was:02x} of byte {} into 0x{:02x}", spoil.at, *byte);
            self.tell(spoil.by, spoil.at, what);
        }
        data.freeze()
    }
}

/// How many bytes are written at once.
fn piece_len(len: usize, slice: usize, rate: Option<u64>) -> usize {
    let step =
        |rate: u64| usize::try_from(rate.saturating_mul(RATE_STEP.as_millis() as u64) / 1_000).unwrap_or(usize::MAX);
    len.min(slice).min(rate.map_or(usize::MAX, |rate| step(rate).max(1)))
}

/// How long so many bytes take at so many a second.
fn time_of(len: usize, rate: u64) -> Duration {
    Duration::from_nanos(u64::try_from(len as u128 * 1_000_000_000 / u128::from(rate.max(1))).unwrap_or(u64::MAX))
}
