//! TLS of a target's connections, as the scenario has it.

#![expect(clippy::disallowed_methods, reason = "a campaign's clock is here")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::plan::Place;
use super::super::socket::Protection;
use super::{Player, Trace};
use crate::event::Failure;
use crate::scenario::Tls;

/// How long both sides may take to agree on TLS where nobody can be watched.
const SHAKE_WITHIN: Duration = Duration::from_millis(500);

/// How an actor does TLS: from the start of a connection, and from the middle on.
#[derive(Debug, Default)]
pub(super) struct Protections {
    start: Option<Protection>,
    middle: Option<Protection>,
}

impl Player {
    /// Reads what the scenario says of TLS. A target has to be up: addresses and files are known by then.
    pub(super) fn read_tls(&mut self) -> Result<(), Box<Failure>> {
        if !self.protections.is_empty() {
            return Ok(());
        }
        let plan = Arc::clone(&self.plan);
        let mut all = Vec::new();
        for (at, actor) in plan.actors.iter().enumerate() {
            let read = |tls: &Option<Tls>| tls.as_ref().map(|tls| self.protection(at, tls)).transpose();
            all.push(Protections { start: read(&actor.tls)?, middle: read(&actor.starttls)? });
        }
        self.protections = all;
        Ok(())
    }

    fn protection(&self, actor: usize, tls: &Tls) -> Result<Protection, Box<Failure>> {
        let address = match &self.plan.actors[actor].place {
            Place::Listen(_) => return self.ground.starter().tls_server(tls, &self.variables).map(Protection::Server),
            Place::Target(_) => self.addresses[actor].clone(),
            Place::Url(url) => url.fill_text(&self.variables).ok().and_then(|url| self.ground.resolve(&url).ok()),
        };
        self.ground.starter().tls_client(tls, &self.variables, address.as_ref()).map(Protection::Client)
    }

    /// Begins TLS on a connection, if its actor does so there, and waits until both sides have agreed or the target rests
    /// without that: then what is said waits for it.
    pub(super) fn protect(&mut self, link: u16, from_start: bool) {
        let Some(open) = self.links.get_mut(usize::from(link)).and_then(Option::as_mut) else { return };
        let Some(protections) = self.protections.get(open.actor) else { return };
        let protection = if from_start { &protections.start } else { &protections.middle };
        let Some(protection) = protection else { return };
        open.protect(protection);
        let until = Instant::now() + SHAKE_WITHIN;
        if self.rest.is_some() {
            self.touch();
            self.settle(&mut Trace::default());
        } else if let Some(open) = self.link(link) {
            while let Some(left) = until.checked_duration_since(Instant::now()).filter(|_| open.is_shaking()) {
                open.wait(left);
                open.read();
            }
        }
        if let Some(why) = self.link(link).and_then(|open| open.why()).map(str::to_owned) {
            self.trouble.get_or_insert(why);
        }
    }

    /// Why there is no TLS with the target, if that ever went wrong.
    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }
}
