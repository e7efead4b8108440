//! Which answer belongs to which question, where a protocol's description names a field that an answer repeats.
//!
//! Every question gets an identifier of its own, which is put in place of the one that the scenario gives; in its answer the
//! scenario's stands again before it is judged. So an answer that comes twice, late or out of order is known for what it is,
//! however much it is like another.

use std::sync::Arc;

use crate::protocol::description::{Compute, How};
use crate::protocol::{Message, Protocol};

/// The longest field that tells questions apart, in bytes.
pub const FIELD_LEN_MAX: usize = 16;

/// A field that an answer repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlation {
    /// Its name.
    pub name: Arc<str>,
    /// Where it stands in a question.
    asked_at: usize,
    /// Where it stands in an answer.
    answered_at: usize,
    len: usize,
}

/// A question as it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How many a connection had asked before.
    pub number: u64,
    /// What the scenario has in the field.
    original: [u8; FIELD_LEN_MAX],
}

impl Correlation {
    /// The field by which answers to a message are known: at the same place in all that may answer it, and in no checksum.
    pub fn of(protocol: &Protocol, message: usize) -> Option<Correlation> {
        let message = &protocol.messages[message];
        let (name, asked_at, len) = place(message)?;
        let is_summed =
            message.fields.iter().any(|field| matches!(field.compute, Some(Compute { how: How::Sum(_), .. })));
        if is_summed || len == 0 || len > FIELD_LEN_MAX || message.replies.is_empty() {
            return None;
        }
        let mut places = message.replies.iter().map(|reply| place(&protocol.messages[*reply]));
        let (_, answered_at, _) = places.next()??;
        let is_one = places.all(|other| other.is_some_and(|(_, at, other)| (at, other) == (answered_at, len)));
        is_one.then_some(Correlation { name, asked_at, answered_at, len })
    }

    /// How many questions it tells apart.
    pub fn capacity(&self) -> u64 {
        1_u64.checked_shl(8 * self.counted() as u32).unwrap_or(u64::MAX)
    }

    /// How many of its bytes count; those before them stay as they are.
    fn counted(&self) -> usize {
        self.len.min(8)
    }

    /// What the `number`-th question is known by.
    pub fn id(&self, number: u64) -> u64 {
        if self.counted() == 8 { number } else { number & (self.capacity() - 1) }
    }

    /// Puts the identifier of the `number`-th question into its bytes. `None` where they are too short for it.
    pub fn ask(&self, number: u64, question: &mut [u8]) -> Option<Asked> {
        let field = question.get_mut(self.asked_at..self.asked_at + self.len)?;
        let mut asked = Asked { number, ..Asked::default() };
        asked.original[..self.len].copy_from_slice(field);
        let counted = self.counted();
        field[self.len - counted..].copy_from_slice(&self.id(number).to_be_bytes()[8 - counted..]);
        Some(asked)
    }

    /// The identifier in an answer. `None` where it is too short to have one.
    pub fn answered(&self, answer: &[u8]) -> Option<u64> {
        let field = answer.get(self.answered_at..self.answered_at + self.len)?;
        let counted = field[self.len - self.counted()..].iter();
        Some(counted.fold(0, |id, byte| id << 8 | u64::from(*byte)))
    }

    /// Puts the scenario's own identifier into an answer that has one.
    pub fn restore(&self, asked: &Asked, answer: &mut [u8]) {
        let counted = self.len - self.counted();
        let at = self.answered_at;
        // What stands before it was not changed: it is judged as it came.
        answer[at + counted..at + self.len].copy_from_slice(&asked.original[counted..self.len]);
    }
}

/// Name, place and length of the field that a message is known by, where they are always the same.
fn place(message: &Message) -> Option<(Arc<str>, usize, usize)> {
    let reference = message.correlate.as_ref().filter(|reference| reference.bits.is_none())?;
    let [at] = reference.path[..] else { return None };
    let before: Option<usize> = message.fields[..at].iter().map(crate::protocol::Field::fixed_len).sum();
    let field = message.fields.get(at)?;
    Some((Arc::clone(&field.name), before?, field.fixed_len()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(protocol: &str, message: &str) -> Option<Correlation> {
        let protocol = crate::protocol::find(protocol).expect("it comes with the harness").protocol();
        let (number, _) = protocol.message(message).expect("it has it");
        Correlation::of(&protocol, number)
    }

    #[test]
    fn descriptions_that_come_with_the_harness_say_where() {
        let dns = of("dns", "query").expect("it has an identifier");
        assert_eq!((dns.asked_at, dns.answered_at, dns.len, dns.capacity()), (0, 0, 2, 65_536));
        let stun = of("stun", "binding_request").expect("it has a transaction");
        assert_eq!((stun.asked_at, stun.answered_at, stun.len, stun.capacity()), (8, 8, 12, u64::MAX));
        assert_eq!(of("http1", "request"), None);
    }

    #[test]
    fn a_question_has_a_number_of_its_own_and_its_answer_the_scenarios() {
        let dns = of("dns", "query").expect("it has an identifier");
        let mut question = *b"\x12\x34rest";
        let asked = dns.ask(0x1_0007, &mut question).expect("it is long enough");
        assert_eq!(question, *b"\x00\x07rest");
        assert_eq!(dns.answered(&question), Some(7));
        let mut answer = *b"\x00\x07more";
        dns.restore(&asked, &mut answer);
        assert_eq!(answer, *b"\x12\x34more");
        assert_eq!((dns.answered(b"\x00"), dns.ask(1, &mut [0])), (None, None));
    }

    #[test]
    fn what_stands_before_the_number_in_a_long_field_is_kept() {
        let stun = of("stun", "binding_request").expect("it has a transaction");
        let mut question = [0xaa; 20];
        let asked = stun.ask(5, &mut question).expect("it is long enough");
        assert_eq!(question[8..], [0xaa, 0xaa, 0xaa, 0xaa, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(stun.answered(&question), Some(5));
        stun.restore(&asked, &mut question);
        assert_eq!(question, [0xaa; 20]);
    }
}
