//! Which cases a run plays, and in which order: `--filter`, `--last-failed`, `--partition`, `--repeat`, `--shuffle`.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::str::FromStr;

use super::plan::Subject;
use super::run::{File, Run};
use crate::random::Random;
use crate::report::CaseRecord;
use crate::text::count;

/// One of several machines that share the cases of a run: `2/4`.
///
/// What the other options select is counted through, and dealt out one by one. So all of them together play each case exactly
/// once, as long as they are given the same files, options and, with `--shuffle`, whatever seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    part: u32,
    of: u32,
}

impl FromStr for Partition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Partition, &'static str> {
        let number = |text: &str| text.parse().ok();
        let pair = text.split_once('/').and_then(|(part, of)| Some((number(part)?, number(of)?)));
        let partition = pair.map(|(part, of)| Partition { part, of });
        partition
            .filter(|partition| (1..=partition.of).contains(&partition.part))
            .ok_or("expected a part and how many there are: `1/4` to `4/4`")
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

impl Partition {
    /// Whether the case with this number, from 0, is played here.
    fn takes(self, number: usize) -> bool {
        number as u64 % u64::from(self.of) == u64::from(self.part) - 1
    }
}

/// What did not hold in an earlier run, at its first attempt or at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastFailed {
    /// Names of cases with the number of their repetition, by file. A file that was not valid has none, and all of it is played.
    pub files: HashMap<String, HashSet<String>>,
    /// Where that is known from.
    pub source: String,
}

impl LastFailed {
    /// Whether it is one of them, in a run of so many repetitions.
    fn selects(&self, subject: Subject<'_>, repeat: u32) -> bool {
        let Some(names) = self.files.get(subject.file) else { return false };
        // A repetition that this run does not have is played as the case that it was one of.
        let is_beyond = |name: &String| {
            let number = name.strip_prefix(subject.case).and_then(|rest| rest.strip_prefix(" #"));
            number.and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number > repeat)
        };
        let is_first = subject.repetition == subject.case;
        names.is_empty() || names.contains(subject.repetition) || (is_first && names.iter().any(is_beyond))
    }
}

/// A case that is to be played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    file: u32,
    case: u32,
    repetition: u32,
}

impl Planned {
    /// The file, the case's place in it, and its name with the number of the repetition.
    pub(super) fn resolve(self, files: &[Rc<File>]) -> (Rc<File>, usize, String) {
        let file = Rc::clone(&files[self.file as usize]);
        let case = self.case as usize;
        let name = repetition_name(&file.scenario.cases[case].name, self.repetition);
        (file, case, name)
    }
}

/// A case's name with the number of its repetition, which the first one does not have.
fn repetition_name(case: &str, repetition: u32) -> String {
    if repetition == 1 { case.to_owned() } else { format!("{case} #{repetition}") }
}

impl Run {
    /// What is played, in its order.
    pub(super) fn plan(&self, files: &[Rc<File>]) -> Vec<Planned> {
        let options = &self.options;
        let mut plan = Vec::new();
        let mut selected = 0;
        for repetition in 1..=options.repeat {
            for (at, file) in files.iter().enumerate() {
                let scenario = &file.scenario;
                for (case_at, case) in scenario.cases.iter().enumerate() {
                    let name = repetition_name(&case.name, repetition);
                    let subject = Subject {
                        scenario: &scenario.name,
                        case: &case.name,
                        repetition: &name,
                        file: &scenario.file,
                        tags: &case.tags,
                    };
                    let is_selected = options.filter.as_ref().is_none_or(|filter| filter.selects(subject))
                        && options.last_failed.as_ref().is_none_or(|last| last.selects(subject, options.repeat));
                    if !is_selected {
                        continue;
                    }
                    selected += 1;
                    if options.partition.is_none_or(|partition| partition.takes(selected - 1)) {
                        file.left.set(file.left.get() + 1);
                        plan.push(Planned { file: at as u32, case: case_at as u32, repetition });
                    }
                }
            }
        }
        if options.shuffle {
            let mut random = Random::new(options.seed, "shuffle");
            for at in (1..plan.len()).rev() {
                plan.swap(at, random.below(at as u64 + 1) as usize);
            }
        }
        plan
    }

    /// Which repetition was the first that did not hold, for `--until-fail`.
    pub(super) fn first_failure(&self, case: &CaseRecord<'_>) -> String {
        let number = case.started.name.rsplit_once(" #").and_then(|(_, number)| number.parse::<u32>().ok());
        let number = number.filter(|number| (2..=self.options.repeat).contains(number)).unwrap_or(1);
        let (scenario, repeat) = (&case.started.scenario, self.options.repeat);
        let name = case.started.name.trim_end_matches(&format!(" #{number}"));
        let mut message = format!("`{scenario}: {name}` did not hold in repetition {number} of {repeat}");
        if let Some(command) = &case.finished.reproduce {
            message.push_str(&format!(", which this repeats: {command}"));
        }
        message
    }

    /// Why nothing is played, for a person.
    pub(super) fn nothing_selected(&self, files: &[Rc<File>]) -> String {
        let cases: usize = files.iter().map(|file| file.scenario.cases.len()).sum();
        let options = &self.options;
        if cases == 0 {
            return "nothing was selected: there is no scenario in these folders".to_owned();
        }
        let mut by = Vec::new();
        by.extend(options.filter.as_ref().map(|_| "the filter".to_owned()));
        by.extend(options.last_failed.as_ref().map(|last| format!("what did not hold in `{}`", last.source)));
        by.extend(options.partition.map(|partition| format!("part {partition}")));
        let verb = if by.len() == 1 { "matches" } else { "together match" };
        format!("nothing was selected: {} {verb} none of {}", by.join(" and "), count(cases, "case"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_together_take_each_case_once() {
        for of in 1..6 {
            let parts: Vec<Partition> = (1..=of).map(|part| Partition { part, of }).collect();
            for number in 0..20 {
                assert_eq!(parts.iter().filter(|part| part.takes(number)).count(), 1, "{number} of {of}");
            }
        }
    }

    #[test]
    fn a_part_is_one_of_them() {
        assert_eq!("2/4".parse(), Ok(Partition { part: 2, of: 4 }));
        for text in ["", "1", "0/4", "5/4", "1/0", "0/0", "1/2/3", "-1/4", "a/b"] {
            assert!(text.parse::<Partition>().is_err(), "{text}");
        }
    }

    #[track_caller]
    fn check(failed: &[&str], case: &str, repetition: &str, expected: bool) {
        let names = failed.iter().map(|&name| name.to_owned()).collect();
        let last = LastFailed { files: HashMap::from([("s.toml".to_owned(), names)]), source: String::new() };
        let subject = Subject { scenario: "s", case, repetition, file: "s.toml", tags: &[] };
        assert_eq!(last.selects(subject, 5), expected, "{failed:?} {repetition}");
        assert!(!last.selects(Subject { file: "other.toml", ..subject }, 5));
    }

    #[test]
    fn what_failed_is_played_again_by_its_name() {
        check(&["a"], "a", "a", true);
        check(&["a"], "a", "a #2", false);
        check(&["b"], "a", "a", false);
        check(&["a #5"], "a", "a #5", true);
        check(&["a #5"], "a", "a #2", false);
        check(&["a #5"], "a", "a", false);
        check(&["a #7"], "a", "a", true);
        check(&["a #x"], "a", "a", false);
        check(&[], "a", "a", true);
    }
}
