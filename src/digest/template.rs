//! The words of an alert: those that are built in, or a file of one's own.
//!
//! A file of text makes the subject (its first line) and what stands below it. It is plain text: each channel escapes it
//! for itself, so that nothing a feed or a broker says can become markup. A page for mail escapes what is put into it.
//! A file that is broken changes nothing but a line that says so: an alert is never lost by its words.
//!
//! A file may be anything, a pipe or a loop without an end: it is read and written out on a thread of its own, within
//! bounds of size, steps and time. Nobody waits for it longer than that.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent, AlertLevel};
use daybook_core::report::words;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, context};
use tokio::sync::oneshot;

use super::inert::line;
use crate::ports::Message;

/// The channel whose messages have a page.
const MAIL: &str = "email";
/// The page that is built in. It is escaped because of its name's ending.
const PAGE: &str = include_str!("templates/alert.html");
/// The largest file that is read, in bytes.
const FILE_MAX: u64 = 64 * 1024;
/// What a file may write, in bytes: a page of mail that is larger is cut by its readers.
const OUTPUT_MAX: usize = 256 * 1024;
/// Steps of a file; the built-in page has some hundred.
const STEPS_MAX: u64 = 20_000;
/// How deep its macros may call one another.
const DEPTH_MAX: usize = 100;
/// The stack of a thread that works on a file: room for that depth.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// How long a file may take. Its steps take some milliseconds; a disk that is away takes longer.
const DEADLINE: Duration = Duration::from_secs(2);
/// Threads that may be at work on files; more are there only where a disk does not answer.
const THREADS_MAX: usize = 16;

/// Where the words of alerts come from. A clone has the same threads.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    folder: Option<PathBuf>,
    at_work: Arc<AtomicUsize>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum TemplateError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it is no regular file")]
    NoFile,
    #[error("it is larger than {FILE_MAX} bytes")]
    TooLarge,
    #[error("it takes more than {STEPS_MAX} steps")]
    TooLong,
    #[error("it writes more than {OUTPUT_MAX} bytes")]
    TooMuch,
    #[error("it had no end after {} s", DEADLINE.as_secs())]
    Late,
    #[error("{THREADS_MAX} files before it have no end yet")]
    Crowded,
    #[error("{0}")]
    Wrong(#[from] Error),
    #[error("its first line, the subject, is empty")]
    NoSubject,
}

impl Templates {
    /// Those of a folder before those that are built in; they are read anew for each message.
    #[must_use]
    pub fn of(folder: Option<PathBuf>) -> Self {
        Self { folder, ..Self::default() }
    }

    /// The message as a channel is to get it: in the words of the first file that there is of `EVENT.CHANNEL.txt`,
    /// `EVENT.txt`, `alert.CHANNEL.txt` and `alert.txt`, for mail with a page. It takes no longer than two seconds,
    /// whatever the files are.
    pub async fn worded(&self, message: Message, alert: &Alert, channel: &str) -> Message {
        let reading = Reading::default();
        let Some(folder) = &self.folder else { return self.words(message, alert, channel, &reading) };
        let given_up = match self.start(&message, alert, channel, &reading) {
            Ok(words) => match tokio::time::timeout(DEADLINE, words).await {
                Ok(Ok(worded)) => return worded,
                // The thread is left alone: its steps come to an end, and it holds nothing that anybody needs.
                Ok(Err(_)) | Err(_) => TemplateError::Late,
            },
            Err(error) => error,
        };
        let path = reading.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let built_in = Self::default().words(message, alert, channel, &reading);
        told_broken(built_in, vec![(path.unwrap_or_else(|| folder.clone()), given_up)])
    }

    /// Has a thread find the words: it may hang on a file as long as it likes, and keeps neither a task waiting nor
    /// the end of the process.
    fn start(
        &self,
        message: &Message,
        alert: &Alert,
        channel: &str,
        reading: &Reading,
    ) -> Result<oneshot::Receiver<Message>, TemplateError> {
        let place = Place::take(&self.at_work)?;
        let (templates, reading) = (self.clone(), reading.clone());
        let (message, alert, channel) = (message.clone(), alert.clone(), channel.to_owned());
        let (done, words) = oneshot::channel();
        thread::Builder::new().name("words".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            let _place = place;
            // Nobody listens any more where it took too long.
            drop(done.send(templates.words(message, &alert, &channel, &reading)));
        })?;
        Ok(words)
    }

    /// The words, as long as finding them may take.
    fn words(&self, message: Message, alert: &Alert, channel: &str, reading: &Reading) -> Message {
        let facts = facts(&message, alert);
        let mut worded = message;
        let mut broken = Vec::new();
        let event = &alert.event;
        let names = [format!("{event}.{channel}"), event.clone(), format!("alert.{channel}"), "alert".to_owned()];
        if let Some(path) = self.first_of(&names, "txt") {
            reading.begin(&path);
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
            let page = own.map(|path| {
                reading.begin(&path);
                (rendered(&path, &facts), path)
            });
            worded.html = match page {
                Some((Ok(page), _)) => Some(page),
                Some((Err(error), path)) => {
                    broken.push((path, error));
                    built_in(&facts)
                }
                None => built_in(&facts),
            };
        }
        told_broken(worded, broken)
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

/// The file that is being read: where that has no end, it is named.
#[derive(Debug, Clone, Default)]
struct Reading(Arc<Mutex<Option<PathBuf>>>);

impl Reading {
    fn begin(&self, path: &Path) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
    }
}

