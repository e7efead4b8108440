//! Which cases are played: the filter language of `--filter`.
//!
//! A filter is made of words: `tag:fast`, `name:echo*`, `case:"echoes a line"`, `file:*/smtp.toml`, or a bare word, which
//! stands somewhere in `SCENARIO: CASE`. They are joined by `and`, `or`, `not` and parentheses. Outside of quotes `*` and `?`
//! stand for any characters and any one.

use std::fmt;

use crate::scenario::{Case, Scenario};

/// Which cases are played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Expression);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    And(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Word { key: Option<Key>, text: String, literal: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Case,
    File,
    Name,
    Tag,
}

/// What a filter is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// The case's.
    pub case: &'a str,
    /// The case's with the number of its repetition: `echoes a line #2`.
    pub repetition: &'a str,
    /// The file.
    pub file: &'a str,
    /// Its tags.
    pub tags: &'a [String],
}

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterError {
    /// Something else was expected at a place in the text.
    Expected {
        /// What.
        what: &'static str,
        /// The character, from 1.
        at: usize,
    },
    /// A quote is not closed.
    Quote,
    /// Parentheses stand too deep.
    TooDeep,
    /// The word before the colon is none of the keys.
    UnknownKey(String),
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilterError::Expected { what, at } => write!(f, "expected {what} at character {at} of the filter"),
            FilterError::Quote => f.write_str("a quote in the filter is not closed"),
            FilterError::TooDeep => f.write_str("the filter has too many parentheses"),
            FilterError::UnknownKey(key) => {
                write!(f, "unknown key `{key}` in the filter, it is one of `case`, `file`, `name`, `tag`")
            }
        }
    }
}

impl std::error::Error for FilterError {}

/// How deep parentheses and `not` can stand in each other.
const DEPTH_MAX: usize = 64;

impl Filter {
    /// Reads a filter.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0, end: text.chars().count() + 1 };
        let expression = parser.or()?;
        match parser.tokens.get(parser.next) {
            None => Ok(Filter(expression)),
            Some((at, _)) => Err(FilterError::Expected { what: "`and` or `or`", at: *at }),
        }
    }

    /// Whether it takes a case of a scenario, whatever is done with it.
    pub fn takes(&self, scenario: &Scenario, case: &Case) -> bool {
        self.selects(Subject {
            scenario: &scenario.name,
            case: &case.name,
            repetition: &case.name,
            file: &scenario.file,
            tags: &case.tags,
        })
    }

    /// Whether a case is played.
    pub fn selects(&self, subject: Subject<'_>) -> bool {
        self.0.selects(subject)
    }
}

