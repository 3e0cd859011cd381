//! Settings: typed, documented, checked as a whole.
//!
//! Four layers, the weakest first: built-in defaults, one file (`config/daybook.yaml`), the environment
//! (`DAYBOOK__RISK__MAX_DAILY_LOSS`), options of the command line. Each is a [tree](node) whose values
//! know where they stand; they are laid over one another, and the result is [read](mod@read) into
//! [`Settings`]. So every mistake is told with its place, and all mistakes are told at once.
//!
//! A secret never stands in the file ([`reference`] says what does), is not serialized, and has no
//! `Display`: neither a log, nor the ledger, nor `trade config show` can print it.

mod init;
mod jobs;
mod load;
mod node;
mod parameters;
mod problem;
mod read;
mod reference;
mod settings;
#[cfg(test)]
mod tests;

pub use init::{DOCUMENTED, Written, init};
pub use load::{Configuration, DEFAULT_FILE, Sources, load};
pub use parameters::{AnalysisParameters, HousekeepingParameters, ScanParameters};
pub use problem::{ConfigError, Origin, Problem};
pub use reference::Environment;
pub use settings::{
    AccountSettings, AnalysisSettings, BackupSettings, Concurrency, ExchangeCalendar, ExecutionSettings, FeedKind,
    FileMarketSettings, JobsFolder, LedgerSettings, LogFormat, LoggingSettings, MarketSettings, NotificationSettings,
    RestartSettings, SchedulerSettings, Settings, SettingsVersion,
};
