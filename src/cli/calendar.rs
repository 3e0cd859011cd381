//! `trade calendar`: when the market trades, and when it does not.

use clap::{Args, Subcommand};
use daybook_core::calendar::{Calendar, Session};
use daybook_core::time::{SessionDate, Timestamp};

use super::Context;
use super::exit::CommandError;
use super::output::{Cell, Column, FormatArg, Table, say};
use super::plan::{Planned, slot_table};
use super::time::{date, midnight, no_session, out_of_range, time_of_day};

/// Days shown where no end is given.
const DAYS_SHOWN: i64 = 30;

/// `trade calendar ...`.
#[derive(Debug, Subcommand)]
pub enum CalendarCommand {
    /// The sessions between two dates, with their hours
    ///
    /// CSV: date,open_utc,close_utc,pre_open_utc,post_close_utc,kind (full or early).
    #[command(after_help = "Examples:
  trade calendar sessions
  trade calendar sessions --from 2026-11-01 --to 2026-11-30
  trade calendar sessions --from 1990-01-01 --to 2030-12-31 --format csv > sessions.csv")]
    Sessions(Range),
    /// The weekdays between two dates on which the market is closed, with the reason
    ///
    /// CSV: date,name.
    #[command(after_help = "Examples:
  trade calendar closed --from 2026-01-01 --to 2026-12-31")]
    Closed(Range),
    /// Every slot of every job on a day, in UTC and New York time
    ///
    /// An adaptive job has the slots of the pace that the ledger holds, or of the normal one.
    #[command(after_help = "Examples:
  trade calendar slots 2026-11-27
  trade calendar slots 2026-11-27 --format csv | grep analysis")]
    Slots(Slots),
}

/// The slots of which day.
#[derive(Debug, Args)]
pub struct Slots {
    /// The day, on the exchange's calendar
    #[arg(value_name = "DATE", value_parser = date)]
    date: SessionDate,
    #[command(flatten)]
    format: FormatArg,
}

/// Which dates of which exchange, in which form.
#[derive(Debug, Args)]
pub struct Range {
    /// The first date [default: today]
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<SessionDate>,
    /// The last date [default: 30 days after the first]
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Option<SessionDate>,
    /// Whose calendar: XNYS or 24/7
    #[arg(long, value_name = "NAME", default_value = "XNYS")]
    exchange: String,
    #[command(flatten)]
    format: FormatArg,
}

impl Range {
    fn resolve(&self, context: &Context) -> Result<(Calendar, SessionDate, SessionDate), CommandError> {
        let calendar = Calendar::named(&self.exchange).ok_or_else(|| {
            CommandError::Usage(format!("there is no calendar \"{}\": expected XNYS or 24/7", self.exchange))
        })?;
        let from = self.from.unwrap_or_else(|| context.now().date_in(calendar.zone()));
        let to = self.to.unwrap_or_else(|| from.plus_days(DAYS_SHOWN));
        if to < from {
            return Err(CommandError::Usage(format!("--to {to} is before --from {from}: swap them")));
        }
        match [from, to].into_iter().find(|date| !calendar.knows(*date)) {
            Some(date) => Err(CommandError::Usage(out_of_range(&calendar, date))),
            None => Ok((calendar, from, to)),
        }
    }
}

impl CalendarCommand {
    /// Prints what was asked for.
    ///
    /// # Errors
    /// If the dates are not known to the calendar, or standard output cannot be written.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Sessions(range) => {
                let (calendar, from, to) = range.resolve(context)?;
                context.output.table(&sessions(&calendar, from, to), range.format)
            }
            Self::Closed(range) => {
                let (calendar, from, to) = range.resolve(context)?;
                context.output.table(&closed(&calendar, from, to), range.format)
            }
            Self::Slots(Slots { date, format }) => {
                let configuration = context.configuration()?;
                let calendar = configuration.settings.calendar();
                if !calendar.knows(date) {
                    return Err(CommandError::Usage(out_of_range(&calendar, date)).into());
                }
                if calendar.session(date).is_none() {
                    say(&no_session(&calendar, date));
                }
                let begin = midnight(date, calendar.zone());
                let end = midnight(date.plus_days(1), calendar.zone());
                let planned = Planned::of(context, &configuration)?;
                let day = planned.slots_after(Timestamp(begin.0 - 1)).take_while(|(slot, _)| slot.at < end);
                context.output.table(&slot_table(day), format)
            }
        }
    }
}

