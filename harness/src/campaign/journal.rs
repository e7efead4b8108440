//! A campaign on disk: every case of its corpus in a journal that only grows, and now and then where it stands.
//!
//! What was written after the last checkpoint is made again, the same: which case comes next depends on nothing but the seed,
//! the case's number, and what the checkpoint holds.

#![expect(clippy::disallowed_methods, reason = "the campaign's files are read and written here")]

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::case::{Case, Message, Step};
use super::corpus::Entry;
use super::finding::Finding;
use super::frontier::Frontiers;
use super::standing::Standing;
use super::state::Counts;

/// The journal's name in the campaign's folder.
pub const JOURNAL: &str = "journal.ndjson";

/// The checkpoint's.
pub const CHECKPOINT: &str = "checkpoint.json";

/// The largest file of somebody else's corpus.
pub const IMPORT_LEN_MAX: u64 = 4 << 20;

/// The most files of a corpus that are read.
pub const IMPORTS_MAX: usize = 100_000;

/// Where a campaign stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What all chance comes from.
    pub seed: u64,
    /// How long it has been going on.
    pub seconds: f64,
    /// What was counted.
    pub counts: Counts,
    /// How many cases were given out, and how many of them of the finite part.
    pub given: (u64, u64),
    /// How many families of the growth sweep were looked at.
    #[serde(default)]
    pub grown: usize,
    /// How many lines of the journal are part of this.
    pub entries: usize,
    /// How often each case was chosen, and how many came of it.
    pub chosen: Vec<(u64, u64)>,
    /// What came of each mutator.
    pub yields: Vec<(u64, u64)>,
    /// The classes of counts that were seen of each edge, in hexadecimal.
    pub virgin: String,
    /// Answers, states and log lines that were seen.
    pub novelty: [Vec<u64>; 3],
    /// What was found.
    pub findings: Vec<Finding>,
    /// Bytes all of whose values are tried.
    #[serde(default)]
    pub frontiers: Frontiers,
    /// Which signs were looked into.
    pub looked_into: Vec<(String, u32)>,
    /// From which case on hangs are looked into, and how many were left out before.
    #[serde(default)]
    pub hangs: (u64, u64),
    /// A number for all that was sent.
    pub digest: u64,
    /// Words that mutators have, in hexadecimal: another start of the target might have answered otherwise.
    #[serde(default)]
    pub words: Vec<String>,
    /// How many of them were said or given, where the others are guesses.
    #[serde(default)]
    pub sure: Option<usize>,
    /// And answers.
    #[serde(default)]
    pub answers: Vec<String>,
    /// What its worker knew by itself.
    #[serde(default)]
    pub standing: Standing,
}

/// The files of a campaign.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: File,
    shared: Option<PathBuf>,
    known: std::collections::HashSet<PathBuf>,
}

impl Journal {
    /// Begins a journal, or goes on with one that has so many lines that count. `shared` is a folder for others.
    pub fn open(folder: &Path, resumed: Option<&[Entry]>, shared: Option<&Path>) -> io::Result<Journal> {
        let path = folder.join(JOURNAL);
        if let Some(shared) = shared {
            fs::create_dir_all(shared)?;
        }
        let mut lines = Vec::new();
        for entry in resumed.into_iter().flatten() {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        crate::capture::write_file(&path, &lines)?;
        let file = File::options().append(true).open(&path)?;
        Ok(Journal { folder: folder.to_owned(), file, shared: shared.map(Path::to_owned), known: Default::default() })
    }

    /// Adds a case.
    pub fn push(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        if let Some(shared) = &self.shared {
            let path = shared.join(format!("{:016x}.json", entry.case.hash()));
            if self.known.insert(path.clone()) && !path.exists() {
                crate::capture::write_file(&path, &serde_json::to_vec(&entry.case)?)?;
            }
        }
        Ok(())
    }

    /// Writes where the campaign stands.
    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        self.file.sync_data()?;
        crate::capture::write_file(&self.folder.join(CHECKPOINT), &serde_json::to_vec(checkpoint)?)
    }

    /// Cases that others have put into the shared folder since the last time.
    pub fn news(&mut self, actor: u16) -> Vec<Case> {
        match self.shared.clone() {
            Some(shared) => import(&shared, actor, &mut self.known),
            None => Vec::new(),
        }
    }
}

/// What all chance came from in the campaign of this folder, if there is one that can go on.
pub fn seed(folder: &Path) -> Option<u64> {
    let bytes = fs::read(folder.join(CHECKPOINT)).ok()?;
    serde_json::from_slice::<Checkpoint>(&bytes).ok().map(|checkpoint| checkpoint.seed)
}

