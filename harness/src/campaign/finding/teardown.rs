//! How the scenario of a finding goes on after its last message.

use crate::campaign::oracle::Symptom;

/// What becomes of connections that a case has left open, and what comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Teardown {
    pub(super) gone: Gone,
    /// Whether a valid conversation comes last.
    pub(super) probed: bool,
}

/// What becomes of connections that a case has left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// They are left.
    Left,
    /// They are closed in order: who serves one connection after the other answers when the ones before are gone.
    Closed,
    /// They are reset, as a campaign ends its cases: a target may stumble over that, and over nothing else.
    Reset,
    /// The same without waiting until the target has said what it has to say.
    ResetAtOnce,
}

impl Teardown {
    const LEFT: Teardown = Teardown { gone: Gone::Left, probed: false };
    const PROBED: Teardown = Teardown { gone: Gone::Closed, probed: true };
    const RESET: Teardown = Teardown { gone: Gone::Reset, probed: false };
    const RESET_AT_ONCE: Teardown = Teardown { gone: Gone::ResetAtOnce, probed: false };

    /// How scenarios of a symptom may end, the most likely first: the first that fails each time is taken.
    pub fn of(symptom: &Symptom) -> &'static [Teardown] {
        match symptom {
            Symptom::Hang | Symptom::Late(_) => &[
                Teardown::PROBED,
                Teardown { probed: true, ..Teardown::RESET },
                Teardown { probed: true, ..Teardown::RESET_AT_ONCE },
            ],
            Symptom::Busy | Symptom::Child { .. } | Symptom::Ended { .. } | Symptom::Limit(..) | Symptom::Panic(_) => {
                &[Teardown::LEFT, Teardown::PROBED, Teardown::RESET, Teardown::RESET_AT_ONCE]
            }
            // What is wrong is in its answers, and what grows is seen over many connections that are all reset.
            Symptom::Differs | Symptom::Grows(..) | Symptom::Leak(_) | Symptom::Wrong => {
                &[Teardown::LEFT, Teardown::PROBED]
            }
        }
    }
}