fn sessions(calendar: &Calendar, from: SessionDate, to: SessionDate) -> Table {
    let columns = vec![
        Column::text("date", "DATE"),
        Column::text("open_utc", "OPEN"),
        Column::text("close_utc", "CLOSE"),
        Column::text("pre_open_utc", "PRE-OPEN"),
        Column::text("post_close_utc", "POST-CLOSE"),
        Column::text("kind", "KIND"),
    ];
    let mut table = Table::new(columns, format!("no session of {} from {from} to {to}", calendar.name()));
    for session in calendar.sessions(from, to) {
        let Session { date, kind, pre_open, open, close, post_close } = session;
        let instant = |at| Cell::time(at).shown_as(time_of_day(at, calendar.zone()));
        let day = Cell::text(date).shown_as(date.0.format("%Y-%m-%d %a"));
        table.push(vec![day, instant(open), instant(close), instant(pre_open), instant(post_close), Cell::text(kind)]);
    }
    table
}

fn closed(calendar: &Calendar, from: SessionDate, to: SessionDate) -> Table {
    let columns = vec![Column::text("date", "DATE"), Column::text("name", "NAME")];
    let mut table = Table::new(columns, format!("{} trades on every weekday from {from} to {to}", calendar.name()));
    for (date, name) in calendar.closed(from, to) {
        table.push(vec![Cell::text(date).shown_as(date.0.format("%Y-%m-%d %a")), Cell::text(name)]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Paint;

    fn thanksgiving_week() -> (Calendar, SessionDate, SessionDate) {
        (Calendar::xnys(), date("2026-11-25").unwrap(), date("2026-11-30").unwrap())
    }

    #[test]
    fn sessions_are_shown_in_the_exchanges_time() {
        let (calendar, from, to) = thanksgiving_week();
        insta::assert_snapshot!(sessions(&calendar, from, to).to_text(Paint::PLAIN, Some(80)));
    }

    #[test]
    fn sessions_as_csv_are_as_promised() {
        let (calendar, from, to) = thanksgiving_week();
        let csv = String::from_utf8(sessions(&calendar, from, to).to_csv().unwrap()).unwrap();
        let expected = "date,open_utc,close_utc,pre_open_utc,post_close_utc,kind
2026-11-25,2026-11-25T14:30:00Z,2026-11-25T21:00:00Z,2026-11-25T09:00:00Z,2026-11-26T01:00:00Z,full
2026-11-27,2026-11-27T14:30:00Z,2026-11-27T18:00:00Z,2026-11-27T09:00:00Z,2026-11-27T22:00:00Z,early
2026-11-30,2026-11-30T14:30:00Z,2026-11-30T21:00:00Z,2026-11-30T09:00:00Z,2026-12-01T01:00:00Z,full
";
        assert_eq!(csv, expected);
    }

    #[test]
    fn closed_days_have_their_reason() {
        let (calendar, from, to) = thanksgiving_week();
        let csv = String::from_utf8(closed(&calendar, from, to).to_csv().unwrap()).unwrap();
        assert_eq!(csv, "date,name\n2026-11-26,Thanksgiving Day\n");
        let none = closed(&calendar, to, to).to_text(Paint::PLAIN, None);
        assert_eq!(none, "XNYS trades on every weekday from 2026-11-30 to 2026-11-30\n");
    }
}
