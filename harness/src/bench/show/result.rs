//! One result: how it was measured, its distributions, and what they mean.

use std::fmt::Write as _;

use anstyle::Style;

use super::page::{LABEL, Page};
use crate::bench::figure::{bytes_rate, rate, seconds, share, time};
use crate::bench::outcome::{Mode, Outcome, Steady};
use crate::bench::wire::Stamps;
use crate::event::TlsSession;
use crate::report::text::{count, cut, escape, number, pad};

impl Page {
    pub(super) fn head(&mut self, outcome: &Outcome) {
        let how = match outcome.mode {
            Mode::Bulk => "one way",
            Mode::Churn => "closed loop, a connection each",
            Mode::Closed => "closed loop",
            Mode::Find => "open loop, searching for the highest rate",
            Mode::Open => "open loop",
            Mode::Ramp => "open loop, rising",
            Mode::SlowReader => "closed loop, reading slowly",
            Mode::Sweep => "open loop, rate by rate",
        };
        let arrivals = outcome.arrivals.as_ref().filter(|arrivals| *arrivals != "constant");
        let arrivals = arrivals.map(|arrivals| format!(" ({arrivals} arrivals)")).unwrap_or_default();
        let connections = count(outcome.connections as u64, "connection");
        let actors = if outcome.actors > 1 { format!(" for each of {} actors", outcome.actors) } else { String::new() };
        let depth = if outcome.depth > 1 { format!(" with {} under way", outcome.depth) } else { String::new() };
        let name = escape(&outcome.case);
        let _ = writeln!(self.text, "{}", self.styled(cut(&name, self.look.width), self.look.theme.strong));
        let cores = match (outcome.cores.server, outcome.cores.client.as_slice()) {
            (_, []) => "wherever the system liked".to_owned(),
            (server, client) => {
                let client: Vec<String> = client.iter().take(outcome.threads).map(usize::to_string).collect();
                let server = server.map(|core| format!("server on core {core}, ")).unwrap_or_default();
                format!("{server}load from core {}", client.join(", "))
            }
        };
        let verify = if outcome.verify { "answers verified" } else { "answers not verified" };
        let matched = outcome.correlate.as_ref().map(|name| format!(" and matched by `{}`", escape(name)));
        let together = match (outcome.gso, outcome.gro) {
            (true, true) => "; datagrams leave and come together (UDP_SEGMENT, UDP_GRO)",
            (true, false) => "; datagrams leave together (UDP_SEGMENT)",
            (false, true) => "; datagrams come together (UDP_GRO)",
            (false, false) => "",
        };
        let verify = format!("{verify}{}{together}", matched.unwrap_or_default());
        let target = escape(&outcome.target);
        self.dim("", &format!("{how}{arrivals}, {connections}{actors}{depth} to {target}; {cores}; {verify}"));
    }

    pub(super) fn outcome(&mut self, outcome: &Outcome) {
        self.head(outcome);
        self.totals(outcome);
        for why in &outcome.invalid {
            self.line("invalid", self.look.theme.bad, &format!("{why}; do not quote the latency"));
        }
        self.text.push('\n');
        self.heads();
        match outcome.valid {
            true => self.distribution("latency", &outcome.latency_ns, self.look.theme.strong),
            false => self.distribution("latency (!)", &outcome.latency_ns, self.look.theme.bad),
        }
        if outcome.arrivals.is_some() {
            self.distribution("service", &outcome.service_ns, Style::new());
            self.distribution("lateness", &outcome.lateness_ns, Style::new());
        }
        if outcome.connect_ns.count > 0 && outcome.fresh {
            self.distribution("connect", &outcome.connect_ns, Style::new());
        }
        if outcome.handshake_ns.count > 0 && outcome.fresh {
            self.distribution("handshake", &outcome.handshake_ns, Style::new());
        }
        if let Some(split) = &outcome.stamps {
            for (name, times) in
                [("sending", &split.sending_ns), ("away", &split.away_ns), ("waking", &split.waking_ns)]
            {
                if times.count > 0 {
                    self.distribution(name, times, Style::new());
                }
            }
        }
        if outcome.steps.len() > 1 {
            for (at, step) in outcome.steps.iter().enumerate() {
                self.distribution(&format!("step {}", at + 1), &step.ns, self.look.theme.dim);
            }
        }
        self.text.push('\n');
        if outcome.steps.len() > 1 {
            for (at, step) in outcome.steps.iter().enumerate() {
                self.dim(&format!("step {}", at + 1), &escape(&step.name));
            }
        }
        self.reading(outcome);
        self.remarks(outcome);
    }

