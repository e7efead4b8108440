//! What a campaign tells while it goes on: one line, and why nothing new is found.

use std::time::Duration;

use super::finding::Finding;
use super::state::Counts;
use crate::text::count;

/// Whoever is told how a campaign goes on.
pub trait Watcher: Send {
    /// How it goes, about once a second.
    fn status(&mut self, status: &Status);

    /// Something was found.
    fn found(&mut self, finding: &Finding, symptom: &str);

    /// Something that is worth a line.
    fn note(&mut self, text: &str);
}

/// How a campaign goes.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// How long it has been going on.
    pub elapsed: Duration,
    /// What was counted.
    pub counts: Counts,
    /// What was counted a moment ago, and how long ago that was.
    pub before: (Counts, Duration),
    /// How many edges were taken, and how many of them come and go by themselves.
    pub edges: Option<(usize, usize)>,
    /// How many there are in the target's program, where that is known.
    pub edges_total: Option<usize>,
    /// How many states and kinds of answers were seen.
    pub states: (usize, usize),
    /// How many cases the corpus has.
    pub corpus: usize,
    /// How many findings there are.
    pub findings: usize,
    /// The sign that is looked into, and for how many seconds.
    pub looking: Option<(String, f64)>,
    /// Whether the finite part is done.
    pub swept: bool,
}

impl Status {
    /// One line.
    pub fn line(&self) -> String {
        let (before, ago) = &self.before;
        let seconds = ago.as_secs_f64().max(0.001);
        let rate = |now: u64, then: u64| ((now - then.min(now)) as f64 / seconds) as usize;
        let number = |number: usize| crate::text::count(number, "x").trim_end_matches(['x', 's', ' ']).to_owned();
        let mut line = format!(
            "{:>4.0} s  {}, {}/s, {} messages/s",
            self.elapsed.as_secs_f64(),
            count(self.counts.cases as usize, "case"),
            number(rate(self.counts.cases, before.cases)),
            number(rate(self.counts.messages, before.messages)),
        );
        if let Some((edges, masked)) = self.edges {
            line.push_str(&format!(", {}", super::page::edges(edges, self.edges_total)));
            if masked > 0 {
                line.push_str(&format!(" ({} unstable)", number(masked)));
            }
        }
        line.push_str(&format!(", {}, {}", count(self.states.0, "state"), count(self.findings, "finding")));
        line.push_str(&format!("; {}", self.why()));
        line
    }

    /// Where the time goes.
    pub fn why(&self) -> String {
        let Counts { played, again, triage, started, growth, .. } = self.counts;
        let whole = (played + again + triage + started + growth).as_secs_f64().max(0.001);
        let share = |part: Duration| (part.as_secs_f64() / whole * 100.0).round() as u32;
        let mut parts = vec![format!("{} % waiting for the target", share(self.counts.waited))];
        let started = share(started);
        if started >= 5 {
            parts.push(format!("{started} % starting it ({} times)", self.counts.starts));
        }
        let again = share(again);
        if again >= 5 {
            parts.push(format!("{again} % playing again what was new"));
        }
        let growth = share(growth);
        if growth >= 5 {
            parts.push(format!("{growth} % looking for what grows"));
        }
        let triage = share(triage);
        if triage >= 5 {
            parts.push(format!("{triage} % looking into findings"));
        }
        if let Some((name, seconds)) = &self.looking {
            parts.push(format!("looking into {name} for {seconds:.0} s"));
        }
        let since = self.counts.cases - self.counts.news_at.min(self.counts.cases);
        if since > 20_000 && self.swept {
            parts.push(format!("nothing new for {}", count(since as usize, "case")));
        }
        parts.join(", ")
    }
}
