use clap::Args;
use daybook_core::market::{ActionKind, Symbol};

use super::StoreArg;
use crate::adapters::feeds::files::ACTION_COLUMNS;
use crate::cli::Context;
use crate::cli::output::{Cell, Column, FormatArg, Table};

/// Whose splits and dividends are listed, and how.
#[derive(Debug, Args)]
pub struct Actions {
    /// Whose [default: all]
    #[arg(value_name = "SYMBOL")]
    symbols: Vec<Symbol>,
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    format: FormatArg,
}

impl Actions {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<()> {
        let store = self.store.open(&context.configuration()?.settings);
        let columns = ACTION_COLUMNS.map(|name| Column::text(name, name.to_uppercase().replace('_', " ")));
        let path = store.actions_path();
        let nothing = format!("no splits and dividends in {}: `trade bars import FILE` brings some in", path.display());
        let mut table = Table::new(columns.to_vec(), nothing);
        let is_wanted = |symbol: Symbol| self.symbols.is_empty() || self.symbols.contains(&symbol);
        for (symbol, action) in store.actions()?.iter().filter(|(symbol, _)| is_wanted(*symbol)) {
            let value = match action.kind {
                ActionKind::Split(ratio) => Cell::text(ratio),
                ActionKind::Dividend(amount) => Cell::text(amount),
            };
            table.push(vec![Cell::text(symbol), Cell::text(action.ex_date), Cell::text(action.kind.name()), value]);
        }
        context.output.table(&table, self.format)
    }
}
