//! `harness dissector`: a description in Lua, for tshark and Wireshark.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::check::look_choice;
use super::{Talk, complain, print};
use crate::document::{did_you_mean, read_text};
use crate::exit::Exit;
use crate::protocol::{PROTOCOLS, Protocol, dissector as write, find, load};
use crate::report::Look;
use crate::report::place::push_mistake;

/// What `harness dissector` is given.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct DissectorArgs {
    /// A name that `harness list protocols` shows, or the path of a description
    protocol: String,
    /// Where it goes; without it, to stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const AFTER: &str = "\
Examples:
  harness dissector mqtt -o mqtt.lua
  tshark -X lua_script:mqtt.lua -r case.pcapng -d tcp.port==40123,h_mqtt -Y h_mqtt.publish
  wireshark -X lua_script:mqtt.lua case.pcapng

It is there for the description's port. For another one `Decode As` takes it; its name there, and
in all of its filters, begins with `h_`, so that Wireshark's own protocols stay what they are:
`h_mqtt.publish.topic`, `h_mqtt.message == \"connect\"`, `h_mqtt.malformed`.";

pub(super) fn dissector(args: &DissectorArgs, talk: Talk) -> u8 {
    let protocol = match read(&args.protocol, talk) {
        Ok(protocol) => protocol,
        Err(exit) => return exit,
    };
    let lua = write(&protocol);
    match &args.output {
        None => print(lua.as_bytes()),
        Some(path) => store(path, &lua),
    }
}

#[expect(clippy::disallowed_methods, reason = "the user names where the file goes")]
fn store(path: &Path, lua: &str) -> u8 {
    match std::fs::write(path, lua) {
        Ok(()) => Exit::Held.code(),
        Err(error) => complain(&format!("cannot write `{}`: {error}", path.display()), None, Exit::Bug),
    }
}

/// The description with a name or a path; otherwise the exit code, and what is wrong has been said.
fn read(name: &str, talk: Talk) -> Result<Arc<Protocol>, u8> {
    if let Some(entry) = find(name) {
        return Ok(entry.protocol());
    }
    if !name.contains('/') && !name.ends_with(".toml") {
        let hint = did_you_mean(name, PROTOCOLS.iter().map(|entry| entry.name));
        let hint =
            format!("{}`harness list protocols` shows them all", hint.map(|near| near + " ").unwrap_or_default());
        return Err(complain(&format!("there is no protocol `{name}`"), Some(&hint), Exit::Usage));
    }
    let text = read_text(Path::new(name)).map_err(|why| complain(&format!("`{name}`: {why}"), None, Exit::Invalid))?;
    load(name, &text).map_err(|mistakes| {
        let (mut output, look) = (String::new(), Look::of_stderr(talk.color()));
        for mistake in &mistakes {
            push_mistake(&mut output, mistake, &look);
            output.push('\n');
        }
        // Where stderr is closed the exit code is what is left.
        let _ = anstream::AutoStream::new(std::io::stderr(), look_choice(talk)).write_all(output.as_bytes());
        Exit::Invalid.code()
    })
}
