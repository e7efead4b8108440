//! Names for the places of a stack: functions and lines as far as files tell them.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use addr2line::Loader;

use super::Address;

/// The most names that are kept.
const KNOWN_MAX: usize = 65_536;

/// The longest name of a function that is told.
const NAME_LEN_MAX: usize = 200;

/// A call on a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function; where no file names it, the program and the place in it.
    pub function: String,
    /// Its source file and line.
    pub line: Option<String>,
    /// Whether it is the system's and says nothing of the program.
    pub of_system: bool,
}

/// Programs and libraries whose names were asked for.
#[derive(Default)]
pub struct Names {
    files: HashMap<Arc<Path>, Option<Loader>>,
    known: HashMap<Address, Vec<Frame>>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files.keys()).finish()
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.line {
            Some(line) => write!(f, "{} at {line}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

impl Names {
    /// The calls of a stack by name; one place is several of them where functions were put into others.
    pub fn frames(&mut self, stack: &[Address]) -> Vec<Frame> {
        stack.iter().flat_map(|address| self.at(address)).collect()
    }

    fn at(&mut self, address: &Address) -> Vec<Frame> {
        if let Some(known) = self.known.get(address) {
            return known.clone();
        }
        let loader = self.files.entry(Arc::clone(&address.file)).or_insert_with(|| Loader::new(&*address.file).ok());
        let frames = name(address, loader.as_ref());
        if self.known.len() < KNOWN_MAX {
            self.known.insert(address.clone(), frames.clone());
        }
        frames
    }
}

fn name(address: &Address, loader: Option<&Loader>) -> Vec<Frame> {
    let file = address.file.file_name().unwrap_or_default().to_string_lossy();
    let of_system = is_of_system(&file);
    let mut frames = Vec::new();
    if let Some(mut calls) = loader.and_then(|loader| loader.find_frames(address.at).ok()) {
        while let Ok(Some(call)) = calls.next() {
            let Some(function) = call.function.as_ref().and_then(|function| function.demangle().ok()) else { continue };
            let line = call.location.and_then(|location| {
                let file = Path::new(location.file?).file_name()?.to_string_lossy().into_owned();
                Some(format!("{file}:{}", location.line?))
            });
            frames.push(Frame { function: short(&function), line, of_system });
        }
    }
    if frames.is_empty() {
        let symbol = loader.and_then(|loader| loader.find_symbol(address.at));
        let function = symbol.map(|symbol| short(&addr2line::demangle_auto(symbol.into(), None)));
        let function = function.unwrap_or_else(|| format!("{file}+{:#x}", address.at));
        frames.push(Frame { function, line: None, of_system });
    }
    frames
}

/// A function without what it takes.
fn short(name: &str) -> String {
    let bare = name.split_once('(').map_or(name, |(bare, _)| bare).trim();
    // `operator()`, and what has no name but its brackets.
    let bare = if bare.is_empty() || bare.ends_with("operator") { name } else { bare };
    bare.chars().take(NAME_LEN_MAX).collect()
}

fn is_of_system(file: &str) -> bool {
    const SYSTEM: [&str; 8] = ["ld-", "libc.", "libc-", "libgcc_s", "libm.", "libpthread", "libstdc++", "libc++"];
    SYSTEM.iter().any(|name| file.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_without_what_it_takes() {
        assert_eq!(short("Session::read(int, char*)"), "Session::read");
        assert_eq!(short("parse"), "parse");
        assert_eq!(short("Visitor::operator()(int)"), "Visitor::operator()(int)");
        assert!(is_of_system("libc.so.6") && !is_of_system("libcoap.so"));
    }
}
