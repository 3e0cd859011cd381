//! A job as its file defines it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::form::{Anchor, At, Form};
use super::{CatchUp, DefinitionError, Limit, Overlap, Retries, Schedule, Window};
use crate::time::Span;

/// The longest name of a job: it stands in every order's client id, of which Alpaca takes 128 characters.
const NAME_LENGTH_MAX: usize = 32;
/// The longest that a run may take.
const TIMEOUT_MAX: Span = Span::hours(24);
/// The most often that a run is tried again by number; beyond it, a length of time is meant.
const RETRIES_MAX: u32 = 100;
/// The most slots that are caught up.
pub(super) const CATCH_UP_MAX: u32 = 100;
/// The longest that a slot waits for its run.
const WINDOW_MAX: Span = Span::days(31);

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Compares the ledger with the broker and repairs the difference.
    Reconcile,
    /// Ranks the universe before the open.
    PremarketScan,
    /// Looks for signals and enters positions.
    Analysis,
    /// Watches limits, stops and holding times.
    RiskMonitor,
    /// Closes every position before the close.
    MarketCloseFlatten,
    /// Sums up the day and mails it.
    DailySummary,
    /// Sums up the week and mails it.
    WeeklySummary,
    /// Backs up, checks and prunes the ledger.
    Housekeeping,
    /// Runs a person's own program.
    Command,
    /// Trades for a person, when asked; built in, without a file and without a slot.
    Operator,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Reconcile,
        Self::PremarketScan,
        Self::Analysis,
        Self::RiskMonitor,
        Self::MarketCloseFlatten,
        Self::DailySummary,
        Self::WeeklySummary,
        Self::Housekeeping,
        Self::Command,
        Self::Operator,
    ];

    /// Its word in job files, such as `market-close-flatten`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reconcile => "reconcile",
            Self::PremarketScan => "premarket-scan",
            Self::Analysis => "analysis",
            Self::RiskMonitor => "risk-monitor",
            Self::MarketCloseFlatten => "market-close-flatten",
            Self::DailySummary => "daily-summary",
            Self::WeeklySummary => "weekly-summary",
            Self::Housekeeping => "housekeeping",
            Self::Command => "command",
            Self::Operator => "operator",
        }
    }

    /// What goes first when several kinds are due: lower is more urgent. What reduces risk comes before
    /// what can add to it.
    #[must_use]
    pub const fn urgency(self) -> u8 {
        match self {
            Self::Operator => 0,
            Self::MarketCloseFlatten => 1,
            Self::RiskMonitor => 2,
            Self::Reconcile => 3,
            Self::Analysis => 4,
            Self::PremarketScan => 5,
            Self::DailySummary => 6,
            Self::WeeklySummary => 7,
            Self::Command => 8,
            Self::Housekeeping => 9,
        }
    }

    /// Whether it may start before the boot's reconcile is done: it cannot add to what is at risk.
    #[must_use]
    pub const fn only_reduces_risk(self) -> bool {
        match self {
            Self::Operator | Self::MarketCloseFlatten | Self::RiskMonitor | Self::Reconcile => true,
            Self::Analysis
            | Self::PremarketScan
            | Self::DailySummary
            | Self::WeeklySummary
            | Self::Command
            | Self::Housekeeping => false,
        }
    }

    /// What holds for a job of this kind where its file says nothing.
    fn defaults(self) -> Policy {
        let (timeout, retries, overlap, catch_up, window) = match self {
            Self::Reconcile => (
                Span::minutes(1),
                Retries::UntilExpired,
                Overlap::QueueOne,
                CatchUp::Latest,
                Window::until(Limit::UntilNextSlot),
            ),
            Self::PremarketScan => {
                (Span::minutes(5), Retries::Times(5), Overlap::Skip, CatchUp::Latest, Window::until(Limit::UntilOpen))
            }
            Self::Analysis => (
                Span::minutes(5),
                Retries::Times(2),
                Overlap::Skip,
                CatchUp::Latest,
                Window::until(Limit::After(Span::minutes(15))).or_until(Limit::UntilNextSlot),
            ),
            // A failed look is not repeated: the next one comes in a minute.
            Self::RiskMonitor => (
                Span::seconds(30),
                Retries::Times(0),
                Overlap::Skip,
                CatchUp::Latest,
                Window::until(Limit::After(Span::minutes(1))),
            ),
            Self::MarketCloseFlatten => (
                Span::minutes(1),
                Retries::UntilExpired,
                Overlap::QueueOne,
                CatchUp::MustRun,
                Window::until(Limit::UntilClose),
            ),
            Self::DailySummary => (
                Span::minutes(2),
                Retries::For(Span::hours(24)),
                Overlap::QueueOne,
                CatchUp::All(5),
                Window::until(Limit::After(Span::days(7))),
            ),
            Self::WeeklySummary => (
                Span::minutes(2),
                Retries::For(Span::hours(24)),
                Overlap::QueueOne,
                CatchUp::Latest,
                Window::until(Limit::After(Span::days(7))),
            ),
            Self::Housekeeping => (
                Span::minutes(30),
                Retries::Times(3),
                Overlap::Skip,
                CatchUp::Latest,
                Window::until(Limit::After(Span::hours(24))),
            ),
            Self::Command => (
                Span::minutes(5),
                Retries::Times(0),
                Overlap::Skip,
                CatchUp::Latest,
                Window::until(Limit::After(Span::minutes(15))).or_until(Limit::UntilNextSlot),
            ),
            // What a person asked for is done in the order in which it was asked; a failure is theirs to see.
            Self::Operator => (
                Span::minutes(1),
                Retries::Times(0),
                Overlap::QueueOne,
                CatchUp::None,
                Window::until(Limit::After(Span::hours(1))),
            ),
        };
        Policy { timeout, retries, overlap, catch_up, window }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How runs of a job are treated.
struct Policy {
    timeout: Span,
    retries: Retries,
    overlap: Overlap,
    catch_up: CatchUp,
    window: Window,
}

/// A job's file: `jobs/NAME.yaml`. What is left out is as its kind has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFile {
    /// What the job does.
    pub kind: JobKind,
    /// When it is due.
    pub schedule: Schedule,
    /// How long a run may take.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// How often a failed run is tried again.
    #[serde(default)]
    pub retries: Option<Retries>,
    /// What happens to a slot while an earlier run is still at work.
    #[serde(default)]
    pub overlap: Option<Overlap>,
    /// Which slots run that came due while nobody looked.
    #[serde(default)]
    pub catch_up: Option<CatchUp>,
    /// How long after its slot a run may start.
    #[serde(default)]
    pub window: Option<Window>,
    /// Whether it has slots at all.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// What the kind of job takes besides, a map.
    #[serde(default)]
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// For `kind: command`: the program and its arguments.
    #[serde(default)]
    pub command: Vec<String>,
}

