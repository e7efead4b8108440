//! What a client has said so far, and what its commands do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::mail::{Draft, Full, Mails};
use super::path::{Path, is_domain};
use crate::service::Reply;
use crate::settings::Clock;

/// The most recipients of a mail: as many as a server has to take (RFC 5321, section 4.5.3.1.8).
const RECIPIENTS_MAX: usize = 100;
/// After so many refusals the server has heard enough.
const REFUSALS_MAX: usize = 20;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) domain: String,
    pub(super) users: BTreeMap<String, String>,
    pub(super) mails: Mutex<Mails>,
    pub(super) mail_len_max: usize,
    pub(super) clock: Clock,
}

/// What the next lines are.
pub(super) enum Next {
    Command,
    /// A mail.
    Data,
    /// A mail is to be shown first.
    Show(Arc<[u8]>),
}

/// What is said to a command.
type Answer = Result<&'static str, &'static str>;

pub(super) struct Session {
    site: Arc<Site>,
    /// The name that the client gave itself, and whether it knows extensions.
    client: Option<(String, bool)>,
    is_in: bool,
    /// The next line is what AUTH PLAIN waits for.
    is_authenticating: bool,
    /// Of the transaction: the sender as it was written, and who gets the mail.
    sender: Option<String>,
    recipients: Vec<String>,
    refusals: usize,
}

impl Session {
    pub(super) fn new(site: Arc<Site>) -> Session {
        Session {
            site,
            client: None,
            is_in: false,
            is_authenticating: false,
            sender: None,
            recipients: Vec::new(),
            refusals: 0,
        }
    }

    /// How long a mail may be.
    pub(super) fn bytes_max(&self) -> usize {
        self.site.mail_len_max
    }

    pub(super) fn greet(&self, reply: &mut Reply) {
        reply.send(format!("220 {} ESMTP\r\n", self.site.domain).as_bytes());
    }

    pub(super) fn refuse(&mut self, why: &str, reply: &mut Reply) {
        self.is_authenticating = false;
        self.refusals += 1;
        reply.send(why.as_bytes());
        reply.send(b"\r\n");
        if self.refusals >= REFUSALS_MAX {
            reply.send(b"421 4.7.0 too many errors\r\n");
            reply.close();
        }
    }