/// A thread's place among those at work, as long as this lives.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(at_work: &Arc<AtomicUsize>) -> Result<Self, TemplateError> {
        let place = Self(Arc::clone(at_work));
        let before = at_work.fetch_add(1, Ordering::Relaxed);
        if before < THREADS_MAX { Ok(place) } else { Err(TemplateError::Crowded) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The message with a line for each file that could not be used.
fn told_broken(message: Message, broken: Vec<(PathBuf, TemplateError)>) -> Message {
    let mut worded = message;
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
        subject => line(&alert.subject),
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
    let source = source(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut environment = environment()?;
    environment.set_fuel(Some(STEPS_MAX));
    environment.set_recursion_limit(DEPTH_MAX);
    let template = environment.template_from_named_str(&name, &source)?;
    let mut written = Bounded(Vec::new());
    match template.render_captured_to(facts, &mut written) {
        Ok(_) => Ok(String::from_utf8_lossy(&written.0).into_owned()),
        Err(error) if error.kind() == ErrorKind::OutOfFuel => Err(TemplateError::TooLong),
        Err(error) if error.kind() == ErrorKind::WriteFailure => Err(TemplateError::TooMuch),
        Err(error) => Err(error.into()),
    }
}

/// A file's text. What is no regular file is not read: a pipe has no end, and neither has a device.
fn source(path: &Path) -> Result<String, TemplateError> {
    if !fs::metadata(path)?.is_file() {
        return Err(TemplateError::NoFile);
    }
    // Should it have become a pipe since, opening it waits for nobody.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(TemplateError::NoFile);
    }
    let mut source = String::new();
    file.take(FILE_MAX + 1).read_to_string(&mut source)?;
    if source.len() as u64 > FILE_MAX { Err(TemplateError::TooLarge) } else { Ok(source) }
}

/// Takes [`OUTPUT_MAX`] bytes, and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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

    fn in_folder(folder: &Path, channel: &str) -> Message {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(Templates::of(Some(folder.to_owned())).worded(message(), &alert(), channel))
    }

    fn worded(files: &[(&str, &str)], channel: &str) -> Message {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        in_folder(folder.path(), channel)
    }

    #[test]
    fn without_files_the_words_are_built_in_and_a_mail_has_a_page() {
        assert_eq!(worded(&[], "slack"), message());
        let mail = worded(&[], "email");
        let page = mail.html.clone().unwrap();
        assert_eq!(Message { html: None, ..mail }, message());
        assert!(page.contains("AAPL: &lt;b&gt;Rumour&lt;") && !page.contains("<script>") && !page.contains("<b>"));
        assert!(page.contains("What to do:") && page.contains("{{ 7 * 7 }}"), "what is put in is no template");
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("class=\"warning\""), "{page}");
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

    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alert.txt");
        let refused = |why: &str| {
            let told = in_folder(folder.path(), "slack");
            assert_eq!(told.subject, message().subject);
            assert!(told.summary.contains(&format!("The template alert.txt is broken ({why}")), "{}", told.summary);
            std::fs::remove_file(&path).unwrap();
        };
        let name = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())).unwrap();
        // SAFETY: the name ends with a zero and lives through the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        refused("it is no regular file");
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        refused("it is no regular file");
        std::os::unix::fs::symlink("/proc/self/environ", &path).unwrap();
        // A file of no size that has bytes: what is read counts.
        assert!(source(&path).is_ok_and(|text| text.len() as u64 <= FILE_MAX));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, [0xFF, 0xFE]).unwrap();
        refused("it cannot be read: ");
    }

    #[test]
    fn a_file_that_loops_ends_at_its_bounds() {
        let nested = |inner: &str| {
            let range = "in range(9999) %}";
            format!(
                "{{% for i {range}{{% for j {range}{{% for k {range}{inner}{{% endfor %}}{{% endfor %}}{{% endfor %}}hello"
            )
        };
        for (text, why) in [
            (nested(""), "it takes more than 20000 steps"),
            (nested(&"x".repeat(4_096)), "it writes more than 262144 bytes"),
            ("{{ 'x' * 9000000000 }}".to_owned(), "repeated string is too large"),
            ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}".to_owned(), "recursion limit exceeded"),
        ] {
            let told = worded(&[("alert.txt", &text), ("alert.html", &text)], "email");
            assert!(told.summary.contains("alert.txt is broken (") && told.summary.contains(why), "{}", told.summary);
            let page = told.html.unwrap();
            assert!(page.contains("alert.html is broken") && page.contains("What to do:"), "{page}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_a_file_has_no_end_the_built_in_words_go_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("alert.txt"), "any").unwrap();
        let templates = Templates::of(Some(folder.path().to_owned()));
        // Every thread hangs.
        templates.at_work.store(THREADS_MAX, Ordering::Relaxed);
        let told = templates.worded(message(), &alert(), "slack").await;
        assert_eq!(told.subject, message().subject);
        assert!(told.summary.contains("is broken (16 files before it have no end yet)"), "{}", told.summary);
        assert_eq!(templates.at_work.load(Ordering::Relaxed), THREADS_MAX, "it has taken no place");
    }
}
