use std::path::PathBuf;
use std::process::Stdio;

use async_trait::async_trait;
use daybook_core::alert::AlertLevel;
use daybook_core::time::Span;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};

use super::text::{headline, one_line, shortened};
use crate::adapters::Veiled;
use crate::adapters::group::Group;
use crate::adapters::program::program_file;
use crate::ports::{Channel, ChannelError, Message};

/// The exit code of a program that will not work as it is set up (`EX_CONFIG` of BSD's sysexits).
const EXIT_CONFIG: i32 = 78;
/// What is told of the program's complaints, in characters.
const TOLD_MAX: usize = 200;
/// What is kept of them, in bytes.
const COMPLAINTS_MAX: usize = 4 * 1024;
/// Characters of a text that stands in an argument.
const ARGUMENT_MAX: usize = 2_000;
/// What the program gets of this process's environment; the secrets that stand there are none of its business.
const ENVIRONMENT: [&str; 8] =
    ["PATH", "HOME", "USER", "LANG", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/// A program on this machine that tells a person: a desktop's notification, a pager's own tool.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CommandSettings {
    /// Whether it is told anything.
    pub enabled: bool,
    /// The program and its arguments, in which `{level}`, `{event}`, `{subject}` and `{text}` stand for the message's, and
    /// `{{` for a brace; empty: nothing is run.
    pub run: Vec<Veiled>,
    /// The least level that it is told of; none: `notifications.min_level`.
    pub min_level: Option<AlertLevel>,
    /// How long it may take.
    pub timeout: Span,
}

impl Default for CommandSettings {
    fn default() -> Self {
        Self { enabled: true, run: Vec::new(), min_level: None, timeout: Span::seconds(30) }
    }
}

impl CommandSettings {
    /// Whether it is to be run.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.enabled && !self.run.is_empty()
    }

    /// Everything that is wrong: the key, and what is wrong and expected.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let Some((program, arguments)) = self.run.split_first().filter(|_| self.is_on()) else { return Vec::new() };
        let mut problems = Vec::new();
        if program.value().is_empty() || program.value().contains('{') {
            problems
                .push(("run", format!("begins with \"{}\"; expected a program, such as notify-send", program.told())));
        }
        let unknown = arguments.iter().flat_map(|argument| unknown_words(argument.value()));
        problems.extend(unknown.map(|word| {
            let known = WORDS.join("}, {");
            ("run", format!("has \"{word}\", which stands for nothing; expected {{{known}}}, or {{{{ for a brace"))
        }));
        problems
    }

    /// The file that would be run.
    ///
    /// # Errors
    /// What is wrong: the program is not there, or may not be run.
    pub fn program(&self) -> Result<PathBuf, String> {
        let program = self.run.first().ok_or_else(|| "no program is named".to_owned())?;
        program_file(program.value()).map_err(|error| program.veil(&error))
    }
}

/// Runs a program for each message. There is no shell: what a message says stays within its argument.
///
/// The text is on the program's standard input, and `DAYBOOK_KEY`, `DAYBOOK_LEVEL`, `DAYBOOK_EVENT`, `DAYBOOK_SYMBOL`
/// and `DAYBOOK_ATTEMPT` are in its environment. 0 is delivered, 78 needs a person, any other end is tried again.
#[derive(Debug, Clone)]
pub struct CommandChannel {
    settings: CommandSettings,
}

impl CommandChannel {
    /// Its name in the ledger.
    pub const NAME: &'static str = "command";

    /// A channel; nothing is run yet.
    #[must_use]
    pub const fn new(settings: CommandSettings) -> Self {
        Self { settings }
    }

    fn command(&self, message: &Message) -> Option<Command> {
        let mut words = words(&self.settings, message, Veiled::value).into_iter();
        let mut command = Command::new(words.next()?);
        command.args(words);
        command.env_clear();
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command
            .envs(variables(message))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        Some(command)
    }

