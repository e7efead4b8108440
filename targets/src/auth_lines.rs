//! `auth-lines`: a line server with a login.
//!
//! A request is one line, ended by LF or CRLF; its answer is ended likewise. It begins with a greeting.
//!
//! | request | answer |
//! | --- | --- |
//! | | `* auth-lines AUTH=PLAIN AUTH=SCRAM-SHA-256`, first of all |
//! | `AUTH PLAIN base64` | `OK welcome, user`; base64 of `authzid NUL user NUL password` (RFC 4616) |
//! | `AUTH PLAIN` | `+`, and the base64 is expected as the next line |
//! | `AUTH SCRAM-SHA-256 base64` | `+ base64`, the server's first message; the client's final message is the next line, and then `OK base64` with the server's signature, or an error (RFC 5802, RFC 7677) |
//! | `*` in place of what is expected | `ERR 501 cancelled` |
//! | `WHOAMI` | `USER user`, after a login |
//! | `ECHO text` | `ECHO text`, after a login |
//! | `QUIT` | `BYE`, and the connection closes |
//!
//! | answer | when |
//! | --- | --- |
//! | `ERR 400 unknown command` | the first word is none of these |
//! | `ERR 413 line too long` | a line has more than 8 KiB; the connection closes |
//! | `ERR 501 malformed` | what was sent is no base64, or not of the mechanism's form |
//! | `ERR 503 already logged in` | a second `AUTH` |
//! | `ERR 504 no such mechanism` | `AUTH` with another name |
//! | `ERR 530 log in first` | a command before a login |
//! | `ERR 535 wrong user or password` | so it is; which of the two is not told |
//! | `ERR 421 too many attempts` | the last of `attempts` failed; the connection closes |
//!
//! With a `nonce` in its settings the server's part of an exchange is always the same, so that a script can hold all of it. RFC
//! 7677's own example (section 3) does.

use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom as _;
use ring::{digest, hmac, pbkdf2};

use crate::inbox::Inbox;
use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Setting, SettingError, Setup};

/// The longest line.
const LINE_LEN_MAX: usize = 8 << 10;

/// The settings of `auth-lines`.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "attempts", default: "3", about: "how many logins of a connection may fail" },
    Setting { name: "iterations", default: "4096", about: "rounds of PBKDF2 in SCRAM" },
    Setting { name: "nonce", default: "", about: "the server's part of a SCRAM nonce; drawn for each login if empty" },
    Setting { name: "password", default: "pencil", about: "the user's password" },
    Setting { name: "salt", default: "W22ZaJ0SNY7soEsUEjb6gQ==", about: "the salt of SCRAM, in base64" },
    Setting { name: "user", default: "user", about: "the only user" },
];

/// What the server knows.
struct Account {
    user: String,
    password: String,
    nonce: String,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    attempts: usize,
}

struct AuthLines {
    account: Arc<Account>,
    inbox: Inbox,
    failures: usize,
    state: State,
}

enum State {
    Anonymous,
    /// The base64 of SASL PLAIN is expected.
    Plain,
    /// The client's final message is expected.
    Scram {
        client_first_bare: String,
        server_first: String,
        nonce: String,
    },
    In,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Again,
    Cancelled,
    Malformed,
    Mechanism,
    NotIn,
    Unknown,
    Wrong,
}

impl Refusal {
    fn text(self) -> &'static str {
        match self {
            Refusal::Again => "ERR 503 already logged in",
            Refusal::Cancelled => "ERR 501 cancelled",
            Refusal::Malformed => "ERR 501 malformed",
            Refusal::Mechanism => "ERR 504 no such mechanism",
            Refusal::NotIn => "ERR 530 log in first",
            Refusal::Unknown => "ERR 400 unknown command",
            Refusal::Wrong => "ERR 535 wrong user or password",
        }
    }
}

impl Service for AuthLines {
    fn open(&mut self, reply: &mut Reply) {
        reply.send(b"* auth-lines AUTH=PLAIN AUTH=SCRAM-SHA-256\r\n");
    }

    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.inbox.push(input);
        self.drained(reply);
    }

    fn drained(&mut self, reply: &mut Reply) {
        while !reply.is_full() && !reply.closing {
            let rest = self.inbox.rest();
            let end = memchr::memchr(b'\n', rest);
            if end.unwrap_or(rest.len()) > LINE_LEN_MAX {
                reply.send(b"ERR 413 line too long\r\n");
                reply.close();
                break;
            }
            let Some(end) = end else { break };
            let (line, ending): (&[u8], &[u8]) = match &rest[..end] {
                [line @ .., b'\r'] => (line, b"\r\n"),
                line => (line, b"\n"),
            };
            let line = String::from_utf8_lossy(line).into_owned();
            self.inbox.consume(end + 1);
            match self.play(&line) {
                Ok(answer) => {
                    reply.send(answer.as_bytes());
                    if answer == "BYE" {
                        reply.close();
                    }
                }
                Err(refusal) => {
                    self.failures += usize::from(refusal == Refusal::Wrong);
                    let too_many = self.failures >= self.account.attempts;
                    reply.send(if too_many { "ERR 421 too many attempts" } else { refusal.text() }.as_bytes());
                    if too_many {
                        reply.close();
                    }
                }
            }
            reply.send(ending);
        }
        self.inbox.compact();
    }
}

