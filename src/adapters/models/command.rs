use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use async_trait::async_trait;
use daybook_core::analysis::{ModelQuestion, brief};
use daybook_core::money::Bps;
use daybook_core::time::Span;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::adapters::Veiled;
use crate::adapters::group::Group;
use crate::adapters::program::program_file;
use crate::ports::{Score, Scorer, ScorerError};

/// What every program gets of this process's environment; more it gets by name.
const ENVIRONMENT: [&str; 4] = ["PATH", "HOME", "USER", "LANG"];
/// The longest answer, in bytes.
const ANSWER_MAX: u64 = 16 * 1024;
/// What is kept of a program's complaints, in bytes: the last line is told.
const COMPLAINTS_MAX: usize = 4 * 1024;
/// Characters that are told of a complaint, or of an answer that is none.
const TOLD_MAX: usize = 200;
/// The shortest value of a variable that is looked for in what a program says: shorter ones are words.
const SECRET_MIN: usize = 6;
/// What an answer is to be.
const EXPECTED: &str =
    r#"one line of JSON such as {"score": 0.35, "rationale": "why", "model": "mine 1.2"}, the score from -1 to 1"#;

/// A program of the owner's that scores symbols.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScorerSettings {
    /// Its name, as it stands with the answers.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<Veiled>,
    /// Variables of this process's environment that it gets, by name.
    pub environment: Vec<String>,
    /// How long one answer may take; `None`: as `models.timeout` says.
    pub timeout: Option<Span>,
}

impl ScorerSettings {
    /// The file that would be run.
    ///
    /// # Errors
    /// What is wrong: the program is not there, or may not be run.
    pub fn program(&self) -> Result<PathBuf, String> {
        let program = self.command.first().ok_or_else(|| "no program is named".to_owned())?;
        program_file(program.value()).map_err(|error| program.veil(&error))
    }
}

/// Asks a program: one line of JSON on its standard input, one line of JSON on its standard output. There is no shell.
#[derive(Debug, Clone)]
pub struct CommandScorer {
    settings: ScorerSettings,
}

/// What a program answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    score: f64,
    #[serde(default)]
    rationale: String,
    #[serde(default)]
    model: Option<String>,
}

impl CommandScorer {
    /// A scorer; nothing is run yet.
    #[must_use]
    pub const fn new(settings: ScorerSettings) -> Self {
        Self { settings }
    }

    fn variables(&self) -> impl Iterator<Item = (&str, OsString)> {
        let names = ENVIRONMENT.into_iter().chain(self.settings.environment.iter().map(String::as_str));
        names.filter_map(|name| Some((name, std::env::var_os(name)?)))
    }

    /// What the program says, without the values of the variables that it was given by name, or in its arguments.
    fn without_secrets(&self, text: &str) -> String {
        let given = self.settings.environment.iter().filter_map(|name| std::env::var(name).ok());
        let secrets = given.filter(|value| value.len() >= SECRET_MIN);
        let text = secrets.fold(text.to_owned(), |text, secret| text.replace(&secret, "***"));
        self.settings.command.iter().fold(text, |text, word| word.veil(&text))
    }

    fn unavailable(&self, reason: String) -> ScorerError {
        ScorerError::Unavailable { scorer: self.settings.name.clone(), reason }
    }

    fn nonsense(&self, found: String) -> ScorerError {
        ScorerError::Nonsense { scorer: self.settings.name.clone(), found, expected: EXPECTED }
    }

    fn start(&self) -> Result<Group, ScorerError> {
        let Some((program, arguments)) = self.settings.command.split_first() else {
            return Err(self.unavailable("no program is configured".to_owned()));
        };
        let started = Command::new(program.value())
            .args(arguments.iter().map(Veiled::value))
            .env_clear()
            .envs(self.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        started.map(Group).map_err(|error| self.unavailable(format!("{} cannot be started: {error}", program.told())))
    }

    fn read(&self, output: &[u8]) -> Result<Score, ScorerError> {
        let text = String::from_utf8_lossy(output);
        let line = text.trim();
        let read: Answer = serde_json::from_str(line).map_err(|error| match line {
            "" => self.nonsense("nothing".to_owned()),
            line => {
                let (shown, why) = (self.without_secrets(line), self.without_secrets(&error.to_string()));
                self.nonsense(format!("{} ({why})", brief(&shown, TOLD_MAX)))
            }
        })?;
        let score = Bps::from_f64(read.score).ok().filter(|_| (-1.0..=1.0).contains(&read.score));
        Ok(Score {
            score: score.ok_or_else(|| self.nonsense(format!("a score of {}", read.score)))?,
            rationale: self.without_secrets(&read.rationale),
            version: read.model.map(|model| self.without_secrets(&model)),
        })
    }
}

#[async_trait]
impl Scorer for CommandScorer {
    fn name(&self) -> &str {
        &self.settings.name
    }

