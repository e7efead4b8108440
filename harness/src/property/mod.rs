//! Laws that a target should keep, each tested with many variants of a case that holds.
//!
//! A property takes a case (a [`Base`]) and makes variants of it: the same conversation, cut elsewhere, at the same time as
//! others, after a connection that was lost. Each is a [`TestCase`] with its own expectations, so that a variant that fails is a
//! counterexample as it stands: it plays under `harness run`, and is reduced like any other. [`Session`] plays them, side by side on
//! the same targets where these serve several at once.
//!
//! Nothing is called a violation on the word of one play. A variant that failed among others is played alone on fresh targets,
//! and fails only if its *controls* hold there: the same conversation without what the property does to it. What fails sometimes
//! is played more often, and so are its controls; what stays unclear is [`Outcome::Unknown`].
//!
//! One property a file, and its row in [`PROPERTIES`]. Not here: how a case is made small ([`reduce`](crate::reduce)), files, and
//! what is said on a terminal.

mod amplification;
mod answers;
mod base;
mod bounded;
mod chunking;
mod correlate;
mod deterministic;
mod differential;
mod duplicate;
mod echo;
mod edit;
mod half_close;
mod idempotent;
mod isolation;
mod judge;
mod linearizable;
mod loss;
mod model;
mod no_leak;
mod parameters;
mod pipelining;
mod prefix_close;
mod recovers;
mod reorder;
mod robust;
mod session;
mod study;
mod talk;

pub use base::{Base, Sent};
use judge::Parts;
pub use parameters::{Kind, Parameters, Selected, select};
pub use session::{Outcome, Session, Told, Unfit, Violation};

use crate::random::Random;
use crate::testcase::TestCase;

/// A law, and how it is tested.
#[derive(Debug)]
pub struct Property {
    /// Its name in files and on the command line.
    pub name: &'static str,
    /// What holds, in a sentence.
    pub about: &'static str,
    /// What is sent.
    pub sends: &'static str,
    /// What is judged.
    pub judges: &'static str,
    /// What it costs.
    pub cost: &'static str,
    /// Why it is tested only if somebody asks for it; `None` for what every server should keep.
    pub asked: Option<&'static str>,
    /// Its parameters, and what they mean.
    pub parameters: &'static [(&'static str, Kind, &'static str)],
    /// Whether a counterexample can be made smaller; otherwise it stays as it was made.
    reduces: bool,
    /// Whether the first connection of a variant is there to disturb the others, and may fail as it likes.
    disturbs: bool,
    /// Makes the variants, those first that tell most; or says why it makes no sense for a case.
    plan: Plan,
    /// What has to hold where a variant fails: the same without what the property does.
    ///
    /// `None` for what is no variant at all, which a counterexample may become while it is made smaller.
    controls: fn(&TestCase) -> Option<Vec<TestCase>>,
}

type Plan = fn(&Base, &Parameters, &mut Random) -> Result<Vec<Variant>, String>;

/// A conversation that has to hold if the property does.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What is different about it: `message 2 cut after byte 7`.
    pub what: String,
    /// The conversation.
    pub case: TestCase,
    /// What the failure has to be where others may be meant: `timeout`. Any is one without it.
    pub certain: Option<&'static str>,
    /// What it is made of, where that is how it is made smaller.
    parts: Option<Parts>,
}

impl Variant {
    fn new(what: impl Into<String>, case: TestCase) -> Variant {
        Variant { what: what.into(), case, certain: None, parts: None }
    }
}

/// All properties, in alphabetical order.
pub const PROPERTIES: &[Property] = &[
    amplification::PROPERTY,
    answers::PROPERTY,
    bounded::PROPERTY,
    chunking::PROPERTY,
    correlate::CORRELATE,
    deterministic::PROPERTY,
    differential::PROPERTY,
    duplicate::PROPERTY,
    echo::PROPERTY,
    half_close::PROPERTY,
    idempotent::PROPERTY,
    isolation::PROPERTY,
    linearizable::PROPERTY,
    loss::PROPERTY,
    model::PROPERTY,
    no_leak::PROPERTY,
    correlate::ORDER,
    pipelining::PROPERTY,
    prefix_close::PROPERTY,
    recovers::PROPERTY,
    reorder::PROPERTY,
    robust::PROPERTY,
];

/// The property with a name.
pub fn find(name: &str) -> Option<&'static Property> {
    PROPERTIES.iter().find(|property| property.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(PROPERTIES.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
