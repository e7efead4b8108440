//! Domain names: labels, compared without case (RFC 1035, section 3.1; RFC 4343).

/// The longest name on the wire (RFC 1035, section 2.3.4).
const NAME_LEN_MAX: usize = 255;
/// The longest label.
const LABEL_LEN_MAX: u8 = 63;

/// A name, in the case that it was written in.
#[derive(Clone, Debug, Default)]
pub(super) struct Name {
    pub(super) labels: Vec<Vec<u8>>,
}

impl Name {
    /// A name of the zone's own, as it is written.
    pub(super) fn new(text: &str) -> Name {
        Name { labels: text.split('.').map(|label| label.as_bytes().to_vec()).collect() }
    }

    /// Reads the name at `at` in `message`, and says where what follows it begins.
    ///
    /// A pointer leads to something before all that was read of the name, so that every name ends.
    pub(super) fn parse(message: &[u8], at: usize) -> Option<(Name, usize)> {
        let (mut labels, mut len) = (Vec::new(), 1);
        let (mut at, mut start, mut end) = (at, at, None);
        loop {
            match *message.get(at)? {
                0 => return Some((Name { labels }, end.unwrap_or(at + 1))),
                label_len @ 1..=LABEL_LEN_MAX => {
                    let next = at + 1 + usize::from(label_len);
                    labels.push(message.get(at + 1..next)?.to_vec());
                    len += 1 + usize::from(label_len);
                    if len > NAME_LEN_MAX {
                        return None;
                    }
                    at = next;
                }
                high @ 0xc0.. => {
                    let target = usize::from(high & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                    if target >= start {
                        return None;
                    }
                    end = end.or(Some(at + 2));
                    (at, start) = (target, target);
                }
                _ => return None,
            }
        }
    }

    /// Whether this is `other`, or a name in it.
    pub(super) fn is_within(&self, other: &Name) -> bool {
        self.labels.len() >= other.labels.len()
            && same(&self.labels[self.labels.len() - other.labels.len()..], &other.labels)
    }

    /// The name without its first label.
    pub(super) fn parent(&self) -> Option<Name> {
        self.labels.split_first().map(|(_, rest)| Name { labels: rest.to_vec() })
    }

    /// This name within `other`.
    pub(super) fn in_zone(&self, other: &Name) -> Name {
        Name { labels: [self.labels.as_slice(), &other.labels].concat() }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        same(&self.labels, &other.labels)
    }
}

/// Whether these labels are the same but for their case.
pub(super) fn same(a: &[Vec<u8>], b: &[Vec<u8>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.eq_ignore_ascii_case(b))
}
