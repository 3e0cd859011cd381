//! `trade positions`, `orders`, `fills`, `signals`, `runs` and `alerts`: the ledger's views as tables.

use clap::Args;
use daybook_core::money::{Money, Price};
use daybook_core::report::words;
use daybook_core::time::SessionDate;

use super::Context;
use super::output::{self, Column, FormatArg, Table};
use super::time::{date, session_of};
use crate::ledger::query::{Answer, Cell};
use crate::ledger::view::{Rows, View};

/// Which rows of a view.
#[derive(Debug, Args)]
pub struct Lookup {
    /// Of which session [default: the last one that has any]
    #[arg(long, value_name = "DATE", value_parser = date, conflicts_with = "all")]
    session: Option<SessionDate>,
    /// Of all sessions
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    format: FormatArg,
}

/// How a value of a view is shown on a terminal.
#[derive(Debug, Clone, Copy)]
enum Show {
    /// As it is.
    Plain,
    /// As a number, as it is.
    Number,
    /// As dollars and cents with a sign.
    Result,
    /// As dollars and cents.
    Amount,
    /// As a price.
    Price,
}

/// The columns of a view that a terminal has room for: name, heading, form.
fn shown(view: View) -> &'static [(&'static str, &'static str, Show)] {
    match view {
        View::Position => &[
            ("symbol", "SYMBOL", Show::Plain),
            ("direction", "SIDE", Show::Plain),
            ("state", "STATE", Show::Plain),
            ("quantity", "HELD", Show::Number),
            ("quantity_max", "QTY", Show::Number),
            ("opened_at_ny", "OPENED", Show::Plain),
            ("entry_price", "ENTRY", Show::Price),
            ("stop", "STOP", Show::Price),
            ("exit_price", "EXIT", Show::Price),
            ("realised", "REALISED", Show::Result),
            ("exit_reason", "REASON", Show::Plain),
        ],
        View::Order => &[
            ("submitted_at_ny", "SENT", Show::Plain),
            ("symbol", "SYMBOL", Show::Plain),
            ("side", "SIDE", Show::Plain),
            ("quantity", "QTY", Show::Number),
            ("order_type", "TYPE", Show::Plain),
            ("role", "ROLE", Show::Plain),
            ("status", "STATUS", Show::Plain),
            ("average_price", "PRICE", Show::Price),
            ("decided_by", "BECAUSE", Show::Plain),
        ],
        View::Fill => &[
            ("at_ny", "TRADED", Show::Plain),
            ("symbol", "SYMBOL", Show::Plain),
            ("side", "SIDE", Show::Plain),
            ("quantity", "QTY", Show::Number),
            ("price", "PRICE", Show::Price),
            ("fee", "FEE", Show::Amount),
            ("realised", "REALISED", Show::Result),
            ("order_role", "ROLE", Show::Plain),
        ],
        View::Signal => &[
            ("at_ny", "PROPOSED", Show::Plain),
            ("symbol", "SYMBOL", Show::Plain),
            ("strategy", "STRATEGY", Show::Plain),
            ("direction", "SIDE", Show::Plain),
            ("entry", "ENTRY", Show::Price),
            ("confidence_pct", "SURE %", Show::Number),
            ("quantity", "QTY", Show::Number),
            ("refused_by", "REFUSED BY", Show::Plain),
            ("refused_value", "WAS", Show::Plain),
            ("refused_limit", "LIMIT", Show::Plain),
        ],
        View::Run => &[
            ("run_id", "RUN", Show::Number),
            ("slot_at_ny", "SLOT", Show::Plain),
            ("job", "JOB", Show::Plain),
            ("state", "STATE", Show::Plain),
            ("attempts", "TRIES", Show::Number),
            ("summary", "SUMMARY", Show::Plain),
            ("reason", "REASON", Show::Plain),
        ],
        View::Alert => &[
            ("alert_id", "ID", Show::Number),
            ("at_ny", "RAISED", Show::Plain),
            ("level", "LEVEL", Show::Plain),
            ("subject", "SUBJECT", Show::Plain),
            ("sent_on", "SENT ON", Show::Plain),
            ("waiting_on", "WAITS ON", Show::Plain),
            ("dead_on", "GIVEN UP ON", Show::Plain),
            ("acknowledged_by", "NOTED BY", Show::Plain),
        ],
        View::Trade | View::Day | View::Equity | View::Regime => &[],
    }
}