const fn enabled() -> bool {
    true
}

/// A job, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobDefinition {
    /// Its name: that of its file, without `.yaml`.
    pub name: String,
    /// What it does.
    pub kind: JobKind,
    /// When it is due.
    pub schedule: Schedule,
    /// How long a run may take.
    pub timeout: Span,
    /// How often a failed run is tried again.
    pub retries: Retries,
    /// What happens to a slot while an earlier run is still at work.
    pub overlap: Overlap,
    /// Which slots run that came due while nobody looked.
    pub catch_up: CatchUp,
    /// How long after its slot a run may start.
    pub window: Window,
    /// Whether it has slots at all.
    pub enabled: bool,
    /// What the kind of job takes besides, a map.
    pub parameters: serde_json::Value,
    /// The program and its arguments; empty unless the kind is `command`.
    pub command: Vec<String>,
}

impl JobFile {
    /// The job of this name: fills in what the file leaves out, and checks that its keys go together.
    ///
    /// # Errors
    /// If the name or a key is out of range, or two keys contradict each other.
    pub fn into_definition(self, name: &str) -> Result<JobDefinition, DefinitionError> {
        let defaults = self.kind.defaults();
        let definition = JobDefinition {
            name: name.to_owned(),
            kind: self.kind,
            schedule: self.schedule,
            timeout: self.timeout.unwrap_or(defaults.timeout),
            retries: self.retries.unwrap_or(defaults.retries),
            overlap: self.overlap.unwrap_or(defaults.overlap),
            catch_up: self.catch_up.unwrap_or(defaults.catch_up),
            window: self.window.unwrap_or(defaults.window),
            enabled: self.enabled,
            parameters: self.parameters.into(),
            command: self.command,
        };
        definition.check()?;
        Ok(definition)
    }
}

