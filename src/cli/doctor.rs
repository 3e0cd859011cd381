//! `trade doctor`: is everything there that a trading day needs?

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use daybook_core::calendar::Calendar;
use daybook_core::report::words::{counted, instant};
use daybook_core::schedule::JobKind;
use daybook_core::time::Timestamp;
use futures_util::future::join_all;
use serde::Serialize;

use super::Context;
use super::exit::CommandError;
use super::output::Paint;
use crate::adapters::alpaca::AlpacaSettings;
use crate::adapters::brokers::alpaca::{AlpacaBroker, Inspection};
use crate::adapters::brokers::ibkr::IbkrSettings;
use crate::adapters::channels::{TriedOut, reach};
use crate::adapters::clocks::SystemClock;
use crate::adapters::feeds::files::read_bars;
use crate::adapters::models::ScorerSettings;
use crate::config::{BrokerKind, Configuration, FeedKind, ModelSettings, Settings};
use crate::ledger::{Ledger, LedgerError, LedgerLock, OpenOptions};
use crate::process;

/// Free space below which a person is warned: a busy day writes a few megabytes, a backup doubles the ledger.
const FREE_MIN_MIB: u64 = 500;
/// Before this instant (2026-01-01T00:00:00Z) a clock is certainly wrong.
const CLOCK_MIN: Timestamp = Timestamp(1_767_225_600_000);

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Well,
    Warning,
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    what: &'static str,
    health: Health,
    told: String,
    /// What to do about it.
    advice: Option<String>,
}

impl Finding {
    fn well(what: &'static str, told: impl Into<String>) -> Self {
        Self { what, health: Health::Well, told: told.into(), advice: None }
    }

    fn warning(what: &'static str, told: impl Into<String>, advice: &str) -> Self {
        Self { what, health: Health::Warning, told: told.into(), advice: Some(advice.to_owned()) }
    }

    fn wrong(what: &'static str, told: impl Into<String>, advice: &str) -> Self {
        Self { health: Health::Wrong, ..Self::warning(what, told, advice) }
    }
}

/// Looks at everything, and says what to do.
///
/// # Errors
/// If something is wrong, or standard output cannot be written.
pub fn run(context: &Context) -> anyhow::Result<()> {
    let findings = match context.configuration() {
        Ok(configuration) => examine(&configuration, context.now()),
        Err(error) => {
            let advice = "mend it; `trade config template` prints a right one, line by line";
            vec![Finding::wrong("configuration", error.to_string(), advice)]
        }
    };
    context.output.document(&findings, |findings, paint| text(findings, paint))?;
    let wrong = findings.iter().filter(|finding| finding.health == Health::Wrong).count();
    match findings.first() {
        _ if wrong == 0 => Ok(()),
        Some(Finding { what: "configuration", health: Health::Wrong, .. }) => {
            Err(CommandError::Usage("the configuration is wrong".to_owned()).into())
        }
        _ => Err(CommandError::Failed(format!("{} wrong", counted(wrong, "thing is", "things are"))).into()),
    }
}

fn examine(configuration: &Configuration, now: Timestamp) -> Vec<Finding> {
    let settings = &configuration.settings;
    let mut findings = vec![configured(configuration), jobs(configuration)];
    findings.push(ledger(&settings.ledger.path));
    findings.push(scheduler(&settings.ledger.path));
    findings.push(disk(&settings.ledger.path));
    findings.push(clock(configuration, now));
    findings.push(broker(configuration));
    findings.push(feed(configuration));
    findings.extend(models(&settings.models));
    findings.push(mail_folder(&settings.notifications.folder));
    findings.extend(channels(settings));
    findings
}

fn configured(configuration: &Configuration) -> Finding {
    if !configuration.remarks.is_empty() {
        let remarks: Vec<String> = configuration.remarks.iter().map(ToString::to_string).collect();
        return Finding::warning("configuration", remarks.join("\n"), "correct each, or take it away");
    }
    match &configuration.file {
        Some(file) => Finding::well("configuration", format!("{}: right, with its secrets", file.display())),
        None => Finding::warning(
            "configuration",
            "there is no file: the built-in defaults hold",
            "`trade init` writes a documented one",
        ),
    }
}

