//! Scenarios of captures: each conversation with one server is a case, in which its client says again what it said.

use std::path::Path;
use std::time::Duration;

use super::CampaignError;
use crate::capture::{Conversation, conversations};
use crate::document::{Node, Table, Value, write};
use crate::event::Transport;
use crate::testcase::step;
use crate::url::Url;

/// The largest capture that is read.
pub const CAPTURE_LEN_MAX: u64 = 64 << 20;

/// The most conversations that become cases.
const CASES_MAX: usize = 256;

/// How long a server is quiet before the client goes on.
const QUIET: Duration = Duration::from_millis(50);

/// Whether a file begins as a capture does.
pub fn is_capture(path: &Path) -> bool {
    read(path, 4).is_ok_and(|bytes| {
        matches!(
            bytes.as_slice(),
            [0x0a, 0x0d, 0x0d, 0x0a]
                | [0xa1, 0xb2, 0xc3, 0xd4]
                | [0xa1, 0xb2, 0x3c, 0x4d]
                | [0xd4, 0xc3, 0xb2, 0xa1]
                | [0x4d, 0x3c, 0xb2, 0xa1]
        )
    })
}

#[expect(clippy::disallowed_methods, reason = "captures are read here")]
fn read(path: &Path, len: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A scenario in which what the clients of a capture said is said to `target`.
pub fn scenario(path: &Path, target: &Url) -> Result<String, CampaignError> {
    let cases = cases(path, Some(target), Some("client"))?;
    let target = Table::of([("server", Node::from(Table::of([("address", target.to_string())])))]);
    let actor = Table::of([("client", Node::from(Table::of([("connect", "server")])))]);
    let document =
        Table::of([("target", Node::from(target)), ("actor", Node::from(actor)), ("case", Node::from(cases))]);
    Ok(write(&document, &()))
}

/// A scenario with the conversations of a capture as further cases, said by its first client.
pub fn add(text: &str, scenario: &Table, path: &Path) -> Result<String, CampaignError> {
    let actors = scenario.get("actor").and_then(Node::as_table).map_or(&[] as &[_], |actors| &actors.entries);
    let client = actors.iter().find_map(|entry| {
        Some((&entry.key, entry.node.as_table()?)).filter(|(_, actor)| actor.get("connect").is_some())
    });
    let name = client.map(|(name, actor)| match actor.get("count").map(|node| &node.value) {
        Some(Value::Integer(_)) => format!("{name}[0]"),
        _ => name.clone(),
    });
    let cases = cases(path, None, name.as_deref())?;
    Ok(format!("{}\n\n{}", text.trim_end(), write(&Table::of([("case", Node::from(cases))]), &())))
}

fn cases(path: &Path, target: Option<&Url>, actor: Option<&str>) -> Result<Vec<Node>, CampaignError> {
    let wrong = |why: String| CampaignError::Input { path: path.to_owned(), why };
    let bytes = read(path, CAPTURE_LEN_MAX + 1).map_err(|error| wrong(format!("cannot read the file: {error}")))?;
    if bytes.len() as u64 > CAPTURE_LEN_MAX {
        return Err(wrong(format!("a capture has at most {} MiB here", CAPTURE_LEN_MAX >> 20)));
    }
    let mut all = conversations(&bytes).map_err(|error| wrong(error.to_string()))?;
    all.retain(|conversation| conversation.turns.iter().any(|turn| turn.from_client));
    if let Some(target) = target {
        let datagrams = matches!(target.transport, Transport::Udp | Transport::Unixgram);
        all.retain(|conversation| conversation.datagrams == datagrams);
    }
    let all = of_one_server(all, target.and_then(Url::port));
    if all.is_empty() {
        return Err(wrong("there is no conversation in it whose client says something to such a target".into()));
    }
    Ok((1..).zip(all.iter().take(CASES_MAX)).map(|(number, conversation)| case(number, conversation, actor)).collect())
}

/// Those with the server that listens on `port`, or else with the one to which most was said.
fn of_one_server(all: Vec<Conversation>, port: Option<u16>) -> Vec<Conversation> {
    let mut said: Vec<((bool, u16), usize)> = Vec::new();
    for conversation in &all {
        let server = (conversation.datagrams, conversation.server.port());
        let len: usize = conversation.turns.iter().filter(|turn| turn.from_client).map(|turn| turn.data.len()).sum();
        match said.iter_mut().find(|(known, _)| *known == server) {
            Some((_, sum)) => *sum += len,
            None => said.push((server, len)),
        }
    }
    let named = said.iter().find(|((_, known), _)| Some(*known) == port);
    let Some(((datagrams, port), _)) = named.or(said.iter().max_by_key(|(_, len)| *len)).copied() else { return all };
    all.into_iter()
        .filter(|conversation| (conversation.datagrams, conversation.server.port()) == (datagrams, port))
        .collect()
}

fn case(number: usize, conversation: &Conversation, actor: Option<&str>) -> Node {
    let mut steps = vec![step::connect(actor)];
    for turn in &conversation.turns {
        if turn.from_client {
            steps.push(step::send_raw(actor, &turn.data));
        } else if steps.last().is_none_or(|last| step::verb(last) != Some("drain")) {
            // What it says may be another thing this time.
            steps.push(step::drain(actor, QUIET));
        }
    }
    Table::of([
        ("name", Node::from(format!("session {number}"))),
        ("strict_end", false.into()),
        ("steps", steps.into()),
    ])
    .into()
}
