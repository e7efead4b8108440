//! The steps of a case, one after the other.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::case::{Case, Message, Step};
use super::super::coverage::Coverage;
use super::super::plan::Place;
use super::super::socket::{Link, wait_any};
use super::{Player, REPLY_LEN_MAX, Reply, Told, Trace};
use crate::event::{Failure, OutputLine};
use crate::template::Variables;

/// How long the pieces of a message wait for each other, all together.
const CUTS_WITHIN: Duration = Duration::from_millis(50);

/// How long a client program may take to connect.
const ARRIVE_WITHIN: Duration = Duration::from_secs(2);

/// When the coverage can be read.
enum Reading<'r> {
    /// After each message, once its reply is there and the target rests.
    Messages(&'r mut dyn FnMut(&mut Coverage, &Reply)),
    /// Once, when all is said: several times as fast where replies are expected, as then nobody waits for rest in between.
    Whole(&'r mut dyn FnMut(&mut Coverage)),
}

impl Player {
    /// Plays a case. `after` is told of each message once its reply is there, and can read the coverage.
    pub fn play(&mut self, case: &Case, after: &mut dyn FnMut(&mut Coverage, &Reply)) -> Trace {
        self.play_read(case, Reading::Messages(after))
    }

    /// Plays a case. `at_end` can read the coverage of all of it, before its connections are closed.
    pub fn play_whole(&mut self, case: &Case, at_end: &mut dyn FnMut(&mut Coverage)) -> Trace {
        self.play_read(case, Reading::Whole(at_end))
    }

    fn play_read(&mut self, case: &Case, mut reading: Reading<'_>) -> Trace {
        let began = Instant::now();
        let mut trace = Trace::default();
        if let Err(failure) = self.begin() {
            trace.refused = Some(0);
            trace.lines.push(OutputLine { stderr: true, text: failure.message });
            return trace;
        }
        let base = self.variables.clone();
        for (at, step) in case.steps.iter().enumerate() {
            self.play_step(case, at, step, &mut trace, &mut reading);
            if trace.refused.is_some() {
                break;
            }
        }
        if let Reading::Whole(at_end) = reading
            && self.coverage.is_on()
        {
            self.settle(&mut trace);
            at_end(&mut self.coverage);
        }
        self.finish(&mut trace, true);
        self.variables = base;
        trace.time = began.elapsed();
        trace
    }

    /// Plays a case and leaves its connections open.
    pub(super) fn play_open(&mut self, case: &Case, trace: &mut Trace) {
        if let Err(failure) = self.begin() {
            trace.refused = Some(0);
            trace.lines.push(OutputLine { stderr: true, text: failure.message });
            return;
        }
        for (at, step) in case.steps.iter().enumerate() {
            self.play_step(case, at, step, trace, &mut Reading::Messages(&mut |_, _| {}));
        }
    }

    /// Readies what a case needs, before it.
    pub fn begin(&mut self) -> Result<(), Box<Failure>> {
        if self.plan.is_about_clients() {
            self.begin_client()?;
        }
        if self.coverage.is_on() {
            self.settle(&mut Trace::default());
            self.coverage.clear();
        }
        Ok(())
    }

    /// Listens, and starts the program that connects to us.
    fn begin_client(&mut self) -> Result<(), Box<Failure>> {
        self.end(false);
        let plan = Arc::clone(&self.plan);
        let mut known = Variables::new();
        for (at, actor) in plan.actors.iter().enumerate() {
            let Place::Listen(_) = &actor.place else { continue };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let listener = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
            let (address, listener) = match listener {
                Ok(listener) => listener,
                Err(error) => {
                    let place = plan.scenario.actors[at].place.clone();
                    let message = format!("`{}` cannot listen: {error}", actor.name);
                    return Err(Box::new(Failure::new(crate::event::FailureKind::System, message, place)));
                }
            };
            self.listeners[at] = Some(listener);
            let mut set =
                |part: &str, value: String| known.insert(format!("{}.{part}", actor.name).into(), value.into());
            set("port", address.port().to_string());
            set("address", address.to_string());
            let scheme = if actor.tls.is_some() { "tls" } else { "tcp" };
            set("url", format!("{scheme}://{address}"));
        }
        let up = self.ground.start(&plan.scenario, &known, |_| true)?;
        self.variables = up.variables().clone();
        self.settle_in(up);
        self.read_tls()
    }

    /// Plays one step that says nothing.
    pub fn play_alone(&mut self, step: &Step, trace: &mut Trace) {
        let case = Case { steps: vec![step.clone()] };
        self.play_step(&case, 0, step, trace, &mut Reading::Messages(&mut |_, _| {}));
    }

    fn play_step(&mut self, case: &Case, at: usize, step: &Step, trace: &mut Trace, reading: &mut Reading<'_>) {
        match step {
            Step::Open(link, actor) => {
                if self.open(*link, usize::from(*actor)).is_err() {
                    trace.refused.get_or_insert(at);
                } else {
                    trace.opened += 1;
                }
            }
            Step::Send(message) => {
                let bytes = message.fill(&self.variables);
                trace.messages += 1;
                let before = self.link(message.link).map_or(0, |link| link.received);
                self.late_now = Duration::ZERO;
                self.send(message, &bytes, trace);
                // Expectations that follow wait for what they want by themselves.
                let expects = |step: &&Step| matches!(step, Step::Expect(link, _) if *link == message.link);
                let expected: Vec<(usize, &Step)> =
                    case.steps.iter().enumerate().skip(at + 1).take_while(|(_, step)| expects(step)).collect();
                if self.insists && expected.is_empty() {
                    self.hear(message.link);
                }
                let mut kept = Vec::new();
                let mut met = !expected.is_empty();
                for (at, step) in expected {
                    let Step::Expect(link, pattern) = step else { continue };
                    if met && !self.expect_numbered(*link, *pattern, &mut kept, trace) {
                        trace.unmet.get_or_insert(at);
                        met = false;
                    }
                }
                let apart = match reading {
                    Reading::Messages(_) => self.coverage.is_on(),
                    // What two connections are told at once may be done in one order or the other.
                    Reading::Whole(_) => {
                        let mut then = case.steps[at + 1..].iter().filter(|step| !expects(step));
                        then.next().is_some_and(|step| step.link() != Some(message.link))
                    }
                };
                if !met || apart {
                    self.settle(trace);
                }
                let mut reply = Reply { step: at, late: self.late_now, ..Reply::default() };
                if let Some(link) = self.link(message.link) {
                    reply.len = link.received - before;
                    reply.end = link.end;
                    kept.extend_from_slice(&link.stream);
                    link.datagrams.iter().for_each(|datagram| kept.extend_from_slice(datagram));
                    if !met {
                        // Of what nobody expected, nothing is left to be taken for an answer to the next message.
                        link.stream.clear();
                        link.datagrams.clear();
                    }
                }
                kept.truncate(REPLY_LEN_MAX);
                reply.data = kept;
                if let Reading::Messages(after) = reading {
                    after(&mut self.coverage, &reply);
                }
                trace.replies.push(reply);
            }
            // Those right behind a message were played with it.
            Step::Expect(link, pattern) => {
                let behind = case.steps[..at].iter().rev().find(|step| !matches!(step, Step::Expect(..)));
                if matches!(behind, Some(Step::Send(message)) if message.link == *link) {
                    return;
                }
                if !self.expect_numbered(*link, *pattern, &mut Vec::new(), trace) {
                    trace.unmet.get_or_insert(at);
                }
            }
            Step::Close(link) => {
                self.settle(trace);
                self.touch();
                if let Some(link) = self.take(*link) {
                    link.close();
                }
            }
            Step::Reset(link) => {
                self.touch();
                if let Some(link) = self.take(*link) {
                    link.reset();
                }
            }
            Step::Shut(link) => {
                self.touch();
                if let Some(link) = self.link(*link) {
                    link.shut();
                }
                self.settle(trace);
            }
            Step::StartTls(link) => {
                // What was said before is heard before.
                self.settle(trace);
                self.protect(*link, false);
            }
            Step::Pause(milliseconds) => {
                self.touch();
                let until = Instant::now() + Duration::from_millis((*milliseconds).into());
                while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                    let open = self.links.iter().flatten().filter(|link| link.end.is_none());
                    wait_any(open, left);
                    self.read_all();
                }
            }
        }
    }

    /// Opens a connection.
    pub fn open(&mut self, link: u16, actor: usize) -> Result<(), String> {
        self.touch();
        let place = &self.plan.actors.get(actor).ok_or("there is no such actor")?.place;
        let opened = match place {
            Place::Listen(_) => {
                let listener = self.listeners[actor].as_ref().ok_or("nobody listens")?;
                Link::accept(actor, listener, ARRIVE_WITHIN)
            }
            Place::Url(url) => {
                let url = url.fill_text(&self.variables).map_err(|unset| format!("`{}` has no value", unset.0))?;
                Link::open(actor, &self.ground.resolve(&url)?)
            }
            Place::Target(_) => {
                let address = self.elsewhere.as_ref().or(self.addresses[actor].as_ref());
                Link::open(actor, address.ok_or("the target has no address")?)
            }
        };
        let opened = opened.map_err(|error| error.to_string())?;
        let at = usize::from(link);
        if self.links.len() <= at {
            self.links.resize_with(at + 1, || None);
        }
        if let Some(old) = self.links[at].replace(opened) {
            old.reset();
        }
        self.protect(link, true);
        Ok(())
    }

    /// Writes a message, each cut after the target has read what came before it.
    pub fn send(&mut self, message: &Message, bytes: &[u8], trace: &mut Trace) {
        let began = Instant::now();
        let writes = message.writes(bytes);
        let last = writes.len() - 1;
        for (at, write) in writes.into_iter().enumerate() {
            self.touch();
            let Some(link) = self.link(message.link) else { return };
            let received = link.received;
            if !link.send(write) {
                return;
            }
            self.told = Told::Answer(message.link, received);
            // Where that takes long, the rest goes as it comes.
            if at < last && began.elapsed() < CUTS_WITHIN {
                self.settle(trace);
            }
        }
    }
}
