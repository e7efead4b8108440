//! Which messages there are, in which order, on which connections.

use super::{Around, Mutator, one_of, pick_message};
use crate::campaign::case::{Case, Message, Part, Step};
use crate::random::Random;

/// How often a message is sent when it is sent very often.
const MANY: &[usize] = &[3, 10, 50, 200];

/// The most bytes that a message sent very often makes.
const MANY_LEN_MAX: usize = 1 << 20;

/// A message left out.
pub(super) struct Drop;

impl Mutator for Drop {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        match case.sends().len() {
            1 => 0,
            sends => sends,
        }
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let sends = case.sends();
        sends.get(number).is_some_and(|step| {
            case.steps.remove(*step);
            true
        })
    }

    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        self.number(random.below(case.sends().len() as u64) as usize, case, around)
    }
}

/// A message sent again.
pub(super) struct Duplicate;

impl Mutator for Duplicate {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        case.sends().len()
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let sends = case.sends();
        sends.get(number).is_some_and(|step| {
            case.steps.insert(*step, case.steps[*step].clone());
            true
        })
    }

    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let (Some(from), Some(to)) = (pick_message(random, case), pick_message(random, case)) else { return false };
        let copy = case.steps[from].clone();
        let to = if random.below(2) == 0 { from } else { to };
        case.steps.insert(to + 1, copy);
        true
    }
}

/// Two messages swapped.
pub(super) struct Order;

impl Mutator for Order {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        case.sends().len().saturating_sub(1)
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let sends = case.sends();
        let (Some(first), Some(second)) = (sends.get(number), sends.get(number + 1)) else { return false };
        case.steps.swap(*first, *second);
        true
    }

    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let (Some(first), Some(second)) = (pick_message(random, case), pick_message(random, case)) else {
            return false;
        };
        case.steps.swap(first, second);
        first != second
    }
}

/// A message of another case.
pub(super) struct Insert;

impl Mutator for Insert {
    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        if around.others.is_empty() {
            return false;
        }
        let other = one_of(random, around.others);
        let (Some(from), Some(to)) = (pick_message(random, other), pick_message(random, case)) else { return false };
        let Some(link) = case.steps[to].link() else { return false };
        let sends: Vec<usize> = other.sends().into_iter().filter(|step| *step >= from).collect();
        // One message, or all that follow it as well.
        let count = if random.below(3) == 0 { sends.len() } else { 1 };
        let at = to + usize::from(random.below(2) == 0);
        for (offset, step) in sends.into_iter().take(count).enumerate() {
            let Step::Send(message) = &other.steps[step] else { continue };
            case.steps.insert(at + offset, Step::Send(Message { link, ..message.clone() }));
        }
        true
    }
}

/// An answer of the target, sent back to it.
pub(super) struct Reflect;

impl Mutator for Reflect {
    fn count(&self, case: &Case, around: &Around<'_>) -> usize {
        case.sends().len() * around.answers.len().min(8) * 2
    }

    fn number(&self, number: usize, case: &mut Case, around: &Around<'_>) -> bool {
        let answers = around.answers.len().min(8);
        let sends = case.sends();
        let (Some(step), Some(answer)) = (sends.get(number / 2 / answers), around.answers.get(number / 2 % answers))
        else {
            return false;
        };
        let Some(link) = case.steps[*step].link() else { return false };
        let reflected = Step::Send(Message::new(link, answer.clone()));
        match number % 2 {
            0 => case.steps.insert(step + 1, reflected),
            _ => case.steps[*step] = reflected,
        }
        true
    }

    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case).filter(|_| !around.answers.is_empty()) else { return false };
        let Some(link) = case.steps[step].link() else { return false };
        let answer = &around.answers[random.below(around.answers.len() as u64) as usize];
        let at = step + random.below(2) as usize;
        case.steps.insert(at, Step::Send(Message::new(link, answer.clone())));
        true
    }
}

/// Another connection in between.
pub(super) struct Connection;

/// Opens a connection like that of `step` before it, and says there what `other` says.
fn beside(case: &mut Case, step: usize, other: &Case, stays: bool) -> bool {
    let link = case.next_link();
    let mut whole = other.clone();
    whole.tidy();
    let mut inserted = Vec::new();
    for step in whole.steps {
        let mut shifted = Case { steps: vec![step] };
        let mut base = Case { steps: vec![Step::Reset(link.saturating_sub(1))] };
        if link == 0 {
            base.steps.clear();
        }
        base.append(&shifted);
        shifted.steps = base.steps.split_off(usize::from(link > 0));
        inserted.append(&mut shifted.steps);
    }
    if !stays {
        inserted.push(Step::Reset(link));
    }
    let at = step.min(case.steps.len());
    case.steps.splice(at..at, inserted);
    true
}

impl Mutator for Connection {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        2 * case.sends().len()
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let sends = case.sends();
        let own = case.clone();
        sends.get(number / 2).is_some_and(|step| beside(case, step + number % 2, &own, number.is_multiple_of(2)))
    }

    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        let own = case.clone();
        let other = match random.below(2) {
            0 if !around.others.is_empty() => one_of(random, around.others),
            _ => &own,
        };
        if case.connections() >= 8 || other.connections() > 2 {
            return false;
        }
        beside(case, step + random.below(2) as usize, other, random.below(2) == 0)
    }
}

/// A message sent very often, counting up.
pub(super) struct Many;

impl Mutator for Many {
    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let Some(first) = pick_message(random, case) else { return false };
        let times = one_of(random, MANY);
        // One message, or it and the next one, in turns.
        let mut round = vec![first];
        if random.below(2) == 0 {
            round.extend(case.sends().into_iter().find(|step| *step > first));
        }
        let Step::Send(Message { link, .. }) = case.steps[first] else { return false };
        let bytes: Vec<Vec<u8>> = round
            .iter()
            .filter_map(|step| match &case.steps[*step] {
                Step::Send(message) => Some(message.bytes()),
                _ => None,
            })
            .collect();
        let len: usize = bytes.iter().map(Vec::len).sum();
        if len == 0 || len * times > MANY_LEN_MAX {
            return false;
        }
        // A number in all of them that is another each time: an identifier, if chance finds it.
        let shortest = bytes.iter().map(Vec::len).min().unwrap_or(0);
        let counter = (random.below(2) == 0 && shortest > 0).then(|| random.below(shortest as u64) as usize);
        let step_by = 1 + random.below(2);
        let mut all = Vec::with_capacity(len * times);
        for time in 0..times as u64 {
            for message in &bytes {
                let from = all.len();
                all.extend_from_slice(message);
                if let Some(at) = counter {
                    // Big-endian: a carry goes to the byte before.
                    let mut add = time * step_by;
                    for byte in all[from..=from + at].iter_mut().rev() {
                        add += u64::from(*byte);
                        *byte = add as u8;
                        add >>= 8;
                        if add == 0 {
                            break;
                        }
                    }
                }
            }
        }
        case.steps[first] = Step::Send(Message { link, parts: vec![Part::Bytes(all)], cuts: Vec::new() });
        true
    }
}
