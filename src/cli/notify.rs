//! `trade notify`: what people were sent, and trying it again.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::market::Symbol;
use daybook_core::report::words::{counted, instant};
use daybook_core::schedule::JobKind;
use serde::Serialize;

use super::Context;
use super::exit::CommandError;
use super::output::{Cell, Column, FormatArg, Table};
use super::report;
use crate::adapters::channels::{CHANNELS, Preview as Shown, PreviewSettings};
use crate::config::{Configuration, suggestion};
use crate::digest::{Templates, alert_message, day_message, inert, week_message};
use crate::ledger::alert::{self, Chosen, Delivery, DeliveryState, Route, Routes};
use crate::ledger::{Ledger, LedgerError, equity, history};
use crate::ports::Message;
use crate::wiring;

/// How long what another process has taken is waited for, and how often it is looked at.
const UNDER_WAY_MAX: Duration = Duration::from_secs(60);
/// See [`UNDER_WAY_MAX`].
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Deliveries looked through for those of one alert.
const LOOKED_THROUGH: u32 = 100;

/// `trade notify ...`.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// The last deliveries: what, on which channel, and whether it arrived
    #[command(after_help = "Examples:
  trade notify list --dead --channel slack
  trade notify list --all")]
    List(List),
    /// Tries a delivery again that failed or was given up, or all that were given up
    #[command(after_help = "Examples:
  trade notify retry 17
  trade notify retry --dead
  trade notify retry --dead --channel slack")]
    Retry(Retry),
    /// Sends a message on each channel, or on one, to see that it arrives
    #[command(after_help = "Examples:
  trade notify test
  trade notify test email")]
    Test(Test),
    /// Writes into a file how an alert of an event would look on a channel; nothing is sent
    #[command(after_help = "Examples:
  trade notify preview order.rejected --channel email
  trade notify preview week.ended
  trade notify preview risk.breached --channel slack --output breached.json")]
    Preview(Preview),
    /// Every event that a person can be told of: how much it matters, what it means, what to do
    Catalogue(Catalogue),
}

/// In which form the catalogue is printed.
#[derive(Debug, Args)]
pub struct Catalogue {
    #[command(flatten)]
    format: FormatArg,
}

/// How many deliveries.
#[derive(Debug, Args)]
pub struct List {
    /// How many at most
    #[arg(short, long = "limit", default_value_t = 20, value_name = "N")]
    number: u32,
    /// All of them
    #[arg(long, conflicts_with = "number")]
    all: bool,
    /// Those alone that were given up
    #[arg(long)]
    dead: bool,
    /// Those alone of one channel
    #[arg(long, value_name = "CHANNEL", value_parser = CHANNELS)]
    channel: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

/// Which deliveries.
#[derive(Debug, Args)]
pub struct Retry {
    /// Its number, as `trade notify list` shows it
    #[arg(value_name = "ID", required_unless_present = "dead", conflicts_with = "dead")]
    delivery_id: Option<i64>,
    /// All that were given up
    #[arg(long)]
    dead: bool,
    /// Of these, those of one channel
    #[arg(long, value_name = "CHANNEL", value_parser = CHANNELS, requires = "dead")]
    channel: Option<String>,
}

/// What to preview, and where it is written.
#[derive(Debug, Args)]
pub struct Preview {
    /// The event, as `trade notify catalogue` names it
    event: String,
    /// The channel that it is for: mail is a page, a service gets JSON
    #[arg(long, default_value = "email", value_name = "CHANNEL", value_parser = CHANNELS)]
    channel: String,
    /// The file [default: EVENT.CHANNEL.html, .json or .txt]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A preview that was written.
#[derive(Debug, Serialize)]
struct Previewed {
    event: String,
    channel: String,
    file: PathBuf,
}

/// Which channel.
#[derive(Debug, Args)]
pub struct Test {
    /// The channel [default: all of them]
    channel: Option<String>,
}

impl NotifyCommand {
    /// Does what was asked for.
    ///
    /// # Errors
    /// If the ledger is unusable, or a message did not arrive.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Preview(preview) => preview.run(context),
            Self::Catalogue(Catalogue { format }) => context.output.table(&catalogue(), format),
            Self::List(List { number, all, dead, channel, format }) => {
                let ledger = context.ledger()?;
                let limit = if all { u32::MAX } else { number };
                let chosen = Chosen { channel, state: dead.then_some(DeliveryState::Dead) };
                let listed = ledger.read(|conn| alert::deliveries_of(conn, &chosen, limit))?;
                let none = if chosen == Chosen::default() { "nothing was sent yet" } else { "there is none of these" };
                context.output.table(&table(&listed, none), format)
            }
            Self::Retry(retry) => retry.run(context),
            Self::Test(Test { channel }) => {
                let (configuration, ledger) = (context.configuration()?, context.ledger()?);
                let routes = test_routes(&wiring::outbox(&configuration, &ledger)?.1, channel.as_deref())?;
                let subject = format!("Daybook can reach you: a test of {}", instant(context.now()));
                send(context, &configuration, &ledger, None, Alert::new(AlertEvent::ChannelTested, subject), routes)
            }
        }
    }
}

