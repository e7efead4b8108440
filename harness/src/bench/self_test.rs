//! Whether the tool tells the truth on this machine: measurements of servers whose answers are known in closed form.
//!
//! What is counted has to be exact wherever it runs. What is timed can only be right where the machine is there for it: a
//! check of time that fails is a failure, unless others kept the machine busy meanwhile or the load generator was late,
//! which both are measured. Then it is not judged, and said not to be.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::compare::{Comparison, PAIRS, SIDE, Verdict, band};
use super::environment::{OTHERS_MAX, Ticks};
use super::figure::{rate, share, time};
use super::measure::Measured;
use super::outcome::{Mode, Outcome};
use super::pairs::pairs;
use super::plan::{Pace, Plan};
use super::schedule::Arrivals;
use super::session::{Session, SessionError};
use crate::scenario::Scenario;

/// What is played: a server whose answers are known, and a case by its name, for each check.
pub const SCENARIO: &str = r#"
[target.delay]
builtin = "delay"
settings = { delay = "50ms" }
[target.drop]
builtin = "drop"
settings = { every = "10" }
listen = "udp://127.0.0.1:0"
[target.echo]
builtin = "tcp-echo"
[target.jitter]
builtin = "jitter"
settings = { from = "10ms", to = "30ms" }
[target.reorder]
builtin = "reorder"
settings = { hold = "400ms" }
listen = "udp://127.0.0.1:0"
[target.slower]
builtin = "tcp-echo"
settings = { spin = "200us" }
[target.stall]
builtin = "stall"
settings = { pause = "100ms", period = "1s" }

[actor.delay]
connect = "delay"
[actor.drop]
connect = "drop"
[actor.echo]
connect = "echo"
[actor.jitter]
connect = "jitter"
[actor.reorder]
connect = "reorder"
protocol = "dns"
[actor.slower]
connect = "slower"
[actor.stall]
connect = "stall"

[[case]]
name = "delay"
steps = [{ delay.send = "0123456789abcdef" }, { delay.expect = "0123456789abcdef" }]
[[case]]
name = "drop"
steps = [{ drop.send = "${iteration}" }, { drop.expect = "${iteration}" }]
[[case]]
name = "echo"
steps = [{ echo.send = "0123456789abcdef" }, { echo.expect = "0123456789abcdef" }]
[[case]]
name = "jitter"
steps = [{ jitter.send = "0123456789abcdef" }, { jitter.expect = "0123456789abcdef" }]
[[case]]
name = "reorder"
steps = [{ reorder.send = { query = { id = 7 } } }, { reorder.expect = { hex = "000701000000000000000000" } }]
[[case]]
name = "slower"
steps = [{ slower.send = "0123456789abcdef" }, { slower.expect = "0123456789abcdef" }]
[[case]]
name = "stall"
steps = [{ stall.send = "0123456789abcdef" }, { stall.expect = "0123456789abcdef" }]
"#;

/// Bytes of the messages whose size is known.
const MESSAGE_LEN: u64 = 16;

/// By how much a time may be off, as a share of it.
const WITHIN: f64 = 0.01;

/// The same of percentiles of times that are drawn: so far a thousand of them stray.
const WITHIN_DRAWN: f64 = 0.05;

/// How long `slower` is busy with each message.
const SPIN: f64 = 200_000.0;

/// How late a load generator may begin half of what it begins.
const LATE_P50_MAX: u64 = 1_000;

/// How late a load generator that was there all along has never been.
const LATE_MAX: u64 = 500_000;

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// It cannot be told.
    #[serde(rename = "n/a")]
    Unknown,
    /// It is not as it should be.
    #[serde(rename = "not ok")]
    Wrong,
    /// It is as it should be.
    #[serde(rename = "ok")]
    Right,
}

/// One thing that is known, and what was measured of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was measured.
    pub name: String,
    /// What it has to be.
    pub expected: String,
    /// What it was.
    pub measured: String,
    /// Whether it depends on how fast the machine is, and on who else uses it.
    pub is_of_time: bool,
    /// What became of it.
    pub found: Found,
    /// Why it cannot be told.
    pub why: Option<String>,
}

/// Measures everything. Each check is told as soon as it is known.
pub async fn run(
    session: &Session,
    scenario: &Scenario,
    seed: u64,
    tell: &mut dyn FnMut(&Check),
) -> Result<Vec<Check>, SessionError> {
    let mut bench = Bench { session, scenario, seed, tell, checks: Vec::new() };
    bench.counts().await?;
    bench.losses().await?;
    bench.order().await?;
    bench.delays().await?;
    bench.draws().await?;
    bench.stalls().await?;
    bench.schedule().await?;
    bench.comparisons().await?;
    Ok(bench.checks)
}

