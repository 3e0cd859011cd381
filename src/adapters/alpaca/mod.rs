//! What everything of Alpaca has in common: whose keys, which hosts, how a call is made and what its
//! answer means.
//!
//! A [`Client`] makes calls to one host. Before a call it takes its place in the host's [`Budget`], and
//! an answer that is none is a [`CallError`], which says what may have happened and nothing more: the
//! broker and the feed class it, each for its own port. Nothing is repeated here.

mod budget;
mod client;
#[cfg(test)]
pub(in crate::adapters) mod scripted;
mod settings;

pub use budget::{Budget, Urgency};
pub use client::{CallError, Client, ClientError, Refusal};
pub use settings::{AlpacaSettings, DataFeed};