    fn totals(&mut self, outcome: &Outcome) {
        let asked = outcome.asked_per_s.map(|asked| format!(" of {}/s asked for", rate(asked))).unwrap_or_default();
        let (sent, received) = (bytes_rate(outcome.sent_bytes_per_s), bytes_rate(outcome.received_bytes_per_s));
        let rate = self.styled(&format!("{}/s", rate(outcome.rate_per_s)), self.look.theme.strong);
        // The style has no width of its own, so this is not wrapped.
        let label = self.styled(&pad("rate", LABEL, false), self.look.theme.strong);
        let _ = writeln!(self.text, "{label}{rate}{asked}; {sent} sent, {received} received");
        let (held, counts) = (number(outcome.counts.iterations), &outcome.counts);
        let warmup = match outcome.warmup_s {
            0.0 => String::new(),
            warmup => format!(" after {} of warming up", seconds(warmup)),
        };
        let mut sentence = format!("{held} in {}{warmup}", seconds(outcome.duration_s));
        if outcome.failed > 0 {
            let all = (counts.iterations + outcome.failed) as f64;
            let failed = number(outcome.failed);
            let _ = write!(sentence, "; {failed} failed ({}): ", share(outcome.failed as f64 / all));
            let kinds =
                [(counts.timeouts, "unanswered"), (counts.mismatches, "answered wrongly"), (counts.broken, "cut off")];
            let kinds = kinds.iter().filter(|(of, _)| *of > 0).map(|(of, what)| format!("{} {what}", number(*of)));
            sentence.push_str(&kinds.collect::<Vec<_>>().join(", "));
        } else {
            sentence.push_str("; none failed");
        }
        self.dim("iterations", &sentence);
        let oddities = [
            (counts.duplicates, "duplicate"),
            (counts.reordered, "reordered"),
            (counts.late, "too late"),
            (counts.unasked, "unasked for"),
            (counts.overflows, "lost in this side's own socket"),
            (counts.server_overflows, "lost in the server's socket"),
        ];
        let oddities: Vec<String> =
            oddities.iter().filter(|(of, _)| *of > 0).map(|(of, what)| format!("{} {what}", number(*of))).collect();
        if !oddities.is_empty() {
            self.line("messages", self.look.theme.note, &oddities.join(", "));
        }
    }
    fn reading(&mut self, outcome: &Outcome) {
        match outcome.arrivals {
            None if outcome.mode == Mode::Bulk => self.dim(
                "",
                "An iteration is a piece of what goes one way: until the system had all of it, or had given it. When the peer \
                 had it is not known.",
            ),
            None => self.dim(
                "",
                "A connection waits for its answer before it asks again, so a slow server is asked less often: not an \
                 open-loop latency. `--rate` measures what clients see who do not wait for each other.",
            ),
            Some(_) => self.dim(
                "",
                "Latency counts from when an iteration was due, service from when it began; lateness is the load \
                 generator's own.",
            ),
        }
        let shown = |bounds: Option<[u64; 2]>| bounds.map(|bounds| bounds.map(|nanos| time(nanos as f64)).join(" to "));
        let (p50, p99) = (shown(outcome.latency_ns.p50_interval), shown(outcome.latency_ns.p99_interval));
        let bounds: Vec<String> = [("p50", p50), ("p99", p99)]
            .into_iter()
            .filter_map(|(name, bounds)| Some(format!("{name} is {}", bounds?)))
            .collect();
        if !bounds.is_empty() {
            self.dim("95 % sure", &bounds.join(", "));
        }
        if outcome.latency_ns.count > 0 && outcome.latency_ns.p9999.is_none() {
            self.dim("n/a", "fewer than 10 samples lie beyond it: measure longer");
        }
        if let Some(bulk) = &outcome.bulk {
            let control = bulk.congestion_control.as_ref();
            let control = control.map(|name| format!(", congestion control {}", escape(name))).unwrap_or_default();
            let (rate, direction) = (bytes_rate(bulk.bytes_per_s), &bulk.direction);
            self.dim("one way", &format!("{rate} {}{control}", escape(direction)));
            if let (Some(floor), Some(ratio)) = (bulk.floor_bytes_per_s, bulk.ratio) {
                let floor = bytes_rate(floor);
                self.dim(
                    "floor",
                    &format!("{ratio:.2} times the floor: {floor} between two processes that do nothing else"),
                );
            }
        }
        if let Some(floor) = &outcome.floor {
            let p50 = time(floor.p50_ns as f64);
            let ratio = floor.ratio.map(|ratio| format!("p50 is {ratio:.2} times the floor: ")).unwrap_or_default();
            let sizes = match floor.request == floor.response {
                true => format!("{} bytes each way", floor.request),
                false => format!("{} bytes there and {} back", floor.request, floor.response),
            };
            self.dim("floor", &format!("{ratio}{p50} for {sizes} between two processes that do nothing else"));
        }
        if let Some(split) = &outcome.stamps {
            let (sending, until) = match split.kind {
                Stamps::Rx => ("", "the beginning"),
                Stamps::RxTx => ("sending is until the first bytes left the kernel, ", "there"),
            };
            self.dim(
                "stamps",
                &format!(
                    "{sending}away is from {until} until the kernel had the answer, waking is until this program had it; \
                     known of {} of the iterations",
                    share(split.share)
                ),
            );
        }
        if let Some(TlsSession { version, cipher, alpn, .. }) = &outcome.tls {
            let alpn = alpn.as_ref().map(|name| format!(", {}", escape(name))).unwrap_or_default();
            self.dim("tls", &format!("{version}, {}{alpn}; every handshake is a full one", escape(cipher)));
        }
        if let Some(little) = &outcome.little {
            let slots = rate(little.slots);
            self.dim("under way", &format!("{:.2} on the average, of {slots} (rate times mean)", little.under_way));
        }
        let calls = outcome.syscalls_per_message.map(|calls| format!("{calls:.3} system calls a message, "));
        let share = outcome.processor_share;
        self.dim("cost", &format!("{}{share:.2} cores for making the load", calls.unwrap_or_default()));
        if let Some(Steady { ratio, holds: true, .. }) = outcome.steady {
            self.dim("steady", &format!("p50 of the second half is {:+.1} %", (ratio - 1.0) * 100.0));
        }
    }

