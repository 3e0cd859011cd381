//! `trade strategies`: what may propose trades, and whether it does.

use anyhow::Context as _;
use daybook_core::strategy::StrategySettings;

use super::Context;
use super::output::{Cell, Column, FormatArg, Table};

/// `trade strategies`.
#[derive(Debug, clap::Args)]
pub struct StrategiesCommand {
    #[command(flatten)]
    format: FormatArg,
}

impl StrategiesCommand {
    /// Prints the strategies as the configuration has them.
    ///
    /// # Errors
    /// If there is no right configuration, or standard output cannot be written.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        context.output.table(&table(&context.configuration()?.settings.strategies)?, self.format)
    }
}

fn table(settings: &StrategySettings) -> anyhow::Result<Table> {
    let columns = vec![
        Column::text("strategy", "STRATEGY"),
        Column::text("state", "STATE"),
        Column::text("idea", "TRADES"),
        Column::unseen("settings"),
    ];
    let written = serde_json::to_value(settings).context("writing the settings of the strategies")?;
    let mut table = Table::new(columns, "no strategies");
    for name in StrategySettings::NAMES {
        let (Some(strategy), Some(own)) = (settings.strategy(name), written.get(name)) else { continue };
        let state = if strategy.is_enabled() { "enabled" } else { "disabled" };
        table.push(vec![Cell::text(name), Cell::text(state), Cell::text(strategy.idea()), Cell::json(own)]);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_is_there_with_its_state_and_settings() {
        let settings: StrategySettings = serde_json::from_str(r#"{"gap_and_go": {"enabled": true}}"#).unwrap();
        let csv = String::from_utf8(table(&settings).unwrap().to_csv().unwrap()).unwrap();
        assert_eq!(csv.lines().count(), StrategySettings::NAMES.len() + 1, "{csv}");
        let gap = csv.lines().find(|line| line.starts_with("gap_and_go,enabled,")).unwrap();
        assert!(gap.contains("min_gap"), "{gap}");
        assert!(csv.contains("\ncomposite,disabled,"), "{csv}");
    }
}
