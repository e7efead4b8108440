//! Whether what came is what was expected, and what is kept of it.
//!
//! It looks at bytes where they lie. Whose they are, and when they came, is told elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::workload::{Expecting, Wanted, Workload};
use crate::framing::{Decoded, Framing};
use crate::matcher::{Exact, Input, Match, Matcher, Outcome, Progress};
use crate::template::Variables;
use crate::text::quote;

/// How much of what came is told of an answer that was not the expected one.
const TOLD_LEN_MAX: usize = 120;

/// What came is not what was expected, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch(pub String);

/// How far the search for the next expected message has come, and what earlier ones have left.
#[derive(Debug)]
pub struct Expectation {
    /// What is known by name.
    pub variables: Variables,
    /// What was set and others do not know of yet, where there are any.
    said: Option<Vec<(Arc<str>, Bytes)>>,
    /// What was set here and others cannot change; empty where they can.
    own: BTreeSet<Arc<str>>,
    keeps_own: bool,
    /// How many bytes of what waits hold no end of a message.
    searched: usize,
    progress: Progress,
    matcher: Option<Arc<dyn Matcher>>,
}

impl Expectation {
    /// The first of a connection that plays a workload, with others where there are any.
    pub fn new(workload: &Workload) -> Expectation {
        Expectation {
            variables: workload.variables.clone(),
            said: (workload.parts.len() > 1).then(Vec::new),
            own: BTreeSet::new(),
            keeps_own: workload.side_by_side,
            searched: 0,
            progress: Progress::default(),
            matcher: None,
        }
    }

    /// Sets a variable, for others too.
    pub fn set(&mut self, name: &Arc<str>, value: Bytes) {
        if let Some(said) = &mut self.said {
            said.push((Arc::clone(name), value.clone()));
            if self.keeps_own {
                self.own.insert(Arc::clone(name));
            }
        }
        self.variables.insert(Arc::clone(name), value);
    }

    /// What was set since it was asked last.
    pub fn said(&mut self) -> Vec<(Arc<str>, Bytes)> {
        self.said.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Another one has set a variable.
    pub fn hear(&mut self, name: &Arc<str>, value: &Bytes) {
        if !self.own.contains(name) {
            self.variables.insert(Arc::clone(name), value.clone());
        }
    }

    /// Begins with the next one.
    pub fn reset(&mut self) {
        self.searched = 0;
        self.progress = Progress::default();
        self.matcher = None;
    }

    /// How many bytes of `rest` the expected message takes, once it is there.
    pub fn take(
        &mut self,
        framing: Option<&dyn Framing>,
        verify: bool,
        expecting: &Expecting,
        rest: &[u8],
    ) -> Result<Option<usize>, Mismatch> {
        if let Some(framing) = framing {
            let decoded = framing.decode(rest, self.searched.min(rest.len()));
            return match decoded.map_err(|error| Mismatch(error.to_string()))? {
                Decoded::NeedMore => {
                    self.searched = rest.len();
                    Ok(None)
                }
                Decoded::Message { start, end, consumed } => {
                    self.searched = 0;
                    let body = &rest[start..end];
                    let found = self.compare(verify, expecting, body)?.map_err(Mismatch)?;
                    self.keep(expecting, body, &found);
                    Ok(Some(consumed))
                }
            };
        }
        if rest.is_empty() {
            return Ok(None);
        }
        if let Wanted::Bytes(bytes) = &expecting.what {
            let common = bytes.len().min(rest.len());
            let from = self.searched.min(common);
            if verify && rest[from..common] != bytes[from..common] {
                return Err(Mismatch(told(&shown(bytes), rest)));
            }
            if common < bytes.len() {
                self.searched = common;
                return Ok(None);
            }
            if let Some(name) = &expecting.save {
                self.set(name, bytes.clone());
            }
            return Ok(Some(common));
        }
        let made;
        let matcher = match &expecting.what {
            Wanted::Matcher(matcher) => &**matcher,
            _ => {
                made = self.matcher(expecting)?;
                &*made
            }
        };
        match matcher.check(Input::stream(rest, false), &mut self.progress) {
            Outcome::NeedMore => Ok(None),
            Outcome::Mismatch { why, .. } => Err(Mismatch(format!("{}: {why}", told(&matcher.describe(), rest)))),
            Outcome::Match(found) => {
                let len = found.len;
                self.keep(expecting, &rest[..len], &found);
                Ok(Some(len))
            }
        }
    }

    /// Whether a whole message is the expected one; otherwise why not.
    pub fn compare(
        &mut self,
        verify: bool,
        expecting: &Expecting,
        body: &[u8],
    ) -> Result<Result<Match, String>, Mismatch> {
        if !verify && expecting.save.is_none() {
            return Ok(Ok(Match::default()));
        }
        if let Wanted::Bytes(bytes) = &expecting.what {
            if bytes.as_ref() == body {
                return Ok(Ok(Match::default()));
            }
            return Ok(Err(told(&shown(bytes), body)));
        }
        let made;
        let matcher = match &expecting.what {
            Wanted::Matcher(matcher) => &**matcher,
            _ => {
                made = self.matcher(expecting)?;
                self.matcher = None;
                &*made
            }
        };
        Ok(match matcher.check(Input::message(body), &mut Progress::default()) {
            Outcome::Match(found) => Ok(found),
            Outcome::Mismatch { why, .. } => Err(format!("{}: {why}", told(&matcher.describe(), body))),
            Outcome::NeedMore => Err(told(&matcher.describe(), body)),
        })
    }

    fn matcher(&mut self, expecting: &Expecting) -> Result<Arc<dyn Matcher>, Mismatch> {
        match &expecting.what {
            Wanted::Bytes(bytes) => Ok(Arc::new(Exact(bytes.clone()))),
            Wanted::Matcher(matcher) => Ok(Arc::clone(matcher)),
            Wanted::Pattern(pattern) => match &self.matcher {
                Some(matcher) => Ok(Arc::clone(matcher)),
                None => {
                    let matcher = pattern.fill(&self.variables).map_err(|error| Mismatch(error.to_string()))?;
                    self.matcher = Some(Arc::clone(&matcher));
                    Ok(matcher)
                }
            },
        }
    }

    /// What is expected, in words.
    pub fn describe(&mut self, expecting: &Expecting) -> String {
        self.matcher(expecting).map_or_else(|_| "an answer".into(), |matcher| matcher.describe())
    }

    /// Keeps what a match sets.
    pub fn keep(&mut self, expecting: &Expecting, body: &[u8], found: &Match) {
        if let Some(name) = &expecting.save {
            self.set(name, Bytes::copy_from_slice(body));
        }
        for (name, range) in &found.captures {
            self.set(name, Bytes::copy_from_slice(&body[range.clone()]));
        }
        for (name, value) in &found.values {
            self.set(name, value.clone());
        }
    }
}

/// The beginning of bytes, as they are told.
pub fn shown(bytes: &[u8]) -> String {
    quote(&bytes[..bytes.len().min(TOLD_LEN_MAX)])
}

fn told(wanted: &str, got: &[u8]) -> String {
    let more = if got.len() > TOLD_LEN_MAX { format!(" and {} more", got.len() - TOLD_LEN_MAX) } else { String::new() };
    format!("expected {wanted}, got {}{more}", shown(got))
}
