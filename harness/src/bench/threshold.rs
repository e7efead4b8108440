//! What a result has to keep: `p99<1ms`, `rate>=10k`, `errors<0.1%`.

use std::fmt;

use super::figure::significant;
use super::outcome::{Judged, Outcome, over};
use super::quantiles;
use crate::document::{did_you_mean, parse_duration};

/// What can be held against a threshold, and what it is.
pub const MEASURES: &[(&str, &str)] = &[
    ("errors", "iterations that did not end as they should: how many, or with `%` their share"),
    ("late", "the 99th percentile of the load generator's own lateness"),
    ("loss", "iterations that were never answered: how many, or with `%` their share"),
    ("max", "the longest latency"),
    ("mean", "the mean latency"),
    ("min", "the shortest latency"),
    ("p50", "the median latency"),
    ("p90", "the latency that 90 % do not exceed"),
    ("p95", "the latency that 95 % do not exceed"),
    ("p99", "the latency that 99 % do not exceed"),
    ("p99.9", "the latency that 99.9 % do not exceed"),
    ("p99.99", "the latency that 99.99 % do not exceed"),
    ("rate", "iterations a second"),
];

/// The longest text of a threshold.
const TEXT_LEN_MAX: usize = 100;

/// A measure and its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    measure: Measure,
    relation: Relation,
    limit: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    Errors,
    ErrorShare,
    Late,
    Loss,
    LossShare,
    Max,
    Mean,
    Min,
    Percentile(&'static str),
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    BelowOrEqual,
    Above,
    AboveOrEqual,
}

/// Why a text is no threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThresholdError {
    /// It has no `<`, `<=`, `>` or `>=`.
    Relation {
        /// The threshold.
        text: String,
    },
    /// Nothing is called so.
    Measure {
        /// The name.
        name: String,
    },
    /// What stands behind the relation is none of what it should be.
    Limit {
        /// The measure.
        name: String,
        /// What stands there.
        limit: String,
        /// What should.
        expected: &'static str,
    },
}

impl fmt::Display for ThresholdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ThresholdError::Relation { text } => {
                write!(
                    f,
                    "`{text}` compares nothing: a threshold is a measure, one of `<`, `<=`, `>`, `>=`, and a limit"
                )
            }
            ThresholdError::Measure { name } => write!(f, "unknown measure `{name}`"),
            ThresholdError::Limit { name, limit, expected } => {
                write!(f, "`{name}` is held against {expected}, not `{limit}`")
            }
        }
    }
}

impl std::error::Error for ThresholdError {}

impl ThresholdError {
    /// What may help.
    pub fn hint(&self) -> Option<String> {
        match self {
            ThresholdError::Relation { .. } => Some("as in `p99<1ms`, `rate>=10k` or `errors<0.1%`".into()),
            ThresholdError::Measure { name } => {
                let names: Vec<&str> = MEASURES.iter().map(|(name, _)| *name).collect();
                let near = did_you_mean(name, names.iter().copied());
                Some(near.unwrap_or_else(|| format!("there are {}", names.join(", "))))
            }
            ThresholdError::Limit { .. } => None,
        }
    }
}

