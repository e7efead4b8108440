//! Steps that the driver does: commands and processes.

use bytes::Bytes;

use super::lane::Clocks;
use super::script::{Control, Step};
use super::verdict::Failing;
use super::waiting::{Doing, Flow};
use super::{Action, Conversation};
use crate::event::FailureKind;
use crate::time::Time;

/// Something to be done to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Run this command. It holds when it exits with 0.
    Exec(Vec<String>),
    /// Stop this target and start it again.
    Restart(String),
    /// Send a signal to this target.
    Signal {
        /// The target.
        target: String,
        /// The signal's name.
        signal: String,
    },
    /// Stop this target.
    Stop(String),
}

impl Conversation {
    /// Takes in what came of an [`Action::Control`]: what a command wrote to its stdout, or what went wrong.
    pub fn handle_control(&mut self, now: Time, number: u32, outcome: Result<Bytes, String>) {
        self.deeds.insert(number, outcome);
        self.advance(now);
    }

    pub(super) fn begin_control(&mut self, control: &Control) -> Result<Doing, Box<Failing>> {
        let deed = match control {
            Control::Exec(argv) => {
                let filled: Result<_, _> = argv.iter().map(|word| word.fill_text(&self.variables)).collect();
                Deed::Exec(filled.map_err(|unset| Failing::unset(&unset.0))?)
            }
            Control::Restart(target) => Deed::Restart(target.to_string()),
            Control::Signal { target, signal } => {
                Deed::Signal { target: target.to_string(), signal: signal.to_string() }
            }
            Control::Stop(target) => Deed::Stop(target.to_string()),
        };
        let number = self.next_deed;
        self.next_deed += 1;
        self.actions.push_back(Action::Control { number, deed });
        Ok(Doing::Control(number))
    }

    pub(super) fn controlled(
        &mut self,
        now: Time,
        step: &Step,
        clocks: &Clocks,
        number: u32,
    ) -> Result<Flow, Box<Failing>> {
        match self.deeds.remove(&number) {
            Some(Ok(output)) => {
                if let Some(name) = step.save.clone() {
                    self.set_variable(now, name, output);
                }
                Ok(Flow::Done)
            }
            Some(Err(message)) => Err(Failing::new(FailureKind::Command, message)),
            None if now >= clocks.deadline => {
                Err(Failing::new(FailureKind::Timeout, "the command or process was not done").timed_out())
            }
            None => Ok(Flow::Waiting),
        }
    }
}
