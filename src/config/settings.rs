//! The settings: a typed mirror of `config/daybook.yaml`. Every key is optional.

use std::path::PathBuf;

use daybook_core::alert::AlertLevel;
use daybook_core::calendar::Calendar;
use daybook_core::risk::RiskSettings;
use daybook_core::time::Span;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The keys whose values are secrets: they are given by reference, and leave neither the process nor
/// this type. Each is a [`SecretString`] that is not serialized.
pub(super) const SECRETS: [&str; 1] = ["scheduler.heartbeat_url"];

/// Everything that can be set. Read it with [`super::load`]; the default is what `config/daybook.yaml` shows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whose money it is.
    pub account: AccountSettings,
    /// When the market trades.
    pub exchange_calendar: ExchangeCalendar,
    /// Where bars and quotes come from.
    pub market: MarketSettings,
    /// What may be lost, and by what.
    pub risk: RiskSettings,
    /// Who is told, and how.
    pub notifications: NotificationSettings,
    /// The file that holds everything.
    pub ledger: LedgerSettings,
    /// The long-lived process.
    pub scheduler: SchedulerSettings,
    /// What the process says about itself.
    pub logging: LoggingSettings,
    /// The folder with the job files.
    pub jobs_dir: JobsFolder,
}

/// Whose money it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountSettings {
    /// The account's name in the ledger, in mails and in order ids.
    pub name: String,
}

/// The name of an exchange's calendar: `XNYS` or `24/7`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExchangeCalendar(String);

/// Where bars and quotes come from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MarketSettings {
    /// Which of the feeds below is used.
    pub feed: FeedKind,
    /// The simulated market.
    pub simulated: SimulatedMarketSettings,
    /// Bars from files.
    pub files: FileMarketSettings,
}

/// A kind of market feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedKind {
    /// A market that is made up from a seed.
    #[default]
    Simulated,
    /// Minute bars from files.
    Files,
}

/// The simulated market.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedMarketSettings {
    /// The same seed makes the same market.
    pub seed: u64,
    /// How many symbols it has.
    pub symbols: u32,
}

/// Bars from files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileMarketSettings {
    /// CSV files of minute bars, plain, `.gz` or `.zst`.
    pub bars: Vec<PathBuf>,
    /// Whether rows that make no sense are left out instead of refused.
    pub skip_bad: bool,
}

/// Who is told, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotificationSettings {
    /// Where every mail is also written as a file.
    pub folder: PathBuf,
    /// The least level of alert that is sent to a person; all alerts are in the ledger.
    pub min_level: AlertLevel,
}

/// The ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerSettings {
    /// The SQLite file.
    pub path: PathBuf,
    /// Its copies.
    pub backup: BackupSettings,
}

/// Copies of the ledger: before a migration, and every night.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackupSettings {
    /// Where they are.
    pub folder: PathBuf,
    /// How many are kept, the newest.
    pub keep: u32,
}

/// The long-lived process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerSettings {
    /// How often the parts of the process are looked at.
    pub health_check: Span,
    /// How often a heartbeat with figures is recorded.
    pub heartbeat: Span,
    /// An address that each heartbeat asks for: a dead man's switch tells when it falls silent. The
    /// address is all that guards the switch, so it is a secret.
    #[serde(skip_serializing)]
    pub heartbeat_url: Option<SecretString>,
    /// How a failing part is restarted.
    pub restarts: RestartSettings,
    /// How long the jobs at work may take to finish once the process is told to stop.
    pub drain_timeout: Span,
}

/// How a failing part is restarted: after `backoff_first`, then twice as long each time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestartSettings {
    /// How often in a row, before the process is in ERROR.
    pub max: u32,
    /// The first wait.
    pub backoff_first: Span,
    /// The longest wait.
    pub backoff_max: Span,
    /// How long ERROR lasts before the part is tried anew.
    pub cool_down: Span,
}

/// What the process says about itself, on standard error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggingSettings {
    /// How it looks.
    pub format: LogFormat,
    /// What is said: `info`, or levels by module: `warn,daybook=debug`.
    pub level: String,
}

/// How a log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The folder with the job files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobsFolder(pub PathBuf);

impl Default for AccountSettings {
    fn default() -> Self {
        Self { name: "paper".to_owned() }
    }
}

impl Default for ExchangeCalendar {
    fn default() -> Self {
        Self("XNYS".to_owned())
    }
}

impl Default for SimulatedMarketSettings {
    fn default() -> Self {
        Self { seed: 1, symbols: 500 }
    }
}

impl Default for NotificationSettings {
    fn default() -> Self {
        Self { folder: "data/mail".into(), min_level: AlertLevel::Info }
    }
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self { path: "data/ledger.db".into(), backup: BackupSettings::default() }
    }
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self { folder: "data/backups".into(), keep: 14 }
    }
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            health_check: Span::seconds(60),
            heartbeat: Span::seconds(300),
            heartbeat_url: None,
            restarts: RestartSettings::default(),
            drain_timeout: Span::seconds(30),
        }
    }
}

