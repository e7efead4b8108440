//! A message of a protocol that is to be sent: its fields, with variables in them.

use std::sync::Arc;

use bytes::Bytes;

use super::payload::{Payload, PayloadError};
use crate::protocol::{Given, Protocol};
use crate::random::Random;
use crate::template::{Template, Variables};

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Giving {
    /// Its protocol.
    pub protocol: Arc<Protocol>,
    /// Which, by number.
    pub message: usize,
    /// The fields that are given.
    pub fields: Vec<(Arc<str>, Tree)>,
}

/// A value as it stands in a file.
#[derive(Clone, Debug)]
pub enum Tree {
    /// Elements.
    List(Vec<Tree>),
    /// A number.
    Number(i128),
    /// Bytes of any kind that can be sent.
    Payload(Payload),
    /// Fields.
    Table(Vec<(Arc<str>, Tree)>),
    /// Text, or digits, or a name, with variables.
    Text(Template),
}

impl Giving {
    /// The message's bytes.
    pub fn fill(&self, variables: &Variables, random: &mut Random) -> Result<Bytes, PayloadError> {
        let given = table(&self.fields, variables, random)?;
        let name = &self.protocol.messages[self.message].name;
        let encoded = self.protocol.encode(self.message, &given);
        encoded.map(Bytes::from).map_err(|error| PayloadError::Invalid(format!("the message `{name}`: {error}")))
    }

    /// Tells `visit` the variables that it needs.
    pub fn variables(&self, visit: &mut dyn FnMut(&str)) {
        self.fields.iter().for_each(|(_, tree)| tree.variables(visit));
    }
}

impl Tree {
    fn fill(&self, variables: &Variables, random: &mut Random) -> Result<Given, PayloadError> {
        Ok(match self {
            Tree::List(items) => {
                Given::List(items.iter().map(|item| item.fill(variables, random)).collect::<Result<_, _>>()?)
            }
            Tree::Number(number) => Given::Number(*number),
            Tree::Payload(payload) => Given::Bytes(payload.fill(variables, random, None)?),
            Tree::Table(fields) => Given::Table(table(fields, variables, random)?),
            Tree::Text(template) => Given::Bytes(template.fill(variables)?),
        })
    }

    fn variables(&self, visit: &mut dyn FnMut(&str)) {
        match self {
            Tree::List(items) => items.iter().for_each(|item| item.variables(visit)),
            Tree::Number(_) => {}
            Tree::Payload(payload) => payload.variables(visit),
            Tree::Table(fields) => fields.iter().for_each(|(_, tree)| tree.variables(visit)),
            Tree::Text(template) => template.variables().for_each(visit),
        }
    }
}

fn table(
    fields: &[(Arc<str>, Tree)],
    variables: &Variables,
    random: &mut Random,
) -> Result<Vec<(Arc<str>, Given)>, PayloadError> {
    fields.iter().map(|(name, tree)| Ok((Arc::clone(name), tree.fill(variables, random)?))).collect()
}
