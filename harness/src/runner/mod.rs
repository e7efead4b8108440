//! The shell: sockets, processes and time, in short loops around the core.
//!
//! `run` takes scenarios, plays their cases side by side and hands the events on; `case` plays one, and `verdict` says what
//! came of it; `target` has what it is played against; `player` plays one conversation on sockets; `process` starts and
//! watches programs. What a step means is not known here.

#![expect(clippy::disallowed_methods, reason = "this is the shell")]

mod address;
mod case;
mod clock;
mod control;
mod ending;
mod fixture;
mod ground;
mod growth;
mod listen;
mod plan;
mod player;
pub mod process;
mod record;
mod relay;
mod resting;
mod retry;
mod run;
mod secrets;
mod select;
mod skip;
mod socket;
mod stations;
mod target;
mod tls;
mod verdict;
mod watch;

pub use clock::Clock;
pub use control::{Doing, Hands, Looking, no_hands};
pub use fixture::{Fixture, FixtureOptions, Starter};
pub use ground::{Ground, Up};
pub use listen::Listener;
pub use plan::{Filter, FilterError, Subject};
pub use player::{Abort, Dial, Origin, Station, Tick, World, play};
pub use process::Address;
pub use record::{LOGS, Record};
pub use relay::Relay;
pub use run::{Input, Options, run};
pub use select::{LastFailed, Partition};
pub use tls::{Keys, Profiles, TlsClient, TlsEnd, TlsServer, server_config};
