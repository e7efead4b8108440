//! What each report says of a stream of events.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod any;
mod documentation;
mod github;
mod human;
mod json;
mod junit;
mod stream;
mod tap;