/// Reads a campaign that was interrupted: where it stood, and the cases that it had then.
pub fn resume(folder: &Path) -> io::Result<Option<(Checkpoint, Vec<Entry>)>> {
    let bytes = match fs::read(folder.join(CHECKPOINT)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let checkpoint: Checkpoint = serde_json::from_slice(&bytes)?;
    let mut entries = Vec::new();
    for line in BufReader::new(File::open(folder.join(JOURNAL))?).lines().take(checkpoint.entries) {
        entries.push(serde_json::from_str(&line?)?);
    }
    if entries.len() < checkpoint.entries {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((checkpoint, entries)))
}

/// The words of a campaign, where it has stored some.
pub fn words(folder: &Path) -> Vec<Vec<u8>> {
    let checkpoint = fs::read(folder.join(CHECKPOINT)).ok();
    let checkpoint = checkpoint.and_then(|bytes| serde_json::from_slice::<Checkpoint>(&bytes).ok());
    let words = checkpoint.into_iter().flat_map(|checkpoint| checkpoint.words);
    words.filter_map(|word| crate::text::parse_hex(&word).ok()).collect()
}

/// Reads cases of others that are not `known` yet: this program's (`.json`), `.replay` files of `AFLNet`, and whatever else there
/// is as one message, as AFL has them in its queues.
pub fn import(folder: &Path, actor: u16, known: &mut std::collections::HashSet<PathBuf>) -> Vec<Case> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in [folder.to_owned(), folder.join("queue"), folder.join("replayable-queue")] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        paths.extend(entries.map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    paths.sort();
    let mut cases = Vec::new();
    for path in paths.into_iter().take(IMPORTS_MAX) {
        let fits = fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= IMPORT_LEN_MAX);
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !fits || hidden || !known.insert(path.clone()) {
            continue;
        }
        let Ok(bytes) = fs::read(&path) else { continue };
        cases.extend(read_case(&path, &bytes, actor));
    }
    cases
}

fn read_case(path: &Path, bytes: &[u8], actor: u16) -> Option<Case> {
    if path.extension().is_some_and(|extension| extension == "json") {
        return serde_json::from_slice(bytes).ok();
    }
    let messages = replay(bytes).unwrap_or_else(|| vec![bytes.to_vec()]);
    let mut case = Case { steps: vec![Step::Open(0, actor)] };
    case.steps.extend(messages.into_iter().map(|message| Step::Send(Message::new(0, message))));
    (!bytes.is_empty()).then(|| crate::mutator::bounded(case))
}

/// The messages of a `.replay` file: each with its length before it, in four bytes. `None` if it is none.
pub fn replay(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut messages = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let message = after.get(..u32::from_le_bytes(*len) as usize)?;
        rest = &after[message.len()..];
        messages.push(message.to_vec());
    }
    (!messages.is_empty()).then_some(messages)
}

/// A case in the format of `AFLNet`, without its connections.
pub fn to_replay(case: &Case) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (_, message) in case.messages() {
        let message = message.bytes();
        bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&message);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        let steps = vec![Step::Open(0, 0), Step::Send(Message::new(0, text.into()))];
        Entry { case: Case { steps }, feedback: "answer".into(), ..Entry::default() }
    }

    #[test]
    fn what_was_written_after_the_checkpoint_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path(), None, None).expect("a journal");
        journal.push(&entry("a")).expect("room");
        journal.checkpoint(&Checkpoint { entries: 1, digest: 7, ..Checkpoint::default() }).expect("room");
        journal.push(&entry("b")).expect("room");
        let (checkpoint, entries) = resume(folder.path()).expect("it can be read").expect("it is there");
        assert_eq!((checkpoint.digest, entries.len()), (7, 1));
        assert_eq!(entries[0].case, entry("a").case);
    }

    #[test]
    fn without_a_checkpoint_there_is_nothing_to_resume() {
        assert!(resume(tempfile::tempdir().expect("a folder").path()).expect("no error").is_none());
    }

    #[test]
    fn files_of_others_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("room");
        write("a.replay", &to_replay(&Case { steps: vec![Step::Send(Message::new(0, b"x".to_vec())); 2] }));
        write("id:000001", b"raw");
        write("c.json", &serde_json::to_vec(&entry("c").case).expect("plain data"));
        let mut known = Default::default();
        let read = import(folder.path(), 0, &mut known);
        assert_eq!(read.iter().map(|case| case.sends().len()).collect::<Vec<_>>(), [2, 1, 1]);
        assert!(import(folder.path(), 0, &mut known).is_empty());
    }

    #[test]
    fn a_length_beyond_the_end_is_no_replay() {
        assert_eq!(replay(b"\x05\0\0\0hello"), Some(vec![b"hello".to_vec()]));
        assert_eq!(replay(b"\x06\0\0\0hello"), None);
        assert_eq!(replay(b""), None);
    }
}
