//! What is done with campaigns that are over: findings become regression tests, corpora are joined and made small.

#![expect(clippy::disallowed_methods, reason = "files of campaigns are read and written here")]

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use super::corpus::{Corpus, Entry};
use super::journal::{self, JOURNAL};
use crate::mutator::Dictionary;
use crate::scenario::Known;
use crate::testcase::TestCase;

/// Puts a finding's scenario, with its capture, among the regression tests in `to`, and says where it is now.
pub fn promote(finding: &Path, to: &Path, known: &Known) -> Result<PathBuf, String> {
    let file = if finding.is_dir() { finding.join("repro.toml") } else { finding.to_owned() };
    let case = TestCase::read(&file, known, None).map_err(|error| error.to_string())?;
    let name = case.name().replace(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '_' | '.'), "-");
    let path = to.join(format!("{}.toml", if name.is_empty() { "finding" } else { &name }));
    let capture = fs::read(file.with_extension("pcapng")).ok();
    let written = fs::create_dir_all(to).and_then(|()| case.write(&path, capture.as_deref()));
    written.map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    Ok(path)
}

/// The cases of campaigns, and of folders with cases of others.
fn entries(folders: &[PathBuf]) -> io::Result<Corpus> {
    let mut corpus = Corpus::default();
    for folder in folders {
        match File::open(folder.join(JOURNAL)) {
            Ok(file) => {
                for line in BufReader::new(file).lines() {
                    // The last line of a campaign that was killed may be half a line.
                    if let Ok(entry) = serde_json::from_str::<Entry>(&line?) {
                        corpus.add(entry);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                for case in journal::import(folder, 0, &mut Default::default()) {
                    corpus.add(Entry { case, feedback: "import".into(), ..Entry::default() });
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(corpus)
}

/// Puts the cases of several folders into one, each once, as this program's files, as `AFLNet`'s and as AFL's, with the words of
/// the campaigns as a dictionary of AFL's. With `least` only as many as together take every edge that is known. How many there were,
/// and how many are left.
pub fn gather(folders: &[PathBuf], into: &Path, least: bool) -> io::Result<(usize, usize)> {
    let corpus = entries(folders)?;
    let all = corpus.entries().len();
    let kept = if least { corpus.minimal() } else { (0..all).collect() };
    let (replays, queue) = (into.join("replay"), into.join("afl/queue"));
    fs::create_dir_all(&replays)?;
    fs::create_dir_all(&queue)?;
    for (number, at) in kept.iter().enumerate() {
        let case = &corpus.entries()[*at].case;
        let stem = into.join(format!("{:016x}", case.hash()));
        crate::capture::write_file(&stem.with_extension("json"), &serde_json::to_vec(case)?)?;
        let replay = replays.join(format!("{:016x}.replay", case.hash()));
        crate::capture::write_file(&replay, &journal::to_replay(case))?;
        // Whatever reads one input hears it all in a row.
        let said: Vec<u8> = case.messages().flat_map(|(_, message)| message.bytes()).collect();
        crate::capture::write_file(&queue.join(format!("id:{number:06}")), &said)?;
    }
    let mut dictionary = Dictionary::default();
    folders.iter().flat_map(|folder| journal::words(folder)).for_each(|word| dictionary.add(&word));
    if !dictionary.words().is_empty() {
        crate::capture::write_file(&into.join("afl/words.dict"), dictionary.text().as_bytes())?;
    }
    Ok((all, kept.len()))
}

#[cfg(test)]
mod tests {
    use super::super::case::{Case, Message, Step};
    use super::super::journal::Journal;
    use super::*;

    #[test]
    fn campaigns_are_joined_and_made_small() {
        let folder = tempfile::tempdir().expect("a folder");
        let entry = |text: &str, edges: Vec<u32>| Entry {
            case: Case { steps: vec![Step::Open(0, 0), Step::Send(Message::new(0, text.into()))] },
            edges,
            ..Entry::default()
        };
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        for (path, edges) in paths.iter().zip([vec![1, 2], vec![2]]) {
            fs::create_dir(path).expect("room");
            let mut journal = Journal::open(path, None, None).expect("a journal");
            journal.push(&entry("same", vec![1])).expect("room");
            journal.push(&entry(&format!("{edges:?}"), edges)).expect("room");
        }
        assert_eq!(gather(&paths, &folder.path().join("all"), false).expect("room"), (3, 3));
        let (_, kept) = gather(&paths, &folder.path().join("least"), true).expect("room");
        assert!(kept < 3, "{kept}");
        assert_eq!(journal::import(&folder.path().join("all"), 0, &mut Default::default()).len(), 3);
    }
}
