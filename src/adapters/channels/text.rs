//! What every service is told in the same words.

use daybook_core::alert::AlertLevel;
use daybook_core::report::words;

use crate::ports::Message;

/// The subject in one line; from the second attempt on it says that it may be a repetition.
pub(super) fn headline(message: &Message) -> String {
    let mut line = one_line(&message.subject);
    if message.attempt > 1 {
        line.push_str(&format!(" (attempt {}, may be a repetition)", message.attempt));
    }
    line
}

/// What happened, when, and the key by which a repetition is told.
pub(super) fn footer(message: &Message) -> String {
    format!("{} · {} · {}", message.event, words::instant(message.at), message.key)
}

/// The level's colour as `0xRRGGBB`: blue, amber, red.
pub(super) const fn colour(level: AlertLevel) -> u32 {
    match level {
        AlertLevel::Info => 0x3B_82_F6,
        AlertLevel::Warning => 0xF5_9E_0B,
        AlertLevel::Critical => 0xDC_26_26,
    }
}

/// A line stays one line: what a feed, a broker or a service says must not become a header or a second message.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_control()).map(str::trim).filter(|part| !part.is_empty()).collect();
    words.join(" ")
}

/// At most `chars_max` characters; an ellipsis says that there were more.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    within(text, chars_max, |_| 1)
}

/// The longest beginning of `text` whose characters together measure at most `max`; an ellipsis, which measures
/// as any other character, says that there was more.
pub(super) fn within(text: &str, max: usize, measure: impl Fn(char) -> usize) -> String {
    let whole: usize = text.chars().map(&measure).sum();
    if whole <= max {
        return text.to_owned();
    }
    let mut left = max.saturating_sub(measure('…'));
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            let fits = measure(*c) <= left;
            left = left.saturating_sub(measure(*c));
            fits
        })
        .collect();
    kept.push('…');
    kept
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    /// A critical note with everything in it that a service might take for markup.
    pub fn hostile_note() -> Message {
        Message {
            key: "dbk-1f3a9c2e-7-test".to_owned(),
            name: "2026-11-16-114205-risk-breached-7".to_owned(),
            thread: "2026-11-16".to_owned(),
            attempt: 1,
            level: AlertLevel::Critical,
            event: "risk.breached".to_owned(),
            symbol: None,
            subject: "Daybook critical: <!channel> @everyone *down* & out".to_owned(),
            summary: "<script>alert(1)</script> [click](https://evil.example) `code` _x_ @here".to_owned(),
            text: "The long text.\n".to_owned(),
            html: None,
            pictures: vec![],
            settled: vec![],
            at: "2026-11-16T16:42:05Z".parse().unwrap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_character_and_says_so() {
        assert_eq!(shortened("naïve", 5), "naïve");
        assert_eq!(shortened("naïve!", 5), "naïv…");
        assert_eq!(within("naïve!", 6, char::len_utf8), "na…");
        assert_eq!(within("a🙂b", 3, char::len_utf16), "a…");
        for max in 3..40 {
            let cut = within("päper — träde 🙂🙂🙂 done", max, char::len_utf8);
            assert!(cut.len() <= max, "{cut}");
        }
    }

    #[test]
    fn a_repetition_says_so() {
        let note = samples::hostile_note();
        assert!(!headline(&note).contains("repetition"));
        assert!(headline(&Message { attempt: 2, ..note }).ends_with("(attempt 2, may be a repetition)"));
    }
}
