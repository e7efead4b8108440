//! Which findings are taken for the same bug: those that name the same place, and those that name none, are the same kind of
//! sign, and are shown by cases of the same shape.
//!
//! The shape of a case that was made small is how many connections there are, and of their messages which kinds of bytes follow
//! each other, however many there are of each: a key that is too long is so under every command that takes one. What is taken
//! for the same is kept as a sample, since it may not be.

use std::fmt::Write as _;

use super::super::case::{Case, Step};
use super::super::triage::Verdict;
use super::Finding;

/// How many samples of one bucket are written.
const SAMPLES_MAX: u32 = 16;

/// The longest description of a shape.
const SHAPE_LEN_MAX: usize = 120;

/// What has become of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// There are enough samples of it.
    Counted,
    /// It is the first of its bucket.
    First,
    /// Its bucket was there: it is the sample of this number.
    Sample(u32),
}

/// The bucket of a finding: its own, or that of another one that it is taken for the same as.
pub fn bucket(all: &[Finding], own: String, shape: &str) -> String {
    all.iter().find(|known| known.shape == shape).map_or(own, |known| known.bucket.clone())
}

/// Keeps a finding: as the first of its bucket, or as another sample, whose path is below the first one's.
pub fn keep(all: &mut Vec<Finding>, finding: &mut Finding) -> Kept {
    let Some(known) = all.iter_mut().find(|known| known.bucket == finding.bucket) else {
        all.push(finding.clone());
        return Kept::First;
    };
    let number = known.samples;
    known.samples += 1;
    if number > SAMPLES_MAX {
        return Kept::Counted;
    }
    finding.path = finding.path.join(format!("samples/{number}"));
    if finding.verdict == Verdict::Deterministic && known.verdict != Verdict::Deterministic {
        let Finding { seconds, cases, samples, .. } = *known;
        *known = Finding { seconds, cases, samples, ..finding.clone() };
    }
    Kept::Sample(number)
}

/// The shape of a case.
pub fn shape(case: &Case) -> String {
    let mut shape = String::new();
    for step in &case.steps {
        match step {
            Step::Close(_) => shape.push('.'),
            Step::Expect(..) | Step::Pause(_) => {}
            Step::Open(..) => shape.push('+'),
            Step::Reset(_) => shape.push('!'),
            Step::Send(message) => {
                let bytes = message.bytes();
                let pieces = message.writes(&bytes).into_iter().map(classes).collect::<Vec<_>>();
                let _ = write!(shape, "[{}{}]", message.link, pieces.join("|"));
            }
            Step::Shut(_) => shape.push('/'),
            Step::StartTls(_) => shape.push('*'),
        }
    }
    let end = shape.char_indices().nth(SHAPE_LEN_MAX).map_or(shape.len(), |(at, _)| at);
    shape.truncate(end);
    shape
}

/// The classes of bytes, each run of one class once.
fn classes(bytes: &[u8]) -> String {
    let mut classes = String::new();
    for byte in bytes {
        let class = match byte {
            b'\t' | b'\n' | b'\r' | b' ' => '_',
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => 'a',
            0x21..=0x7e => 'p',
            0x80.. => 'h',
            _ => 'c',
        };
        if !classes.ends_with(class) {
            classes.push(class);
        }
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::super::super::case::Message;
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let case = Case { steps: vec![Step::Open(0, 0), Step::Send(Message::new(0, text.into()))] };
        assert_eq!(shape(&case), expected);
    }

    #[test]
    fn a_command_and_how_long_its_argument_is_do_not_matter() {
        check(&format!("GET {}", "k".repeat(65)), "+[0a_a]");
        check(&format!("PUT {}", "9".repeat(700)), "+[0a_a]");
    }

    #[test]
    fn what_kind_of_bytes_it_has_does() {
        check("GET \0", "+[0a_c]");
        check("((((", "+[0p]");
        check("é", "+[0h]");
    }

    fn finding(bucket: &str, shape: &str, verdict: Verdict) -> Finding {
        Finding {
            bucket: bucket.into(),
            kind: crate::testcase::Class::Crash,
            seconds: 1.0,
            cases: 7,
            verdict,
            connections: 1,
            messages: 1,
            bytes: 9,
            samples: 1,
            shape: shape.into(),
            path: format!("findings/{bucket}").into(),
        }
    }

    #[test]
    fn what_has_the_shape_of_another_finding_is_a_sample_of_it() {
        let mut all = Vec::new();
        let mut get = finding("crash-get", "signal 6 +[0a_a]", Verdict::Flaky);
        assert_eq!(keep(&mut all, &mut get), Kept::First);
        assert_eq!(bucket(&all, "crash-put".into(), "signal 6 +[0a_a]"), "crash-get");
        assert_eq!(bucket(&all, "crash-put".into(), "signal 6 +[0a_c]"), "crash-put");
        // One that shows each time stands for them all from then on.
        let mut put = finding("crash-get", "signal 6 +[0a_a]", Verdict::Deterministic);
        assert_eq!(keep(&mut all, &mut put), Kept::Sample(1));
        let [known] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((known.samples, known.verdict), (2, Verdict::Deterministic));
        assert_eq!(known.path, std::path::Path::new("findings/crash-get/samples/1"));
    }

    #[test]
    fn of_many_samples_the_last_are_counted() {
        let mut all = Vec::new();
        let mut kept = || keep(&mut all, &mut finding("hang", "hang +[0a]", Verdict::Deterministic));
        assert_eq!((0..=SAMPLES_MAX).map(|_| kept()).filter(|kept| matches!(kept, Kept::Sample(_))).count(), 16);
        assert_eq!(kept(), Kept::Counted);
    }

    #[test]
    fn so_do_its_pieces() {
        let mut case = Case { steps: vec![Step::Open(0, 0), Step::Send(Message::new(0, b"ab".to_vec()))] };
        case.message_mut(1).expect("it sends").cuts.push(1);
        assert_eq!(shape(&case), "+[0a|a]");
    }
}