struct Bench<'a> {
    session: &'a Session,
    scenario: &'a Scenario,
    seed: u64,
    tell: &'a mut dyn FnMut(&Check),
    checks: Vec<Check>,
}

/// What a part was measured in: whether somebody else was there, and how late the load generator was.
#[derive(Clone, Debug, Default)]
struct Meanwhile {
    others: f64,
    steal: f64,
    late: u64,
}

impl Meanwhile {
    /// Why nothing can be said of times, if it cannot.
    fn busy(&self) -> Option<String> {
        match self {
            Meanwhile { others, .. } if *others > OTHERS_MAX => {
                Some(format!("machine too busy: others used {} of it", share(*others)))
            }
            Meanwhile { steal, .. } if *steal > OTHERS_MAX => {
                Some(format!("machine too busy: {} of it was stolen", share(*steal)))
            }
            Meanwhile { late, .. } if *late > LATE_MAX => {
                Some(format!("machine too busy: the load generator was up to {} late", time(*late as f64)))
            }
            _ => None,
        }
    }
}

impl Check {
    fn exact(name: &str, expected: String, measured: String) -> Check {
        let found = if expected == measured { Found::Right } else { Found::Wrong };
        Check { name: name.into(), expected, measured, is_of_time: false, found, why: None }
    }

    fn timed(name: &str, expected: String, measured: String, held: bool, meanwhile: &Meanwhile) -> Check {
        let (found, why) = match (held, meanwhile.busy()) {
            (true, _) => (Found::Right, None),
            (false, Some(why)) => (Found::Unknown, Some(why)),
            (false, None) => (Found::Wrong, None),
        };
        Check { name: name.into(), expected, measured, is_of_time: true, found, why }
    }
}

