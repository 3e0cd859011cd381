use clap::Args;
use daybook_core::market::{Jump, JumpFault, Symbol, jumps};
use daybook_core::report::words::counted;
use serde::Serialize;

use super::{StoreArg, days_of, unknown};
use crate::cli::Context;
use crate::cli::exit::CommandError;
use crate::cli::output::{Cell, Column, FormatArg, Table};

/// Whose bars are looked at.
#[derive(Debug, Args)]
pub struct Check {
    /// Whose [default: all]
    #[arg(value_name = "SYMBOL")]
    symbols: Vec<Symbol>,
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    format: FormatArg,
}

/// A jump of a symbol.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SymbolJump {
    symbol: Symbol,
    #[serde(flatten)]
    jump: Jump,
}

impl SymbolJump {
    /// The jump of a symbol.
    pub const fn of(symbol: Symbol, jump: Jump) -> Self {
        Self { symbol, jump }
    }

    /// What is wrong, and what is to be done.
    fn advice(&self) -> String {
        let Self { symbol, jump: Jump { session, fault, .. } } = self;
        match fault {
            JumpFault::Untold(ratio) => {
                format!("looks like a {ratio} split: if it is one, import {symbol},{session},split,{ratio}")
            }
            JumpFault::NotInBars(ratio) => {
                format!("the {ratio} split is not in these bars: they are adjusted already, take its row out")
            }
            JumpFault::DividendTooLarge(amount) => {
                format!("a dividend of {amount} is more than a share was worth, and changes nothing: mend its row")
            }
        }
    }

    /// All of it in a line.
    pub fn text(&self) -> String {
        let Self { symbol, jump: Jump { session, close, open, .. } } = self;
        format!("{symbol} {session}: {close} to {open}: {}", self.advice())
    }
}

impl Check {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<()> {
        let settings = context.configuration()?.settings;
        let (store, calendar) = (self.store.open(&settings), settings.calendar());
        let (all, actions) = (store.symbols()?, store.actions()?);
        if let Some(symbol) = self.symbols.iter().find(|symbol| !all.contains(symbol)) {
            return Err(unknown(*symbol).into());
        }
        let symbols = if self.symbols.is_empty() { &all } else { &self.symbols };
        let columns = vec![
            Column::text("symbol", "SYMBOL"),
            Column::text("session", "SESSION"),
            Column::number("close", "CLOSE BEFORE"),
            Column::number("open", "OPEN"),
            Column::text("fault", "WHAT TO DO"),
        ];
        let nothing = format!("{}: bars, splits and dividends agree", counted(symbols.len(), "symbol", "symbols"));
        let mut table = Table::new(columns, nothing);
        let mut found = 0;
        for symbol in symbols.iter().copied() {
            for jump in jumps(&days_of(symbol, &store.read(symbol)?, &calendar)?, actions.of(symbol))? {
                found += 1;
                let Jump { session, close, open, fault } = jump;
                table.push(vec![
                    Cell::text(symbol),
                    Cell::text(session),
                    Cell::text(close),
                    Cell::text(open),
                    Cell::json(&fault).shown_as(SymbolJump::of(symbol, jump).advice()),
                ]);
            }
        }
        context.output.table(&table, self.format)?;
        if found == 0 {
            return Ok(());
        }
        let (found, path) = (counted(found, "change", "changes"), store.actions_path());
        let message = format!("{found} between sessions on which the bars and {} do not agree", path.display());
        Err(CommandError::Failed(message).into())
    }
}
