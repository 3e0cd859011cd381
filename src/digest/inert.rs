//! Text of others without what it could do to whoever shows it.

use crate::ports::Message;

/// Characters that turn the order of the text around them: what is shown is then not what was written.
const fn turns_text(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text with what steers a terminal or turns its letters around as visible escapes: `\u{1b}`. Lines end with a line
/// feed alone.
fn harmless(text: &str) -> String {
    let is_plain = |c: char| !(c.is_control() && !matches!(c, '\n' | '\t') || turns_text(c));
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    let text = text.replace("\r\n", "\n");
    text.chars().map(|c| if is_plain(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

/// The text as one line.
pub(super) fn line(text: &str) -> String {
    let words: Vec<&str> = text.split(['\r', '\n', '\t']).map(str::trim).filter(|part| !part.is_empty()).collect();
    harmless(&words.join(" "))
}

/// The message with nothing in it that does more than to be read.
#[must_use]
pub fn inert(message: Message) -> Message {
    Message {
        event: line(&message.event),
        subject: line(&message.subject),
        summary: harmless(&message.summary),
        text: harmless(&message.text),
        html: message.html.as_deref().map(harmless),
        ..message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_turns_text_is_shown_as_what_it_is() {
        let said = "a\u{1b}[2J\u{7}b\r\nc\rd\te\u{9b}\u{202e}f\u{2066}\u{0}";
        assert_eq!(harmless(said), "a\\u{1b}[2J\\u{7}b\nc\\u{d}d\te\\u{9b}\\u{202e}f\\u{2066}\\u{0}");
        assert_eq!(line(" one\r\ntwo\n\n three\u{1b}"), "one two three\\u{1b}");
        let plain = "naïve — 🙂 \u{5d0}\u{200f}\nnext";
        assert_eq!(harmless(plain), plain);
    }
}
