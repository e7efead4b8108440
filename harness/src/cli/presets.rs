//! What a scenario says of a command's options, put before what the command line says.

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser as _};

use super::{Arguments, Command, Talk};
use crate::document::did_you_mean;
use crate::event::Mistake;
use crate::exit::Exit;
use crate::scenario::Preset;

/// What a command is given, with a file's presets in it. Mistakes in them are told, and the exit code is that of a bad file.
pub(super) fn parse(name: &str, presets: &[Preset], words: &[OsString], talk: Talk) -> Result<Command, u8> {
    let whole = Arguments::command();
    let command = whole.find_subcommand(name).expect("it is being carried out");
    let words = apply(command, presets, words).map_err(|mistakes| super::check::tell_mistakes(&mistakes, talk))?;
    Arguments::try_parse_from(&words).map(|arguments| arguments.command).map_err(|error| {
        let _ = error.print();
        Exit::Invalid.code()
    })
}

/// The command line with a file's presets in it: behind the subcommand, so that what somebody has typed wins. Options that the
/// environment sets are left to it.
fn apply(command: &clap::Command, presets: &[Preset], words: &[OsString]) -> Result<Vec<OsString>, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut added: Vec<OsString> = Vec::new();
    for preset in presets.iter().filter(|preset| preset.table == command.get_name()) {
        let long = preset.key.replace('_', "-");
        let mut mistake = |message: String, hint: Option<String>| {
            mistakes.push(Mistake { place: preset.place.clone(), message, hint });
        };
        let Some(option) = command.get_arguments().find(|option| option.get_long() == Some(&long)) else {
            let known = command.get_arguments().filter_map(clap::Arg::get_long);
            let name = command.get_name();
            mistake(format!("`harness {name}` has no option `--{long}`"), did_you_mean(&long, known));
            continue;
        };
        let Some(said) = preset.words() else {
            mistake(format!("`{}` is no value that `--{long}` takes", preset.key), None);
            continue;
        };
        let is_flag = matches!(option.get_action(), clap::ArgAction::SetTrue);
        if is_flag != matches!(preset.value, crate::document::Value::Boolean(_)) {
            let hint = if is_flag { "`true` is the same as to give it" } else { "it is given a value, as in a string" };
            mistake(format!("`--{long}` is given otherwise"), Some(hint.into()));
            continue;
        }
        if option.get_env().is_none_or(|variable| std::env::var_os(variable).is_none()) {
            added.extend(said.into_iter().map(OsString::from));
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let at = words.iter().skip(1).position(|word| word == command.get_name()).map_or(words.len(), |at| at + 2);
    Ok([&words[..at], &added, &words[at..]].concat())
}
