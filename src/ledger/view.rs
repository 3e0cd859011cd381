//! The promised views, row by row: dollars, shares, UTC and New York time.

use daybook_core::time::SessionDate;
use rusqlite::params;

use super::codec::Text;
use super::query::{Answer, Cell, answer_each};
use super::{Ledger, LedgerError};

/// A view that people and scripts may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// Closed positions.
    Trade,
    /// One row a session.
    Day,
    /// All positions.
    Position,
    /// Orders as the broker showed them last.
    Order,
    /// Executions.
    Fill,
    /// What strategies proposed and what risk said.
    Signal,
    /// Slots of jobs and what came of each.
    Run,
    /// What people were told.
    Alert,
    /// The account through its sessions.
    Equity,
    /// What the market was like, and how often it was looked at.
    Regime,
}

/// Which rows of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// All.
    All,
    /// Those of a session.
    Of(SessionDate),
    /// Those of the last session that has any; of positions also those that are still open.
    OfLastSession,
}

impl View {
    /// Every view.
    pub const ALL: [Self; 10] = [
        Self::Trade,
        Self::Day,
        Self::Position,
        Self::Order,
        Self::Fill,
        Self::Signal,
        Self::Run,
        Self::Alert,
        Self::Equity,
        Self::Regime,
    ];

    /// Its name in SQL: `v_trade`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trade => "v_trade",
            Self::Day => "v_day",
            Self::Position => "v_position",
            Self::Order => "v_order",
            Self::Fill => "v_fill",
            Self::Signal => "v_signal",
            Self::Run => "v_run",
            Self::Alert => "v_alert",
            Self::Equity => "v_equity",
            Self::Regime => "v_regime",
        }
    }

    /// The session of a row, as an expression.
    const fn session(self) -> &'static str {
        match self {
            Self::Alert => "substr(at_ny, 1, 10)",
            Self::Trade
            | Self::Day
            | Self::Position
            | Self::Order
            | Self::Fill
            | Self::Signal
            | Self::Run
            | Self::Equity
            | Self::Regime => "session",
        }
    }

    fn sql(self, rows: Rows) -> String {
        let (name, session) = (self.name(), self.session());
        let also = match self {
            Self::Position => " OR state <> 'closed'",
            Self::Trade
            | Self::Day
            | Self::Order
            | Self::Fill
            | Self::Signal
            | Self::Run
            | Self::Alert
            | Self::Equity
            | Self::Regime => "",
        };
        match rows {
            Rows::All => format!("SELECT * FROM {name}"),
            Rows::Of(_) => format!("SELECT * FROM {name} WHERE {session} = ?1"),
            Rows::OfLastSession => {
                format!("SELECT * FROM {name} WHERE {session} = (SELECT max({session}) FROM {name}){also}")
            }
        }
    }
}

impl Ledger {
    /// The rows of a view, all at once. For one that may have more rows than memory, see
    /// [`Ledger::view_each`].
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn view(&self, view: View, rows: Rows) -> Result<Answer, LedgerError> {
        let mut answer = Answer { columns: Vec::new(), rows: Vec::new() };
        let (columns, found) = (&mut answer.columns, &mut answer.rows);
        self.view_each::<LedgerError>(
            view,
            rows,
            |names| {
                *columns = names;
                Ok(())
            },
            |row| {
                found.push(row);
                Ok(())
            },
        )?;
        Ok(answer)
    }

    /// The rows of a view: `columns` gets the names once, `row` each row.
    ///
    /// # Errors
    /// If the ledger cannot be read; and what the closures return.
    pub fn view_each<E: From<LedgerError>>(
        &self,
        view: View,
        rows: Rows,
        columns: impl FnOnce(Vec<String>) -> Result<(), E>,
        row: impl FnMut(Vec<Cell>) -> Result<(), E>,
    ) -> Result<(), E> {
        // What the closures return is not the ledger's: it goes around `read`.
        self.read(|conn| {
            let mut statement = conn.prepare(&view.sql(rows))?;
            Ok(match rows {
                Rows::Of(session) => answer_each(&mut statement, params![Text(session)], columns, row),
                Rows::All | Rows::OfLastSession => answer_each(&mut statement, [], columns, row),
            })
        })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{TestLedger, session};

    #[test]
    fn rows_are_found_by_session() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let count = |rows| day.ledger.view(View::Run, rows).unwrap().rows.len();
        let other = session().plus_days(1);
        assert_eq!(
            (count(Rows::All), count(Rows::Of(session())), count(Rows::Of(other)), count(Rows::OfLastSession)),
            (1, 1, 0, 1)
        );
        let answer = day.ledger.view(View::Run, Rows::All).unwrap();
        assert_eq!((answer.columns[0].as_str(), &answer.rows[0][0]), ("run_id", &Cell::Integer(run.run_id)));
    }

    #[test]
    fn every_view_can_be_asked_in_every_way() {
        let day = TestLedger::new();
        for view in View::ALL {
            for rows in [Rows::All, Rows::Of(session()), Rows::OfLastSession] {
                assert!(day.ledger.view(view, rows).unwrap().rows.is_empty(), "{}", view.name());
            }
        }
    }
}
