//! The conversation engine as a client: a scenario that sends and expects the same again and again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::conversation::script::Script;
use harness::conversation::{Action, Conversation, Ended, Input};
use harness::event::{Endpoint, Event, EventKind, FailureKind, Transport};
use harness::random::Random;
use harness::runner::{Abort, Address, Clock, Dial, Station, World, play};
use harness::scenario::{Known, load};
use harness::template::Variables;
use harness::time::Time;
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::echo::{Client, MESSAGE, runtime};

/// The most round trips of one case whose events all fit its record.
pub const ROUND_TRIPS_MAX: u64 = 100_000;

/// A case of so many round trips, read from a scenario file's text.
fn script(times: u64, framing: &str) -> Arc<Script> {
    let message = str::from_utf8(MESSAGE).expect("it is ASCII");
    let text = format!(
        "[target]\nbuiltin = 'tcp-echo'\n\
         [actor.client]\nconnect = 'target'\nframing = '{framing}'\n\
         [[case]]\nname = 'round trips'\nstrict_end = false\n\
         steps = [{{ repeat = {{ times = {times}, steps = [{{ send = '{message}' }}, {{ expect = '{message}' }}] }} }}]\n"
    );
    let scenario = load("latency.toml", &text, &Known::default()).expect("the scenario is valid");
    Arc::clone(&scenario.cases[0].script)
}

fn conversation(times: u64, framing: &str, transport: Transport, now: Time) -> Conversation {
    let random = Random::new(1, "round trips");
    Conversation::new(script(times, framing), vec![transport], Variables::new(), random, 0, now)
}

/// Plays conversations with an echo server on sockets, as `harness run` does.
pub fn client(server: &Address) -> io::Result<Client> {
    let runtime = runtime()?;
    let server = server.clone();
    let stopping = watch::Sender::new(false);
    Ok(Box::new(move |times| {
        let mut left = times;
        let mut took = Duration::ZERO;
        while left > 0 {
            let times = left.min(ROUND_TRIPS_MAX);
            left -= times;
            let mut stopping = stopping.subscribe();
            let abort: Abort<'static> = Box::pin(async move {
                let _ = stopping.wait_for(|stopping| *stopping).await;
                (FailureKind::System, "the run was interrupted".to_owned())
            });
            let mut stations = vec![Station::Client(Dial::to(server.clone()))];
            let clock = Clock::start();
            let framing = if server.transport().is_datagram() { "datagram" } else { "raw" };
            let mut conversation = conversation(times, framing, server.transport(), clock.now());
            let playing = async move {
                play(&mut conversation, &mut stations, &World::bare(), &clock, abort, &mut |_| None).await;
                conversation
            };
            let local = LocalSet::new();
            let played = local.block_on(&runtime, async { tokio::task::spawn_local(playing).await });
            took += judge(&mut played.expect("playing does not panic"), times);
        }
        took
    }))
}

/// How long the round trips took by their events, from the first byte sent to the last step that held.
fn judge(conversation: &mut Conversation, times: u64) -> Duration {
    assert_eq!(conversation.ended(), Some(&Ended::Passed));
    let events: Vec<Event> = std::iter::from_fn(|| conversation.poll_event()).collect();
    let passed = events.iter().filter(|event| matches!(event.kind, EventKind::StepPassed { .. })).count() as u64;
    assert_eq!(passed, 2 * times + 1, "every event is recorded");
    let sent = events.iter().find(|event| matches!(event.kind, EventKind::Sent { .. })).expect("something was sent");
    let last = events.iter().rfind(|event| matches!(event.kind, EventKind::StepPassed { .. })).expect("just counted");
    last.at.since(sent.at)
}

/// Plays so many round trips with a peer in memory that echoes, and says how long that took.
///
/// The conversation is asked all that a runner asks it. At most [`ROUND_TRIPS_MAX`] of them.
pub fn in_memory(times: u64, framing: &str, transport: Transport) -> Duration {
    let endpoint = || Endpoint::Ip(([127, 0, 0, 1], 7).into());
    let mut conversation = conversation(times, framing, transport, Time::ZERO);
    let mut clock = 0;
    let started = Instant::now();
    while conversation.ended().is_none() {
        clock += 1_000;
        let now = Time::from_nanos(clock);
        let mut echo = Bytes::new();
        while let Some(action) = conversation.poll_action() {
            match action {
                Action::Connect { connection, .. } => {
                    conversation.handle_input(
                        now,
                        connection,
                        Input::Connected { local: endpoint(), peer: endpoint() },
                    );
                }
                Action::Send { connection, data } => {
                    conversation.handle_input(now, connection, Input::Written(data.len()));
                    echo = data;
                }
                Action::Close(_)
                | Action::Control { .. }
                | Action::Looped
                | Action::Marked(_)
                | Action::Reset(_)
                | Action::Shutdown(_)
                | Action::StartTls { .. } => {}
            }
        }
        if !echo.is_empty() && conversation.poll_timeout().is_some() && conversation.reads(0) {
            conversation.handle_input(now, 0, Input::Data(echo));
        }
    }
    let took = started.elapsed();
    judge(&mut conversation, times);
    took
}