/// As it was written.
impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Threshold {
    /// How many samples it takes to be told.
    pub fn samples_min(&self) -> f64 {
        match self.measure {
            Measure::Percentile(name) => {
                let percent: f64 = name[1..].parse().expect("it is a number");
                quantiles::samples_min(percent / 100.0)
            }
            Measure::Late => quantiles::samples_min(0.99),
            _ => 1.0,
        }
    }

    /// Reads `p99<1ms`.
    pub fn parse(text: &str) -> Result<Threshold, ThresholdError> {
        let no_relation = || ThresholdError::Relation { text: text.chars().take(TEXT_LEN_MAX).collect() };
        let at = text.find(['<', '>']).filter(|_| text.len() <= TEXT_LEN_MAX).ok_or_else(no_relation)?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let (relation, limit) = match rest.as_bytes() {
            [b'<', b'=', ..] => (Relation::BelowOrEqual, &rest[2..]),
            [b'>', b'=', ..] => (Relation::AboveOrEqual, &rest[2..]),
            [b'<', ..] => (Relation::Below, &rest[1..]),
            _ => (Relation::Above, &rest[1..]),
        };
        let limit = limit.trim();
        let wrong = |expected| ThresholdError::Limit { name: name.to_owned(), limit: limit.to_owned(), expected };
        let duration = || Some(parse_duration(limit)?.as_nanos() as f64);
        let share = limit.strip_suffix('%');
        let (measure, value) = match name {
            "errors" | "loss" => {
                let value = match share {
                    Some(percent) => parse_number(percent).filter(|percent| *percent <= 100.0).map(|all| all / 100.0),
                    None => parse_number(limit),
                };
                let measure = match (name, share.is_some()) {
                    ("errors", false) => Measure::Errors,
                    ("errors", true) => Measure::ErrorShare,
                    (_, false) => Measure::Loss,
                    (_, true) => Measure::LossShare,
                };
                (measure, value.ok_or_else(|| wrong("a number, as `10`, or a share, as `0.1%`"))?)
            }
            "rate" => (Measure::Rate, parse_rate(limit).ok_or_else(|| wrong("iterations a second, as `10k`"))?),
            _ => {
                let measure = match name {
                    "late" => Measure::Late,
                    "max" => Measure::Max,
                    "mean" => Measure::Mean,
                    "min" => Measure::Min,
                    _ => {
                        // All that are left of the list are percentiles.
                        let known = MEASURES.iter().find(|(known, _)| *known == name);
                        let (known, _) = known.ok_or_else(|| ThresholdError::Measure { name: name.to_owned() })?;
                        Measure::Percentile(known)
                    }
                };
                (measure, duration().ok_or_else(|| wrong("a duration, as `250us` or `1.5ms`"))?)
            }
        };
        Ok(Threshold { text: text.trim().to_owned(), measure, relation, limit: value })
    }

    /// Holds it against a result. Where too little was measured to say it has not held.
    pub fn check(&self, outcome: &Outcome) -> Judged {
        let ended = outcome.counts.iterations + outcome.failed;
        let latency = &outcome.latency_ns;
        let is_measured = |value: f64| (latency.count > 0).then_some(value);
        let value = match self.measure {
            Measure::Errors => Some(outcome.failed as f64),
            Measure::ErrorShare => (ended > 0).then(|| over(outcome.failed as f64, ended as f64)),
            Measure::Late => outcome.lateness_ns.p99.map(|value| value as f64),
            Measure::Loss => Some(outcome.counts.timeouts as f64),
            Measure::LossShare => (ended > 0).then_some(outcome.loss),
            Measure::Max => is_measured(latency.max as f64),
            Measure::Mean => is_measured(latency.mean),
            Measure::Min => is_measured(latency.min as f64),
            Measure::Percentile(name) => {
                let named = latency.percentiles().into_iter().find(|(known, _)| *known == name);
                named.and_then(|(_, value)| value).map(|value| value as f64)
            }
            Measure::Rate => Some(outcome.rate_per_s),
        };
        let held = value.is_some_and(|value| match self.relation {
            Relation::Below => value < self.limit,
            Relation::BelowOrEqual => value <= self.limit,
            Relation::Above => value > self.limit,
            Relation::AboveOrEqual => value >= self.limit,
        });
        let shown = value.map_or_else(|| "n/a".to_owned(), |value| self.measure.show(value));
        Judged { text: self.text.clone(), value, shown, held }
    }
}

impl Measure {
    fn show(self, value: f64) -> String {
        match self {
            Measure::Errors | Measure::Loss => format!("{value}"),
            Measure::ErrorShare | Measure::LossShare => format!("{:.3}%", value * 100.0),
            Measure::Rate => format!("{value:.0}/s"),
            Measure::Late | Measure::Max | Measure::Mean | Measure::Min | Measure::Percentile(_) => {
                significant(value, 4)
            }
        }
    }
}

/// Reads a rate: `800`, `10k`, `1.5M`, with `/s` behind it or not.
pub fn parse_rate(text: &str) -> Option<f64> {
    let text = text.trim();
    let text = text.strip_suffix("/s").unwrap_or(text).trim_end();
    let (number, scale) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1e3),
        (at, 'm' | 'M') => (&text[..at], 1e6),
        _ => (text, 1.0),
    };
    parse_number(number).map(|number| number * scale)
}

