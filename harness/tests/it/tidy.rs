//! What lints cannot see: files that nothing compiles, rows that nobody wrote, links that lead nowhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::matcher::MATCHERS;

/// The most lines of a source file. A file that grows there has a second idea in it.
const FILE_LINES_MAX: usize = 1_000;

/// The root of the project.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The project's own text files, as paths from the root, and what is in them.
fn files() -> Vec<(PathBuf, String)> {
    let parts = [".cargo", ".ci", ".config", "benches", "docs", "fuzz/fuzz_targets", "harness", "scenarios", "targets"];
    let mut found = Vec::new();
    for part in parts {
        walk(&root().join(part), &mut found);
    }
    for entry in fs::read_dir(root()).expect("the project is there") {
        found.push(entry.expect("the folder can be read").path());
    }
    found.push(root().join("fuzz/Cargo.toml"));
    found.push(root().join("corpus/README.md"));
    let is_text = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        path.is_file() && (path.ends_with(".ci/run") || matches!(extension, Some("md" | "py" | "rs" | "toml")))
    };
    found.retain(is_text);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.strip_prefix(root()).expect("it lies below").to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("the folder can be read").path()) {
        match path.is_dir() {
            // What stands there is wrong on purpose.
            true if path.join(".harness-skip").exists() => {}
            true => walk(&path, found),
            false => found.push(path),
        }
    }
}