impl JobDefinition {
    /// Whether its slots follow from how often the market is analysed.
    #[must_use]
    pub fn follows_the_pace(&self) -> bool {
        self.schedule.forms().iter().any(|form| matches!(form, Form::Adaptive(_)))
    }

    /// Whether it also runs when the process starts, whatever its schedule says.
    #[must_use]
    pub fn runs_at_boot(&self) -> bool {
        self.kind == JobKind::Reconcile
    }

    /// The built-in job of [`JobKind::Operator`], by the name of its kind.
    #[must_use]
    pub fn operator() -> Self {
        let kind = JobKind::Operator;
        let Policy { timeout, retries, overlap, catch_up, window } = kind.defaults();
        Self {
            name: kind.as_str().to_owned(),
            kind,
            schedule: Schedule::never(),
            timeout,
            retries,
            overlap,
            catch_up,
            window,
            enabled: true,
            parameters: serde_json::Value::Null,
            command: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), DefinitionError> {
        self.check_name()?;
        if self.kind == JobKind::Operator {
            return Err(self.wrong("kind", self.kind, "another kind: the operator's job is built in"));
        }
        if self.timeout.is_zero() || self.timeout > TIMEOUT_MAX {
            return Err(self.wrong("timeout", self.timeout, "more than 0s and at most 24h, such as 60s"));
        }
        if let Retries::Times(times) = self.retries
            && times > RETRIES_MAX
        {
            let expected = "at most 100, such as 5; or a length of time, such as 24h; or until_expired";
            return Err(self.wrong("retries", times, expected));
        }
        if let CatchUp::All(slots) = self.catch_up
            && !(1..=CATCH_UP_MAX).contains(&slots)
        {
            return Err(self.wrong("catch_up", self.catch_up, "1 to 100, such as `all: 5`"));
        }
        if self.kind == JobKind::MarketCloseFlatten && self.catch_up != CatchUp::MustRun {
            let expected =
                "must_run for market-close-flatten: positions are not left open because the process was down";
            return Err(self.wrong("catch_up", self.catch_up, expected));
        }
        for limit in self.window.limits() {
            self.check_limit(*limit)?;
        }
        match (self.kind, self.command.as_slice()) {
            (JobKind::Command, [program, ..]) if !program.is_empty() => Ok(()),
            (JobKind::Command, _) => Err(self.wrong(
                "command",
                "empty",
                "the program and its arguments, such as [/usr/local/bin/tidy, --all]",
            )),
            (_, []) => Ok(()),
            (_, [program, ..]) => Err(self.wrong("command", program, "it with `kind: command` only")),
        }
    }

    fn check_name(&self) -> Result<(), DefinitionError> {
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins_well = self.name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if begins_well && self.name.len() <= NAME_LENGTH_MAX && self.name.bytes().all(letters) {
            return Ok(());
        }
        let expected = "a letter and then up to 31 of a-z, 0-9 and '-', such as premarket-scan";
        Err(self.wrong("name", format_args!("\"{}\"", self.name), expected))
    }

    /// Refuses a window that ends before it begins, or far too late.
    fn check_limit(&self, limit: Limit) -> Result<(), DefinitionError> {
        let mut anchors = self.schedule.forms().iter().filter_map(|form| match form {
            Form::At(At { anchor, offset_ms, .. }) => Some((*anchor, *offset_ms)),
            Form::Every(_) | Form::Bar(_) | Form::Adaptive(_) | Form::Cron(_) => None,
        });
        let expected = match limit {
            Limit::After(span) if span.is_zero() || span > WINDOW_MAX => "more than 0s and at most 31d, such as 15m",
            Limit::UntilOpen if anchors.any(|(anchor, offset_ms)| anchor == Anchor::Open && offset_ms >= 0) => {
                "a window that is still open at the slot, which is at the open or after it, such as until_close"
            }
            Limit::UntilClose if anchors.any(|(anchor, offset_ms)| anchor == Anchor::Close && offset_ms >= 0) => {
                "a window that is still open at the slot, which is at the close or after it, such as 15m"
            }
            Limit::After(_) | Limit::UntilOpen | Limit::UntilClose | Limit::UntilNextSlot => return Ok(()),
        };
        Err(self.wrong("window", limit, expected))
    }

    fn wrong(&self, key: &'static str, found: impl fmt::Display, expected: &'static str) -> DefinitionError {
        DefinitionError { job: self.name.clone(), key, found: found.to_string(), expected }
    }
}
