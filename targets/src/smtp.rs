//! `smtp`: a mail server that takes mail for one domain (RFC 5321).
//!
//! # The wire
//!
//! - Lines end in CRLF; one that ends in LF alone is 500, and in a mail a bare CR or LF makes the whole mail refused, so that no
//!   two servers can disagree about its end (RFC 5321, 2.3.8). A command has at most 1 024 bytes, a line of a mail 998
//!   (4.5.3.1.6). What is longer is skipped and refused: a command at once, a mail at its end.
//! - Commands may be sent without waiting (RFC 2920). Replies have enhanced codes (RFC 2034, RFC 3463).
//! - In a mail the first dot of a line goes (4.5.2). In front of it stand `Return-Path` and `Received` (4.4).
//!
//! | command | answer |
//! | --- | --- |
//! | `EHLO name`, `HELO name` | 250, with the extensions; a transaction ends (4.1.1.1, 4.1.4) |
//! | `AUTH PLAIN [initial]` | 235, 334 for the rest, 535 for the wrong one, 501, 503, 504 (RFC 4954, RFC 4616); where there are users |
//! | `MAIL FROM:<path> [SIZE=n] [BODY=7BIT or 8BITMIME]` | 250; 530 before a login where there are users, 552 too large (RFC 1870), 555 another parameter |
//! | `RCPT TO:<path>` | 250; `postmaster` needs no domain (4.5.1); 452 after 100; 550 for another domain, and what stands below |
//! | `DATA` | 354, and after the line with a dot 250 or why not: 452 no room, 500 long lines, 552 too large, 554 bare CR or LF |
//! | `RSET`, `NOOP`, `QUIT`, `HELP` | 250, 250, 221 and the end, 214 |
//! | `VRFY x`, `EXPN x` | 252, 502 (7.3) |
//! | `XLAST <path>` | the server's own: 250 with the last mail to this path, a line each, or 550. Nobody else can read mail here |
//!
//! Out of order is 503, what is no command 500, a wrong argument 501. After 20 refusals it is 421 and the end.
//!
//! | recipient | answer |
//! | --- | --- |
//! | `nobody@` | 550 5.1.1, there is no such mailbox |
//! | `full@` | 452 4.2.2, it is full |
//! | `later@` | 450 4.2.0, try again |
//!
//! There is no STARTTLS: a target listens on `tls://` from the start (RFC 8314).

mod mail;
mod path;
mod session;

use std::sync::{Arc, Mutex};

use mail::{Draft, Mails};
use session::{Next, Session, Site};

use crate::inbox::Inbox;
use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Setting, SettingError, Setup};

/// The longest command, without its ending.
pub const COMMAND_LEN_MAX: usize = 1_024;
/// The longest line of a mail, without its ending.
pub const TEXT_LINE_LEN_MAX: usize = 998;

/// The settings of `smtp`.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "bytes", default: "16MiB", about: "how many bytes of mail the server keeps" },
    Setting { name: "domain", default: "example.test", about: "the domain that it takes mail for" },
    Setting { name: "mailboxes", default: "1_000", about: "how many mailboxes it keeps the last mail of" },
    Setting {
        name: "users",
        default: "",
        about: "who may send, as `anna:secret,ben:geheim`; nobody has to log in without",
    },
];

struct Smtp {
    inbox: Inbox,
    /// How much of the inbox has no line's end in it.
    searched: usize,
    /// Inside a line that is too long.
    skipping: bool,
    session: Session,
    /// The mail that is being taken.
    draft: Option<Draft>,
    /// A mail that is being shown, and how much of it has been.
    showing: Option<(Arc<[u8]>, usize)>,
}

impl Service for Smtp {
    fn open(&mut self, reply: &mut Reply) {
        self.session.greet(reply);
    }

    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.inbox.push(input);
        self.drained(reply);
    }

    fn drained(&mut self, reply: &mut Reply) {
        while !reply.is_full() && !reply.closing {
            if self.showing.is_some() {
                self.show_line(reply);
            } else if !self.line(reply) {
                break;
            }
        }
        self.inbox.compact();
    }
}

