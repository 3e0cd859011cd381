//! The settings: a typed mirror of `config/daybook.yaml`. Every key is optional.

use std::path::PathBuf;

use daybook_core::analysis::{RegimeSettings, ScanSettings};
use daybook_core::backtest::BacktestSettings;
use daybook_core::calendar::Calendar;
use daybook_core::exchange::ExchangeSettings;
use daybook_core::money::Money;
use daybook_core::reconcile::ReconcileSettings;
use daybook_core::risk::{RiskSettings, SessionMode};
use daybook_core::strategy::StrategySettings;
use daybook_core::time::Span;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::api::ApiSettings;
use super::models::ModelSettings;
use super::notifications::NotificationSettings;
use crate::adapters::alpaca::AlpacaSettings;
use crate::adapters::brokers::ibkr::IbkrSettings;
use crate::adapters::feeds::files::BarsFeedSettings;
use crate::adapters::feeds::simulated::SimulatedMarketSettings;

/// The keys whose values are secrets: they are given by reference, and leave neither the process nor
/// this type. Each is a [`SecretString`] that is not serialized.
pub(super) const SECRETS: [&str; 14] = [
    "alpaca.key_id",
    "alpaca.secret_key",
    "notifications.discord.webhook_url",
    "notifications.email.password",
    "notifications.ntfy.token",
    "notifications.ntfy.topic",
    "notifications.pagerduty.routing_key",
    "notifications.slack.control.signing_secret",
    "notifications.slack.webhook_url",
    "notifications.telegram.bot_token",
    "notifications.webhook.authorization",
    "notifications.webhook.signing_secret",
    "notifications.webhook.url",
    "scheduler.heartbeat_url",
];

/// Everything that can be set. Read it with [`super::load`]; the default is what `config/daybook.yaml` shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whose money it is.
    pub account: AccountSettings,
    /// The calendar of the exchange: `XNYS` or `24/7`.
    pub exchange_calendar: String,
    /// Whether entries are sent by themselves, or each waits for a person.
    pub session_mode: SessionMode,
    /// Where bars and quotes come from.
    pub market: MarketSettings,
    /// Which symbols the scan lets through, and what it ranks them by.
    pub scan: ScanSettings,
    /// How the market is looked at.
    pub analysis: AnalysisSettings,
    /// What proposes trades.
    pub strategies: StrategySettings,
    /// Which models are asked what they make of a symbol.
    pub models: ModelSettings,
    /// What may be lost, and by what.
    pub risk: RiskSettings,
    /// How a back-test sends orders and leaves positions.
    pub backtest: BacktestSettings,
    /// What is done where the ledger and the broker do not agree.
    pub reconcile: ReconcileSettings,
    /// Who holds the account, and on which terms.
    pub execution: ExecutionSettings,
    /// An account at Alpaca, and its market data.
    pub alpaca: AlpacaSettings,
    /// An account at Interactive Brokers.
    pub ibkr: IbkrSettings,
    /// Who is told, and how.
    pub notifications: NotificationSettings,
    /// What it is asked over HTTP.
    pub api: ApiSettings,
    /// The file that holds everything.
    pub ledger: LedgerSettings,
    /// The long-lived process.
    pub scheduler: SchedulerSettings,
    /// What the process says about itself.
    pub logging: LoggingSettings,
    /// The folder with the job files.
    pub jobs_dir: PathBuf,
}

/// Settings as the ledger keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsVersion {
    /// The SHA-256 of the body, in hexadecimal.
    pub hash: String,
    /// The settings as JSON in one spelling, without secrets.
    pub body: String,
}

/// Whose money it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountSettings {
    /// The account's name in the ledger, in mails and in order ids.
    pub name: String,
}

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
    /// Alpaca's market data.
    Alpaca,
}

/// Bars from files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileMarketSettings {
    /// CSV files of minute bars, plain, `.gz` or `.zst`.
    pub bars: Vec<PathBuf>,
    /// Whether rows that make no sense are left out instead of refused.
    pub skip_bad: bool,
    /// How quotes are derived from the bars.
    pub quotes: BarsFeedSettings,
}

