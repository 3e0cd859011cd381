//! `trade notify`: what people were sent, and trying it again.

use clap::{Args, Subcommand};
use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::report::words::{counted, instant};

use super::Context;
use super::exit::CommandError;
use super::output::{Cell, Column, FormatArg, Table};
use crate::config::{Configuration, suggestion};
use crate::ledger::alert::{self, Delivery, DeliveryState, Route};
use crate::ledger::{Ledger, LedgerError};
use crate::wiring;

/// Deliveries looked through for those of one alert.
const LOOKED_THROUGH: u32 = 100;

/// `trade notify ...`.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// The last deliveries: what, on which channel, and whether it arrived
    List(List),
    /// Tries a delivery again that failed or was given up
    Retry(Retry),
    /// Sends a message on each channel, or on one, to see that it arrives
    #[command(after_help = "Examples:
  trade notify test
  trade notify test email")]
    Test(Test),
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
    #[arg(short, default_value_t = 20, value_name = "N")]
    number: u32,
    #[command(flatten)]
    format: FormatArg,
}

/// Which delivery.
#[derive(Debug, Args)]
pub struct Retry {
    /// Its number, as `trade notify list` shows it
    #[arg(value_name = "ID")]
    delivery_id: i64,
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
            Self::Catalogue(Catalogue { format }) => context.output.table(&catalogue(), format),
            Self::List(List { number, format }) => {
                let ledger = context.ledger()?;
                context.output.table(&table(&ledger.read(|conn| alert::deliveries(conn, number))?), format)
            }
            Self::Retry(Retry { delivery_id }) => {
                let (configuration, ledger) = (context.configuration()?, context.ledger()?);
                let now = context.now();
                ledger.write_blocking(move |tx| alert::retry(tx, delivery_id, now))?;
                deliver(context, &configuration, &ledger, |conn| Ok(vec![alert::get(conn, delivery_id)?]))
            }
            Self::Test(Test { channel }) => {
                let (configuration, ledger) = (context.configuration()?, context.ledger()?);
                let routes = test_routes(wiring::outbox(&configuration, &ledger)?.1, channel.as_deref())?;
                let subject = format!("Daybook can reach you: a test of {}", instant(context.now()));
                send(context, &configuration, &ledger, None, Alert::new(AlertEvent::ChannelTested, subject), routes)
            }
        }
    }
}

/// The routes of a test: every channel, or the one that is named, whatever level it is told otherwise.
fn test_routes(routes: Vec<Route>, channel: Option<&str>) -> Result<Vec<Route>, CommandError> {
    let all: Vec<Route> = routes.iter().map(|route| Route::every(&route.channel)).collect();
    let Some(wanted) = channel else { return Ok(all) };
    let names: Vec<&str> = routes.iter().map(|route| route.channel.as_str()).collect();
    if names.contains(&wanted) {
        return Ok(vec![Route::every(wanted)]);
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
    routes: Vec<Route>,
) -> anyhow::Result<()> {
    let now = context.now();
    let alert_id = ledger.write_blocking(move |tx| alert::raise(tx, run_id, &told, &routes, now))?;
    deliver(context, configuration, ledger, |conn| {
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
    chosen: impl Fn(&crate::ledger::Connection) -> Result<Vec<Delivery>, LedgerError>,
) -> anyhow::Result<()> {
    let (outbox, _) = wiring::outbox(configuration, ledger)?;
    context.block_on(async {
        outbox.deliver_due(context.now()).await?;
        // Where a channel has given up, the others have something to tell since.
        outbox.deliver_due(context.now()).await
    })??;
    let deliveries = ledger.read(chosen)?;
    context.output.table(&table(&deliveries), FormatArg::default())?;
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
    ];
    let mut table = Table::new(columns, "");
    for event in AlertEvent::ALL {
        let resolves: Vec<&str> = event.resolves().iter().map(|ended| ended.as_str()).collect();
        table.push(vec![
            Cell::text(event.as_str()),
            Cell::text(event.level().as_str()),
            Cell::text(event.meaning()),
            Cell::text(event.advice()),
            Cell::text(resolves.join(" ")),
        ]);
    }
    table
}

fn table(deliveries: &[Delivery]) -> Table {
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
    let mut table = Table::new(columns, "nothing was sent yet");
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
        let routes = || {
            let email = Route { min_level: AlertLevel::Critical, ..Route::every("email") };
            vec![Route::every("file"), email]
        };
        assert_eq!(test_routes(routes(), None).unwrap(), [Route::every("file"), Route::every("email")]);
        assert_eq!(test_routes(routes(), Some("email")).unwrap(), [Route::every("email")]);
        let unknown = test_routes(routes(), Some("e-mail")).unwrap_err();
        let expected = "there is no channel \"e-mail\": did you mean \"email\"? configured are file, email";
        assert_eq!(unknown, CommandError::Usage(expected.to_owned()));
    }
}