    async fn run(&self, message: &Message) -> Result<String, ChannelError> {
        let failed = |reason: String| ChannelError::Permanent { channel: Self::NAME.to_owned(), reason };
        let program = self.settings.run.first().map_or("", Veiled::told);
        let mut command = self.command(message).ok_or_else(|| failed("no program is configured".to_owned()))?;
        let started = command.spawn().map_err(|error| failed(format!("{program} cannot be started: {error}")))?;
        let mut group = Group(started);
        let Child { stdin, stderr, .. } = &mut group.0;
        let (input, errors) = (stdin.take(), stderr.take());
        let telling = async move {
            if let Some(mut input) = input {
                // A program that does not read its input hangs up: that is no failure.
                drop(input.write_all(message.text.as_bytes()).await);
            }
        };
        let complaining = async move {
            match errors {
                Some(errors) => complaints(errors).await,
                None => Vec::new(),
            }
        };
        let ((), complained) = tokio::join!(telling, complaining);
        let status = group.0.wait().await.map_err(|error| transient(format!("{program}: {error}")))?;
        if status.success() {
            return Ok(status.to_string());
        }
        let said = one_line(&String::from_utf8_lossy(&complained));
        let said = shortened(&self.settings.run.iter().fold(said, |said, word| word.veil(&said)), TOLD_MAX);
        let reason = format!("{program} ended with {status}: {said}");
        Err(if status.code() == Some(EXIT_CONFIG) { failed(reason) } else { transient(reason) })
    }
}

/// The beginning of what the program complains of; all of it is read, so that it does not wait for a reader.
async fn complaints(mut errors: ChildStderr) -> Vec<u8> {
    let (mut kept, mut bytes) = (Vec::new(), [0; 1_024]);
    while let Ok(length @ 1..) = errors.read(&mut bytes).await {
        let room = COMPLAINTS_MAX - kept.len();
        kept.extend(bytes.iter().take(length.min(room)));
    }
    kept
}

fn transient(reason: String) -> ChannelError {
    ChannelError::Transient { channel: CommandChannel::NAME.to_owned(), reason, after: None }
}

/// The program and its arguments, as they are for a message; `text` says whether a reference's value stands in them.
pub(super) fn words(settings: &CommandSettings, message: &Message, text: fn(&Veiled) -> &str) -> Vec<String> {
    let Some((program, arguments)) = settings.run.split_first() else { return Vec::new() };
    let filled = arguments.iter().map(|argument| filled(text(argument), message));
    [text(program).to_owned()].into_iter().chain(filled).collect()
}

/// What stands of a message in the program's environment.
pub(super) fn variables(message: &Message) -> [(&'static str, String); 5] {
    [
        ("DAYBOOK_KEY", message.key.clone()),
        ("DAYBOOK_LEVEL", message.level.as_str().to_owned()),
        ("DAYBOOK_EVENT", one_line(&message.event)),
        ("DAYBOOK_SYMBOL", message.symbol.map_or_else(String::new, |symbol| symbol.to_string())),
        ("DAYBOOK_ATTEMPT", message.attempt.to_string()),
    ]
}

/// What stands for something of a message, in braces.
const WORDS: [&str; 4] = ["level", "event", "subject", "text"];

/// Names in braces that stand for nothing, and a brace without its end before the next. JSON's braces are none: a name
/// is made of letters.
fn unknown_words(argument: &str) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut rest = argument;
    while let Some((before, after)) = rest.split_once('{') {
        if let Some(left) = after.strip_prefix('{') {
            rest = left;
            continue;
        }
        if before.ends_with('$') {
            // A shell's own variable.
            rest = after;
            continue;
        }
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, left) = after.split_at(end);
        let is_closed = left.starts_with('}');
        let is_name = !name.is_empty() && (is_closed || left.is_empty());
        if is_name && !(is_closed && WORDS.contains(&name)) {
            unknown.push(format!("{{{name}{}", if is_closed { "}" } else { "" }));
        }
        rest = left;
    }
    unknown
}

/// An argument with the message's words in the place of their names; what a message says is not read again.
fn filled(argument: &str, message: &Message) -> String {
    let mut filled = String::new();
    let mut rest = argument;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        if let Some(left) = after.strip_prefix('{') {
            filled.push('{');
            rest = left;
            continue;
        }
        let (word, left) = match after.split_once('}') {
            Some(("level", left)) => (message.level.as_str().to_owned(), left),
            Some(("event", left)) => (one_line(&message.event), left),
            Some(("subject", left)) => (shortened(&headline(message), ARGUMENT_MAX), left),
            Some(("text", left)) => (shortened(&message.summary.replace('\0', ""), ARGUMENT_MAX), left),
            Some(_) | None => ("{".to_owned(), after),
        };
        filled.push_str(&word);
        rest = left;
    }
    filled.push_str(rest);
    filled
}

