//! What is said of stored cases: how small one was made, and what became of one that was played again.

use super::place::push_remark;
use super::text::{count, number};
use super::{CaseRecord, Look};
use crate::event::{CaseSize, EventKind, Reduced, Replayed};

/// Adds a line for each thing that is to be said.
pub(super) fn push_stored(output: &mut String, case: &CaseRecord<'_>, look: &Look) {
    for event in case.events {
        let lines = match &event.kind {
            EventKind::Reduced(reduced) => reduced_lines(reduced),
            EventKind::Replayed(replayed) => replayed_lines(replayed),
            _ => continue,
        };
        lines.iter().for_each(|(label, line)| push_remark(output, "  ", label, line, look));
    }
}

fn reduced_lines(reduced: &Reduced) -> Vec<(&'static str, String)> {
    let often = match reduced.verdict.as_str() {
        "flaky" => format!("flaky: it fails about {} times of 100", reduced.percent),
        verdict => verdict.to_owned(),
    };
    let mut lines = vec![("failure", format!("{}: {}, {often}", reduced.kind, reduced.fingerprint))];
    let mut made =
        format!("from {} to {} in {}", size(reduced.from), size(reduced.to), count(reduced.replays, "replay"));
    if !reduced.complete {
        made.push_str(", and there was more to try");
    }
    lines.push(("smaller", made));
    lines.extend(reduced.matters.iter().map(|line| ("matters", line.clone())));
    lines.extend(reduced.others.iter().map(|line| ("another", line.clone())));
    lines
}

fn size(size: CaseSize) -> String {
    let CaseSize { connections, messages, bytes } = size;
    let connections = if connections > 1 { format!("{}, ", count(connections, "connection")) } else { String::new() };
    format!("{connections}{}, {}", count(messages, "message"), count(bytes, "byte"))
}

fn replayed_lines(replayed: &Replayed) -> Vec<(&'static str, String)> {
    let Replayed { fate, plays, failures, now, stored, known, differences } = replayed;
    let fate = match fate.as_str() {
        "fixed" => format!("fixed: it held in {}", count(u64::from(*plays), "play")),
        "failed" | "flaky" => {
            format!("{fate}: it failed in {} of {}", number(u64::from(*failures)), count(u64::from(*plays), "play"))
        }
        fate => fate.to_owned(),
    };
    let mut lines = vec![("replay", fate)];
    lines.extend(now.iter().map(|now| ("now", now.clone())));
    lines.extend(stored.iter().map(|stored| ("stored", stored.clone())));
    lines.extend(known.iter().map(|known| ("known", known.clone())));
    lines.extend(differences.iter().map(|line| ("differs", line.clone())));
    lines
}