fn jobs(configuration: &Configuration) -> Finding {
    let enabled = configuration.jobs.iter().filter(|job| job.enabled);
    for (kind, advice) in [
        (JobKind::MarketCloseFlatten, "without it positions stay open over night: enable one"),
        (JobKind::RiskMonitor, "without it no limit is watched: enable one"),
        (JobKind::Reconcile, "without it nobody compares the ledger with the broker: enable one"),
    ] {
        if !enabled.clone().any(|job| job.kind == kind) {
            return Finding::wrong("jobs", format!("no job of kind {} is enabled", kind.as_str()), advice);
        }
    }
    let (enabled, all) = (enabled.count(), configuration.jobs.len());
    Finding::well("jobs", format!("{enabled} of {all} enabled"))
}

fn ledger(path: &Path) -> Finding {
    let what = "ledger";
    match Ledger::open(path, &OpenOptions { create: None, quick_check: true, ..OpenOptions::existing() }) {
        Ok(ledger) => {
            let mib = std::fs::metadata(path).map_or(0, |file| file.len() >> 20);
            let meta = ledger.meta();
            let made = instant(meta.created_at);
            Finding::well(what, format!("{}: sound, {mib} MiB, account {}, since {made}", path.display(), meta.account))
        }
        Err(LedgerError::NotFound { .. } | LedgerError::MissingFolder { .. }) => {
            Finding::well(what, format!("{} is not there yet: the scheduler makes it", path.display()))
        }
        Err(LedgerError::AlreadyHeld { holder, .. }) => Finding::warning(
            what,
            format!("its schema is older than this program's, and {holder} holds it"),
            "restart the scheduler with the same version as `trade`",
        ),
        Err(error) => Finding::wrong(what, error.to_string(), "see above; nothing was changed"),
    }
}

fn scheduler(path: &Path) -> Finding {
    match LedgerLock::holder(path) {
        Ok(Some(holder)) => Finding::well("scheduler", format!("it runs ({holder})")),
        Ok(None) => {
            Finding::warning("scheduler", "none runs on this ledger", "start `scheduler`, or see cron/README.md")
        }
        Err(error) => Finding::wrong("scheduler", error.to_string(), "see that this user may read the lock file"),
    }
}

fn disk(path: &Path) -> Finding {
    let there = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    match process::free_space(&there.join("ledger.db")) {
        Ok(free) if free >> 20 < FREE_MIN_MIB => {
            let told = format!("{} MiB free at {}", free >> 20, there.display());
            Finding::warning("disk", told, "make room: a full disk stops the scheduler")
        }
        Ok(free) => Finding::well("disk", format!("{} MiB free", free >> 20)),
        Err(error) => {
            Finding::warning("disk", format!("{}: {error}", there.display()), "see that the folder can be read")
        }
    }
}

fn clock(configuration: &Configuration, now: Timestamp) -> Finding {
    let calendar = configuration.settings.calendar();
    let today = now.date_in(calendar.zone());
    if now < CLOCK_MIN || !calendar.knows(today) {
        let told = format!("it shows {}", instant(now));
        return Finding::wrong("clock", told, "set it, and keep it with NTP (timedatectl set-ntp true)");
    }
    let next = calendar.session_date_at(now).map_or_else(|| "none".to_owned(), |date| date.to_string());
    match is_synchronised() {
        Some(false) => Finding::warning(
            "clock",
            format!("{}, not synchronised", instant(now)),
            "keep it with NTP (timedatectl set-ntp true): slots are due by this clock",
        ),
        Some(true) => Finding::well("clock", format!("{}, synchronised; session {next}", instant(now))),
        None => Finding::well("clock", format!("{}; session {next}", instant(now))),
    }
}

/// Whether the kernel holds the clock to be synchronised; `None` where it does not tell.
#[cfg(target_os = "linux")]
fn is_synchronised() -> Option<bool> {
    // SAFETY: a `timex` of zeroes is a valid one, and with `modes` zero the call only reads.
    let state = unsafe { libc::adjtimex(&mut std::mem::zeroed()) };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}

#[cfg(not(target_os = "linux"))]
fn is_synchronised() -> Option<bool> {
    None
}

