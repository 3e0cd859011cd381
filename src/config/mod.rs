//! Settings: typed, documented, checked as a whole.
//!
//! Four layers, the weakest first: built-in defaults, one file (`config/daybook.yaml`), the environment
//! (`DAYBOOK__RISK__MAX_DAILY_LOSS`), options of the command line. The file is a tree whose values know
//! where they stand (`node`), the stronger layers are set in it, and it is read into [`Settings`] by a
//! reader that goes on after a mistake (`read`): all mistakes are told at once, each with its place.
//!
//! A secret never stands in the file (`reference` says what does), is not serialized, and has no
//! `Display`: neither a log, nor the ledger, nor `trade config show` can print it.
//!
//! Jobs are files too, read the same way: [`Configuration::jobs`].

mod checks;
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
pub(crate) use problem::suggestion;
pub use problem::{ConfigError, Origin, Problem};
pub use reference::Environment;
pub use settings::{
    AccountSettings, AnalysisSettings, BackupSettings, BrokerKind, ExecutionSettings, FeedKind, FileMarketSettings,
    LedgerSettings, LogFormat, LoggingSettings, MarketSettings, NotificationSettings, PaceSettings, RestartSettings,
    SchedulerSettings, Settings, SettingsVersion,
};
