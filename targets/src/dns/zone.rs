//! The zone, and what is found in it (RFC 1034, section 4.3.2).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Code;
use super::message::Question;
use super::name::Name;

/// How long an answer may be kept.
const TTL_SECONDS: u32 = 300;
/// How many CNAME are followed.
const CNAMES_MAX: usize = 8;
/// The longest text of `N.long`.
const TEXT_LEN_MAX: usize = 60_000;
/// The question for all records.
const ANY: u16 = 255;

/// What a record says.
#[derive(Clone, Debug)]
pub(super) enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(Name),
    Mx(u16, Name),
    Ns(Name),
    /// The primary server, the mailbox, and serial, refresh, retry, expire and minimum.
    Soa(Name, Name, [u32; 5]),
    /// Priority, weight and port.
    Srv([u16; 3], Name),
    Txt(Vec<Vec<u8>>),
}

const NS: u16 = 2;
const CNAME: u16 = 5;
/// Transfers and what else is asked for but is no record (RFC 6895, section 3.1).
const QUESTIONS: std::ops::Range<u16> = 249..ANY;

impl Data {
    pub(super) fn kind(&self) -> u16 {
        match self {
            Data::A(_) => 1,
            Data::Aaaa(_) => 28,
            Data::Cname(_) => CNAME,
            Data::Mx(..) => 15,
            Data::Ns(_) => NS,
            Data::Soa(..) => 6,
            Data::Srv(..) => 33,
            Data::Txt(_) => 16,
        }
    }

    /// The name whose addresses are told with this.
    fn leads_to(&self) -> Option<&Name> {
        match self {
            Data::Mx(_, name) | Data::Ns(name) | Data::Srv(_, name) => Some(name),
            _ => None,
        }
    }
}

/// One record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) owner: Name,
    pub(super) ttl: u32,
    pub(super) data: Data,
}

/// What there is to say to a question.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) code: Code,
    pub(super) is_authoritative: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authority: Vec<Record>,
    pub(super) additional: Vec<Record>,
}

impl Default for Found {
    fn default() -> Found {
        let none = Vec::new;
        Found { code: Code::NoError, is_authoritative: false, answers: none(), authority: none(), additional: none() }
    }
}

/// One zone.
#[derive(Debug)]
pub(super) struct Zone {
    origin: Name,
    records: Vec<Record>,
}