impl Retry {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let (configuration, ledger) = (context.configuration()?, context.ledger()?);
        let now = context.now();
        let Self { delivery_id, dead: _, channel } = self;
        let revived = match delivery_id {
            Some(delivery_id) => {
                ledger.write_blocking(move |tx| alert::retry(tx, delivery_id, now))?;
                vec![delivery_id]
            }
            None => ledger.write_blocking(move |tx| alert::retry_dead(tx, channel.as_deref(), now))?,
        };
        deliver(context, &configuration, &ledger, "nothing is dead", |conn| {
            revived.iter().map(|delivery_id| alert::get(conn, *delivery_id)).collect()
        })
    }
}

impl Preview {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { event: name, channel, output } = self;
        let configuration = context.configuration()?;
        let Some(event) = AlertEvent::named(&name) else {
            let meant = suggestion(&name, AlertEvent::ALL.iter().map(|event| event.as_str()))
                .map_or(String::new(), |meant| format!(": did you mean \"{meant}\"?"));
            let told = format!("there is no event \"{name}\"{meant} (`trade notify catalogue` lists them)");
            return Err(CommandError::Usage(told).into());
        };
        let now = context.now();
        let message = match event {
            AlertEvent::DayEnded => last_day(context)?,
            AlertEvent::WeekEnded => last_week(context)?,
            event => {
                let alert = sample(event);
                let message = alert_message(0, &alert, now, "preview", 1);
                let templates = Templates::of(configuration.settings.notifications.templates.clone());
                context.block_on(templates.worded(message, &alert, &channel))?
            }
        };
        let told = &configuration.settings.notifications;
        let settings = PreviewSettings {
            account: &configuration.settings.account.name,
            chat_id: &told.telegram.chat_id,
            command: &told.command,
        };
        let Shown { ending, text } = Shown::of(&inert(message), &channel, &settings);
        let file = output.unwrap_or_else(|| format!("{name}.{channel}.{ending}").into());
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        let previewed = Previewed { event: name, channel, file };
        context.output.document(&previewed, |previewed, _| format!("{}\n", previewed.file.display()))
    }
}

/// The digest of the last session that has a report.
fn last_day(context: &Context) -> anyhow::Result<Message> {
    let ledger = context.ledger()?;
    let report = match ledger.read(|conn| history::last_session(conn, JobKind::DailySummary))? {
        Some(session) => ledger.read(|conn| equity::day(conn, session))?,
        None => None,
    };
    let Some(report) = report else {
        let told = "there is no report yet to show: the daily summary writes one after each close";
        return Err(CommandError::Usage(told.to_owned()).into());
    };
    Ok(day_message(&report, "preview", 1)?)
}

/// The digest of the week of the last session that has a report, as it would be now.
fn last_week(context: &Context) -> anyhow::Result<Message> {
    let week = report::last_week(context, None)?;
    Ok(week_message(&week, "preview", 1)?)
}

/// An alert with everything in it that a template may name, and what a service might take for markup.
fn sample(event: AlertEvent) -> Alert {
    let subject = format!("an example of {}", event.as_str());
    let alert = Alert::new(event, subject).with_body("What happened, line by line:\n<b>a headline</b> & @everyone");
    match Symbol::from_str("AAPL") {
        Ok(symbol) => alert.about(symbol),
        Err(_) => alert,
    }
}

/// The routes of a test: every channel, or the one that is named, whatever level it is told otherwise.
fn test_routes(routes: &Routes, channel: Option<&str>) -> Result<Routes, CommandError> {
    let names: Vec<&str> = routes.channels.iter().map(|route| route.channel.as_str()).collect();
    let Some(wanted) = channel else {
        return Ok(names.into_iter().map(Route::every).collect::<Vec<_>>().into());
    };
    if names.contains(&wanted) {
        return Ok([Route::every(wanted)].into());
    }
    let meant =
        suggestion(wanted, names.iter().copied()).map_or(String::new(), |meant| format!("did you mean \"{meant}\"? "));
    let told = format!("there is no channel \"{wanted}\": {meant}configured are {}", names.join(", "));
    Err(CommandError::Usage(told))
}

