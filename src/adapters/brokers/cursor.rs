//! Where the telling of executions goes on, for brokers that list them by their time.

use std::str::FromStr;

use daybook_core::time::Timestamp;

/// The last execution that was told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    pub at: Timestamp,
    pub id: String,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}|{}", self.at.0, self.id)
    }
}

impl FromStr for Cursor {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('|').and_then(|(at, id)| Some((at.parse().ok()?, id)));
        let strange =
            || format!("the fills go on after \"{text}\", which is another broker's place: name another ledger");
        parts.map(|(at, id)| Self { at: Timestamp(at), id: id.to_owned() }).ok_or_else(strange)
    }
}