impl AuthLines {
    fn play(&mut self, line: &str) -> Result<String, Refusal> {
        match std::mem::replace(&mut self.state, State::Anonymous) {
            State::Plain => return self.plain(line),
            State::Scram { client_first_bare, server_first, nonce } => {
                return self.scram_final(line, &client_first_bare, &server_first, &nonce);
            }
            state => self.state = state,
        }
        let (command, rest) = line.split_once(' ').map_or((line, None), |(command, rest)| (command, Some(rest)));
        let logged_in = matches!(self.state, State::In);
        match (command.to_ascii_uppercase().as_str(), logged_in) {
            ("AUTH", true) => Err(Refusal::Again),
            ("AUTH", false) => self.begin(rest.unwrap_or_default()),
            ("QUIT", _) => Ok("BYE".into()),
            ("ECHO" | "WHOAMI", false) => Err(Refusal::NotIn),
            ("ECHO", true) => Ok(format!("ECHO {}", rest.unwrap_or_default())),
            ("WHOAMI", true) => Ok(format!("USER {}", self.account.user)),
            _ => Err(Refusal::Unknown),
        }
    }

    fn begin(&mut self, rest: &str) -> Result<String, Refusal> {
        let (mechanism, initial) = rest.split_once(' ').map_or((rest, None), |(name, rest)| (name, Some(rest)));
        match (mechanism.to_ascii_uppercase().as_str(), initial) {
            ("PLAIN", Some(initial)) => self.plain(initial),
            ("PLAIN", None) => {
                self.state = State::Plain;
                Ok("+".into())
            }
            ("SCRAM-SHA-256", Some(initial)) => self.scram_first(initial),
            ("SCRAM-SHA-256", None) => Err(Refusal::Malformed),
            _ => Err(Refusal::Mechanism),
        }
    }

    fn plain(&mut self, text: &str) -> Result<String, Refusal> {
        let message = decode(text)?;
        let [authzid, user, password] = message.split('\0').collect::<Vec<_>>()[..] else {
            return Err(Refusal::Malformed);
        };
        let account = &self.account;
        // A test's password is no secret: how long a comparison takes does not matter here.
        let may = authzid.is_empty() || authzid == account.user;
        if !(may && user == account.user && password == account.password) {
            return Err(Refusal::Wrong);
        }
        self.state = State::In;
        Ok(format!("OK welcome, {user}"))
    }

    /// `n,,n=user,r=nonce` (RFC 5802, section 7).
    fn scram_first(&mut self, text: &str) -> Result<String, Refusal> {
        let message = decode(text)?;
        // Without channel binding: `n` or `y`, and perhaps whom to act for.
        let mut parts = message.splitn(3, ',');
        let (flag, authzid, bare) = (parts.next(), parts.next(), parts.next());
        let (Some("n" | "y"), Some(authzid), Some(bare)) = (flag, authzid, bare) else {
            return Err(Refusal::Malformed);
        };
        if !(authzid.is_empty() || authzid.starts_with("a=")) {
            return Err(Refusal::Malformed);
        }
        let user = attribute(bare, "n=").ok_or(Refusal::Malformed)?;
        let client_nonce = attribute(bare, "r=").ok_or(Refusal::Malformed)?;
        if user != self.account.user || client_nonce.is_empty() {
            return Err(Refusal::Wrong);
        }
        let nonce = match self.account.nonce.as_str() {
            "" => {
                let mut drawn = [0; 18];
                ring::rand::SystemRandom::new().fill(&mut drawn).map_err(|_| Refusal::Wrong)?;
                format!("{client_nonce}{}", STANDARD.encode(drawn))
            }
            fixed => format!("{client_nonce}{fixed}"),
        };
        let (salt, iterations) = (STANDARD.encode(&self.account.salt), self.account.iterations);
        let server_first = format!("r={nonce},s={salt},i={iterations}");
        let answer = format!("+ {}", STANDARD.encode(&server_first));
        self.state = State::Scram { client_first_bare: bare.to_owned(), server_first, nonce };
        Ok(answer)
    }