/// A number from 0 on, in plain digits.
fn parse_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|number: &f64| plain && number.is_finite() && *number < 1e15)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{outcome, with};
    use super::super::tally::Tally;
    use super::*;

    /// Latencies from 1 to 1000 us, of which `failed` more were never answered.
    #[track_caller]
    fn check(text: &str, held: bool, shown: &str) {
        let record = |tally: &mut Tally| {
            with::latencies(tally, (1..=1000).map(|micros| micros * 1000));
            tally.counts.timeouts = 10;
            with::lateness(tally, 500);
        };
        let threshold = Threshold::parse(text).expect("it is one");
        let judged = threshold.check(&outcome(|_, _| (), record));
        assert_eq!((judged.held, judged.shown.as_str(), judged.text.as_str()), (held, shown, text));
    }

    #[test]
    fn a_percentile_takes_samples_beyond_it() {
        let samples = |text: &str| Threshold::parse(text).expect("it is one").samples_min().round();
        assert_eq!(
            ["p50<1ms", "p99<1ms", "p99.9<=1s", "late<1us", "rate>1"].map(samples),
            [20.0, 1000.0, 10000.0, 1000.0, 1.0]
        );
    }

    #[test]
    fn a_threshold_holds_or_does_not() {
        check("p50<1ms", true, "500.2us");
        check("p50 > 1ms", false, "500.2us");
        check("p99<990us", false, "990.2us");
        check("p95<=950us", false, "950.3us");
        check("max<1ms", false, "1.000ms");
        check("min>=1us", true, "1.000us");
        check("mean<501us", true, "500.5us");
        check("rate>=1k", true, "1000/s");
        check("rate>1k/s", false, "1000/s");
        check("errors<=10", true, "10");
        check("errors<1%", true, "0.990%");
        check("loss<0.5%", false, "0.990%");
        check("loss<=0", false, "10");
        check("late<1us", true, "500ns");
    }

    #[test]
    fn a_percentile_of_too_few_samples_keeps_no_threshold() {
        check("p99.9<1h", false, "n/a");
        check("p99.9>0ns", false, "n/a");
    }

    #[test]
    fn nothing_measured_keeps_no_latency() {
        let nothing = outcome(|_, _| (), |tally| with::latencies(tally, []));
        for text in ["max<1s", "min<1s", "mean<1s", "p50<1s", "late<1s", "errors<1%", "loss<1%"] {
            let judged = Threshold::parse(text).expect("it is one").check(&nothing);
            assert_eq!((judged.held, judged.value), (false, None), "{text}");
        }
    }

    #[track_caller]
    fn refuse(text: &str, message: &str, hint: Option<&str>) {
        let error = Threshold::parse(text).expect_err("it is none");
        assert_eq!((error.to_string().as_str(), error.hint().as_deref()), (message, hint));
    }

    #[test]
    fn what_is_no_threshold_is_told_with_what_is_missing() {
        let none = "a threshold is a measure, one of `<`, `<=`, `>`, `>=`, and a limit";
        let all = Some("there are errors, late, loss, max, mean, min, p50, p90, p95, p99, p99.9, p99.99, rate");
        let examples = Some("as in `p99<1ms`, `rate>=10k` or `errors<0.1%`");
        refuse("p99", &format!("`p99` compares nothing: {none}"), examples);
        refuse("p99=1ms", &format!("`p99=1ms` compares nothing: {none}"), examples);
        refuse("", &format!("`` compares nothing: {none}"), examples);
        refuse("eror<1", "unknown measure `eror`", all);
        refuse("error<1", "unknown measure `error`", Some("did you mean `errors`?"));
        refuse("lost<1%", "unknown measure `lost`", Some("did you mean `loss`?"));
        refuse("p100<1ms", "unknown measure `p100`", all);
        refuse("p99<1", "`p99` is held against a duration, as `250us` or `1.5ms`, not `1`", None);
        refuse("p99<5%", "`p99` is held against a duration, as `250us` or `1.5ms`, not `5%`", None);
        refuse("p99<", "`p99` is held against a duration, as `250us` or `1.5ms`, not ``", None);
        refuse("rate>1ms", "`rate` is held against iterations a second, as `10k`, not `1ms`", None);
        refuse("errors<200%", "`errors` is held against a number, as `10`, or a share, as `0.1%`, not `200%`", None);
        refuse("loss<-1", "`loss` is held against a number, as `10`, or a share, as `0.1%`, not `-1`", None);
        refuse("p99<=1ms<2ms", "`p99` is held against a duration, as `250us` or `1.5ms`, not `1ms<2ms`", None);
    }

    #[test]
    fn every_measure_of_the_list_is_one() {
        for (name, _) in MEASURES {
            let limit = if matches!(*name, "errors" | "loss" | "rate") { "1" } else { "1ms" };
            assert!(Threshold::parse(&format!("{name}<{limit}")).is_ok(), "{name}");
        }
    }

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate) in [("800", 800.0), ("10k", 10_000.0), ("1.5M", 1_500_000.0), ("2k/s", 2_000.0)] {
            assert_eq!(parse_rate(text), Some(rate), "{text}");
        }
        for text in ["", "k", "1e9", "-1", "inf", "10 apples", "1..2", "é"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }
}