/// Commits an alert and delivers it, and prints what came of that.
///
/// # Errors
/// If the ledger is unusable, or a message did not arrive.
pub fn send(
    context: &Context,
    configuration: &Configuration,
    ledger: &Ledger,
    run_id: Option<i64>,
    told: Alert,
    routes: Routes,
) -> anyhow::Result<()> {
    let now = context.now();
    let alert_id = ledger.write_blocking(move |tx| alert::raise(tx, run_id, &told, &routes, now))?;
    deliver(context, configuration, ledger, "nobody is told", |conn| {
        let mut of_alert = alert::deliveries(conn, LOOKED_THROUGH)?;
        of_alert.retain(|delivery| delivery.alert.alert_id == alert_id);
        Ok(of_alert)
    })
}

/// Delivers what is due, and prints what became of the chosen deliveries. A scheduler that runs may take
/// them first: each is claimed once.
fn deliver(
    context: &Context,
    configuration: &Configuration,
    ledger: &Ledger,
    none: &'static str,
    chosen: impl Fn(&crate::ledger::Connection) -> Result<Vec<Delivery>, LedgerError>,
) -> anyhow::Result<()> {
    let (outbox, _) = wiring::outbox(configuration, ledger)?;
    context.block_on(async {
        outbox.deliver_due(context.now()).await?;
        // Where a channel has given up, the others have something to tell since.
        outbox.deliver_due(context.now()).await
    })??;
    // What the scheduler has taken first is on its way there.
    let (mut deliveries, until) = (ledger.read(&chosen)?, context.now().after(UNDER_WAY_MAX));
    while deliveries.iter().any(|delivery| delivery.state == DeliveryState::Sending) && context.now() < until {
        context.block_on(tokio::time::sleep(LOOK_EVERY))?;
        deliveries = ledger.read(&chosen)?;
    }
    context.output.table(&table(&deliveries, none), FormatArg::default())?;
    let missing = deliveries.iter().filter(|delivery| delivery.state != DeliveryState::Sent).count();
    if missing == 0 {
        return Ok(());
    }
    let told =
        format!("{} did not arrive; the scheduler goes on trying what failed", counted(missing, "message", "messages"));
    Err(CommandError::Failed(told).into())
}

fn catalogue() -> Table {
    let columns = vec![
        Column::text("event", "EVENT"),
        Column::text("level", "LEVEL"),
        Column::text("meaning", "MEANING"),
        Column::text("advice", "WHAT TO DO"),
        Column::unseen("resolves"),
        Column::unseen("routine"),
    ];
    let mut table = Table::new(columns, "");
    for event in AlertEvent::ALL {
        let resolves: Vec<&str> = event.resolves().iter().map(|ended| ended.as_str()).collect();
        table.push(vec![
            Cell::text(event.as_str()),
            Cell::text(if event.is_routine() { "routine" } else { event.level().as_str() }),
            Cell::text(event.meaning()),
            Cell::text(event.advice()),
            Cell::text(resolves.join(" ")),
            Cell::text(if event.is_routine() { "yes" } else { "no" }),
        ]);
    }
    table
}

fn table(deliveries: &[Delivery], none: &'static str) -> Table {
    let columns = vec![
        Column::number("delivery_id", "ID"),
        Column::text("at_utc", "RAISED"),
        Column::text("channel", "CHANNEL"),
        Column::text("state", "STATE"),
        Column::number("attempts", "TRIES"),
        Column::unseen("level"),
        Column::unseen("event"),
        Column::text("subject", "SUBJECT"),
        Column::unseen("not_before_utc"),
        Column::unseen("sent_utc"),
        Column::unseen("receipt"),
        Column::text("last_error", "LAST ERROR"),
    ];
    let mut table = Table::new(columns, none);
    for delivery in deliveries {
        let told = &delivery.alert.alert;
        table.push(vec![
            Cell::count(delivery.delivery_id),
            Cell::time(delivery.alert.at),
            Cell::text(&delivery.channel),
            Cell::text(delivery.state.as_str()),
            Cell::count(delivery.attempts),
            Cell::text(told.level.as_str()),
            Cell::text(&told.event),
            Cell::text(&told.subject),
            Cell::time(delivery.not_before),
            Cell::time_if(delivery.sent_at),
            Cell::text_if(delivery.receipt.as_ref()),
            Cell::text_if(delivery.last_error.as_ref()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use daybook_core::alert::AlertLevel;

    use super::*;

    #[test]
    fn a_test_goes_to_every_channel_or_to_the_one_that_is_named() {
        let email = Route { min_level: AlertLevel::Critical, ..Route::every("email") };
        let routes = Routes::from([Route::every("file"), email]);
        let tested = |channel| test_routes(&routes, channel).map(|tested| tested.channels);
        assert_eq!(tested(None).unwrap(), [Route::every("file"), Route::every("email")]);
        assert_eq!(tested(Some("email")).unwrap(), [Route::every("email")]);
        let unknown = tested(Some("e-mail")).unwrap_err();
        let expected = "there is no channel \"e-mail\": did you mean \"email\"? configured are file, email";
        assert_eq!(unknown, CommandError::Usage(expected.to_owned()));
    }
}
