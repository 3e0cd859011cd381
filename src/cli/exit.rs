//! How a command ends: the one place that gives an error its exit code.

use std::io;
use std::process::ExitCode;

use super::optimize::ShareError;
use super::output::{Paint, say};
use super::stats::FileError;
use crate::adapters::feeds::files::ReadError;
use crate::config::ConfigError;
use crate::ledger::LedgerError;
use crate::paper_exchange::{PaperExchangeError, StoreError};
use crate::ports::{BrokerError, FeedError};
use crate::terminal::{bounded, visible};
use crate::wiring::WiringError;

/// The exit codes that scripts may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: it is done.
    Done,
    /// 1: it was tried and failed.
    Failed,
    /// 2: wrong usage, bad input or a bad configuration: nothing was tried.
    Usage,
    /// 3: refused by risk, by a halt, or because it was done already under other terms.
    Refused,
    /// 4: another scheduler holds the ledger.
    Held,
    /// 5: the broker or the feed cannot be reached.
    Unreachable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Held => 4,
            Exit::Unreachable => 5,
        })
    }
}

/// An end of a command that no deeper layer has a name for. The text is for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
    /// It cannot be meant like that.
    #[error("{0}")]
    Usage(String),
    /// It was not done, for a reason that stands in the ledger or the rules.
    #[error("{0}")]
    Refused(String),
}

/// The exit code of an error: that of the first cause in its chain that has one.
#[must_use]
pub fn of(error: &anyhow::Error) -> Exit {
    if is_broken_pipe(error) {
        // Who reads has seen enough: `trade runs | head` is no failure.
        return Exit::Done;
    }
    error.chain().find_map(of_cause).unwrap_or(Exit::Failed)
}

/// Tells a person of an error and its causes, on standard error, and answers its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if !is_broken_pipe(error) {
        say(&told(error, Paint::for_stream(&io::stderr())));
    }
    of(error).into()
}

/// An error and its causes, one a line.
fn told(error: &anyhow::Error, paint: Paint) -> String {
    let causes = error.chain().skip(1).map(|cause| format!("\n  because: {}", visible(&cause.to_string())));
    let told = format!("{} {}{}", paint.red("error:"), visible(&error.to_string()), causes.collect::<String>());
    bounded(&told).into_owned()
}

/// Whether the reader of the output went away.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(error) = cause.downcast_ref::<CommandError>() {
        return Some(match error {
            CommandError::Failed(_) => Exit::Failed,
            CommandError::Usage(_) => Exit::Usage,
            CommandError::Refused(_) => Exit::Refused,
        });
    }
    if let Some(error) = cause.downcast_ref::<WiringError>() {
        return Some(match error {
            WiringError::AlreadyDone { .. } | WiringError::Refused(_) => Exit::Refused,
            WiringError::OtherSimulation { .. }
            | WiringError::NoPaperAccount { .. }
            | WiringError::OthersPaperAccount { .. }
            | WiringError::UnknownDate { .. }
            | WiringError::NoSession { .. }
            | WiringError::BadRows { .. }
            | WiringError::Conflict { .. } => Exit::Usage,
        });
    }
    if cause.is::<ConfigError>() || cause.is::<ReadError>() || cause.is::<FileError>() || cause.is::<ShareError>() {
        return Some(Exit::Usage);
    }
    if let Some(error) = cause.downcast_ref::<LedgerError>() {
        return Some(of_ledger(error));
    }
    if let Some(error) = cause.downcast_ref::<PaperExchangeError>() {
        return match error {
            PaperExchangeError::Accounts(_) | PaperExchangeError::Listen { .. } => Some(Exit::Usage),
            PaperExchangeError::Store(StoreError::NotOurs { .. } | StoreError::Newer { .. }) => Some(Exit::Usage),
            PaperExchangeError::Store(_) | PaperExchangeError::Feed(_) => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<FeedError>() {
        return Some(match error {
            FeedError::Retryable { .. } => Exit::Unreachable,
            FeedError::Rejected { .. } => Exit::Failed,
        });
    }
    cause.downcast_ref::<BrokerError>().map(|error| match error {
        BrokerError::Retryable { .. } | BrokerError::Unknown { .. } => Exit::Unreachable,
        BrokerError::Rejected { .. } | BrokerError::Duplicate { .. } => Exit::Refused,
    })
}

fn of_ledger(error: &LedgerError) -> Exit {
    match error {
        LedgerError::AlreadyHeld { .. } | LedgerError::LeaseLost { .. } => Exit::Held,
        LedgerError::NotFound { .. }
        | LedgerError::MissingFolder { .. }
        | LedgerError::NotALedger { .. }
        | LedgerError::OtherKind { .. }
        | LedgerError::NewerVersion { .. }
        | LedgerError::NoSuchRow { .. } => Exit::Usage,
        LedgerError::Refused { .. } => Exit::Refused,
        LedgerError::DiskFull
        | LedgerError::ReadOnly { .. }
        | LedgerError::TakenAway { .. }
        | LedgerError::Corrupt { .. }
        | LedgerError::Busy
        | LedgerError::Io { .. }
        | LedgerError::Migration { .. }
        | LedgerError::Sql(_)
        | LedgerError::Json(_)
        | LedgerError::Panicked { .. }
        | LedgerError::Closed
        | LedgerError::Random(_) => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use anyhow::Context;

    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes() {
        let error = anyhow::anyhow!("the disk said no").context("writing day.db");
        assert_eq!(told(&error, Paint::PLAIN), "error: writing day.db\n  because: the disk said no");
        let hostile = anyhow::anyhow!("row {}", "x".repeat(20_000_000)).context("\x1b]0;pwned\x07");
        let told = told(&hostile, Paint::PLAIN);
        assert!(
            told.starts_with("error: \\u{1b}]0;pwned\\u{7}\n") && told.len() < 1_200 && told.ends_with('…'),
            "{}",
            told.len()
        );
    }

    #[test]
    fn an_error_has_the_promised_code_however_deep_it_lies() {
        let path = || PathBuf::from("data/ledger.db");
        let unknown = BrokerError::Unknown { broker: "paper".to_owned(), reason: "timed out".to_owned() };
        let table: [(anyhow::Error, Exit); 10] = [
            (anyhow::anyhow!("something broke"), Exit::Failed),
            (CommandError::Usage("no such job".to_owned()).into(), Exit::Usage),
            (CommandError::Refused("halted".to_owned()).into(), Exit::Refused),
            (WiringError::Refused("the job is paused".to_owned()).into(), Exit::Refused),
            (ConfigError::Missing { path: path() }.into(), Exit::Usage),
            (LedgerError::AlreadyHeld { path: path(), holder: "process 7".to_owned() }.into(), Exit::Held),
            (LedgerError::NotFound { path: path() }.into(), Exit::Usage),
            (LedgerError::DiskFull.into(), Exit::Failed),
            (unknown.into(), Exit::Unreachable),
            (io::Error::from(io::ErrorKind::BrokenPipe).into(), Exit::Done),
        ];
        for (error, exit) in table {
            assert_eq!(of(&error), exit, "{error}");
            let wrapped = Err::<(), _>(error).context("while it did something").unwrap_err();
            assert_eq!(of(&wrapped), exit, "{wrapped:#}");
        }
    }
}
