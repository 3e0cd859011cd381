//! What every service has in common that people write to the program through.

use daybook_core::time::{Span, Timestamp};

use crate::ports::CallRefused;

/// The shortest time for a yes: it has to be read and written.
const CONFIRM_MIN: Span = Span::seconds(10);
/// The longest: later, the market is another.
const CONFIRM_MAX: Span = Span::minutes(10);
/// How far a call's time may be away from ours, in seconds: as Slack advises. What is older may be a repetition.
const CALL_AGE_MAX_S: u64 = 5 * 60;

/// Whether the time for a yes is none.
pub(super) fn problem_of_confirm_within(within: Span) -> Option<(&'static str, String)> {
    let is_good = (CONFIRM_MIN..=CONFIRM_MAX).contains(&within);
    (!is_good).then(|| ("control.confirm_within", format!("is {within}; expected {CONFIRM_MIN} to {CONFIRM_MAX}")))
}

/// The instant at which a call was made, which is a number of seconds, if it is about now.
pub(super) fn called_at(seconds: &str, now: Timestamp) -> Result<Timestamp, CallRefused> {
    let seconds = seconds.parse::<u32>().map_err(|_| CallRefused::Unsigned)?;
    let at = Timestamp(i64::from(seconds) * 1_000);
    match now.0.abs_diff(at.0) / 1_000 {
        off_s if off_s > CALL_AGE_MAX_S => Err(CallRefused::Stale { off_s }),
        _ => Ok(at),
    }
}

/// The bytes that hexadecimal digits stand for; `None` if they are none, or more or fewer.
pub(super) fn bytes_of<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = match pair {
            [high, low] => digit(*high)? << 4 | digit(*low)?,
            _ => return None,
        };
    }
    Some(bytes)
}

/// A request as it is written to every chat: with a stroke before its word.
pub(super) fn with_stroke(text: &str) -> String {
    let text = text.trim();
    if text.starts_with('/') { text.to_owned() } else { format!("/{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_of_about_now() {
        let now = Timestamp(1_794_848_400_000);
        for (seconds, off_s) in [("1794848400", 0), ("1794848100", 300), ("1794848700", 300)] {
            assert_eq!(called_at(seconds, now).map(|at| now.0.abs_diff(at.0) / 1_000), Ok(off_s));
        }
        assert_eq!(called_at("1794848099", now), Err(CallRefused::Stale { off_s: 301 }));
        assert_eq!(called_at("1794848701", now), Err(CallRefused::Stale { off_s: 301 }));
        for none in ["", "-1", "now", "1794848400.5", "99999999999999999999", "1794848400 "] {
            assert_eq!(called_at(none, now), Err(CallRefused::Unsigned), "{none}");
        }
    }

    #[test]
    fn digits_are_read_as_bytes() {
        assert_eq!(bytes_of::<3>("00fFa7"), Some([0, 255, 167]));
        for none in ["", "00ff", "00ffa7a7", "00ffg7", "0xffa7", "00 fa7", "\u{e4}ffa7"] {
            assert_eq!(bytes_of::<3>(none), None, "{none}");
        }
    }

    #[test]
    fn a_stroke_is_not_needed() {
        for (text, read) in [("halt", "/halt"), (" /halt x ", "/halt x"), ("", "/"), ("//halt", "//halt")] {
            assert_eq!(with_stroke(text), read);
        }
    }
}