fn broker(configuration: &Configuration) -> Finding {
    let settings = &configuration.settings;
    match settings.execution.broker {
        BrokerKind::Paper => Finding::well("broker", format!("paper, account {}", settings.account.name)),
        BrokerKind::Alpaca => alpaca(&settings.alpaca, &settings.calendar()),
        BrokerKind::Ibkr => ibkr(&settings.ibkr),
    }
}

/// Asks Alpaca whether the key is right, and what is not.
fn alpaca(settings: &AlpacaSettings, calendar: &Calendar) -> Finding {
    let what = "broker";
    let (environment, host) = (settings.environment.as_str(), settings.trading_host_told());
    let inspected = AlpacaBroker::new(settings, Arc::new(SystemClock::new())).map_err(anyhow::Error::from);
    let inspected = inspected.and_then(|broker| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(broker.inspect(calendar))?)
    });
    match inspected {
        Ok(Inspection { account, remarks }) if remarks.is_empty() => {
            let told = format!("Alpaca, {environment} account {account} at {host}; clock and calendar agree");
            Finding::well(what, told)
        }
        Ok(Inspection { account, remarks }) => {
            let told = format!("Alpaca, {environment} account {account} at {host}\n{}", remarks.join("\n"));
            Finding::wrong(what, told, "docs/alpaca.md says what to do about each")
        }
        Err(error) => {
            let told = format!("Alpaca, {environment} at {host}: {error:#}");
            Finding::wrong(what, told, "see docs/alpaca.md: set-up from nothing")
        }
    }
}

/// Asks the gateway of Interactive Brokers who it is logged in for. It does so under the number beside the scheduler's,
/// which may hold its own.
#[cfg(feature = "ibkr")]
fn ibkr(settings: &IbkrSettings) -> Finding {
    use crate::adapters::brokers::ibkr::{IbkrBroker, Inspection};
    let what = "broker";
    let (set, address) = (settings.environment.as_str(), settings.address());
    let looked = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from);
    let inspected = looked.and_then(|runtime| {
        runtime.block_on(async {
            let broker = IbkrBroker::new(&settings.beside(), Arc::new(SystemClock::new()))?;
            Ok(broker.inspect().await?)
        })
    });
    match inspected {
        Ok(Inspection { account, environment, server_version, remarks }) => {
            let environment = environment.as_str();
            let told = format!(
                "Interactive Brokers, {environment} account {account} at {address}, interface version {server_version}"
            );
            if remarks.is_empty() {
                return Finding::well(what, format!("{told}; clocks agree"));
            }
            Finding::wrong(what, format!("{told}\n{}", remarks.join("\n")), "docs/ibkr.md says what to do about each")
        }
        Err(error) => {
            let told = format!("Interactive Brokers, {set} at {address}: {error:#}");
            Finding::wrong(what, told, "see docs/ibkr.md: set-up from nothing")
        }
    }
}

#[cfg(not(feature = "ibkr"))]
fn ibkr(settings: &IbkrSettings) -> Finding {
    let told = format!("Interactive Brokers, {}: this program was built without it", settings.environment.as_str());
    Finding::wrong("broker", told, "build it with the feature ibkr")
}

fn feed(configuration: &Configuration) -> Finding {
    let market = &configuration.settings.market;
    match market.feed {
        FeedKind::Simulated => {
            let (seed, symbols) = (market.simulated.seed, market.simulated.symbols);
            Finding::well("feed", format!("the simulated market of seed {seed}, {symbols} symbols"))
        }
        FeedKind::Files => {
            let (mut rows, mut bad) = (0, 0);
            for path in &market.files.bars {
                match read_bars(path, None) {
                    Ok(file) => (rows, bad) = (rows + file.rows, bad + file.bad_row_count),
                    Err(error) => return Finding::wrong("feed", error.to_string(), "mend `market.files.bars`"),
                }
            }
            if bad > 0 && !market.files.skip_bad {
                let told = format!("{bad} bad rows beside {rows} good ones");
                return Finding::wrong(
                    "feed",
                    told,
                    "mend them (`trade bars import` names them), or set market.files.skip_bad",
                );
            }
            Finding::well("feed", format!("{rows} bars in {}", counted(market.files.bars.len(), "file", "files")))
        }
        FeedKind::Alpaca => {
            let alpaca = &configuration.settings.alpaca;
            let (feed, host) = (alpaca.data_feed.as_str(), alpaca.data_host_told());
            Finding::well("feed", format!("{feed} at {host}, {}", counted(alpaca.symbols.len(), "symbol", "symbols")))
        }
    }
}

