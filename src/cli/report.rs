//! `trade report`: an ended session as the digest tells it, and the figures of many.

use clap::{Args, Subcommand};
use daybook_core::report::WeekReport;
use daybook_core::schedule::JobKind;
use daybook_core::time::SessionDate;

use super::Context;
use super::exit::CommandError;
use super::notify;
use super::stats::StatsCommand;
use super::time::{date, session_of};
use crate::digest::{plain_text, week_text};
use crate::jobs::weekly_summary;
use crate::ledger::{Ledger, equity, history};
use crate::wiring;

/// `trade report ...`.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// An ended session: result, trades, refused signals, limits, faults
    #[command(after_help = "Examples:
  trade report day
  trade report day 2026-11-16 --send
  trade report day 2026-11-16 --json | jq .trades")]
    Day(Day),
    /// The sessions of a week: result, days, strategies, faults
    #[command(after_help = "Examples:
  trade report week
  trade report week 2026-11-16 --json | jq .strategies")]
    Week(Week),
    /// What daily returns come to: growth, Sharpe, Sortino, drawdown, value at risk and the rest, as quantstats has them
    #[command(after_help = "Examples:
  trade report stats returns.csv
  trade report stats equity.csv --trades trades.csv --json | jq .sharpe
  trade report stats equity.csv --trades trades.csv --bars bars.csv --html sheet.html

FILE has the columns date and return (0.01 is one percent), or date and equity; others are left alone.")]
    Stats(StatsCommand),
}

/// Which session, and whether it is sent.
#[derive(Debug, Args)]
pub struct Day {
    /// The session [default: the last one with a report]
    #[arg(value_name = "DATE", value_parser = date)]
    session: Option<SessionDate>,
    /// Send it on every channel again, instead of showing it
    #[arg(long)]
    send: bool,
}

/// Which week.
#[derive(Debug, Args)]
pub struct Week {
    /// A date of the week [default: the week of the last session with a report]
    #[arg(value_name = "DATE", value_parser = date)]
    date: Option<SessionDate>,
}

impl Week {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let week = last_week(context, self.date)?;
        context.output.document(&week, |week, _| week_text(week))
    }
}

/// The week of a date, or of the last session that was summed up, as the ledger has it now.
pub(super) fn last_week(context: &Context, date: Option<SessionDate>) -> anyhow::Result<WeekReport> {
    let calendar = context.configuration()?.settings.calendar();
    let ledger = context.ledger()?;
    let date = match date {
        Some(date) => date,
        None => last_reported(&ledger)?,
    };
    let week = WeekReport::build(weekly_summary::facts(&ledger, &calendar, date, context.now())?)?;
    week.ok_or_else(|| {
        let (monday, sunday) = WeekReport::bounds(date);
        let told =
            format!("no session from {monday} to {sunday} has a report: the daily summary writes one after each close");
        CommandError::Usage(told).into()
    })
}

/// The last session that was summed up.
fn last_reported(ledger: &Ledger) -> anyhow::Result<SessionDate> {
    ledger.read(|conn| history::last_session(conn, JobKind::DailySummary))?.ok_or_else(|| {
        CommandError::Usage("there is no report yet: the daily summary writes one after each close".to_owned()).into()
    })
}

impl ReportCommand {
    /// Shows or sends the report.
    ///
    /// # Errors
    /// If there is no such session or no report of it, it could not be sent, or a file is unusable.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Day(day) => day.run(context),
            Self::Week(week) => week.run(context),
            Self::Stats(stats) => stats.run(context),
        }
    }
}

impl Day {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { session, send } = self;
        let configuration = context.configuration()?;
        let ledger = context.ledger()?;
        let session = match session {
            Some(date) => session_of(&configuration.settings.calendar(), date)?.date,
            None => last_reported(&ledger)?,
        };
        let report = ledger.read(|conn| equity::day(conn, session))?.ok_or_else(|| {
            CommandError::Usage(format!(
                "there is no report of {session}: the daily summary writes it after the close, or \
                 `trade job run daily-summary --session {session}` does now"
            ))
        })?;
        if !send {
            return context.output.document(&report, |report, _| plain_text(report));
        }
        // The mail is drawn from the report of the session that its alert's run belongs to.
        let run_id = ledger.read(|conn| history::last_run_of(conn, JobKind::DailySummary, session))?;
        let (_, routes) = wiring::outbox(&configuration, &ledger)?;
        notify::send(context, &configuration, &ledger, run_id, report.alert(), routes)
    }
}
