//! The descriptions that come with the harness, against what others have written of the same protocols.
//!
//! `written` holds what we encode against tshark's own dissectors; `read` holds what we decode against bytes that real
//! programs sent.

mod read;
mod written;