impl Lookup {
    /// Prints the rows.
    ///
    /// # Errors
    /// If there is no such session, or the ledger cannot be read.
    pub fn run(&self, view: View, context: &Context) -> anyhow::Result<()> {
        let rows = match self.session {
            Some(date) => Rows::Of(session_of(&context.usable_configuration()?.settings.calendar(), date)?.date),
            None if self.all => Rows::All,
            None => Rows::OfLastSession,
        };
        let nothing = match rows {
            Rows::Of(date) => format!("none in the session of {date}"),
            Rows::All | Rows::OfLastSession => "none".to_owned(),
        };
        let answer = context.ledger()?.view(view, rows)?;
        context.output.table(&table(&answer, shown(view), nothing), self.format)
    }
}

/// A view's rows: all columns for programs, the chosen ones for people.
fn table(answer: &Answer, chosen: &[(&'static str, &'static str, Show)], nothing: String) -> Table {
    let of = |name: &str| chosen.iter().find(|(chosen, ..)| *chosen == name);
    let columns = answer.columns.iter().map(|name| match of(name) {
        Some((_, title, Show::Plain)) => Column::text(name.clone(), *title),
        Some((_, title, Show::Number | Show::Result | Show::Amount | Show::Price)) => {
            Column::number(name.clone(), *title)
        }
        None => Column::unseen(name.clone()),
    });
    let mut table = Table::new(columns.collect(), nothing).seen_as(chosen.iter().map(|(name, ..)| *name));
    for row in &answer.rows {
        let cells = row.iter().zip(&answer.columns).map(|(value, name)| {
            let cell = output::Cell::value(value);
            match (of(name), value) {
                (Some((.., show)), Cell::Real(number)) => cell.shown_as(number_words(*number, *show)),
                _ => cell,
            }
        });
        table.push(cells.collect());
    }
    table
}

fn number_words(number: f64, show: Show) -> String {
    let exact = match show {
        Show::Plain | Show::Number => None,
        Show::Result => Money::from_f64(number).ok().map(words::signed_dollars),
        Show::Amount => Money::from_f64(number).ok().map(words::dollars),
        Show::Price => Price::from_f64(number).ok().map(words::price),
    };
    exact.unwrap_or_else(|| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Paint;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn every_column_that_is_shown_is_there() {
        let day = TestLedger::new();
        for view in View::ALL {
            let answer = day.ledger.view(view, Rows::All).unwrap();
            for (name, ..) in shown(view) {
                assert!(answer.columns.iter().any(|column| column == name), "{} has no {name}", view.name());
            }
        }
    }

    #[test]
    fn numbers_are_shown_as_what_they_are() {
        let text = |text: &str| Cell::Text(text.to_owned());
        let answer = Answer {
            columns: ["symbol", "quantity_max", "entry_price", "realised", "account"].map(str::to_owned).to_vec(),
            rows: vec![vec![text("AAPL"), Cell::Real(44.0), Cell::Real(212.3), Cell::Real(-1234.5), text("paper")]],
        };
        let shown = table(&answer, shown(View::Position), String::new());
        insta::assert_snapshot!(shown.to_text(Paint::PLAIN, Some(100)));
        let csv = String::from_utf8(shown.to_csv().unwrap()).unwrap();
        assert_eq!(csv, "symbol,quantity_max,entry_price,realised,account\nAAPL,44.0,212.3,-1234.5,paper\n");
    }
}