    /// `c=biws,r=nonce,p=proof` (RFC 5802, sections 3 and 7).
    fn scram_final(&mut self, text: &str, first: &str, server_first: &str, nonce: &str) -> Result<String, Refusal> {
        let message = decode(text)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(Refusal::Malformed)?;
        let proof = STANDARD.decode(proof).map_err(|_| Refusal::Malformed)?;
        if attribute(without_proof, "c=").is_none() {
            return Err(Refusal::Malformed);
        }
        if attribute(without_proof, "r=") != Some(nonce) {
            return Err(Refusal::Wrong);
        }
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        let Account { password, salt, iterations, .. } = &*self.account;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, *iterations, salt, password.as_bytes(), &mut salted);
        let said = format!("{first},{server_first},{without_proof}");
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = sign(stored_key.as_ref(), said.as_bytes());
        let expected: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        if expected != proof {
            return Err(Refusal::Wrong);
        }
        let server_key = sign(&salted, b"Server Key");
        let verifier = STANDARD.encode(sign(server_key.as_ref(), said.as_bytes()));
        self.state = State::In;
        Ok(format!("OK {}", STANDARD.encode(format!("v={verifier}"))))
    }
}

fn sign(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
}

fn decode(text: &str) -> Result<String, Refusal> {
    if text == "*" {
        return Err(Refusal::Cancelled);
    }
    let bytes = STANDARD.decode(text).map_err(|_| Refusal::Malformed)?;
    String::from_utf8(bytes).map_err(|_| Refusal::Malformed)
}

/// The value of an attribute in a message of SCRAM.
fn attribute<'m>(message: &'m str, name: &str) -> Option<&'m str> {
    message.split(',').find_map(|part| part.strip_prefix(name))
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let settings = &setup.settings;
    let wrong =
        |name: &'static str| SettingError::NotANumber { name: name.to_owned(), value: settings.text(name).to_owned() };
    let iterations = u32::try_from(settings.number("iterations")?).ok().and_then(NonZeroU32::new);
    // What a login costs is bounded.
    let iterations = iterations.filter(|number| number.get() <= 1_000_000).ok_or_else(|| wrong("iterations"))?;
    let salt = STANDARD.decode(settings.text("salt")).map_err(|_| wrong("salt"))?;
    let account = Arc::new(Account {
        user: settings.text("user").to_owned(),
        password: settings.text("password").to_owned(),
        nonce: settings.text("nonce").to_owned(),
        salt,
        iterations,
        attempts: settings.number("attempts")?.max(1),
    });
    Ok(Arc::new(move |_: &Peer| AuthLines {
        account: Arc::clone(&account),
        inbox: Inbox::default(),
        failures: 0,
        state: State::Anonymous,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[track_caller]
    fn check(pairs: &[(&str, &str)], said: &str, expected: &str) {
        let target = crate::find("auth-lines").expect("it is in the table");
        let server = target.make(pairs, &crate::Limits::default(), || jiff::Timestamp::UNIX_EPOCH).expect("settings");
        let mut pipe = crate::memory::Pipe::open(&*server, crate::memory::OUTPUT_LEN_MAX);
        let _ = pipe.send(said.as_bytes());
        let output = String::from_utf8(pipe.take_output()).expect("text");
        let (_, answers) = output.split_once("\r\n").expect("a greeting");
        assert_eq!(answers, expected);
        assert!(Settings::new(SETTINGS, pairs).is_ok());
    }

    #[test]
    fn plain_in_one_line_and_in_two() {
        let plain = STANDARD.encode("\0user\0pencil");
        check(&[], &format!("AUTH PLAIN {plain}\nWHOAMI\n"), "OK welcome, user\nUSER user\n");
        check(&[], &format!("auth plain\n{plain}\nECHO hi\n"), "+\nOK welcome, user\nECHO hi\n");
    }

    #[test]
    fn the_example_of_rfc_7677() {
        // Section 3.
        let first = STANDARD.encode("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let last = STANDARD.encode(
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        );
        let answer =
            STANDARD.encode("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let verifier = STANDARD.encode("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        check(
            &[("nonce", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")],
            &format!("AUTH SCRAM-SHA-256 {first}\n{last}\nWHOAMI\n"),
            &format!("+ {answer}\nOK {verifier}\nUSER user\n"),
        );
    }

    #[test]
    fn who_is_wrong_is_not_let_in_and_not_for_ever() {
        let wrong = STANDARD.encode("\0user\0pen");
        let line = format!("AUTH PLAIN {wrong}\n");
        check(
            &[("attempts", "2")],
            &format!("WHOAMI\n{line}{line}WHOAMI\n"),
            "ERR 530 log in first\nERR 535 wrong user or password\nERR 421 too many attempts\n",
        );
    }

    #[test]
    fn what_is_malformed_is_refused() {
        check(
            &[],
            "AUTH PLAIN ???\nAUTH KERBEROS\nAUTH PLAIN\n*\nAUTH SCRAM-SHA-256 AAAA\nJUMP\nQUIT\n",
            "ERR 501 malformed\nERR 504 no such mechanism\n+\nERR 501 cancelled\nERR 501 malformed\nERR 400 unknown command\nBYE\n",
        );
    }
}