#[async_trait]
impl Channel for CommandChannel {
    fn name(&self) -> &str {
        Self::NAME
    }

    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        let timeout = self.settings.timeout.as_duration();
        // Dropped at the time-out, the program is killed with all that it has started.
        tokio::time::timeout(timeout, self.run(message)).await.unwrap_or_else(|_| {
            Err(transient(format!("no end after {timeout:?}; it was killed, and may have told somebody")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::samples::hostile_note;
    use super::*;

    fn channel(run: &[&str]) -> CommandChannel {
        let run = run.iter().map(|&word| word.into()).collect();
        CommandChannel::new(CommandSettings { run, ..CommandSettings::default() })
    }

    #[test]
    fn what_a_message_says_stays_in_its_argument() {
        let note = Message { subject: "$(reboot); {text} `x`\n--help".to_owned(), ..hostile_note() };
        assert_eq!(filled("{level}: {subject} {other} {", &note), "critical: $(reboot); {text} `x` --help {other} {");
    }

    #[test]
    fn a_word_that_stands_for_nothing_is_refused() {
        let problems = |run: &[&str]| channel(run).settings.problems();
        let good = ["sh", "-c", "x=${1}; awk '{print $1}'", "{level}: {{literal} {subject}", r#"{"text": "{text}"}"#];
        assert_eq!(problems(&good), []);
        let told: Vec<String> = problems(&["say", "{subjct}", "{text"]).into_iter().map(|(_, told)| told).collect();
        assert!(
            told[0].starts_with("has \"{subjct}\", which stands for nothing; expected {level}, {event}"),
            "{told:?}"
        );
        assert!(told.len() == 2 && told[1].starts_with("has \"{text\""), "{told:?}");
        assert_eq!(filled("{{literal} {level}", &hostile_note()), "{literal} critical");
        assert!(channel(&["no-such-program"]).settings.program().is_err_and(|told| told.contains("no folder of PATH")));
    }

    #[tokio::test]
    async fn a_program_is_told_in_full_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("told");
        let script = format!("{{ echo \"$1\"; cat; env; }} > {}", path.display());
        let note = hostile_note();
        channel(&["sh", "-c", &script, "sh", "{subject}"]).deliver(&note).await.unwrap();
        let told = std::fs::read_to_string(path).unwrap();
        assert!(told.starts_with(&format!("{}\n{}", note.subject, note.text)), "{told}");
        assert!(told.contains("DAYBOOK_LEVEL=critical\n") && told.contains("DAYBOOK_EVENT=risk.breached\n"), "{told}");
        assert!(!told.contains("CARGO"), "{told}");
    }

    #[tokio::test]
    async fn the_end_of_a_program_is_understood() {
        let outcome = async |run: &[&str]| channel(run).deliver(&hostile_note()).await;
        assert!(outcome(&["true"]).await.is_ok(), "it need not read its input");
        let busy = outcome(&["sh", "-c", "echo no route >&2; exit 1"]).await.unwrap_err();
        assert_eq!(busy.to_string(), "command: sh ended with exit status: 1: no route");
        assert!(matches!(busy, ChannelError::Transient { .. }));
        for run in [&["sh", "-c", "exit 78"][..], &["/no/such/program"]] {
            assert!(matches!(outcome(run).await, Err(ChannelError::Permanent { .. })));
        }
        let patient = CommandSettings { timeout: Span::millis(50), ..channel(&["sleep", "60"]).settings };
        let late = CommandChannel::new(patient).deliver(&hostile_note()).await;
        assert!(matches!(late, Err(ChannelError::Transient { .. })));
    }

    #[tokio::test]
    async fn a_program_that_is_late_takes_all_its_processes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let name = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(pipe.as_os_str())).unwrap();
        // SAFETY: the name ends with a zero and lives through the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        // A child of the program's own holds the pipe open for as long as it lives.
        let script = format!("sleep 600 > {0} & sleep 600", pipe.display());
        let hanging = channel(&["sh", "-c", &script]);
        let note = hostile_note();
        let opened = tokio::task::spawn_blocking(move || std::fs::File::open(pipe).unwrap());
        let mut held = tokio::select! {
            told = hanging.deliver(&note) => panic!("{told:?}"),
            opened = opened => opened.unwrap(),
        };
        let read = tokio::task::spawn_blocking(move || std::io::Read::read_to_end(&mut held, &mut Vec::new()));
        assert_eq!(read.await.unwrap().unwrap(), 0);
    }

    #[test]
    fn a_program_is_named_and_not_made_of_a_message() {
        assert!(channel(&["notify-send", "{subject}"]).settings.problems().is_empty());
        assert!(channel(&[]).settings.problems().is_empty());
        for bad in ["", "{subject}"] {
            assert_eq!(channel(&[bad]).settings.problems()[0].0, "run");
        }
    }
}
