//! `trade strategies`: what may propose trades, and whether it does; a script, tried.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use daybook_core::strategy::StrategySettings;

use super::Context;
use super::output::{Cell, Column, FormatArg, Table};
use super::script_check::Check;
use crate::ledger::script::{self, StoredFault};

/// `trade strategies`, with or without a verb.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct StrategiesCommand {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Reads a script, and asks it over some made-up sessions: its signals, or what is wrong with it and where
    #[command(after_help = "Examples:
  trade strategies check config/strategies/opening_range.lua
  trade strategies check my.lua --set closes=3 --sessions 20

The sessions are those of the configuration's simulated market. `trade backtest --strategy NAME` trades it on real bars.")]
    Check(Check),
}

impl StrategiesCommand {
    /// Prints the strategies as the configuration has them, or tries a script.
    ///
    /// # Errors
    /// If there is no right configuration, or standard output cannot be written.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        if let Some(Verb::Check(check)) = self.verb {
            return check.run(context);
        }
        let configuration = context.configuration()?;
        let faults = match context.ledger_if_there(&configuration)? {
            None => Vec::new(),
            Some(ledger) => ledger.read(script::faults)?,
        };
        context.output.table(&table(&configuration.settings.strategies, &faults)?, self.format)
    }
}

fn table(settings: &StrategySettings, faults: &[StoredFault]) -> anyhow::Result<Table> {
    let columns = vec![
        Column::text("strategy", "STRATEGY"),
        Column::text("state", "STATE"),
        Column::text("idea", "TRADES"),
        Column::unseen("settings"),
    ];
    let written = serde_json::to_value(settings).context("writing the settings of the strategies")?;
    let mut table = Table::new(columns, "no strategies");
    let state = |is_enabled| if is_enabled { "enabled" } else { "disabled" };
    for name in StrategySettings::NAMES {
        let (Some(strategy), Some(own)) = (settings.strategy(name), written.get(name)) else { continue };
        let enabled = state(strategy.is_enabled());
        table.push(vec![Cell::text(name), Cell::text(enabled), Cell::text(strategy.idea()), Cell::json(own)]);
    }
    for (name, script) in &settings.scripts {
        let fault = faults.iter().map(|stored| &stored.fault).find(|fault| fault.concerns(name, script));
        let (state, idea) = match fault {
            Some(fault) if script.enabled => ("stopped", fault.message.as_str()),
            _ => (state(script.enabled), script.script.as_str()),
        };
        table.push(vec![Cell::text(name), Cell::text(state), Cell::text(idea), Cell::json(script)]);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use daybook_core::strategy::ScriptFault;
    use daybook_core::time::Timestamp;

    use super::*;

    #[test]
    fn every_strategy_is_there_with_its_state_and_settings() {
        let settings: StrategySettings = serde_json::from_str(
            r#"{"gap_and_go": {"enabled": true},
                "scripts": {"mine": {"script": "my.lua", "sha256": "a"}, "other": {"script": "other.lua", "enabled": false}}}"#,
        )
        .unwrap();
        let fault = ScriptFault {
            strategy: "mine".to_owned(),
            sha256: "a".to_owned(),
            params: settings.scripts["mine"].params.clone(),
            symbol: "AAPL".parse().unwrap(),
            message: "my.lua:3: broken".to_owned(),
        };
        let of = |sha256: &str| {
            let fault =
                StoredFault { at: Timestamp(0), fault: ScriptFault { sha256: sha256.to_owned(), ..fault.clone() } };
            String::from_utf8(table(&settings, &[fault]).unwrap().to_csv().unwrap()).unwrap()
        };
        let csv = of("a");
        assert_eq!(csv.lines().count(), StrategySettings::NAMES.len() + 3, "{csv}");
        let gap = csv.lines().find(|line| line.starts_with("gap_and_go,enabled,")).unwrap();
        assert!(gap.contains("min_gap"), "{gap}");
        assert!(csv.contains("\ncomposite,disabled,"), "{csv}");
        assert!(
            csv.contains("\nmine,stopped,my.lua:3: broken,") && csv.contains("\nother,disabled,other.lua,"),
            "{csv}"
        );
        assert!(of("b").contains("\nmine,enabled,my.lua,"), "another text has another fault");
    }
}
