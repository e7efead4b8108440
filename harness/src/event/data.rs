//! Bytes in JSON, in the form that scenarios use: a string where they are UTF-8, else `{"base64": ".."}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Base64 { base64: String },
}

pub(super) fn serialize<S: Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    match str::from_utf8(data) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => Form::Base64 { base64: STANDARD.encode(data) }.serialize(serializer),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    match Form::deserialize(deserializer)? {
        Form::Text(text) => Ok(Bytes::from(text)),
        Form::Base64 { base64 } => STANDARD.decode(base64).map(Bytes::from).map_err(D::Error::custom),
    }
}

pub(super) mod option {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Data(#[serde(with = "super")] Bytes);

    pub(in crate::event) fn serialize<S: Serializer>(data: &Option<Bytes>, s: S) -> Result<S::Ok, S::Error> {
        data.clone().map(Data).serialize(s)
    }

    pub(in crate::event) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<Data>::deserialize(d)?.map(|data| data.0))
    }
}
