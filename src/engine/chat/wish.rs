//! What a person's words in a chat ask for.

use std::str::FromStr;

use daybook_core::market::Symbol;

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// How it stands.
    Status,
    /// What is held.
    Positions,
    /// No new entries, for the reason that is given.
    Halt(&'a str),
    /// Entries again, for the reason that is given.
    Resume(&'a str),
    /// No position in a symbol any more, or none at all.
    Close(Option<Symbol>),
    /// A close of something that is no symbol.
    CloseNothing,
    /// What was asked for under a code, after all.
    Yes(&'a str),
    /// Anything else: what there is.
    Help,
}

impl<'a> Wish<'a> {
    /// Reads a message: a word with or without a stroke, and what belongs to it. In a group the word may name its bot:
    /// `/status@daybook_bot`.
    pub(super) fn of(text: &'a str) -> Self {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let word = word.strip_prefix('/').unwrap_or(word);
        let word = word.split('@').next().unwrap_or_default().to_ascii_lowercase();
        let rest = rest.trim();
        match word.as_str() {
            "status" => Self::Status,
            "positions" => Self::Positions,
            "halt" => Self::Halt(rest),
            "resume" => Self::Resume(rest),
            "close" if rest.eq_ignore_ascii_case("all") => Self::Close(None),
            "close" => match Symbol::from_str(&rest.to_ascii_uppercase()) {
                Ok(symbol) => Self::Close(Some(symbol)),
                Err(_) => Self::CloseNothing,
            },
            "yes" => Self::Yes(rest),
            _ => Self::Help,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_people_write_them() {
        let apple = || Wish::Close(Some("AAPL".parse().unwrap()));
        for (text, wish) in [
            ("/status", Wish::Status),
            ("Status", Wish::Status),
            ("/status@daybook_bot", Wish::Status),
            ("  /positions \n", Wish::Positions),
            ("/halt", Wish::Halt("")),
            ("/halt  the news of today ", Wish::Halt("the news of today")),
            ("resume it was nothing", Wish::Resume("it was nothing")),
            ("/close aapl", apple()),
            ("/CLOSE AAPL", apple()),
            ("/close ALL", Wish::Close(None)),
            ("/close", Wish::CloseNothing),
            ("/close AAPL; MSFT", Wish::CloseNothing),
            ("/close all positions", Wish::CloseNothing),
            ("/yes 0042", Wish::Yes("0042")),
            ("/yes", Wish::Yes("")),
            ("", Wish::Help),
            ("/", Wish::Help),
            ("hello", Wish::Help),
            ("//halt", Wish::Help),
            ("haltestelle", Wish::Help),
        ] {
            assert_eq!(Wish::of(text), wish, "{text:?}");
        }
    }
}
