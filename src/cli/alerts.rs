//! `trade alerts`: what people were told, and that they have taken note of it.

use clap::{Args, Subcommand};

use super::Context;
use super::ask::requested_by;
use super::lookup::Lookup;
use super::output::{Cell, Column, FormatArg, Table};
use crate::ledger::alert::{self, Acknowledged};
use crate::ledger::view::View;
use crate::wiring;

/// `trade alerts`, with or without a verb.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AlertsCommand {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    lookup: Lookup,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Takes note of critical alerts: nobody else is told of them, and a pager closes them
    Ack(Ack),
}

/// Which alerts.
#[derive(Debug, Args)]
#[group(id = "alerts", required = true, multiple = false, args = ["ids", "all"])]
struct Ack {
    /// Their numbers, as `trade alerts` shows them
    #[arg(value_name = "ID")]
    ids: Vec<i64>,
    /// Every critical alert that nobody has acknowledged
    #[arg(long)]
    all: bool,
    /// A word for the others; it stands in the ledger
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

impl AlertsCommand {
    /// Does what was asked for.
    ///
    /// # Errors
    /// If the ledger is unusable, or an alert needs no acknowledgement.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.verb {
            None => self.lookup.run(View::Alert, context),
            Some(Verb::Ack(ack)) => ack.run(context),
        }
    }
}

impl Ack {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { ids, all, note, format } = self;
        let (configuration, ledger) = (context.configuration()?, context.ledger()?);
        let (outbox, routes) = wiring::outbox(&configuration, &ledger)?;
        let (by, now) = (requested_by(), context.now());
        let acknowledged = ledger.write_blocking(move |tx| {
            let ids = if all { alert::unacknowledged(tx)?.iter().map(|open| open.alert_id).collect() } else { ids };
            alert::acknowledge(tx, &ids, &by, note.as_deref(), &routes, now)
        })?;
        // The acknowledgement stands. A scheduler that runs tells of it too, should a channel fail here.
        context.block_on(outbox.deliver_due(now))??;
        context.output.table(&table(&acknowledged), format)
    }
}

fn table(acknowledged: &[Acknowledged]) -> Table {
    let columns = vec![Column::number("alert_id", "ACKNOWLEDGED"), Column::text("subject", "SUBJECT")];
    let mut table = Table::new(columns, "nothing waits for an acknowledgement");
    for taken in acknowledged {
        table.push(vec![Cell::count(taken.alert_id), Cell::text(&taken.subject)]);
    }
    table
}
