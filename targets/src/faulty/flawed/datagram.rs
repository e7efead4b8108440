//! One datagram: a request with a number in front, and its answer.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Flaw;
use super::request::{Answer, Request};
use super::state::Shared;
use crate::service::{ProcessEnd, Reply, Service};

/// How long an answer is that says too much.
const AMPLIFIED_LEN: usize = 1_024;

pub(super) struct Datagram {
    shared: Arc<Shared>,
    from: Option<SocketAddr>,
}

impl Datagram {
    pub(super) fn new(shared: Arc<Shared>, from: Option<SocketAddr>) -> Datagram {
        Datagram { shared, from }
    }
}

impl Service for Datagram {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        if input.is_empty() && self.shared.is(Flaw::DatagramEmpty) {
            return reply.end_process(ProcessEnd::Crash);
        }
        // What has no number is not answered: nobody could tell to what.
        let digits = input.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&input[..digits]).ok().and_then(|digits| digits.parse::<u64>().ok());
        let (Some(number), Some(b' ')) = (number, input.get(digits)) else { return };
        let answer = self.shared.lock().answer(Request::parse(&input[digits + 1..]));
        let mut output = [&input[..=digits], &answer.text()].concat();
        if self.shared.is(Flaw::Amplification) && answer == Answer::None {
            output.resize(AMPLIFIED_LEN, b' ');
        }
        if let Some(from) = self.from {
            let mut state = self.shared.lock();
            let sender = state.sender(from);
            let last = std::mem::replace(&mut sender.last, number);
            match self.shared.flaw {
                Flaw::DatagramDeaf if last != 0 && number > last.saturating_add(1) => {
                    sender.last = last;
                    return;
                }
                Flaw::DatagramOrder if number < last => return,
                Flaw::DatagramDuplicate if number == last => sender.kept = Some(output.clone()),
                Flaw::DatagramDuplicate => output = sender.kept.take().unwrap_or(output),
                _ => {}
            }
        }
        reply.send(&output);
    }
}
