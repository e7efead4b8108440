//! A connection to a tracker: one announcement, and the peers in its answer.
//!
//! It is asked in HTTP/1.0, so that the answer's end is the connection's and nothing comes in chunks.

use std::fmt::Write as _;
use std::time::Duration;

use super::Shared;
use super::bencode::{self, Value};
use super::calls::Event;
use super::tracker::parse_peers;
use crate::service::{Reply, Service};

/// How long a tracker may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest answer.
const ANSWER_LEN_MAX: usize = 64 << 10;

pub(super) struct Announce {
    shared: Shared,
    event: Event,
    /// What stands behind `Host`.
    host: String,
    answer: Vec<u8>,
    /// How long the tracker wants to hear nothing, once it has said so.
    interval: Option<Duration>,
}

impl Announce {
    pub(super) fn new(shared: Shared, event: Event, host: String) -> Announce {
        Announce { shared, event, host, answer: Vec::new(), interval: None }
    }

    /// Looks at the answer, all of which is there.
    fn take(&mut self) {
        let Some((interval, answer)) = parse(&self.answer) else { return };
        self.interval = Some(interval);
        self.shared.lock().calls.learn(parse_peers(&answer).into_iter());
    }
}

/// The interval in a tracker's answer, and the answer.
fn parse(answer: &[u8]) -> Option<(Duration, Value)> {
    let head = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let is_ok = answer.starts_with(b"HTTP/1.") && answer.get(8..13) == Some(b" 200 ");
    let value = bencode::parse(&answer[head + 4..]).ok().filter(|_| is_ok)?;
    let interval = Duration::from_secs(value.entry("interval")?.as_count()?);
    Some((interval, value))
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02x}"); // a string takes everything
        text
    })
}

impl Service for Announce {
    fn open(&mut self, reply: &mut Reply) {
        let swarm = self.shared.lock();
        let (hash, id) = (escaped(&swarm.torrent.info_hash), escaped(&swarm.peer_id));
        let port = swarm.calls.local.map_or(0, |local| local.port());
        let (uploaded, downloaded, left) = (swarm.uploaded, swarm.downloaded, swarm.left());
        let event = match self.event {
            Event::Completed => "&event=completed",
            Event::None => "",
            Event::Started => "&event=started",
        };
        let request = format!(
            "GET /announce?info_hash={hash}&peer_id={id}&port={port}&uploaded={uploaded}&downloaded={downloaded}\
             &left={left}&compact=1{event} HTTP/1.0\r\nHost: {}\r\n\r\n",
            self.host
        );
        reply.send(request.as_bytes());
        reply.wake_after(ANSWER_WITHIN);
    }

    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.answer.extend_from_slice(input);
        if self.answer.len() > ANSWER_LEN_MAX {
            reply.reset();
        }
    }

    fn end(&mut self, _: &mut Reply) {
        self.take();
    }

    fn timed_out(&mut self, reply: &mut Reply) {
        reply.reset();
    }
}

impl Drop for Announce {
    /// Whether it was answered or never reached: the next time is set.
    fn drop(&mut self) {
        self.shared.lock().calls.announced(self.event, self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_cannot_be_read_is_none() {
        let answer = |status: &str, body: &str| format!("HTTP/1.0 {status}\r\nA: b\r\n\r\n{body}").into_bytes();
        let interval = |answer: &[u8]| parse(answer).map(|(interval, _)| interval.as_secs());
        assert_eq!(interval(&answer("200 OK", "d8:intervali30ee")), Some(30));
        assert_eq!(interval(&answer("404 Not Found", "d8:intervali30ee")), None);
        assert_eq!(interval(&answer("200 OK", "d8:intervali-1ee")), None);
        assert_eq!(interval(&answer("200 OK", "d14:failure reason1:xe")), None);
        assert_eq!(interval(&answer("200 OK", "d8:intervali30e")), None);
        assert_eq!(interval(b"HTTP/1.0 200 OK"), None);
    }
}