/// Looks for the programs that models are; nothing is run.
fn models(settings: &ModelSettings) -> Option<Finding> {
    let what = "models";
    let first = settings.chain.first()?;
    let missing = |own: &ScorerSettings| Some(format!("{}: {}", own.name, own.program().err()?));
    let wrong: Vec<String> = settings.chain.iter().filter_map(missing).collect();
    if wrong.is_empty() {
        let count = counted(settings.chain.len(), "program is", "programs are");
        return Some(Finding::well(
            what,
            format!("{count} there, {} first; `trade models ask SYMBOL` asks", first.name),
        ));
    }
    Some(Finding::wrong(what, wrong.join("\n"), "correct the command in models.chain, or make its file executable"))
}

fn mail_folder(folder: &Path) -> Finding {
    let there = folder.ancestors().find(|place| place.exists());
    let writable = there
        .and_then(|place| std::fs::metadata(place).ok())
        .is_some_and(|place| place.is_dir() && !place.permissions().readonly());
    if writable || folder.is_relative() && there.is_none() {
        return Finding::well("mail folder", folder.display().to_string());
    }
    let told = format!("{} cannot be written", folder.display());
    Finding::wrong("mail folder", told, "name another in notifications.folder, or give its owner the right to write")
}

/// Looks at each channel that is on, and at the dead man's switch, all at the same time; nobody is told anything.
fn channels(settings: &Settings) -> Vec<Finding> {
    type Look = Pin<Box<dyn Future<Output = TriedOut>>>;
    let told = settings.notifications.clone();
    let mut looks: Vec<(&'static str, &'static str, Look)> = Vec::new();
    let mut findings = Vec::new();
    let mut look = |what, key, looked: Look| looks.push((what, key, looked));
    if told.email.is_on() {
        look("e-mail", "notifications.email", Box::pin(async move { told.email.try_out().await }));
    } else {
        let advice = "set notifications.email, then `trade notify test email`";
        findings.push(Finding::warning("e-mail", "no server is configured: mails are files only", advice));
    }
    if told.slack.is_on() {
        look("slack", "notifications.slack", Box::pin(async move { told.slack.try_out().await }));
    }
    if told.discord.is_on() {
        look("discord", "notifications.discord", Box::pin(async move { told.discord.try_out().await }));
    }
    if told.telegram.is_on() {
        look("telegram", "notifications.telegram", Box::pin(async move { told.telegram.try_out().await }));
    }
    if told.ntfy.is_on() {
        look("ntfy", "notifications.ntfy", Box::pin(async move { told.ntfy.try_out().await }));
    }
    if told.pagerduty.is_on() {
        look("pagerduty", "notifications.pagerduty", Box::pin(async move { told.pagerduty.try_out().await }));
    }
    if told.webhook.is_on() {
        look("webhook", "notifications.webhook", Box::pin(async move { told.webhook.try_out().await }));
    }
    if told.command.is_on() {
        look("command", "notifications.command.run", Box::pin(async move { told.command.try_out() }));
    }
    if let Some(url) = settings.scheduler.heartbeat_url.clone() {
        let looked = Box::pin(async move { reach("heartbeat", &url).await });
        look("dead man", "scheduler.heartbeat_url", looked);
    }
    if looks.is_empty() {
        return findings;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            findings.push(Finding::wrong("channels", error.to_string(), "see what else this machine is short of"));
            return findings;
        }
    };
    let looked = looks.into_iter().map(|(what, key, look)| async move { finding(what, key, look.await) });
    findings.extend(runtime.block_on(join_all(looked)));
    // A name that is still being looked up must not keep the command from ending.
    runtime.shutdown_background();
    findings
}