    /// Plays one command, or takes the answer to one.
    pub(super) fn play(&mut self, line: &[u8], reply: &mut Reply) -> Next {
        let text = std::str::from_utf8(line).ok();
        let Some(text) = text.filter(|text| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())) else {
            self.refuse("500 5.5.2 not a command", reply);
            return Next::Command;
        };
        if std::mem::take(&mut self.is_authenticating) {
            let answer = self.log_in(text);
            self.say(answer, reply);
            return Next::Command;
        }
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim_end_matches(' ');
        let answer = match (verb.to_ascii_uppercase().as_str(), rest) {
            ("AUTH", rest) => match self.auth(rest) {
                Some(answer) => answer,
                None => {
                    self.is_authenticating = true;
                    reply.send(b"334 \r\n");
                    return Next::Command;
                }
            },
            ("DATA", "") => match (&self.sender, self.recipients.is_empty()) {
                (None, _) => Err("503 5.5.1 MAIL first"),
                (Some(_), true) => Err("554 5.5.1 no valid recipients"),
                (Some(_), false) => {
                    reply.send(b"354 end with a dot on a line of its own\r\n");
                    return Next::Data;
                }
            },
            ("EHLO" | "HELO", name) if is_domain(name) => {
                self.reset();
                let is_extended = verb.len() == 4 && verb.as_bytes()[0].eq_ignore_ascii_case(&b'E');
                self.client = Some((name.to_owned(), is_extended));
                self.welcome(is_extended, reply);
                return Next::Command;
            }
            ("EXPN", _) => Err("502 5.5.1 there are no lists"),
            ("HELP", _) => Ok("214 2.0.0 EHLO HELO AUTH MAIL RCPT DATA RSET NOOP VRFY XLAST QUIT; see RFC 5321"),
            ("MAIL", rest) => self.mail(rest),
            ("NOOP", _) => Ok("250 2.0.0 ok"),
            ("QUIT", "") => {
                reply.close();
                Ok("221 2.0.0 bye")
            }
            ("RCPT", rest) => self.rcpt(rest),
            ("RSET", "") => {
                self.reset();
                Ok("250 2.0.0 ok")
            }
            ("VRFY", name) if !name.is_empty() => Ok("252 2.1.5 send a mail and see"),
            ("XLAST", path) => match self.last(path) {
                Ok(mail) => return Next::Show(mail),
                Err(why) => Err(why),
            },
            ("DATA" | "EHLO" | "HELO" | "QUIT" | "RSET" | "VRFY", _) => Err("501 5.5.4 wrong argument"),
            _ => Err("500 5.5.1 unknown command"),
        };
        self.say(answer, reply);
        Next::Command
    }

    fn say(&mut self, answer: Answer, reply: &mut Reply) {
        match answer {
            Ok(text) => {
                reply.send(text.as_bytes());
                reply.send(b"\r\n");
            }
            Err(why) => self.refuse(why, reply),
        }
    }

    /// The transaction is over.
    fn reset(&mut self) {
        self.sender = None;
        self.recipients = Vec::new();
    }

    fn welcome(&self, is_extended: bool, reply: &mut Reply) {
        let domain = &self.site.domain;
        if !is_extended {
            return reply.send(format!("250 {domain}\r\n").as_bytes());
        }
        let auth = if self.site.users.is_empty() { "" } else { "250-AUTH PLAIN\r\n" };
        let size = self.site.mail_len_max;
        let lines = format!(
            "250-{domain}\r\n250-8BITMIME\r\n{auth}250-ENHANCEDSTATUSCODES\r\n250-PIPELINING\r\n250 SIZE {size}\r\n"
        );
        reply.send(lines.as_bytes());
    }

    /// `None` if the rest is to come in a line of its own.
    fn auth(&mut self, rest: &str) -> Option<Answer> {
        let (mechanism, initial) = rest.split_once(' ').map_or((rest, None), |(name, rest)| (name, Some(rest)));
        Some(match initial {
            _ if self.site.users.is_empty() => Err("502 5.5.1 there are no users"),
            _ if !matches!(self.client, Some((_, true))) => Err("503 5.5.1 EHLO first"),
            _ if self.is_in || self.sender.is_some() => Err("503 5.5.1 not now"),
            _ if !mechanism.eq_ignore_ascii_case("PLAIN") => Err("504 5.5.4 no such mechanism"),
            Some(initial) => self.log_in(initial),
            None => return None,
        })
    }

    /// The message of SASL PLAIN (RFC 4616): an identity to act as, the user and the password, with a zero between them.
    fn log_in(&mut self, text: &str) -> Answer {
        if text == "*" {
            return Err("501 5.7.0 cancelled");
        }
        let decoded = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(decoded) = decoded else { return Err("501 5.5.2 not base64 of a text") };
        let parts: Vec<_> = decoded.split('\0').collect();
        let [act_as, user, password] = parts.as_slice() else { return Err("501 5.5.2 not what PLAIN says") };
        let is_user = self.site.users.get(*user).is_some_and(|known| known == password);
        if !is_user || !act_as.is_empty() && act_as != user {
            return Err("535 5.7.8 wrong user or password");
        }
        self.is_in = true;
        Ok("235 2.7.0 you are in")
    }

    fn mail(&mut self, rest: &str) -> Answer {
        let Some((path, parameters)) = argument(rest, "FROM:") else { return Err("501 5.5.4 MAIL FROM:<path>") };
        if self.client.is_none() {
            return Err("503 5.5.1 EHLO first");
        }
        if !self.is_in && !self.site.users.is_empty() {
            return Err("530 5.7.0 log in first");
        }
        if self.sender.is_some() {
            return Err("503 5.5.1 there is a sender");
        }
        for parameter in parameters.split(' ').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (name.to_ascii_uppercase().as_str(), value.to_ascii_uppercase().as_str()) {
                ("BODY", "7BIT" | "8BITMIME") => {}
                ("SIZE", digits) => match digits.parse::<usize>() {
                    Ok(size) if size > self.site.mail_len_max => return Err("552 5.3.4 message too large"),
                    Ok(_) => {}
                    Err(_) => return Err("501 5.5.4 wrong size"),
                },
                _ => return Err("555 5.5.4 unknown parameter"),
            }
        }
        self.sender = Some(path.map_or(String::new(), |path| path.to_string()));
        Ok("250 2.1.0 ok")
    }

    fn rcpt(&mut self, rest: &str) -> Answer {
        let Some((Some(path), parameters)) = argument(rest, "TO:") else { return Err("501 5.5.4 RCPT TO:<path>") };
        if self.sender.is_none() {
            return Err("503 5.5.1 MAIL first");
        }
        if !parameters.is_empty() {
            return Err("555 5.5.4 unknown parameter");
        }
        if !path.domain.is_empty() && !path.domain.eq_ignore_ascii_case(&self.site.domain) {
            return Err("550 5.7.1 not for this server");
        }
        match path.local.to_ascii_lowercase().as_str() {
            "full" => return Err("452 4.2.2 mailbox full"),
            "later" => return Err("450 4.2.0 try again later"),
            "nobody" => return Err("550 5.1.1 no such mailbox"),
            _ if self.recipients.len() == RECIPIENTS_MAX => return Err("452 4.5.3 too many recipients"),
            _ => {}
        }
        self.recipients.push(self.mailbox(&path));
        Ok("250 2.1.5 ok")
    }

    /// What a mailbox is kept under. Only `postmaster` is the same in any case (RFC 5321, section 4.5.1).
    fn mailbox(&self, path: &Path) -> String {
        match path.local.eq_ignore_ascii_case("postmaster") {
            true => "postmaster".into(),
            false => path.local.clone(),
        }
    }

    /// Takes a mail that has come to its end.
    pub(super) fn deliver(&mut self, draft: Draft, reply: &mut Reply) {
        let (recipients, sender) = (std::mem::take(&mut self.recipients), self.sender.take().unwrap_or_default());
        let text = match draft.finish() {
            Ok(text) => text,
            Err(why) => return self.refuse(why, reply),
        };
        let (name, is_extended) = self.client.as_ref().map_or(("", false), |(name, extended)| (name, *extended));
        let with = match (is_extended, self.is_in) {
            (true, true) => "ESMTPA", // RFC 3848
            (true, false) => "ESMTP",
            (false, _) => "SMTP",
        };
        let domain = &self.site.domain;
        let now = (self.site.clock)().strftime("%a, %d %b %Y %H:%M:%S +0000");
        let trace =
            format!("Return-Path: <{sender}>\r\nReceived: from {name} by {domain} with {with}; {now}\r\n").into_bytes();
        // What a panic leaves behind is sound: a mail is put as a whole.
        let put =
            self.site.mails.lock().unwrap_or_else(PoisonError::into_inner).put(&recipients, [trace, text].concat());
        match put {
            Ok(number) => reply.send(format!("250 2.6.0 taken as {number}\r\n").as_bytes()),
            Err(Full) => self.refuse("452 4.3.1 no room", reply),
        }
    }

    fn last(&self, rest: &str) -> Result<Arc<[u8]>, &'static str> {
        let Some((Some(path), "")) = Path::parse(rest) else { return Err("501 5.5.4 XLAST <path>") };
        let last = self.site.mails.lock().unwrap_or_else(PoisonError::into_inner).last(&self.mailbox(&path));
        last.ok_or("550 5.1.1 no mail")
    }
}

/// The path behind `FROM:` or `TO:`, `None` in the place of the empty one, and the parameters after it.
fn argument<'a>(rest: &'a str, what: &str) -> Option<(Option<Path>, &'a str)> {
    let path = rest.get(..what.len()).filter(|word| word.eq_ignore_ascii_case(what)).map(|_| &rest[what.len()..])?;
    let (path, parameters) = Path::parse(path)?;
    match parameters {
        "" => Some((path, "")),
        _ => parameters.strip_prefix(' ').map(|parameters| (path, parameters)),
    }
}