impl Zone {
    /// The zone that the module's documentation describes.
    pub(super) fn example() -> Zone {
        let origin = Name::new("example.test");
        let name = |text: &str| Name::new(text).in_zone(&origin);
        let address = |last: u8| Data::A(Ipv4Addr::new(192, 0, 2, last));
        let text = |texts: &[&str]| Data::Txt(texts.iter().map(|text| text.as_bytes().to_vec()).collect());
        let soa = Data::Soa(name("ns1"), name("hostmaster"), [1, 3_600, 600, 86_400, 60]);
        let own = [
            soa,
            Data::Ns(name("ns1")),
            Data::Ns(name("ns2")),
            Data::Mx(10, name("mail")),
            Data::Mx(20, name("mail2")),
            text(&["v=spf1 mx -all"]),
            address(1),
            Data::Aaaa(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        ];
        let others = [
            ("ns1", address(53)),
            ("ns2", address(54)),
            ("mail", address(25)),
            ("mail2", address(26)),
            ("www", Data::Cname(origin.clone())),
            ("alias", Data::Cname(name("www"))),
            ("away", Data::Cname(Name::new("www.example.org"))),
            ("loop", Data::Cname(name("loop"))),
            ("text", text(&["one", "and \"two\""])),
            ("_sip._tcp", Data::Srv([1, 2, 5_060], name("mail"))),
            ("0.long", text(&[""])),
            ("*.wild", address(99)),
            ("child", Data::Ns(name("ns.child"))),
            ("ns.child", address(60)),
        ];
        let many = (1..=40).map(|last| ("many", address(last)));
        let own = own.into_iter().map(|data| (origin.clone(), data));
        let others = others.into_iter().chain(many).map(|(owner, data)| (name(owner), data));
        let record = |(owner, data)| Record { owner, ttl: TTL_SECONDS, data };
        let records = own.chain(others).map(record).collect();
        Zone { origin, records }
    }

    /// Answers a question.
    pub(super) fn find(&self, question: &Question) -> Found {
        let mut found = Found { is_authoritative: true, ..Found::default() };
        if question.class != 1 || QUESTIONS.contains(&question.kind) || !question.name.is_within(&self.origin) {
            return Found { code: Code::Refused, is_authoritative: false, ..found };
        }
        let mut name = question.name.clone();
        for _ in 0..CNAMES_MAX {
            if !name.is_within(&self.origin) {
                break; // who asks has to go there
            }
            if let Some(servers) = self.delegation(&name) {
                // RFC 1034, section 6.2.6: a referral has no authority, but for the CNAME that led to it.
                found.is_authoritative = !found.answers.is_empty();
                found.authority = servers;
                break;
            }
            let Some(records) = self.records(&name) else {
                found.code = Code::NxDomain;
                break;
            };
            let asked = |record: &&Record| question.kind == ANY || record.data.kind() == question.kind;
            let before = found.answers.len();
            found.answers.extend(records.iter().filter(asked).cloned());
            if found.answers.len() > before {
                self.add_addresses(&mut found);
                return found;
            }
            let Some((record, target)) = records.iter().find_map(|record| match &record.data {
                Data::Cname(target) => Some((record, target.clone())),
                _ => None,
            }) else {
                break;
            };
            found.answers.push(record.clone());
            if name == target {
                return found; // a loop
            }
            name = target;
        }
        if found.authority.is_empty() && name.is_within(&self.origin) {
            found.authority.extend(self.records.first().cloned()); // the SOA
        }
        self.add_addresses(&mut found);
        found
    }

    /// The records of a name; none if it is there without any, `None` if it is not there.
    fn records(&self, name: &Name) -> Option<Vec<Record>> {
        let of =
            |owner: &Name| self.records.iter().filter(|record| record.owner == *owner).cloned().collect::<Vec<_>>();
        let records = of(name);
        if !records.is_empty() {
            return Some(records);
        }
        if let Some(record) = self.long_text(name) {
            return Some(vec![record]);
        }
        if self.records.iter().any(|record| record.owner.is_within(name)) {
            return Some(Vec::new());
        }
        // The wildcard below the closest name that is there (RFC 4592, section 3.3.1).
        let mut above = name.parent()?;
        while !self.records.iter().any(|record| record.owner.is_within(&above)) {
            above = above.parent()?;
        }
        let mut records = of(&Name::new("*").in_zone(&above));
        records.iter_mut().for_each(|record| record.owner = name.clone());
        (!records.is_empty()).then_some(records)
    }

    /// `N.long`: so many bytes of text.
    fn long_text(&self, name: &Name) -> Option<Record> {
        let (digits, rest) = name.labels.split_first()?;
        if (Name { labels: rest.to_vec() }) != Name::new("long").in_zone(&self.origin) || digits.first() == Some(&b'+')
        {
            return None;
        }
        let len = std::str::from_utf8(digits).ok()?.parse().ok().filter(|len| *len <= TEXT_LEN_MAX)?;
        let text: Vec<u8> = (b'a'..=b'z').cycle().take(len).collect();
        let texts = text.chunks(255).map(<[u8]>::to_vec).collect();
        Some(Record { owner: name.clone(), ttl: TTL_SECONDS, data: Data::Txt(texts) })
    }

    /// The servers of the zone below this one that a name is in.
    fn delegation(&self, name: &Name) -> Option<Vec<Record>> {
        let is_cut =
            |record: &&Record| record.data.kind() == NS && record.owner != self.origin && name.is_within(&record.owner);
        let servers: Vec<_> = self.records.iter().filter(is_cut).cloned().collect();
        (!servers.is_empty()).then_some(servers)
    }

    /// The addresses of the servers that an answer names.
    fn add_addresses(&self, found: &mut Found) {
        for name in found.answers.iter().chain(&found.authority).filter_map(|record| record.data.leads_to()) {
            let is_address =
                |record: &&Record| matches!(record.data, Data::A(_) | Data::Aaaa(_)) && record.owner == *name;
            found.additional.extend(self.records.iter().filter(is_address).cloned());
        }
    }
}