fn finding(what: &'static str, key: &str, looked: TriedOut) -> Finding {
    match looked {
        Ok(told) => Finding::well(what, told),
        Err(why) => Finding::wrong(what, why, &format!("check {key} and the network")),
    }
}

fn text(findings: &[Finding], paint: Paint) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { what, health, told, advice } in findings {
        let mark = match health {
            Health::Well => paint.green("ok   "),
            Health::Warning => paint.yellow("note "),
            Health::Wrong => paint.red("WRONG"),
        };
        let indent = " ".repeat(width + 9);
        text.push_str(&format!("{mark}  {what:<width$}  {}\n", told.replace('\n', &format!("\n{indent}"))));
        if let Some(advice) = advice {
            text.push_str(&format!("{indent}-> {advice}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Sources, load};

    fn configuration(variables: &[(&str, &str)]) -> Configuration {
        load(&Sources::new(None, variables.iter().copied().collect::<Environment>())).unwrap()
    }

    #[test]
    fn what_is_wrong_comes_with_what_to_do() {
        let findings = vec![
            Finding::well("jobs", "8 of 9 enabled"),
            Finding::warning("scheduler", "none runs on this ledger", "start `scheduler`, or see cron/README.md"),
            Finding::wrong("ledger", "it is damaged\nbadly", "restore a backup"),
        ];
        insta::assert_snapshot!(text(&findings, Paint::PLAIN));
    }

    #[test]
    fn a_fresh_machine_is_well() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/ledger.db");
        let configuration = configuration(&[("DAYBOOK__LEDGER__PATH", path.to_str().unwrap())]);
        let now = "2026-11-16T14:30:00Z".parse().unwrap();
        let findings = examine(&configuration, now);
        let wrong: Vec<_> = findings.iter().filter(|finding| finding.health == Health::Wrong).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(!path.exists());
    }

    #[test]
    fn a_ledger_that_is_none_a_clock_that_stands_and_bars_that_are_missing_are_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "not a database").unwrap();
        assert_eq!(ledger(&path).health, Health::Wrong);
        assert_eq!(clock(&configuration(&[]), Timestamp(0)).health, Health::Wrong);
        let files =
            configuration(&[("DAYBOOK__MARKET__FEED", "files"), ("DAYBOOK__MARKET__FILES__BARS", "[none.csv]")]);
        assert_eq!(feed(&files).health, Health::Wrong);
    }

    #[test]
    fn each_channel_that_is_on_is_looked_at_and_no_other() {
        assert_eq!(channels(&configuration(&[]).settings).len(), 1, "without channels nothing is asked");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (here, ping) = (format!("http://{free}/services/hunter2hunter2"), format!("http://{free}/ping/hunter2"));
        let findings = channels(
            &configuration(&[
                ("DAYBOOK__NOTIFICATIONS__SLACK__WEBHOOK_URL", &here),
                ("DAYBOOK__NOTIFICATIONS__COMMAND__RUN", "[no-such-program]"),
                ("DAYBOOK__SCHEDULER__HEARTBEAT_URL", &ping),
            ])
            .settings,
        );
        let told: Vec<_> = findings.iter().map(|finding| (finding.what, finding.health)).collect();
        let wrong = Health::Wrong;
        assert_eq!(told, [("e-mail", Health::Warning), ("slack", wrong), ("command", wrong), ("dead man", wrong)]);
        assert!(findings[2].told.contains("no-such-program is in no folder of PATH"));
        assert!(findings.iter().all(|finding| !finding.told.contains("hunter2")), "{findings:?}");
    }

    #[test]
    fn a_model_that_cannot_be_run_is_named() {
        let asked = |chain: &str| models(&configuration(&[("DAYBOOK__MODELS__CHAIN", chain)]).settings.models);
        assert_eq!(asked("[]"), None);
        let well = asked("[{name: mine, command: [sh, score.sh]}]").unwrap();
        assert_eq!((well.health, well.told.starts_with("1 program is there, mine first")), (Health::Well, true));
        let wrong = asked("[{name: mine, command: [sh]}, {name: other, command: [/no/such]}]").unwrap();
        assert_eq!((wrong.health, wrong.told.starts_with("other: /no/such: ")), (Health::Wrong, true));
    }
}