/// Fails with every line of every file of which `wrong` says why it is wrong.
#[track_caller]
fn check(wrong: impl Fn(&Path, &str) -> Option<String>) {
    let mut report = String::new();
    for (path, text) in files() {
        for (at, line) in text.lines().enumerate() {
            if let Some(why) = wrong(&path, line) {
                report.push_str(&format!("{}:{}: {why}\n", path.display(), at + 1));
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn every_source_file_is_a_module_of_the_one_above() {
    let files = files();
    let text = |path: &Path| files.iter().find(|(known, _)| known == path).map(|(_, text)| text.as_str());
    for (path, _) in files.iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs")) {
        let stem = path.file_stem().expect("it has an extension").to_string_lossy().into_owned();
        let mut folder = path.parent().expect("it lies in a package").to_owned();
        let in_package = folder.components().count() > 1 && !folder.ends_with("fuzz/fuzz_targets");
        let name = match stem.as_str() {
            _ if !in_package || folder.ends_with("targets/tests") || folder.ends_with("src/bin") => continue,
            "lib" | "main" => continue,
            "mod" => {
                let name = folder.file_name().expect("a module has a name").to_string_lossy().into_owned();
                folder.pop();
                name
            }
            _ => stem,
        };
        let above = ["mod.rs", "lib.rs", "main.rs"].iter().map(|name| folder.join(name));
        let above = above.chain([folder.with_extension("rs")]);
        // Each file right in a folder of tests is a crate of its own, and may share modules with the others.
        let tests = files.iter().map(|(path, _)| path.clone());
        let tests = tests.filter(|path| folder.ends_with("tests") && path.parent() == Some(&folder));
        let above: Vec<PathBuf> = above.chain(tests).collect();
        let declared = format!("mod {name};");
        let has = |path: PathBuf| text(&path).is_some_and(|text| text.lines().any(|line| line.ends_with(&declared)));
        assert!(above.into_iter().any(has), "{} is in no module: `{declared}` is missing", path.display());
    }
}

#[test]
fn every_matcher_has_a_row() {
    let page = fs::read_to_string(root().join("harness/src/matcher/mod.rs")).expect("it is there");
    let mut files = Vec::new();
    walk(&root().join("harness/src/matcher"), &mut files);
    // A message goes by its own name, not by a row's.
    let others = ["mod.rs", "facts.rs", "message.rs"];
    for path in files.iter().filter(|path| !others.iter().any(|other| path.ends_with(other))) {
        let stem = path.file_stem().expect("a source file").to_string_lossy();
        assert!(page.contains(&format!("({stem}::lower")), "{} has no row in MATCHERS", path.display());
    }
    assert!(MATCHERS.len() >= files.len() - others.len());
}

#[test]
fn every_benchmark_and_fuzz_target_is_in_its_manifest() {
    for (folder, manifest) in [("benches", "benches/Cargo.toml"), ("fuzz/fuzz_targets", "fuzz/Cargo.toml")] {
        let text = fs::read_to_string(root().join(manifest)).expect("it is there");
        let mut files = Vec::new();
        walk(&root().join(folder), &mut files);
        // A program of its own below it has a manifest of its own.
        files.retain(|path| path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("lib.rs"));
        files.retain(|path| path.parent() == Some(&root().join(folder)));
        assert!(!files.is_empty(), "{folder} is empty");
        let shared = fs::read_to_string(root().join(folder).join("lib.rs")).unwrap_or_default();
        for path in files {
            let name = path.file_stem().expect("a source file").to_string_lossy();
            if shared.contains(&format!("pub mod {name};")) {
                continue;
            }
            assert!(text.contains(&format!("name = \"{name}\"")), "{} is not in {manifest}", path.display());
            let corpus = root().join("corpus").join(&*name);
            assert!(folder == "benches" || corpus.is_dir(), "`{name}` has no folder in corpus/");
        }
    }
}

#[test]
fn every_seed_has_a_name_that_git_keeps() {
    let mut files = Vec::new();
    walk(&root().join("corpus"), &mut files);
    assert!(files.len() > 50);
    for path in files.iter().filter(|path| !path.ends_with("corpus/README.md")) {
        let name = path.file_name().expect("a file").to_string_lossy();
        let is_hash = name.len() == 40 && name.chars().all(|c| c.is_ascii_hexdigit());
        assert!(name.contains('-') || is_hash, "{}: without a hyphen git ignores it", path.display());
    }
}

#[test]
fn no_file_is_too_long() {
    for (path, text) in files() {
        let lines = text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines: is there a second idea in it?", path.display());
    }
}

#[test]
fn no_line_ends_with_a_space() {
    check(|_, line| line.ends_with([' ', '\t', '\r']).then(|| "white space at the end".into()));
}

#[test]
fn every_todo_says_what_would_settle_it() {
    let word = concat!("TO", "DO");
    check(|_, line| {
        let (_, rest) = line.split_once(word)?;
        let says = rest.strip_prefix(": ").is_some_and(|text| text.split_whitespace().count() >= 3);
        // In TAP it is a word of the protocol.
        let is_tap = line.starts_with("not ok ");
        (!says && !is_tap && !rest.starts_with('`')).then(|| format!("`{word}: ` and what would settle it"))
    });
}

#[test]
fn no_path_of_somebodys_machine() {
    let paths = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/")];
    check(|_, line| {
        paths.iter().find(|path| line.contains(*path)).map(|path| format!("`{path}` is on one machine only"))
    });
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    check(|page, line| {
        if page.extension().is_none_or(|extension| extension != "md") {
            return None;
        }
        let mut links = line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        let broken = links.find(|link| !link.contains("://") && !leads_somewhere(page, link))?;
        Some(format!("`{broken}` leads nowhere"))
    });
}

fn leads_somewhere(page: &Path, link: &str) -> bool {
    let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    let target = match file {
        "" => root().join(page),
        file => root().join(page).parent().expect("a page lies in a folder").join(file),
    };
    let Some(heading) = heading else { return target.exists() };
    // As GitHub makes them: lowercase, spaces to hyphens, no punctuation.
    let anchor = |title: &str| -> String {
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    let text = fs::read_to_string(target).unwrap_or_default();
    text.lines().any(|line| line.starts_with('#') && anchor(line.trim_start_matches('#')) == heading)
}

#[test]
fn every_scenario_is_valid() {
    let mut harness = Command::new(super::run::program());
    let output = harness.args(["check", "scenarios"]).current_dir(root()).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
