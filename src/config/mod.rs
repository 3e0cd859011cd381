//! Settings: typed, documented, checked as a whole.
//!
//! Five layers, the weakest first: built-in defaults, one file (`config/daybook.yaml`), a profile
//! (`config/profiles/NAME.yaml`), the environment (`DAYBOOK__RISK__MAX_DAILY_LOSS`), options of the command line.
//! The file is a tree whose values know where they stand (`yaml`, `node`), the stronger layers are laid over it, and
//! it is read into [`Settings`] by a reader that goes on after a mistake (`read`); then values are held against one
//! another (`checks`). All mistakes are told at once, each with its place.
//!
//! A secret never stands in the file (`reference` says what does), is not serialized, and has no
//! `Display`: neither a log, nor the ledger, nor `trade config show` can print it.
//!
//! Jobs are files too, read the same way: [`Configuration::jobs`]. So are strategies that are scripts (`scripts`).
//!
//! While the program runs the files are watched ([`Watch`]), and what two configurations differ in is told key by key
//! ([`changes`]). What comes of a reading is the engine's business.

mod api;
mod change;
mod checks;
mod edit;
mod files;
#[cfg(test)]
mod fuzz;
mod init;
mod jobs;
mod load;
mod models;
mod named;
mod node;
mod notifications;
mod parameters;
mod problem;
mod read;
mod reference;
mod schema;
mod scripts;
mod settings;
#[cfg(test)]
mod tests;
mod watch;
mod watched;
mod yaml;

pub use crate::adapters::Veiled;
pub use api::ApiSettings;
pub use change::{Change, changes, job_changes};
pub use edit::edited;
pub use init::{DOCUMENTED, Written, init};
pub use load::{Configuration, DEFAULT_FILE, PROFILE_VARIABLE, Setting, Sources, load, load_usable};
pub use models::{ModelBudgetSettings, ModelSettings};
pub use notifications::{EscalationSettings, NotificationSettings, PaceSettings, QuietHoursSettings};
pub use parameters::{AnalysisParameters, HousekeepingParameters, ScanParameters};
pub(crate) use problem::suggestion;
pub use problem::{ConfigError, Origin, Problem};
pub use reference::Environment;
pub use schema::{SCHEMA_FILE, schema};
pub use settings::{
    AccountSettings, AnalysisSettings, BackupSettings, BrokerKind, ExecutionSettings, FeedKind, FileMarketSettings,
    LedgerSettings, LogFormat, LoggingSettings, MarketSettings, RestartSettings, SchedulerSettings, Settings,
    SettingsVersion,
};
pub use watch::{Cause, Reading, Watch};
