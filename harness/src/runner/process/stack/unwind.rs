//! The stack of a stopped thread, by what its program's files say of how calls are returned from.

#![expect(clippy::disallowed_methods, reason = "it is read of files and of /proc")]

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use framehop::{
    CacheNative, ExplicitModuleSectionInfo, FrameAddress, Module, UnwindRegsNative, Unwinder as _, UnwinderNative,
};

use super::super::elf;
use super::Address;

/// The most calls of a stack that are looked at.
const FRAMES_MAX: usize = 64;

/// The longest program or library that is read.
const FILE_LEN_MAX: u64 = 512 << 20;

/// The most files of one process.
const FILES_MAX: usize = 1_024;

/// What programs and libraries say of their calls, read once each.
#[derive(Debug, Default)]
pub struct Files(Mutex<HashMap<Arc<Path>, Known>>);

#[derive(Debug)]
struct Known {
    /// Which file it was: its number, its length, and when it was written.
    version: (u64, u64, i64),
    calls: Option<Arc<Calls>>,
}

/// The sections of a file by which its stack is read.
#[derive(Debug, Default)]
struct Calls {
    fixed: bool,
    text: Option<(Range<u64>, Arc<[u8]>)>,
    frames: Option<(Range<u64>, Arc<[u8]>)>,
    index: Option<(Range<u64>, Arc<[u8]>)>,
}

impl Files {
    /// What the file at a path says, as process `pid` sees that path.
    fn calls(&self, pid: i32, path: &Arc<Path>) -> Option<Arc<Calls>> {
        let seen = format!("/proc/{pid}/root{}", path.display());
        let about = fs::metadata(&seen).ok().filter(|about| about.is_file() && about.len() <= FILE_LEN_MAX)?;
        let version = (about.ino(), about.len(), about.mtime());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(path).filter(|known| known.version == version) {
            return known.calls.clone();
        }
        let calls = fs::read(&seen).ok().map(|file| Arc::new(Calls::of(&file)));
        known.insert(Arc::clone(path), Known { version, calls: calls.clone() });
        calls
    }
}

impl Calls {
    fn of(file: &[u8]) -> Calls {
        let read = |name: &str| {
            let section = elf::section(file, name)?;
            let end = section.address.checked_add(section.len)?;
            Some((section.address..end, Arc::from(section.bytes(file)?)))
        };
        let fixed = elf::section(file, ".text").is_some_and(|text| text.fixed);
        Calls { fixed, text: read(".text"), frames: read(".eh_frame"), index: read(".eh_frame_hdr") }
    }

    /// The file as it lies in memory.
    fn module(&self, path: &Path, at: Range<u64>) -> Module<Arc<[u8]>> {
        let range = |section: &Option<(Range<u64>, _)>| section.as_ref().map(|(range, _)| range.clone());
        let bytes = |section: &Option<(_, Arc<[u8]>)>| section.as_ref().map(|(_, bytes)| Arc::clone(bytes));
        let sections = ExplicitModuleSectionInfo {
            base_svma: if self.fixed { at.start } else { 0 },
            text_svma: range(&self.text),
            text: bytes(&self.text),
            eh_frame_svma: range(&self.frames),
            eh_frame: bytes(&self.frames),
            eh_frame_hdr_svma: range(&self.index),
            eh_frame_hdr: bytes(&self.index),
            ..ExplicitModuleSectionInfo::default()
        };
        Module::new(path.display().to_string(), at.clone(), at.start, sections)
    }
}

/// What tells where a thread is, and where its stack begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers {
    pub(super) ip: u64,
    pub(super) sp: u64,
    pub(super) bp: u64,
}

/// The calls that a stopped thread is in, the innermost first. What no file says anything of ends it.
pub(super) fn addresses(tid: i32, registers: Registers, files: &Files) -> Option<Vec<Address>> {
    let memory = File::open(format!("/proc/{tid}/mem")).ok()?;
    let mut word = |at: u64| {
        let mut bytes = [0; 8];
        memory.read_exact_at(&mut bytes, at).map_err(|_| ())?;
        Ok(u64::from_ne_bytes(bytes))
    };
    let maps = loaded(&fs::read_to_string(format!("/proc/{tid}/maps")).ok()?);
    let mut unwinder: UnwinderNative<Arc<[u8]>, _> = UnwinderNative::new();
    let mut fixed = HashMap::new();
    for (path, range) in &maps {
        if let Some(calls) = files.calls(tid, path) {
            unwinder.add_module(calls.module(path, range.clone()));
            fixed.insert(Arc::clone(path), calls.fixed);
        }
    }
    let address = |at: u64| {
        let (path, range) = maps.iter().find(|(_, range)| range.contains(&at))?;
        let base = if *fixed.get(path)? { 0 } else { range.start };
        Some(Address { file: Arc::clone(path), at: at - base })
    };

    let Registers { mut ip, mut sp, bp } = registers;
    let mut calls = Vec::new();
    if address(ip).is_none() {
        // It was sent where there is no code: who did that stands on top of the stack.
        ip = word(sp).ok()?.checked_sub(1)?;
        sp = sp.checked_add(8)?;
    }
    let mut cache = CacheNative::<_>::new();
    let mut frames = unwinder.iter_frames(ip, UnwindRegsNative::new(ip, sp, bp), &mut cache, &mut word);
    while let Ok(Some(frame)) = frames.next() {
        let Some(address) = address(FrameAddress::address_for_lookup(frame)) else { break };
        calls.push(address);
        if calls.len() == FRAMES_MAX {
            break;
        }
    }
    (!calls.is_empty()).then_some(calls)
}

/// The files that a process has in its memory, each from its first to its last byte there.
fn loaded(maps: &str) -> Vec<(Arc<Path>, Range<u64>)> {
    let mut files: BTreeMap<&str, Range<u64>> = BTreeMap::new();
    for line in maps.lines() {
        // `from-to rights offset device inode path`
        let mut words = line.splitn(6, ' ');
        let Some((from, to)) = words.next().and_then(|range| range.split_once('-')) else { continue };
        let Some(path) = words.nth(4).map(str::trim_start).filter(|path| path.starts_with('/')) else { continue };
        let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16)) else { continue };
        if files.len() < FILES_MAX || files.contains_key(path) {
            let file = files.entry(path).or_insert(from..to);
            *file = file.start.min(from)..file.end.max(to);
        }
    }
    files.into_iter().map(|(path, range)| (Arc::from(Path::new(path)), range)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lies_from_its_first_mapping_to_its_last() {
        let maps = "5600-5700 r--p 00000000 08:01 7                    /usr/bin/with a space\n\
                    5700-5900 r-xp 00001000 08:01 7                    /usr/bin/with a space\n\
                    7f00-7f10 rw-p 00000000 00:00 0 \n\
                    7fff-8000 rw-p 00000000 00:00 0                    [stack]\n\
                    nonsense\n";
        assert_eq!(loaded(maps), [(Arc::from(Path::new("/usr/bin/with a space")), 0x5600..0x5900)]);
    }
}