impl Bench<'_> {
    async fn plan(&self, name: &str, change: impl FnOnce(&mut Plan)) -> Result<Plan, SessionError> {
        let case = self.scenario.cases.iter().find(|case| case.name == name).expect("it stands in the scenario");
        let mut plan = self.session.prepare(self.scenario, case).await?.plan;
        change(&mut plan);
        Ok(plan)
    }

    async fn measure(&self, plan: &Plan) -> Result<(Measured, Outcome, Meanwhile), SessionError> {
        let before = (Ticks::look(), self.session.own_ticks());
        let measured = self.session.measure(plan.clone(), |_| {}).await?;
        if self.session.is_stopped() {
            return Err(SessionError::Interrupted);
        }
        let mode = if plan.pace == Pace::Closed { Mode::Closed } else { Mode::Open };
        let outcome = Outcome::of(&measured, plan, mode, None);
        let meanwhile = Meanwhile { late: outcome.lateness_ns.max, ..self.meanwhile(before) };
        Ok((measured, outcome, meanwhile))
    }

    fn meanwhile(&self, (ticks, own): (Ticks, u64)) -> Meanwhile {
        let environment = self.session.environment(ticks, own);
        Meanwhile { others: environment.others, steal: environment.steal, late: 0 }
    }

    /// What does not depend on the machine.
    fn exact(&mut self, name: &str, expected: String, measured: String) {
        self.push(Check::exact(name, expected, measured));
    }

    /// What depends on it.
    fn timed(&mut self, name: &str, expected: String, measured: String, held: bool, meanwhile: &Meanwhile) {
        self.push(Check::timed(name, expected, measured, held, meanwhile));
    }

    fn push(&mut self, check: Check) {
        (self.tell)(&check);
        self.checks.push(check);
    }

    fn near(&mut self, name: &str, expected: f64, measured: Option<u64>, within: f64, meanwhile: &Meanwhile) {
        let text = format!("{} +-{:.0} %", time(expected), within * 100.0);
        let is_near = |measured: u64| (measured as f64 - expected).abs() <= expected * within;
        let shown = measured.map_or_else(|| "n/a".to_owned(), |measured| time(measured as f64));
        self.timed(name, text, shown, measured.is_some_and(is_near), meanwhile);
    }

    /// Every iteration and every byte is counted, and nothing else.
    async fn counts(&mut self) -> Result<(), SessionError> {
        let many =
            |plan: &mut Plan| (plan.load.iterations, plan.load.connections, plan.load.depth) = (Some(1000), 4, 4);
        let plan = self.plan("echo", many).await?;
        let (measured, ..) = self.measure(&plan).await?;
        let counts = measured.total.counts;
        let shown = |ended: u64, sent: u64, heard: u64| format!("{ended} ended, {sent}/{heard} B");
        let bytes = 1000 * MESSAGE_LEN;
        let measured = shown(counts.iterations, counts.bytes_sent, counts.bytes_received);
        self.exact("echo: counts", shown(1000, bytes, bytes), measured);
        Ok(())
    }

    /// Of 500 datagrams each tenth is lost. The server counts from its first, and three were rehearsed: the lost ones are
    /// its 10th to its 500th.
    async fn losses(&mut self) -> Result<(), SessionError> {
        let many = |plan: &mut Plan| {
            (plan.load.iterations, plan.load.connections, plan.timeout) = (Some(500), 100, Duration::from_secs(1));
        };
        let plan = self.plan("drop", many).await?;
        let (measured, ..) = self.measure(&plan).await?;
        let counts = measured.total.counts;
        let shown = |lost: u64, answered: u64| format!("{lost} lost, {answered} answered");
        self.exact("drop: each tenth", shown(50, 450), shown(counts.timeouts, counts.iterations));
        Ok(())
    }

    /// Pairs are swapped, and known by their identifier. The server counts from its first, and three were rehearsed: the
    /// first is the second of a pair, and of the others each second answer comes behind a later one.
    async fn order(&mut self) -> Result<(), SessionError> {
        let many = |plan: &mut Plan| (plan.load.iterations, plan.load.depth) = (Some(501), 2);
        let plan = self.plan("reorder", many).await?;
        let (measured, ..) = self.measure(&plan).await?;
        let counts = measured.total.counts;
        let shown = |swapped: u64, answered: u64| format!("{swapped} reordered of {answered}");
        self.exact("reorder: pairs", shown(250, 501), shown(counts.reordered, counts.iterations));
        Ok(())
    }

    /// Twenty connections that wait 50 ms for each answer, twenty times: so many are under way.
    async fn delays(&mut self) -> Result<(), SessionError> {
        let twenty = |plan: &mut Plan| (plan.load.connections, plan.load.iterations) = (20, Some(400));
        let plan = self.plan("delay", twenty).await?;
        let (_, outcome, meanwhile) = self.measure(&plan).await?;
        let latency = &outcome.latency_ns;
        // No machine is so slow that an answer came before it was sent.
        let soonest = if latency.min >= 50_000_000 { "none sooner than 50 ms" } else { "some sooner than 50 ms" };
        self.exact("delay: minimum", "none sooner than 50 ms".into(), soonest.into());
        self.near("delay: p50", 50e6, latency.p50, WITHIN, &meanwhile);
        self.near("delay: p90", 50e6, latency.p90, WITHIN, &meanwhile);
        let under_way = outcome.rate_per_s * latency.mean / 1e9;
        let (expected, measured) = ("20 under way +-2 %".to_owned(), format!("{under_way:.2} under way"));
        self.timed("Little's law", expected, measured, (under_way - 20.0).abs() <= 0.4, &meanwhile);
        Ok(())
    }

    /// Uniform between 10 ms and 30 ms.
    async fn draws(&mut self) -> Result<(), SessionError> {
        let many = |plan: &mut Plan| (plan.load.connections, plan.load.iterations) = (50, Some(2000));
        let plan = self.plan("jitter", many).await?;
        let (_, outcome, meanwhile) = self.measure(&plan).await?;
        for (name, expected, measured) in [
            ("jitter: p50", 20e6, outcome.latency_ns.p50),
            ("jitter: p90", 28e6, outcome.latency_ns.p90),
            ("jitter: p99", 29.8e6, outcome.latency_ns.p99),
        ] {
            self.near(name, expected, measured, WITHIN_DRAWN, &meanwhile);
        }
        Ok(())
    }

    /// Nothing is answered for the first 100 ms of each second, and two whole seconds are measured.
    async fn stalls(&mut self) -> Result<(), SessionError> {
        let open = |plan: &mut Plan| {
            plan.pace = Pace::Open(2000.0, Arrivals::Constant);
            (plan.load.connections, plan.load.depth, plan.load.duration) = (8, 32, Duration::from_secs(2));
        };
        let plan = self.plan("stall", open).await?;
        let (_, outcome, meanwhile) = self.measure(&plan).await?;
        let latency = &outcome.latency_ns;
        // Half a millisecond lies between two of them: 1 % of the shortest of these times.
        self.near("stall: p95", 50e6, latency.p95, WITHIN, &meanwhile);
        self.near("stall: p99", 90e6, latency.p99, WITHIN, &meanwhile);
        self.near("stall: maximum", 100e6, Some(latency.max), WITHIN, &meanwhile);
        Ok(())
    }

    /// 10,000 a second to a server that answers at once.
    async fn schedule(&mut self) -> Result<(), SessionError> {
        let open = |plan: &mut Plan| {
            plan.pace = Pace::Open(10_000.0, Arrivals::Constant);
            (plan.load.connections, plan.load.duration) = (4, Duration::from_secs(1));
        };
        let plan = self.plan("echo", open).await?;
        let (measured, outcome, meanwhile) = self.measure(&plan).await?;
        self.exact("schedule: begun", "10,000".into(), rate(measured.total.counts.begun as f64));
        let late = outcome.lateness_ns.p50;
        let (expected, shown) = (format!("at most {}", time(LATE_P50_MAX as f64)), late.map(|late| time(late as f64)));
        let held = late.is_some_and(|late| late <= LATE_P50_MAX);
        self.timed("schedule: late p50", expected, shown.unwrap_or_else(|| "n/a".into()), held, &meanwhile);
        Ok(())
    }

    /// A server against itself, and against one that is busy for 200 us with each message.
    async fn comparisons(&mut self) -> Result<(), SessionError> {
        let band = band(self.session.cores());
        let duration = SIDE * 2 * PAIRS as u32;
        for (name, other) in [("A against A", "echo"), ("200 us slower", "slower")] {
            let (first, second) = (self.plan("echo", |_| {}).await?, self.plan(other, |_| {}).await?);
            let before = (Ticks::look(), self.session.own_ticks());
            let samples = pairs([(self.session, first), (self.session, second)], duration).await?;
            let meanwhile = self.meanwhile(before);
            let mut apart: Vec<f64> = samples.iter().map(|[first, second]| second.p50 - first.p50).collect();
            apart.sort_by(f64::total_cmp);
            let apart = apart.get(apart.len() / 2).copied().unwrap_or_default();
            let Some(compared) = Comparison::of(["echo", other], name, samples, band, self.seed) else {
                return Err(SessionError::Interrupted);
            };
            let percent = (compared.p50.ratio - 1.0) * 100.0;
            if other == "echo" {
                let held = matches!(compared.p50.verdict, Verdict::Same | Verdict::Unclear);
                let measured = format!("p50 {percent:+.2} %, {}", word(compared.p50.verdict));
                self.timed(name, "no difference".into(), measured, held, &meanwhile);
            } else {
                let held = compared.p50.verdict == Verdict::Worse && (apart - SPIN).abs() <= SPIN * 0.1;
                let measured = format!("{} more, {}", time(apart), word(compared.p50.verdict));
                self.timed(name, "200us +-10 % more, worse".into(), measured, held, &meanwhile);
            }
        }
        Ok(())
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Same => "same",
        Verdict::Unclear => "unclear",
        Verdict::Worse => "worse",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(held: bool, meanwhile: &Meanwhile, found: Found, why: Option<&str>) {
        let check = Check::timed("p50", "1".into(), "2".into(), held, meanwhile);
        assert_eq!((check.found, check.why.as_deref()), (found, why));
    }

    #[test]
    fn a_wrong_time_is_wrong_unless_something_was_seen_that_explains_it() {
        let quiet = Meanwhile { others: 0.04, steal: 0.04, late: LATE_MAX };
        check(true, &quiet, Found::Right, None);
        check(false, &quiet, Found::Wrong, None);
        let others = Meanwhile { others: 0.5, ..quiet.clone() };
        check(true, &others, Found::Right, None);
        check(false, &others, Found::Unknown, Some("machine too busy: others used 50.0 % of it"));
        let steal = Meanwhile { steal: 0.06, ..quiet.clone() };
        check(false, &steal, Found::Unknown, Some("machine too busy: 6.0 % of it was stolen"));
        let late = Meanwhile { late: 2_000_000, ..quiet };
        check(false, &late, Found::Unknown, Some("machine too busy: the load generator was up to 2.00ms late"));
    }

    #[test]
    fn what_is_counted_is_right_or_wrong() {
        assert_eq!(Check::exact("lost", "50".into(), "50".into()).found, Found::Right);
        assert_eq!(Check::exact("lost", "50".into(), "49".into()).found, Found::Wrong);
    }
}
