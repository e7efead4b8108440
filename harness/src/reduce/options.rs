//! Simpler sending: one write instead of several, no pauses, nothing spoilt on the way, no faults.

use super::{Reducer, bytes, steps};
use crate::document::{Node, Table, Value, parse_duration};
use crate::testcase::TestCase;
use crate::testcase::step::{duration, table_mut, verb};

/// What can stand beside a `send` and need not, the most dispensable first.
const OPTIONS: &[&str] =
    &["pace", "split", "coalesce", "truncate", "corrupt", "then", "between", "after", "mark", "save"];

/// The most writes that `"every-byte"` is taken apart into.
const CUTS_MAX: usize = 4_096;

impl Reducer<'_> {
    /// Takes options from the steps that send, then cuts out of those that must be cut.
    pub(super) fn simplify_sends(&mut self) {
        for option in OPTIONS {
            let mut base = self.best.clone();
            let count = steps::count_sends(&mut base);
            let is_own = |table: &Table| match *option {
                // Several writes are read in one go only for as long as the peer is slow enough.
                "coalesce" => table.get("send").and_then(Node::as_array).is_none_or(|payloads| payloads.len() < 2),
                // And a cut without its pause is one only for as long as it is fast enough: these two go together.
                "pace" => table.get("split").is_none(),
                _ => true,
            };
            let having: Vec<usize> = (0..count)
                .filter(|send| {
                    let table = steps::send_mut(&mut base, *send);
                    table.is_some_and(|table| table.get(option).is_some() && is_own(table))
                })
                .collect();
            // Most often none of them is needed.
            let without = |kept: &[usize]| {
                let mut case = base.clone();
                for (at, send) in having.iter().enumerate() {
                    if !kept.contains(&at)
                        && let Some(table) = steps::send_mut(&mut case, *send)
                    {
                        table.remove(option);
                        if *option == "split" {
                            table.remove("pace");
                        }
                    }
                }
                case
            };
            if having.is_empty() || self.test(without(&[])) {
                continue;
            }
            if having.len() > 1 {
                self.delete(having.len(), &|_| false, &without);
            }
        }
        for send in 0..steps::count_sends(&mut self.best.clone()) {
            self.simplify_split(send);
        }
    }

    /// As few cuts as it takes: those of `"every-byte"` one by one.
    fn simplify_split(&mut self, send: usize) {
        let base = self.best.clone();
        let folder = base.folder.clone();
        let Some(table) = steps::send_mut(&mut self.best, send) else { return };
        let Some(split) = table.get("split").cloned() else { return };
        let len = match table.get("send") {
            Some(node) if node.as_array().is_none() => {
                bytes::Data::read(node, &folder).map_or_else(|| bytes::len(node), |data| data.tokens.len())
            }
            _ => return,
        };
        let cuts: Vec<usize> = match &split.value {
            Value::Array(sizes) => {
                let sizes = sizes.iter().filter_map(|size| match size.value {
                    Value::Integer(size) => usize::try_from(size).ok(),
                    _ => None,
                });
                sizes
                    .scan(0, |at, size| {
                        *at += size;
                        Some(*at)
                    })
                    .collect()
            }
            Value::String(text) if text == "every-byte" => (1..len.min(CUTS_MAX)).collect(),
            _ => (1..len.min(CUTS_MAX)).collect(),
        };
        let with = |cuts: &[usize]| {
            let mut case = base.clone();
            let sizes = std::iter::once(0)
                .chain(cuts.iter().copied())
                .zip(cuts)
                .map(|(from, to)| Node::from((to - from) as i64));
            let sizes: Vec<Node> = sizes.collect();
            if let Some(table) = steps::send_mut(&mut case, send) {
                match sizes.is_empty() {
                    true => {
                        table.remove("split");
                        table.remove("pace");
                    }
                    false => table.set("split", sizes),
                }
            }
            case
        };
        self.delete(cuts.len(), &|_| false, &|kept| with(&kept.iter().map(|at| cuts[*at]).collect::<Vec<_>>()));
    }

    /// Shorter pauses: next to none, or a tenth, and a tenth of that, and half.
    pub(super) fn shorten_pauses(&mut self) {
        let lanes: Vec<(String, usize)> =
            self.best.lanes().iter().map(|(lane, steps)| ((*lane).to_owned(), steps.len())).collect();
        for (lane, count) in lanes {
            for at in 0..count {
                let base = self.best.clone();
                let time = |case: &TestCase| {
                    let steps = case.lanes().into_iter().find(|(name, _)| *name == lane)?.1;
                    let step = steps.get(at).filter(|step| verb(step) == Some("sleep"))?;
                    parse_duration(crate::testcase::step::parts(step)?.1.get("sleep")?.as_str()?)
                };
                let Some(now) = time(&base) else { continue };
                let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
                if millis <= 1 {
                    continue;
                }
                let mut shorter = |millis: u64| {
                    let mut case = base.clone();
                    let step = case.lane_mut(&lane).and_then(|steps| table_mut(&mut steps[at]));
                    if let Some(table) = step {
                        table.set("sleep", duration(std::time::Duration::from_millis(millis)));
                    }
                    self.test(case)
                };
                // To the millisecond is nobody's business.
                if shorter(1) {
                    continue;
                }
                let mut now = millis;
                while now >= 20 && shorter(now / 10) {
                    now /= 10;
                }
                if now >= 4 {
                    shorter(now / 2);
                }
            }
        }
    }

    /// Drops faults, of the file and of the case.
    pub(super) fn drop_faults(&mut self) {
        for own in [true, false] {
            let base = self.best.clone();
            let table = if own { base.case() } else { base.document() };
            let Some(faults) = table.get("fault").and_then(Node::as_array) else { continue };
            let without = |kept: &[usize]| {
                let mut case = base.clone();
                let table = if own { case.case_mut() } else { case.document_mut() };
                let kept: Vec<Node> = kept.iter().map(|at| faults[*at].clone()).collect();
                match kept.is_empty() {
                    true => _ = table.remove("fault"),
                    false => table.set("fault", kept),
                }
                case
            };
            if self.test(without(&[])) || faults.len() == 1 {
                continue;
            }
            self.delete(faults.len(), &|_| false, &without);
        }
    }
}
