//! Whether a case that did not hold is played again: `--retries`.
//!
//! Every failure is worth another attempt, whatever it looks like: what comes of the environment and what does not can only
//! be told by trying. An attempt draws the same bytes as the one before. What another attempt cannot change is a target that
//! serves all cases of its file and is gone.

use super::run::{File, Run};
use super::target::Running;
use crate::scenario::Family;

impl Run {
    /// Why a case that did not hold and has attempts left is not played again; `None` if it is.
    pub(super) fn not_again(&self, file: &File, family: Option<Family>) -> Option<String> {
        if self.stopping.borrow().is_some() {
            return Some("it is not played again: the run ends".to_owned());
        }
        let cannot = match file.group(family).get() {
            None => return None,
            Some(Err(_)) => "the targets of the file did not start".to_owned(),
            Some(Ok(group)) => {
                let has_ended =
                    |running: &&Running| running.process().is_some_and(|process| process.exited().is_some());
                let gone = group.running.iter().find(has_ended)?;
                format!("the target `{}` has ended", gone.name)
            }
        };
        Some(format!("it is not played again: {cannot}, and only `restart = \"case\"` starts one for each attempt"))
    }
}