    fn remarks(&mut self, outcome: &Outcome) {
        let theme = self.look.theme;
        for judged in &outcome.thresholds {
            let (label, style) = if judged.held { ("held", theme.good) } else { ("not held", theme.bad) };
            self.line(label, style, &format!("{}: it is {}", escape(&judged.text), judged.shown));
        }
        for warning in &outcome.warnings {
            self.line("warning", theme.note, warning);
        }
        for failure in &outcome.failures {
            self.line("failed", theme.bad, &escape(failure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome;
    use super::super::page::check;
    use crate::bench::fixture::{self, with};
    use crate::bench::floor::Floor;
    use crate::bench::plan::Plan;
    use crate::bench::tally::{Tally, histogram};
    use crate::bench::threshold::Threshold;
    use crate::report::Look;
    use snapbox::str;

    /// Latencies with a tail, in nanoseconds.
    fn tail(tally: &mut Tally) {
        with::latencies(tally, (1..=10_000).map(|rank| 4_000 + rank / 10 + if rank > 9_980 { rank * 12 } else { 0 }));
        with::lateness(tally, 120);
        (tally.counts.bytes_sent, tally.counts.bytes_received) = (640_000, 1_280_000);
        (tally.counts.messages, tally.counts.syscalls) = (20_000, 40_800);
    }

    #[test]
    fn a_closed_loop() {
        let floor = Floor { p50: 4_920, all: histogram(), request: 64, response: 64 };
        let shown = fixture::outcome(|_, window| *window = 46_000_000, tail).with_floor(&floor, None);
        check(
            &outcome(&shown, Look::plain(80)),
            str![[r#"
echoes a line
            closed loop, 1 connection to tcp://127.0.0.1:7001; server on core 0,
            load from core 1; answers verified
rate        217,391/s; 13.9 MB/s sent, 27.8 MB/s received
iterations  10,000 in 0.05 s after 0.5 s of warming up; none failed

                 min    mean     p50     p90     p99   p99.9  p99.99     max
latency       4.00us  4.74us  4.50us  4.90us  4.99us   125us     n/a   125us

            A connection waits for its answer before it asks again, so a slow
            server is asked less often: not an open-loop latency. `--rate`
            measures what clients see who do not wait for each other.
95 % sure   p50 is 4.49us to 4.51us, p99 is 4.99us to 5.00us
n/a         fewer than 10 samples lie beyond it: measure longer
floor       p50 is 0.92 times the floor: 4.92us for 64 bytes each way between
            two processes that do nothing else
under way   1.03 on the average, of 1 (rate times mean)
cost        2.040 system calls a message, 0.55 cores for making the load

"#]],
        );
    }

    #[test]
    fn an_open_loop_that_has_gone_wrong() {
        let record = |tally: &mut Tally| {
            tail(tally);
            with::lateness(tally, 3_000);
            (tally.counts.timeouts, tally.counts.mismatches, tally.counts.reordered) = (12, 1, 3);
            tally.steps.push(tally.steps[0].clone());
        };
        let change = |plan: &mut Plan, window: &mut u64| {
            with::poisson(plan, 12_000.0);
            (plan.load.connections, plan.load.depth, *window) = (64, 16, 1_000_000_000);
            plan.workload.steps.push("expect `\u{1b}[31m`".into());
        };
        let mut shown = fixture::outcome(change, record);
        shown.failures = vec!["nothing was answered within 1s".into()];
        let thresholds = ["p99<1ms", "errors<0.1%"].map(|text| Threshold::parse(text).expect("it is one"));
        shown.thresholds = thresholds.iter().map(|threshold| threshold.check(&shown)).collect();
        check(
            &outcome(&shown, Look::plain(80)),
            str![[r#"
echoes a line
            open loop (poisson arrivals), 64 connections with 16 under way to
            tcp://127.0.0.1:7001; server on core 0, load from core 1; answers
            verified
rate        10,000/s of 12,000/s asked for; 640 kB/s sent, 1.28 MB/s received
iterations  10,000 in 1 s after 0.5 s of warming up; 13 failed (0.1 %): 12
            unanswered, 1 answered wrongly
messages    3 reordered
invalid     the load generator was late itself: its p99 is 60 % of the
            latency's; do not quote the latency
invalid     only 83.3 % of the rate that was asked for was reached; do not quote
            the latency

                 min    mean     p50     p90     p99   p99.9  p99.99     max
latency (!)   4.00us  4.74us  4.50us  4.90us  4.99us   125us     n/a   125us
service       4.00us  4.74us  4.50us  4.90us  4.99us   125us     n/a   125us
lateness       120ns  1.56us   120ns  3.00us  3.00us  3.00us     n/a  3.00us
step 1        4.00us  4.74us  4.50us  4.90us  4.99us   125us     n/a   125us
step 2        4.00us  4.74us  4.50us  4.90us  4.99us   125us     n/a   125us

step 1      expect `hello\n`
step 2      expect `\x1b[31m`
            Latency counts from when an iteration was due, service from when it
            began; lateness is the load generator's own.
95 % sure   p50 is 4.49us to 4.51us, p99 is 4.99us to 5.00us
n/a         fewer than 10 samples lie beyond it: measure longer
under way   0.05 on the average, of 1,024 (rate times mean)
cost        2.040 system calls a message, 0.20 cores for making the load
held        p99<1ms: it is 4.991us
not held    errors<0.1%: it is 0.130%
failed      nothing was answered within 1s

"#]],
        );
    }

    #[test]
    fn nothing_measured() {
        let shown = fixture::outcome(|_, _| (), |tally| with::latencies(tally, []));
        check(
            &outcome(&shown, Look::plain(80)),
            str![[r#"
echoes a line
            closed loop, 1 connection to tcp://127.0.0.1:7001; server on core 0,
            load from core 1; answers verified
rate        0/s; 0 B/s sent, 0 B/s received
iterations  0 in 1 s after 0.5 s of warming up; none failed
invalid     no iteration ended as it should; do not quote the latency

                 min    mean     p50     p90     p99   p99.9  p99.99     max
latency (!)      n/a

            A connection waits for its answer before it asks again, so a slow
            server is asked less often: not an open-loop latency. `--rate`
            measures what clients see who do not wait for each other.
cost        0.20 cores for making the load

"#]],
        );
    }
}