impl Default for RestartSettings {
    fn default() -> Self {
        Self { max: 5, backoff_first: Span::seconds(1), backoff_max: Span::seconds(60), cool_down: Span::minutes(15) }
    }
}

impl Default for LoggingSettings {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".to_owned() }
    }
}

impl Default for JobsFolder {
    fn default() -> Self {
        Self("jobs".into())
    }
}

/// The longest name of an account, in characters: it stands in mail subjects and order ids.
const ACCOUNT_NAME_MAX: usize = 32;

/// Most symbols of the simulated market.
const SIMULATED_SYMBOLS_MAX: u32 = 10_000;

impl Settings {
    /// The exchange's calendar; its name has been checked, an unknown one is `XNYS`.
    #[must_use]
    pub fn calendar(&self) -> Calendar {
        Calendar::named(&self.exchange_calendar.0).unwrap_or_else(Calendar::xnys)
    }

    /// Everything that is wrong with the values: the key's path, and what is wrong and expected.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let sections: [(&str, Vec<(&'static str, String)>); 7] = [
            ("account", self.account.problems()),
            ("market", self.market.problems()),
            ("risk", self.risk.problems()),
            ("ledger", self.ledger.problems()),
            ("scheduler", self.scheduler.problems()),
            ("logging", self.logging.problems()),
            ("", self.exchange_calendar.problems()),
        ];
        let path =
            |section: &str, key: &str| if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        sections
            .into_iter()
            .flat_map(|(section, problems)| {
                problems.into_iter().map(move |(key, message)| (path(section, key), message))
            })
            .collect()
    }
}

type Problems = Vec<(&'static str, String)>;

impl AccountSettings {
    fn problems(&self) -> Problems {
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if (1..=ACCOUNT_NAME_MAX).contains(&self.name.len()) && self.name.chars().all(letters) {
            return Vec::new();
        }
        vec![("name", format!("is \"{}\"; expected 1 to {ACCOUNT_NAME_MAX} of A-Z, a-z, 0-9, '-' and '_'", self.name))]
    }
}

impl ExchangeCalendar {
    fn problems(&self) -> Problems {
        if Calendar::named(&self.0).is_some() {
            return Vec::new();
        }
        vec![("exchange_calendar", format!("unknown calendar \"{}\"; expected XNYS or 24/7", self.0))]
    }
}

impl MarketSettings {
    fn problems(&self) -> Problems {
        let mut problems = Vec::new();
        if self.feed == FeedKind::Files && self.files.bars.is_empty() {
            let message = "is empty, and market.feed is files; expected at least one file, such as [data/bars.csv]";
            problems.push(("files.bars", message.to_owned()));
        }
        if !(1..=SIMULATED_SYMBOLS_MAX).contains(&self.simulated.symbols) {
            let message = format!("is {}; expected 1 to {SIMULATED_SYMBOLS_MAX}", self.simulated.symbols);
            problems.push(("simulated.symbols", message));
        }
        problems
    }
}

impl LedgerSettings {
    fn problems(&self) -> Problems {
        let mut problems = Vec::new();
        if self.path.as_os_str().is_empty() {
            problems.push(("path", "is empty; expected a file, such as data/ledger.db".to_owned()));
        }
        if self.backup.keep == 0 {
            problems.push(("backup.keep", "is 0; expected at least 1: the newest backup is always kept".to_owned()));
        }
        problems
    }
}

impl SchedulerSettings {
    fn problems(&self) -> Problems {
        let RestartSettings { max: _, backoff_first, backoff_max, cool_down } = self.restarts;
        let mut problems: Problems = [
            ("health_check", self.health_check),
            ("heartbeat", self.heartbeat),
            ("restarts.backoff_first", backoff_first),
            ("restarts.cool_down", cool_down),
        ]
        .into_iter()
        .filter(|(_, span)| *span < Span::seconds(1))
        .map(|(key, span)| (key, format!("is {span}; expected 1s or longer")))
        .collect();
        if backoff_max < backoff_first {
            let message = format!("is {backoff_max}; expected restarts.backoff_first ({backoff_first}) or longer");
            problems.push(("restarts.backoff_max", message));
        }
        problems
    }
}

impl LoggingSettings {
    fn problems(&self) -> Problems {
        if self.targets().is_some() {
            return Vec::new();
        }
        let expected = "expected off, error, warn, info, debug or trace, or levels by module: warn,daybook=debug";
        vec![("level", format!("is \"{}\"; {expected}", self.level))]
    }

    /// The level of each module; `None` where the text is none.
    #[must_use]
    pub fn targets(&self) -> Option<Targets> {
        // Alone, a word that is no level would be read as a module, and all of it be logged.
        let level = |part: &str| part.rsplit('=').next().unwrap_or_default().parse::<LevelFilter>().is_ok();
        self.level.split(',').all(level).then(|| self.level.parse().ok()).flatten()
    }
}