/// How the market is looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalysisSettings {
    /// How many symbols are looked at at the same time.
    pub concurrency: u32,
    /// The age at which a headline counts half, for the strategies that look at the news.
    pub news_half_life: Span,
    /// When the market counts as volatile or quiet.
    pub regime: RegimeSettings,
}

/// Who holds the account, and on which terms.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecutionSettings {
    /// Which of the brokers holds the account; a simulation always has the paper broker.
    pub broker: BrokerKind,
    /// An entry that is worth more waits for a person; `None`: none does for its size.
    pub approval_above: Option<Money>,
    /// The paper broker.
    pub paper: ExchangeSettings,
}

/// Who can hold an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerKind {
    /// The paper broker in this process.
    #[default]
    Paper,
    /// Alpaca, on paper or live.
    Alpaca,
    /// Interactive Brokers, on paper or live.
    Ibkr,
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
    /// Where they are; `None`: in `backups` beside the ledger.
    pub folder: Option<PathBuf>,
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

impl Default for Settings {
    fn default() -> Self {
        Self {
            account: AccountSettings::default(),
            exchange_calendar: "XNYS".to_owned(),
            session_mode: SessionMode::default(),
            market: MarketSettings::default(),
            scan: ScanSettings::default(),
            analysis: AnalysisSettings::default(),
            strategies: StrategySettings::default(),
            models: ModelSettings::default(),
            risk: RiskSettings::default(),
            backtest: BacktestSettings::default(),
            reconcile: ReconcileSettings::default(),
            execution: ExecutionSettings::default(),
            alpaca: AlpacaSettings::default(),
            ibkr: IbkrSettings::default(),
            notifications: NotificationSettings::default(),
            api: ApiSettings::default(),
            ledger: LedgerSettings::default(),
            scheduler: SchedulerSettings::default(),
            logging: LoggingSettings::default(),
            jobs_dir: "jobs".into(),
        }
    }
}

impl Default for AccountSettings {
    fn default() -> Self {
        Self { name: "paper".to_owned() }
    }
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self { path: "data/ledger.db".into(), backup: BackupSettings::default() }
    }
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self { folder: None, keep: 14 }
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

impl Default for AnalysisSettings {
    fn default() -> Self {
        Self { concurrency: 8, news_half_life: Span::hours(4), regime: RegimeSettings::default() }
    }
}

impl Settings {
    /// The exchange's calendar; its name has been checked, an unknown one is `XNYS`.
    #[must_use]
    pub fn calendar(&self) -> Calendar {
        Calendar::named(&self.exchange_calendar).unwrap_or_else(Calendar::xnys)
    }

    /// Where the ledger's copies are.
    #[must_use]
    pub fn backup_folder(&self) -> PathBuf {
        let beside = || self.ledger.path.with_file_name("backups");
        self.ledger.backup.folder.clone().unwrap_or_else(beside)
    }

    /// The settings as the ledger keeps them, and the hash by which a run names them.
    ///
    /// # Errors
    /// If a value has no JSON form, which a path that is not UTF-8 has not.
    pub fn version(&self) -> Result<SettingsVersion, serde_json::Error> {
        // By way of a `Value`, whose keys are in alphabetical order: the same settings, the same bytes.
        let body = serde_json::to_value(self)?.to_string();
        let hash = Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(SettingsVersion { hash, body })
    }

    /// The settings of a version that the ledger keeps; secrets are absent.
    ///
    /// # Errors
    /// If it is of a program that had other keys.
    pub fn from_version(body: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(body)
    }
}

/// Where the library behind one of the wakers logs.
const WAKER: &str = "tokio_cron_scheduler";

impl LoggingSettings {
    /// The level of each module; `None` where the text is none.
    #[must_use]
    pub fn targets(&self) -> Option<Targets> {
        // Alone, a word that is no level would be read as a module, and all of it be logged.
        let level = |part: &str| part.rsplit('=').next().unwrap_or_default().parse::<LevelFilter>().is_ok();
        let targets: Targets = self.level.split(',').all(level).then(|| self.level.parse().ok()).flatten()?;
        // The waker's library tells of its own insides at the level at which we tell of the day.
        let quiet = targets.default_level().unwrap_or(LevelFilter::OFF).min(LevelFilter::WARN);
        let named = self.level.contains(WAKER);
        Some(if named { targets } else { targets.with_target(WAKER, quiet) })
    }
}
