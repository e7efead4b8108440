//! `drop` and `reorder`: echoes of datagrams that lose or swap a known part of them, to try on them what counts.
//!
//! - `drop` does not answer each `every`th datagram: of `n`, `n / every` are lost, rounded down. With a `probability`
//!   each is lost by itself, and the same ones each time for the same seed.
//! - `reorder` swaps pairs: the answer to the first is sent behind that to the second. Of `n` answers `n / 2` are
//!   overtaken by one. A first one without a second is answered after `hold`.

use std::sync::Arc;

use crate::chance::draw;
use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Setting, SettingError, Setup, parse_duration};

pub(crate) const DROP: &[Setting] = &[
    Setting { name: "every", default: "10", about: "which datagrams are lost: at 10 each tenth, at 0 none" },
    Setting {
        name: "probability",
        default: "0",
        about: "in place of `every`, unless 0: with which probability each is lost",
    },
    Setting { name: "seed", default: "1", about: "what that is drawn from" },
];

pub(crate) const REORDER: &[Setting] =
    &[Setting { name: "hold", default: "10ms", about: "how long an answer waits to be overtaken" }];

/// Echoes, or does not.
struct Echo {
    is_lost: bool,
}

impl Service for Echo {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        if !self.is_lost {
            reply.send(input);
        }
    }
}

pub(crate) fn make_drop(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let every = setup.settings.number("every")? as u64;
    let seed = setup.settings.number("seed")? as u64;
    let probability = setup.settings.fraction("probability")?;
    Ok(Arc::new(move |peer: &Peer| Echo {
        is_lost: match probability > 0.0 {
            true => ((draw(seed, peer.number, 0) >> 11) as f64 / (1_u64 << 53) as f64) < probability,
            false => every > 0 && (peer.number + 1).is_multiple_of(every),
        },
    }))
}

/// Echoes, at once or behind the next.
struct Swaps {
    hold: std::time::Duration,
    is_first: bool,
}

impl Service for Swaps {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        reply.send(input);
        if self.is_first {
            reply.behind_next(self.hold);
        }
    }
}

pub(crate) fn make_reorder(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let hold = parse_duration("hold", setup.settings.text("hold"))?;
    Ok(Arc::new(move |peer: &Peer| Swaps { hold, is_first: peer.number.is_multiple_of(2) }))
}

#[cfg(test)]
mod tests {
    use crate::service::{Peer, Transport};
    use crate::{Limits, answer, find};

    /// Which of `n` datagrams are lost.
    fn lost(settings: &[(&str, &str)], n: u64) -> Vec<u64> {
        let server = find("drop").unwrap().make(settings, &Limits::default(), || jiff::Timestamp::UNIX_EPOCH).unwrap();
        let peer = |number| Peer::new(number, Transport::Udp, None);
        (0..n).filter(|number| answer(&*server, &peer(*number), b"x").is_none()).collect()
    }

    #[test]
    fn each_nth_is_lost() {
        assert_eq!(lost(&[], 25), [9, 19]);
        assert_eq!(lost(&[("every", "1")], 3), [0, 1, 2]);
        assert_eq!(lost(&[("every", "0")], 100), []);
    }

    #[test]
    fn by_chance_the_same_ones_are_lost_for_the_same_seed() {
        let by = |probability, seed| lost(&[("probability", probability), ("seed", seed)], 10_000);
        let tenth = by("0.1", "1");
        assert!((900..1_100).contains(&tenth.len()), "{}", tenth.len());
        assert_eq!(tenth, by("0.1", "1"));
        assert_ne!(tenth, by("0.1", "2"));
        assert_eq!(by("1", "1").len(), 10_000);
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for value in ["2", "-0.1", "NaN", "half"] {
            let settings = [("probability", value)];
            let made = find("drop").unwrap().make(&settings, &Limits::default(), || jiff::Timestamp::UNIX_EPOCH);
            let expected = format!("`probability`: expected a number from 0 to 1, got `{value}`");
            assert_eq!(made.err().map(|error| error.to_string()), Some(expected));
        }
    }
}
