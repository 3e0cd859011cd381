//! A message as a letter (RFC 5322), the same for a server and for a file.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daybook_core::alert::AlertLevel;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};

use super::text::headline;
use crate::ports::Message;

/// Where letters come from, and whom they are for.
#[derive(Debug, Clone)]
pub struct Letterhead {
    /// The sender. The domain of its address stands in the letters' ids.
    pub from: Mailbox,
    /// The receivers.
    pub to: Vec<Mailbox>,
}

/// A message that cannot be written as a letter.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// The letter is not whole.
    #[error("the message \"{key}\" cannot be written as a letter")]
    Build {
        /// The message.
        key: String,
        /// What is missing.
        source: lettre::error::Error,
    },
    /// A picture's kind is not known.
    #[error("the message \"{key}\" cannot carry a picture")]
    Picture {
        /// The message.
        key: String,
        /// What is wrong.
        source: lettre::message::header::ContentTypeErr,
    },
}

impl Letterhead {
    /// Writes `message` as a letter to everybody on the letterhead.
    ///
    /// Its id follows from the message's key alone: a receiver can tell a repetition. From the second
    /// attempt on it also says so itself. Letters of one session hang together as a thread.
    ///
    /// # Errors
    /// [`LetterError`] if a part is missing: a letterhead without a receiver, for one.
    pub fn letter(&self, message: &Message) -> Result<lettre::Message, LetterError> {
        self.letter_to(&self.to, message)
    }

    pub(super) fn letter_to(&self, to: &[Mailbox], message: &Message) -> Result<lettre::Message, LetterError> {
        let domain = self.from.email.domain();
        let thread = format!("<daybook-{}@{domain}>", atom(&message.thread));
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .subject(headline(message))
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(message.at.0).unwrap_or(0)))
            .message_id(Some(format!("<{}@{domain}>", atom(&message.key))))
            .in_reply_to(thread.clone())
            .references(thread)
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Daybook-Attempt", &message.attempt.to_string()));
        if message.level == AlertLevel::Critical {
            builder = builder.raw_header(header("Importance", "high")).raw_header(header("X-Priority", "1"));
        }
        for mailbox in to {
            builder = builder.to(mailbox.clone());
        }
        let text = SinglePart::plain(message.text.clone());
        let letter = match &message.html {
            None => builder.singlepart(text),
            Some(html) => {
                let alternative = MultiPart::alternative().boundary("=_daybook_alternative").singlepart(text);
                builder.multipart(alternative.multipart(page_with_pictures(html, message)?))
            }
        };
        letter.map_err(|source| LetterError::Build { key: message.key.clone(), source })
    }
}

/// The boundaries begin with `=_`, which no part can hold: quoted-printable writes `=` as `=3D`, and
/// base64 has no `_`.
fn page_with_pictures(html: &str, message: &Message) -> Result<MultiPart, LetterError> {
    let mut related = MultiPart::related().boundary("=_daybook_related").singlepart(SinglePart::html(html.to_owned()));
    for (name, png) in &message.pictures {
        let kind = ContentType::parse("image/png")
            .map_err(|source| LetterError::Picture { key: message.key.clone(), source })?;
        let name = atom(name);
        related = related
            .singlepart(Attachment::new_inline_with_name(name.clone(), format!("{name}.png")).body(png.clone(), kind));
    }
    Ok(related)
}

/// The message's page with its pictures inside, to be opened from a disk; `None` if it has no page.
#[must_use]
pub fn self_contained_page(message: &Message) -> Option<String> {
    let page = message.html.clone()?;
    Some(message.pictures.iter().fold(page, |page, (name, png)| {
        page.replace(&format!("cid:{name}"), &format!("data:image/png;base64,{}", STANDARD.encode(png)))
    }))
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Letters, digits, `.`, `-` and `_` only: what ids and names of files are made of.
pub(super) fn atom(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use daybook_core::time::Timestamp;

    use super::*;

    fn letterhead() -> Letterhead {
        Letterhead {
            from: "Daybook <daybook@example.com>".parse().unwrap(),
            to: vec!["owner@example.com".parse().unwrap()],
        }
    }

    fn note() -> Message {
        Message {
            key: "dbk-1f3a9c2e-7-email".to_owned(),
            name: "2026-11-16-114205-risk-breached-7".to_owned(),
            thread: "2026-11-16".to_owned(),
            attempt: 1,
            level: AlertLevel::Critical,
            event: "risk.breached".to_owned(),
            symbol: None,
            summary: String::new(),
            subject: "Daybook critical: the day is down $2,012.00".to_owned(),
            text: "Everything is being closed.\n.\nA dot alone must survive.\n".to_owned(),
            html: None,
            pictures: vec![],
            settled: vec![],
            at: "2026-11-16T16:42:05Z".parse::<Timestamp>().unwrap(),
        }
    }

    fn written(message: &Message) -> String {
        String::from_utf8(letterhead().letter(message).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_note_is_a_letter_that_says_what_it_is() {
        insta::assert_snapshot!(written(&note()).replace("\r\n", "\n"));
    }

    #[test]
    fn a_page_goes_with_its_text_and_its_pictures() {
        let page = Message {
            html: Some("<img src=\"cid:equity\">".to_owned()),
            pictures: vec![("equity".to_owned(), vec![137, 80, 78, 71])],
            ..note()
        };
        insta::assert_snapshot!(written(&page).replace("\r\n", "\n"));
        assert_eq!(self_contained_page(&page).unwrap(), "<img src=\"data:image/png;base64,iVBORw==\">");
        assert_eq!(self_contained_page(&note()), None);
    }

    #[test]
    fn every_attempt_has_the_same_id_and_says_that_it_may_be_a_repetition() {
        let id = |letter: &str| letter.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned();
        let unfolded = |message: &Message| written(message).replace("\r\n ", " ");
        let (first, second) = (unfolded(&note()), unfolded(&Message { attempt: 2, ..note() }));
        assert_eq!(id(&first), id(&second));
        assert!(second.contains("X-Daybook-Attempt: 2") && second.contains("may be a repetition"));
        assert!(!first.contains("repetition"));
    }

    #[test]
    fn nothing_that_is_said_can_become_a_header() {
        let evil = "x\r\nBcc: thief@example.com\r\n\r\nbody";
        let message = Message {
            key: evil.to_owned(),
            thread: evil.to_owned(),
            subject: evil.to_owned(),
            html: Some(String::new()),
            pictures: vec![(evil.to_owned(), vec![0])],
            ..note()
        };
        let letter = letterhead().letter(&message).unwrap();
        let written = String::from_utf8(letter.formatted()).unwrap();
        let (head, _) = written.split_once("\r\n\r\n").unwrap();
        assert!(head.lines().all(|line| !line.starts_with("Bcc") && !line.is_empty()), "{head}");
        assert!(!written.lines().any(|line| line.starts_with("Bcc")), "{written}");
        assert_eq!(letter.envelope().to().len(), 1);
    }
}
