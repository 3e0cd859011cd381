//! The words of an alert: those that are built in, or a file of one's own.
//!
//! A file of text makes the subject (its first line) and what stands below it. It is plain text: each channel escapes it
//! for itself, so that nothing a feed or a broker says can become markup. A page for mail escapes what is put into it.
//! A file that is broken changes nothing but a line that says so: an alert is never lost by its words.

use std::path::{Path, PathBuf};

use daybook_core::alert::{Alert, AlertEvent, AlertLevel};
use daybook_core::report::words;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, UndefinedBehavior, Value, context};

use crate::ports::Message;

/// The channel whose messages have a page.
const MAIL: &str = "email";
/// The page that is built in. It is escaped because of its name's ending.
const PAGE: &str = include_str!("templates/alert.html");
/// The largest file that is read, in bytes.
const FILE_MAX: u64 = 64 * 1024;

/// Where the words of alerts come from.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    folder: Option<PathBuf>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum TemplateError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it is larger than {FILE_MAX} bytes")]
    TooLarge,
    #[error("{0}")]
    Wrong(#[from] Error),
    #[error("its first line, the subject, is empty")]
    NoSubject,
}

impl Templates {
    /// Those of a folder before those that are built in; they are read anew for each message.
    #[must_use]
    pub const fn of(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// The message as a channel is to get it: in the words of the first file that there is of `EVENT.CHANNEL.txt`,
    /// `EVENT.txt`, `alert.CHANNEL.txt` and `alert.txt`, for mail with a page.
    #[must_use]
    pub fn worded(&self, message: Message, alert: &Alert, channel: &str) -> Message {
        let facts = facts(&message, alert);
        let mut worded = message;
        let mut broken = Vec::new();
        let event = &alert.event;
        let names = [format!("{event}.{channel}"), event.clone(), format!("alert.{channel}"), "alert".to_owned()];
        if let Some(path) = self.first_of(&names, "txt") {
            match rendered(&path, &facts).and_then(split) {
                Ok((subject, rest)) => {
                    worded.text = format!(
                        "{subject}\n\n{rest}\n\n{}, {event}, {}\n",
                        alert.level.as_str(),
                        words::instant(worded.at)
                    );
                    (worded.subject, worded.summary) = (subject, rest);
                }
                Err(error) => broken.push((path, error)),
            }
        }
        if channel == MAIL {
            let own = self.first_of(&[event.clone(), "alert".to_owned()], "html");
            let page = own.map(|path| (rendered(&path, &facts), path));
            worded.html = match page {
                Some((Ok(page), _)) => Some(page),
                Some((Err(error), path)) => {
                    broken.push((path, error));
                    built_in(&facts)
                }
                None => built_in(&facts),
            };
        }
        for (path, error) in broken {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            tracing::warn!(path = %path.display(), %error, "template.broken: the built-in words are used");
            let told = format!("The template {name} is broken ({error}): these are the built-in words.");
            worded.text = format!("{}\n{told}\n", worded.text.trim_end());
            worded.summary = format!("{}\n{told}", worded.summary.trim_end()).trim_start().to_owned();
            worded.html = worded.html.map(|page| with_line(&page, &told));
        }
        worded
    }

    fn first_of(&self, names: &[String], ending: &str) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let is_safe = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        names
            .iter()
            .filter(|name| is_safe(name))
            .map(|name| folder.join(format!("{name}.{ending}")))
            .find(|path| path.exists())
    }
}

/// What a template may name.
fn facts(message: &Message, alert: &Alert) -> Value {
    let event = AlertEvent::named(&alert.event);
    let unnamed = alert.symbol.filter(|symbol| !alert.subject.starts_with(symbol.as_str()));
    let advice = event.filter(|_| alert.level > AlertLevel::Info).map_or("", AlertEvent::advice);
    let colour = match alert.level {
        AlertLevel::Info => "#3b82f6",
        AlertLevel::Warning => "#b45309",
        AlertLevel::Critical => "#dc2626",
    };
    context! {
        level => alert.level.as_str(),
        event => alert.event.clone(),
        symbol => alert.symbol.map(|symbol| symbol.to_string()).unwrap_or_default(),
        about => unnamed.map(|symbol| symbol.to_string()).unwrap_or_default(),
        subject => alert.subject.clone(),
        body => alert.body.trim(),
        meaning => event.map_or("", AlertEvent::meaning),
        advice,
        colour,
        at => words::instant(message.at),
        session => message.thread.clone(),
        key => message.key.clone(),
        attempt => message.attempt,
    }
}