    async fn score(&self, question: &ModelQuestion) -> Result<Score, ScorerError> {
        let failed = |error: std::io::Error| self.unavailable(error.to_string());
        let mut line = serde_json::to_vec(question).map_err(|error| self.unavailable(error.to_string()))?;
        line.push(b'\n');
        let mut group = self.start()?;
        let Child { stdin, stdout, stderr, .. } = &mut group.0;
        let (Some(mut input), Some(output), Some(errors)) = (stdin.take(), stdout.take(), stderr.take()) else {
            return Err(self.unavailable("it has no standard streams".to_owned()));
        };
        let asking = async move {
            // A program that does not read its input hangs up: that is no failure.
            drop(input.write_all(&line).await);
        };
        let ((), answered, complained) = tokio::join!(asking, whole(output), last_of(errors));
        let answered = answered.map_err(failed)?;
        if answered.len() as u64 > ANSWER_MAX {
            return Err(self.nonsense(format!("more than {ANSWER_MAX} bytes")));
        }
        let status = group.0.wait().await.map_err(failed)?;
        if !status.success() {
            let complaints = String::from_utf8_lossy(&complained).into_owned();
            let last = complaints.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            let told = brief(&self.without_secrets(last), TOLD_MAX);
            return Err(self.unavailable(format!("it ended with {status}: {told}")));
        }
        self.read(&answered)
    }
}

/// Everything that is written there, a little more than an answer may have at most.
async fn whole(output: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    output.take(ANSWER_MAX + 1).read_to_end(&mut read).await?;
    Ok(read)
}

/// The last of what is written there; all of it is read, so that nobody waits for a reader.
async fn last_of(mut output: impl AsyncRead + Unpin) -> Vec<u8> {
    let (mut kept, mut bytes) = (Vec::new(), [0; 1_024]);
    while let Ok(length @ 1..) = output.read(&mut bytes).await {
        kept.extend_from_slice(bytes.get(..length).unwrap_or_default());
        let beyond = kept.len().saturating_sub(COMPLAINTS_MAX);
        kept.drain(..beyond);
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::ports::question_about;

    fn scorer(script: &str) -> CommandScorer {
        let command = ["sh", "-c", script].map(Veiled::from).to_vec();
        CommandScorer::new(ScorerSettings { name: "mine".to_owned(), command, ..ScorerSettings::default() })
    }

    async fn told(script: &str) -> String {
        scorer(script).score(&question_about("AAPL")).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_program_reads_a_line_and_answers_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("asked");
        let script = format!(
            "cat > {0}; env | cut -d= -f1 | sort >> {0}; echo '{{\"score\": -0.35, \"rationale\": \"weak\", \"model\": \"m 1\"}}'",
            path.display()
        );
        let said = scorer(&script).score(&question_about("AAPL")).await.unwrap();
        let (rationale, version) = ("weak".to_owned(), Some("m 1".to_owned()));
        assert_eq!(said, Score { score: Bps(-3_500), rationale, version });
        let asked = std::fs::read_to_string(path).unwrap();
        let mut lines = asked.lines();
        let read: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!((&read["symbol"], &read["last"]), (&"AAPL".into(), &221.5.into()));
        // What a shell sets for itself is not of this process.
        let known = |name: &str| ENVIRONMENT.contains(&name) || ["PWD", "OLDPWD", "SHLVL", "_"].contains(&name);
        assert!(lines.clone().all(known), "{:?}", lines.collect::<Vec<_>>());
        let unread = scorer("exec <&-; echo '{\"score\": 1}'").score(&question_about("AAPL")).await.unwrap();
        assert_eq!(unread.score, Bps::ONE, "it need not read its input");
    }

    #[tokio::test]
    async fn what_is_no_score_is_told_with_what_was_expected() {
        for (script, found) in [
            (":", "mine answered nothing; expected one line of JSON such as "),
            ("echo up", "mine answered up (expected value"),
            ("echo '{\"score\": 1.5}'", "mine answered a score of 1.5; expected"),
            ("echo '{\"score\": 1e999}'", "mine answered {\"score\": 1e999} ("),
            ("echo '{\"rationale\": \"x\"}'", "(missing field `score`"),
            ("echo '{\"score\": 0, \"confidence\": 1}'", "(unknown field `confidence`"),
            ("echo '{\"score\": 0}'; echo '{\"score\": 1}'", "(trailing characters"),
            ("head -c 20000 /dev/zero", "more than 16384 bytes"),
        ] {
            let told = told(script).await;
            assert!(told.contains(found), "{script}: {told}");
            assert!(told.chars().count() < 500, "{told}");
        }
    }

    #[tokio::test]
    async fn how_a_program_ended_is_told_with_its_last_words() {
        let told_of = told("echo first >&2; echo 'no key\tfor it' >&2; echo >&2; exit 3").await;
        assert_eq!(told_of, "mine: it ended with exit status: 3: no key for it");
        let loud = told("head -c 300000 /dev/zero | tr '\\0' x >&2; echo >&2; echo last >&2; exit 1").await;
        assert!(loud.ends_with(": last"), "{loud}");
        let missing = CommandScorer::new(ScorerSettings { command: vec!["/no/such".into()], ..Default::default() });
        let told_of = missing.score(&question_about("AAPL")).await.unwrap_err().to_string();
        assert!(told_of.contains("/no/such cannot be started: "), "{told_of}");
    }

    #[tokio::test]
    async fn a_secret_that_a_program_was_given_is_not_repeated() {
        // The one variable that tests are certain to have, and that no program gets unasked.
        let name = "CARGO_MANIFEST_DIR";
        let value = std::env::var(name).unwrap();
        let mut scorer = scorer(&format!("test -n \"${name}\" && echo \"key ${name} refused\" >&2; exit 1"));
        assert!(scorer.score(&question_about("AAPL")).await.unwrap_err().to_string().ends_with("it said nothing"));
        scorer.settings.environment.push(name.to_owned());
        let told = scorer.score(&question_about("AAPL")).await.unwrap_err().to_string();
        assert!(told.ends_with("key *** refused") && !told.contains(&value), "{told}");
        let answer = r#"printf '{"score": "%s"}' "$NAME""#.replace("NAME", name);
        scorer.settings.command = ["sh", "-c", &answer].map(Veiled::from).to_vec();
        let told = scorer.score(&question_about("AAPL")).await.unwrap_err().to_string();
        assert!(told.contains("\"***\"") && !told.contains(&value), "{told}");
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_takes_all_its_processes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let name = CString::new(pipe.as_os_str().as_bytes()).unwrap();
        // SAFETY: the name ends with a zero and lives through the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        // A child of the program's own holds the pipe open for as long as it lives.
        let hanging = scorer(&format!("sleep 600 > {0} & sleep 600", pipe.display()));
        let asked = question_about("AAPL");
        let opened = tokio::task::spawn_blocking(move || std::fs::File::open(pipe).unwrap());
        let mut held = tokio::select! {
            answer = hanging.score(&asked) => panic!("{answer:?}"),
            opened = opened => opened.unwrap(),
        };
        let read = tokio::task::spawn_blocking(move || std::io::Read::read_to_end(&mut held, &mut Vec::new()));
        assert_eq!(read.await.unwrap().unwrap(), 0);
    }

    #[test]
    fn a_program_that_cannot_be_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("score.py");
        std::fs::write(&path, "").unwrap();
        let program = |name: &str| {
            let command = vec![name.into()];
            ScorerSettings { command, ..ScorerSettings::default() }.program()
        };
        let plain = path.display().to_string();
        assert_eq!(program(&plain), Err(format!("{plain} is not executable")));
        assert!(program("sh").unwrap().ends_with("sh"));
        assert!(program("/no/such").unwrap_err().starts_with("/no/such: "));
        assert_eq!(program("no-such-program"), Err("no-such-program is in no folder of PATH".to_owned()));
        assert!(program("").is_err());
    }
}
