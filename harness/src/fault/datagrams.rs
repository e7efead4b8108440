//! All datagrams through a relay.
//!
//! Those of all peers are counted together, each direction by itself: a client that tries again often does so from another
//! port. A fault that says `connection` counts that one's alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::armed::{Armed, arm};
use super::{Direction, Do, Fired, Marks, Plan, bytes};
use crate::text::count;
use crate::time::{Time, show_duration};

/// How many datagrams wait for their time. While there are so many, none is read, and the system loses what is too much.
pub const DATAGRAMS_MAX: usize = 1_024;

/// A datagram that is to be overtaken waits no longer than this for those that shall do it.
pub const REORDER_HOLD_MAX: Duration = Duration::from_millis(250);

/// A datagram that is to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The connection, from 1.
    pub connection: u32,
    /// Where it goes.
    pub direction: Direction,
    /// What it holds.
    pub data: Bytes,
}

/// The datagrams of a relay: in, and out again when it is their time.
#[derive(Debug)]
pub struct Datagrams {
    plan: Plan,
    marks: Marks,
    /// The faults as they are armed on each direction of each connection.
    armed: HashMap<(u32, Direction), Vec<Armed>>,
    /// How many datagrams and bytes have come, by fault and direction.
    counts: HashMap<(usize, Direction), (u64, u64)>,
    /// Faults whose `byte` has had its one time in a direction.
    spent: std::collections::HashSet<(usize, Direction)>,
    /// What waits, in the order of its time, and of its arrival where that is the same.
    queue: BTreeMap<(Time, u64), Delivery>,
    /// What waits to be overtaken, in the order of its arrival.
    held: Vec<Held>,
    next: u64,
    fired: std::collections::VecDeque<Fired>,
}

#[derive(Debug)]
struct Held {
    /// How many have still to overtake it.
    left: u64,
    until: Time,
    delivery: Delivery,
    late: Duration,
}

impl Datagrams {
    /// The datagrams of a relay.
    pub fn new(plan: Plan) -> Datagrams {
        Datagrams {
            plan,
            marks: Marks::new(),
            armed: HashMap::new(),
            counts: HashMap::new(),
            spent: std::collections::HashSet::new(),
            queue: BTreeMap::new(),
            held: Vec::new(),
            next: 0,
            fired: std::collections::VecDeque::new(),
        }
    }

    /// Takes in a datagram.
    pub fn handle_datagram(&mut self, now: Time, delivery: Delivery) {
        let Delivery { connection, direction, mut data } = delivery;
        let len = data.len() as u64;
        let (plan, marks) = (&self.plan, &self.marks);
        let name = if plan.wants_names() { plan.name_of(direction, &data) } else { None };
        let armed =
            self.armed.entry((connection, direction)).or_insert_with(|| arm(plan, connection, direction, marks));
        let (mut copies, mut late, mut overtakers, mut lost) = (1, Duration::ZERO, 0, false);
        for armed in armed {
            let (nth, passed) = self.counts.entry((armed.number, direction)).or_default();
            *nth += 1;
            let (nth, at_byte) = (*nth, std::mem::replace(passed, *passed + len));
            let is_spent = self.spent.contains(&(armed.number, direction));
            // It is counted even where an earlier fault has lost it already.
            if is_spent || !armed.fits(&data, at_byte, nth, name.as_deref()) || lost {
                continue;
            }
            let drawn = armed.draw();
            // A place comes once, and is drawn for once; of contents the first that is drawn counts.
            if armed.when.byte.is_some() && (drawn || armed.when.contains.is_none()) {
                self.spent.insert((armed.number, direction));
            }
            if !drawn {
                continue;
            }
            let what = match armed.does {
                Do::Corrupt { at, xor } => {
                    let Some(at) = usize::try_from(at).ok().filter(|at| *at < data.len()) else { continue };
                    let mut spoiled = BytesMut::from(data);
                    let was = spoiled[at];
                    spoiled[at] ^= xor;
                    let what = format!("made 0x{was:02x} of its byte {at} into 0x{:02x}", spoiled[at]);
                    data = spoiled.freeze();
                    what
                }
                Do::Delay { delay, jitter } => {
                    let drawn = armed.jittered(delay, jitter);
                    late += drawn;
                    format!("delayed by {}", show_duration(drawn))
                }
                Do::Drop => {
                    lost = true;
                    format!("dropped {}", bytes(len))
                }
                Do::Duplicate => {
                    copies += 1;
                    format!("sent {} twice", bytes(len))
                }
                Do::Reorder(by) => {
                    overtakers = overtakers.max(by);
                    format!(
                        "holds it until {} passed",
                        match by {
                            1 => "another has".to_owned(),
                            by => format!("{} have", count(by as usize, "other")),
                        }
                    )
                }
                // These are for streams, and are refused for datagrams where they are read.
                Do::Cut { .. } | Do::Rate(_) | Do::Reset | Do::Slice(_) | Do::Stall(_) => continue,
            };
            if armed.tells() {
                self.fired.push_back(Fired { fault: armed.number, connection, direction, at_byte, nth, what });
            }
        }
        if lost {
            return;
        }
        let delivery = Delivery { connection, direction, data };
        for _ in 0..copies {
            match overtakers {
                0 => self.push(now + late, delivery.clone()),
                left => {
                    let until = now + late + REORDER_HOLD_MAX;
                    self.held.push(Held { left, until, delivery: delivery.clone(), late });
                }
            }
        }
        if overtakers == 0 {
            self.overtake(now, connection, direction);
        }
    }

    /// Takes in that a mark was reached.
    pub fn handle_mark(&mut self, mark: &Arc<str>) {
        self.marks.insert(Arc::clone(mark));
        for armed in self.armed.values_mut().flatten() {
            armed.mark(mark);
        }
    }

    /// A datagram that is to leave now.
    pub fn poll_delivery(&mut self, now: Time) -> Option<Delivery> {
        while let Some(at) = self.held.iter().position(|held| held.until <= now) {
            let held = self.held.remove(at);
            self.push(held.until, held.delivery);
        }
        let first = self.queue.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When there is something to be done; a time in the past is now.
    pub fn poll_timeout(&self) -> Option<Time> {
        let first = self.queue.first_key_value().map(|((time, _), _)| *time);
        self.held.iter().map(|held| held.until).chain(first).min()
    }

    /// The next fault that has fired.
    pub fn poll_fired(&mut self) -> Option<Fired> {
        self.fired.pop_front()
    }

    /// Whether there is room for more.
    pub fn has_room(&self) -> bool {
        self.queue.len() + self.held.len() < DATAGRAMS_MAX
    }

    fn push(&mut self, time: Time, delivery: Delivery) {
        self.queue.insert((time, self.next), delivery);
        self.next += 1;
    }

    /// One has passed those that wait for it.
    fn overtake(&mut self, now: Time, connection: u32, direction: Direction) {
        let mut at = 0;
        while at < self.held.len() {
            let held = &mut self.held[at];
            if (held.delivery.connection, held.delivery.direction) == (connection, direction) {
                held.left -= 1;
                if held.left == 0 {
                    let held = self.held.remove(at);
                    self.push(now + held.late, held.delivery);
                    continue;
                }
            }
            at += 1;
        }
    }
}