fn rendered(path: &Path, facts: &Value) -> Result<String, TemplateError> {
    if std::fs::metadata(path)?.len() > FILE_MAX {
        return Err(TemplateError::TooLarge);
    }
    let source = std::fs::read_to_string(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(environment()?.render_named_str(&name, &source, facts)?)
}

fn built_in(facts: &Value) -> Option<String> {
    let page = environment().and_then(|environment| environment.render_named_str("alert.html", PAGE, facts));
    page.inspect_err(|error| tracing::error!(%error, "page.failed: the mail is text alone")).ok()
}

fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    Ok(environment)
}

/// The subject and the rest.
fn split(text: String) -> Result<(String, String), TemplateError> {
    let (subject, rest) = text.split_once('\n').unwrap_or((&text, ""));
    if subject.trim().is_empty() {
        return Err(TemplateError::NoSubject);
    }
    Ok((subject.trim().to_owned(), rest.trim().to_owned()))
}

/// The page with a line of text at its end.
fn with_line(page: &str, line: &str) -> String {
    let escaped = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (head, tail) = page.rsplit_once("</body>").map_or((page, ""), |(head, tail)| (head, tail));
    let end = if tail.is_empty() { "" } else { "</body>" };
    format!("{head}<p>{escaped}</p>\n{end}{tail}")
}

#[cfg(test)]
mod tests {
    use daybook_core::time::Timestamp;

    use super::*;
    use crate::digest::alert_message;

    const HOSTILE: &str = "<b>Rumour</b> & [link](https://evil.example) @everyone {{ 7 * 7 }}";

    fn alert() -> Alert {
        Alert::new(AlertEvent::SymbolFailed, HOSTILE).about("AAPL".parse().unwrap()).with_body("<script>x()</script>")
    }

    fn message() -> Message {
        alert_message(7, &alert(), Timestamp(1_794_848_400_000), "dbk-7-email", 1)
    }

    fn worded(files: &[(&str, &str)], channel: &str) -> Message {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Templates::of(Some(folder.path().to_owned())).worded(message(), &alert(), channel)
    }

    #[test]
    fn without_files_the_words_are_built_in_and_a_mail_has_a_page() {
        assert_eq!(worded(&[], "slack"), message());
        let mail = worded(&[], "email");
        let page = mail.html.clone().unwrap();
        assert_eq!(Message { html: None, ..mail }, message());
        assert!(page.contains("AAPL: &lt;b&gt;Rumour&lt;") && !page.contains("<script>") && !page.contains("<b>"));
        assert!(page.contains("What to do:") && page.contains("{{ 7 * 7 }}"), "what is put in is no template");
    }

    #[test]
    fn the_nearest_file_words_the_message() {
        let files = [
            ("alert.txt", "any {{ event }}"),
            ("symbol.failed.txt", "of {{ symbol }}: {{ level }}\n{{ body }}\n{{ advice }}"),
            ("symbol.failed.slack.txt", "slack {{ at }}"),
        ];
        let mail = worded(&files, "email");
        assert_eq!(mail.subject, "of AAPL: warning");
        assert!(mail.summary.starts_with("<script>x()</script>\nRead the reason"), "plain: the channel escapes it");
        assert!(
            mail.text.starts_with("of AAPL: warning\n\n<script>") && mail.text.contains("warning, symbol.failed, ")
        );
        assert!(worded(&files, "slack").subject.starts_with("slack 2026-11-16"));
        assert_eq!(worded(&files[..1], "slack").subject, "any symbol.failed");
        let page = worded(&[("alert.html", "<p>{{ subject }}</p>")], "email").html.unwrap();
        assert!(page.starts_with("<p>&lt;b&gt;Rumour"), "{page}");
    }

    #[test]
    fn a_broken_file_leaves_the_built_in_words_and_says_so() {
        for (text, why) in [
            ("{{ sbject }}", "undefined value"),
            ("{% if %}", "syntax error"),
            ("\n\nbody", "its first line, the subject, is empty"),
            ("{{ 1 / 0 }}", "invalid operation"),
        ] {
            let told = worded(&[("symbol.failed.txt", text)], "slack");
            assert_eq!(told.subject, message().subject, "{text}");
            for said in [&told.summary, &told.text] {
                assert!(said.contains("The template symbol.failed.txt is broken (") && said.contains(why), "{said}");
            }
            let page = worded(&[("symbol.failed.html", text)], "email").html.unwrap();
            let renders = text.starts_with('\n');
            assert!(renders || page.contains("What to do:") && page.contains("symbol.failed.html is broken"), "{page}");
        }
        let large = "x".repeat(usize::try_from(FILE_MAX).unwrap() + 1);
        assert!(worded(&[("alert.txt", &large)], "slack").summary.contains("larger than"));
    }
}