impl Expression {
    fn selects(&self, subject: Subject<'_>) -> bool {
        match self {
            Expression::And(left, right) => left.selects(subject) && right.selects(subject),
            Expression::Not(inner) => !inner.selects(subject),
            Expression::Or(left, right) => left.selects(subject) || right.selects(subject),
            Expression::Word { key, text, literal } => {
                let is = |value: &str| if *literal { value == text } else { glob(text, value) };
                match key {
                    Some(Key::Case) => is(subject.case) || is(subject.repetition),
                    Some(Key::File) => is(subject.file),
                    Some(Key::Name) => is(subject.scenario),
                    Some(Key::Tag) => subject.tags.iter().any(|tag| is(tag)),
                    None => {
                        let whole = format!("{}: {}", subject.scenario, subject.repetition);
                        if *literal { whole.contains(text) } else { glob(&format!("*{text}*"), &whole) }
                    }
                }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Close,
    Open,
    Word { key: Option<String>, text: String, quoted: bool },
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, FilterError> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().enumerate().peekable();
    while let Some((at, c)) = chars.next() {
        let token = match c {
            c if c.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            first => {
                let (mut key, mut word, mut quoted) = (None, String::new(), false);
                let mut current = Some(first);
                while let Some(c) = current {
                    match c {
                        '"' | '\'' => {
                            quoted = true;
                            loop {
                                match chars.next() {
                                    Some((_, end)) if end == c => break,
                                    Some((_, '\\')) => {
                                        word.push(chars.next().ok_or(FilterError::Quote)?.1);
                                    }
                                    Some((_, inner)) => word.push(inner),
                                    None => return Err(FilterError::Quote),
                                }
                            }
                        }
                        ':' if key.is_none() && !quoted => key = Some(std::mem::take(&mut word)),
                        c => word.push(c),
                    }
                    current = chars.next_if(|(_, c)| !c.is_whitespace() && !matches!(c, '(' | ')')).map(|(_, c)| c);
                }
                Token::Word { key, text: word, quoted }
            }
        };
        tokens.push((at + 1, token));
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
    end: usize,
}

impl Parser {
    fn takes(&mut self, keyword: &str) -> bool {
        let found = matches!(
            self.tokens.get(self.next),
            Some((_, Token::Word { key: None, text, quoted: false })) if text == keyword
        );
        self.next += usize::from(found);
        found
    }

    fn or(&mut self) -> Result<Expression, FilterError> {
        let mut left = self.and()?;
        while self.takes("or") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, FilterError> {
        let mut left = self.not()?;
        while self.takes("and") {
            left = Expression::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression, FilterError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(FilterError::TooDeep);
        }
        let expression = if self.takes("not") { Expression::Not(Box::new(self.not()?)) } else { self.word()? };
        self.depth -= 1;
        Ok(expression)
    }

    fn word(&mut self) -> Result<Expression, FilterError> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        match token {
            Some((_, Token::Open)) => {
                let inner = self.or()?;
                let token = self.tokens.get(self.next).cloned();
                self.next += 1;
                match token {
                    Some((_, Token::Close)) => Ok(inner),
                    Some((at, _)) => Err(FilterError::Expected { what: "`)`", at }),
                    None => Err(FilterError::Expected { what: "`)`", at: self.end }),
                }
            }
            Some((_, Token::Word { key, text, quoted })) => {
                let key = match key.as_deref() {
                    None => None,
                    Some("case") => Some(Key::Case),
                    Some("file") => Some(Key::File),
                    Some("name") => Some(Key::Name),
                    Some("tag") => Some(Key::Tag),
                    Some(other) => return Err(FilterError::UnknownKey(other.into())),
                };
                Ok(Expression::Word { key, text, literal: quoted })
            }
            Some((at, Token::Close)) => Err(FilterError::Expected { what: "a word", at }),
            None => Err(FilterError::Expected { what: "a word", at: self.end }),
        }
    }
}

/// Whether `text` matches `pattern`, in which `*` is any characters and `?` any one. Its work is bounded by the product of the lengths.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    p = *at + 1;
                    t = *taken;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &str, expected: bool) {
        let tags = ["fast".to_owned(), "tcp".to_owned()];
        let (case, repetition) = ("echoes a line", "echoes a line #2");
        let subject = Subject { scenario: "echo", case, repetition, file: "scenarios/echo.toml", tags: &tags };
        assert_eq!(Filter::parse(filter).expect("a filter").selects(subject), expected, "{filter}");
    }

    #[test]
    fn a_bare_word_stands_anywhere_in_the_name() {
        check("line", true);
        check("echo", true);
        check("e*line", true);
        check("nothing", false);
        check("'echo: echoes'", true);
    }

    #[test]
    fn a_key_asks_for_one_thing() {
        check("tag:fast", true);
        check("tag:slow", false);
        check("name:echo", true);
        check("name:ech", false);
        check("name:ech?", true);
        check("file:*.toml", true);
        check("case:\"echoes a line\"", true);
        check("case:\"echoes\"", false);
        check("case:\"echoes a line #2\"", true);
        check("case:\"echoes a line #3\"", false);
    }

    #[test]
    fn words_are_joined() {
        check("tag:fast and tag:tcp", true);
        check("tag:fast and not tag:tcp", false);
        check("tag:slow or (tag:tcp and line)", true);
        check("not (tag:slow or tag:udp)", true);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        assert_eq!(Filter::parse(""), Err(FilterError::Expected { what: "a word", at: 1 }));
        assert_eq!(Filter::parse("a b"), Err(FilterError::Expected { what: "`and` or `or`", at: 3 }));
        assert_eq!(Filter::parse("(a"), Err(FilterError::Expected { what: "`)`", at: 3 }));
        assert_eq!(Filter::parse("\"a"), Err(FilterError::Quote));
        assert_eq!(Filter::parse("tags:a"), Err(FilterError::UnknownKey("tags".into())));
        assert_eq!(Filter::parse(&"not ".repeat(1000)), Err(FilterError::TooDeep));
        assert_eq!(Filter::parse(&"(".repeat(1000)), Err(FilterError::TooDeep));
    }
}
