//! Where coverage comes from: counters in a target that runs, read and cleared around every message.
//!
//! Nothing of the target is stopped, and nothing here needs unsafe code: AFL's map is a segment of System V shared memory that
//! `ipcmk` makes and the target attaches; it is read where the target has it, through `/proc/PID/mem`. So are the counters of
//! `-Cinstrument-coverage` and `-fprofile-instr-generate`. The runtime that we ship maps a file instead.

#![expect(clippy::disallowed_methods, reason = "files of the kernel and of the runtime are read here")]

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::PidfdFlags;

use crate::runner::process::elf;

/// The least that classic AFL maps have, and the runtime of AFL++ insists on beyond it.
pub const MAP_LEN: usize = 65_536;

/// The largest map.
pub const MAP_LEN_MAX: usize = 8 << 20;

/// How long a program may take to say how many counters it has.
const DUMP_WITHIN: Duration = Duration::from_secs(2);

/// The largest program that is searched for instrumentation.
pub const PROGRAM_LEN_MAX: u64 = 1 << 30;

/// The runtime that goes with `-fsanitize-coverage`, in C.
pub const RUNTIME: &str = include_str!("runtime.c");

/// The environment variable by which the runtime learns of its file.
pub const RUNTIME_VARIABLE: &str = "HARNESS_COVERAGE_MAP";

/// What kind of counters a target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// AFL's shared map: afl-clang-fast, afl-gcc, and whatever attaches `__AFL_SHM_ID`
    Afl,
    /// Whatever the program shows to have
    Auto,
    /// The counters of `-Cinstrument-coverage` (Rust) and `-fprofile-instr-generate` (clang)
    Llvm,
    /// None: answers and log lines alone are feedback
    Off,
    /// `-fsanitize-coverage` with the runtime of `harness fuzz --runtime`
    Sancov,
}

/// Counters of a target.
#[derive(Debug, Default)]
pub struct Coverage {
    source: Source,
    /// How many counters there are.
    len: usize,
    counts: Vec<u8>,
    zeros: Vec<u8>,
    wide: Vec<u8>,
    /// Whether the target that runs has been seen to have them.
    attached: bool,
}

#[derive(Debug, Default)]
enum Source {
    #[default]
    Off,
    /// A segment of System V shared memory, and where the target has it.
    Shared { id: i32, memory: Option<(File, u64)> },
    /// A file that the runtime maps.
    Mapped { file: File, path: PathBuf },
    /// A section of the program, of counters of 64 bits.
    Section { section: elf::Section, memory: Option<(File, u64)> },
}

/// What a program was found to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its counters.
    pub kind: Kind,
    /// How many of them the target has; 0 where only a start will tell.
    len: usize,
    section: Option<elf::Section>,
    /// How many edges there are in the program, where each has a counter of its own.
    pub total: Option<usize>,
}

/// Looks for instrumentation in the programs of these processes. `wanted` is what the user says it has.
pub fn find(pids: &[u32], wanted: Kind) -> Option<Found> {
    let is_wanted = |kind| wanted == Kind::Auto || wanted == kind;
    for pid in pids {
        let link = PathBuf::from(format!("/proc/{pid}/exe"));
        let Ok(mut file) = File::open(&link) else { continue };
        if file.metadata().is_ok_and(|metadata| metadata.len() > PROGRAM_LEN_MAX) {
            continue;
        }
        let mut program = Vec::new();
        if file.read_to_end(&mut program).is_err() {
            continue;
        }
        let mentions = |text: &str| memchr::memmem::find(&program, text.as_bytes()).is_some();
        if is_wanted(Kind::Sancov) && mentions(RUNTIME_VARIABLE) && !is_harness(&program) {
            return Some(Found { kind: Kind::Sancov, len: 0, section: None, total: guards(&program) });
        }
        if is_wanted(Kind::Afl) && mentions("__AFL_SHM_ID") && !is_harness(&program) {
            let dumps = mentions("AFL_DUMP_MAP_SIZE");
            let len = dumps.then(|| map_len(&link)).flatten().unwrap_or(MAP_LEN);
            return Some(Found { kind: Kind::Afl, len, section: None, total: guards(&program) });
        }
        if is_wanted(Kind::Llvm)
            && let Some(section) = elf::section(&program, "__llvm_prf_cnts").filter(|section| section.len > 0)
        {
            let len = usize::try_from(section.len / 8).unwrap_or(0).min(MAP_LEN_MAX);
            return Some(Found { kind: Kind::Llvm, len, section: Some(section), total: Some(len) });
        }
    }
    // Whoever says so is believed: a wrapper may start the program later.
    match wanted {
        Kind::Afl => Some(Found { kind: Kind::Afl, len: MAP_LEN, section: None, total: None }),
        Kind::Sancov => Some(Found { kind: Kind::Sancov, len: 0, section: None, total: None }),
        _ => None,
    }
}