impl Smtp {
    /// Deals with the next line; `false` if it is not whole.
    fn line(&mut self, reply: &mut Reply) -> bool {
        let len_max = if self.draft.is_some() { 1 + TEXT_LINE_LEN_MAX } else { COMMAND_LEN_MAX };
        let rest = self.inbox.rest();
        let end = memchr::memchr(b'\n', &rest[self.searched..]).map(|at| self.searched + at);
        let line = &rest[..end.unwrap_or(rest.len())];
        // A CR at the end may be half of the line's ending. In a mail the dot that is taken away is not counted.
        let len = line.len() - usize::from(line.last() == Some(&b'\r'));
        let is_too_long = len > len_max || len == len_max && self.draft.is_some() && line[0] != b'.';
        if is_too_long && !self.skipping {
            self.skipping = true;
            match &mut self.draft {
                Some(draft) => draft.refuse_long_line(),
                None => self.session.refuse("500 5.5.2 line too long", reply),
            }
        }
        let Some(end) = end else {
            self.searched = rest.len();
            if self.skipping {
                // A CR stays: it may be half of the line's ending.
                let kept = usize::from(rest.last() == Some(&b'\r'));
                self.inbox.consume(rest.len() - kept);
                self.searched = kept;
            }
            return false;
        };
        if !std::mem::take(&mut self.skipping) {
            self.whole_line(end, reply);
        } else if let Some(draft) = &mut self.draft {
            draft.is_after_crlf = line.last() == Some(&b'\r');
        }
        self.inbox.consume(end + 1);
        self.searched = 0;
        true
    }

    fn whole_line(&mut self, end: usize, reply: &mut Reply) {
        let line = &self.inbox.rest()[..end];
        let ended = line.strip_suffix(b"\r");
        let Some(draft) = &mut self.draft else {
            let next = match ended {
                Some(line) => self.session.play(line, reply),
                None => {
                    self.session.refuse("500 5.5.2 a line ends in CRLF", reply);
                    Next::Command
                }
            };
            match next {
                Next::Command => {}
                Next::Data => self.draft = Some(Draft::new(self.session.bytes_max())),
                Next::Show(mail) => self.showing = Some((mail, 0)),
            }
            return;
        };
        match ended {
            Some(b".") if draft.is_after_crlf => {
                if let Some(draft) = self.draft.take() {
                    self.session.deliver(draft, reply);
                }
            }
            Some(line) => draft.push(line),
            None => draft.push_bare(),
        }
    }

    /// Shows a line of the mail that was asked for. `Draft` ends each in CRLF.
    fn show_line(&mut self, reply: &mut Reply) {
        let Some((mail, at)) = &mut self.showing else { return };
        let rest = &mail[*at..];
        let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        *at += len;
        let is_last = *at == mail.len();
        reply.send(if is_last { b"250 " } else { b"250-" });
        reply.send(&rest[..len]);
        if is_last {
            self.showing = None;
        }
    }
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let settings = &setup.settings;
    let users = settings.text("users").split(',').filter(|user| !user.is_empty());
    let site = Arc::new(Site {
        domain: settings.text("domain").to_owned(),
        users: users
            .map(|user| user.split_once(':').unwrap_or((user, "")))
            .map(|(a, b)| (a.into(), b.into()))
            .collect(),
        mails: Mutex::new(Mails::new(settings.number("mailboxes")?, settings.number("bytes")?)),
        mail_len_max: setup.frame_len_max,
        clock: setup.clock,
    });
    Ok(Arc::new(move |_: &Peer| Smtp {
        inbox: Inbox::default(),
        searched: 0,
        skipping: false,
        session: Session::new(Arc::clone(&site)),
        draft: None,
        showing: None,
    }))
}

#[cfg(test)]
mod tests;