/// The names that the program of these processes knows, of the first that is none of ours.
pub fn names(pids: &[u32]) -> Vec<Vec<u8>> {
    let read = |pid: &u32| {
        let mut program = Vec::new();
        let file = File::open(format!("/proc/{pid}/exe")).ok()?;
        file.take(PROGRAM_LEN_MAX).read_to_end(&mut program).ok()?;
        Some(program)
    };
    let program = pids.iter().filter_map(read).find(|program| !is_harness(program));
    program.map(|program| elf::names(&program)).unwrap_or_default()
}

/// How many edges a program counts by guards: clang, Rust and AFL++ give it a section of them, gcc and classic AFL do not.
fn guards(program: &[u8]) -> Option<usize> {
    let section = elf::section(program, "__sancov_guards").filter(|section| section.len > 0)?;
    usize::try_from(section.len / 4).ok()
}

/// This program has all these names in it, and is no instrumented one.
fn is_harness(program: &[u8]) -> bool {
    memchr::memmem::find(program, RUNTIME.as_bytes()).is_some()
}

/// How many counters a program of AFL++ says that it has.
fn map_len(program: &Path) -> Option<usize> {
    // The link of a process that may end is followed once.
    let program = fs::read_link(program).ok()?;
    let mut child = Command::new(program)
        .env("AFL_DUMP_MAP_SIZE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw)?;
    let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // A number is all that it writes, so it never waits for us to read.
    if !super::socket::wait(ended.as_fd(), DUMP_WITHIN) {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let _ = child.wait();
    let mut text = String::new();
    child.stdout.take()?.take(1_024).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| line.trim().parse().ok()).filter(|len| (1..=MAP_LEN_MAX).contains(len))
}

impl Found {
    /// Makes what the counters are read from, and says what the target finds in its environment. `folder` is where a map can lie.
    pub fn open(&self, folder: &Path, worker: usize) -> Result<(Coverage, Vec<(String, String)>), String> {
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let (source, len, env) = match self.kind {
            Kind::Afl => {
                // Programs that load libraries later have more counters than they say at first.
                let len = (self.len + 1).next_multiple_of(64);
                let segment = (2 * len).next_power_of_two().clamp(MAP_LEN, MAP_LEN_MAX);
                let id = make_segment(segment)?;
                let env = vec![
                    pair("__AFL_SHM_ID", id.to_string()),
                    pair("__AFL_DEFER_FORKSRV", "1".into()),
                    pair("AFL_MAP_SIZE", segment.to_string()),
                ];
                (Source::Shared { id, memory: None }, len, env)
            }
            Kind::Sancov => {
                let path = folder.join(format!("coverage-{worker}.map"));
                let path = std::path::absolute(&path).unwrap_or(path);
                let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
                let file = file.and_then(|file| file.set_len(MAP_LEN as u64).map(|()| file));
                let file = file.map_err(|error| format!("cannot make `{}`: {error}", path.display()))?;
                let env = vec![pair(RUNTIME_VARIABLE, path.to_string_lossy().into_owned())];
                (Source::Mapped { file, path }, MAP_LEN, env)
            }
            Kind::Llvm => {
                let section = self.section.ok_or("the program has no counters of this kind")?;
                let env = vec![pair("LLVM_PROFILE_FILE", "/dev/null".into())];
                (Source::Section { section, memory: None }, self.len, env)
            }
            Kind::Auto | Kind::Off => return Ok((Coverage::default(), Vec::new())),
        };
        let coverage =
            Coverage { source, len, counts: vec![0; len], zeros: Vec::new(), wide: Vec::new(), attached: false };
        Ok((coverage, env))
    }
}

fn make_segment(len: usize) -> Result<i32, String> {
    let output = Command::new("ipcmk").args(["-M", &len.to_string(), "-p", "0600"]).output();
    let output = output.map_err(|error| format!("`ipcmk` of util-linux makes the map, and cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let id = text.rsplit(':').next().and_then(|id| id.trim().parse().ok());
    id.ok_or_else(|| format!("`ipcmk` makes no map: {}{}", text.trim(), String::from_utf8_lossy(&output.stderr).trim()))
}

impl Coverage {
    /// Whether there are counters.
    pub fn is_on(&self) -> bool {
        !matches!(self.source, Source::Off)
    }

    /// Whether the target that runs has been seen to have them.
    pub fn is_attached(&self) -> bool {
        self.attached
    }

    /// How many counters there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Finds the counters in a target that was just started.
    pub fn attach(&mut self, pids: &[u32]) {
        self.attached = match &mut self.source {
            Source::Off => false,
            Source::Mapped { .. } => true,
            Source::Shared { id, memory } => {
                let inode = id.to_string();
                let is_ours = |map: &Map<'_>| map.inode == inode && map.path.starts_with("/SYSV");
                *memory = pids.iter().find_map(|pid| open_memory(*pid, &is_ours));
                memory.is_some()
            }
            Source::Section { section, memory } => {
                *memory = pids.iter().find_map(|pid| {
                    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
                    let exe = exe.to_string_lossy().into_owned();
                    let is_first = |map: &Map<'_>| map.offset == 0 && map.path == exe;
                    let (file, base) = open_memory(*pid, &is_first)?;
                    Some((file, if section.fixed { section.address } else { base + section.address }))
                });
                memory.is_some()
            }
        };
        if let (Source::Mapped { file, .. }, true) = (&mut self.source, self.attached) {
            // The runtime makes its file as long as it needs.
            let len = file.seek(SeekFrom::End(0)).unwrap_or(MAP_LEN as u64);
            self.len = usize::try_from(len).unwrap_or(MAP_LEN).clamp(1, MAP_LEN_MAX);
        }
        self.counts.resize(self.len, 0);
        self.zeros.resize(self.len * 8, 0);
    }

    /// Forgets a target that has ended.
    pub fn detach(&mut self) {
        match &mut self.source {
            Source::Shared { memory, .. } | Source::Section { memory, .. } => *memory = None,
            Source::Mapped { .. } | Source::Off => {}
        }
    }

    /// Sets all counters to zero.
    pub fn clear(&mut self) {
        match &mut self.source {
            Source::Off => {}
            Source::Shared { memory, .. } => {
                if let Some((memory, at)) = memory {
                    let _ = memory.write_all_at(&self.zeros[..self.len], *at);
                }
            }
            Source::Mapped { file, .. } => {
                let _ = file.write_all_at(&self.zeros[..self.len], 0);
            }
            Source::Section { memory, .. } => {
                if let Some((memory, at)) = memory {
                    let _ = memory.write_all_at(&self.zeros[..self.len * 8], *at);
                }
            }
        }
    }

    /// What was counted since the last time, one number an edge; all counters are zero after it.
    pub fn take(&mut self) -> &[u8] {
        let read = match &mut self.source {
            Source::Off => false,
            Source::Shared { memory, .. } => {
                memory.as_ref().is_some_and(|(memory, at)| memory.read_exact_at(&mut self.counts, *at).is_ok())
            }
            Source::Mapped { file, .. } => file.read_exact_at(&mut self.counts, 0).is_ok(),
            Source::Section { memory, .. } => {
                self.wide.resize(self.len * 8, 0);
                let read =
                    memory.as_ref().is_some_and(|(memory, at)| memory.read_exact_at(&mut self.wide, *at).is_ok());
                let (words, _) = self.wide.as_chunks::<8>();
                for (count, word) in self.counts.iter_mut().zip(words) {
                    *count = u64::from_ne_bytes(*word).min(255) as u8;
                }
                read
            }
        };
        if !read {
            return &[];
        }
        if self.counts.iter().any(|count| *count > 0) {
            self.clear();
        }
        &self.counts
    }
}

impl Drop for Coverage {
    fn drop(&mut self) {
        match &self.source {
            Source::Shared { id, .. } => {
                let _ = Command::new("ipcrm").args(["-m", &id.to_string()]).stderr(Stdio::null()).status();
            }
            Source::Mapped { path, .. } => {
                let _ = fs::remove_file(path);
            }
            Source::Off | Source::Section { .. } => {}
        }
    }
}

/// A line of `/proc/PID/maps`.
struct Map<'m> {
    start: u64,
    offset: u64,
    inode: &'m str,
    path: &'m str,
}

/// Opens a process's memory, and says where the first mapping of a kind begins.
fn open_memory(pid: u32, is_meant: &dyn Fn(&Map<'_>) -> bool) -> Option<(File, u64)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let start = maps.lines().filter_map(parse_map).find(|map| is_meant(map))?.start;
    let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem")).ok()?;
    Some((memory, start))
}

fn parse_map(line: &str) -> Option<Map<'_>> {
    let mut fields = line.split_ascii_whitespace();
    let start = u64::from_str_radix(fields.next()?.split('-').next()?, 16).ok()?;
    let offset = u64::from_str_radix(fields.nth(1)?, 16).ok()?;
    let inode = fields.nth(1)?;
    Some(Map { start, offset, inode, path: fields.next().unwrap_or_default() })
}

/// Writes the runtime where somebody wants it.
pub fn write_runtime(to: &mut dyn std::io::Write) -> std::io::Result<()> {
    to.write_all(RUNTIME.as_bytes()).and_then(|()| to.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_read() {
        let map = parse_map("7f0000000000-7f0000010000 rw-s 00000000 00:01 32768   /SYSV00000000 (deleted)");
        let map = map.expect("a map");
        assert_eq!((map.start, map.offset, map.inode, map.path), (0x7f00_0000_0000, 0, "32768", "/SYSV00000000"));
        let map = parse_map("7ffc0000-7ffd0000 rw-p 00001000 00:00 0 ").expect("a map");
        assert_eq!((map.offset, map.path), (0x1000, ""));
        assert!(parse_map("").is_none());
    }

    #[test]
    fn this_program_is_not_instrumented() {
        assert_eq!(find(&[std::process::id()], Kind::Auto).filter(|found| found.kind != Kind::Llvm), None);
    }
}
