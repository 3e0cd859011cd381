//! `trade halt`, `resume`, `approve`, `reject`, `stop-everything`, `buy`, `sell`, `close` and `cancel`: a person steps in.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use daybook_core::market::Symbol;
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::order::Side;
use daybook_core::risk::{HandOrder, HandSize};

use super::ask::{ask, ask_scheduler};
use super::exit::CommandError;
use super::output::say;
use super::{Context, unusable_here};
use crate::config::load_usable;
use crate::engine::commands::{Command, Trade};
use crate::ledger::approval::Answer;
use crate::ledger::{LedgerError, LedgerLock};

/// What a person types to confirm the emergency stop.
const CONFIRMATION: &str = "stop";

/// Why it is asked for.
#[derive(Debug, Args)]
pub struct ReasonArg {
    /// Why; it stands in the ledger
    #[arg(long, value_name = "TEXT", default_value = "asked for by hand")]
    reason: String,
}

/// `trade stop-everything`.
#[derive(Debug, Args)]
pub struct StopCommand {
    #[command(flatten)]
    why: ReasonArg,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
}

/// `trade approve` and `trade reject`.
#[derive(Debug, Args)]
pub struct AnswerCommand {
    /// The entry: its symbol, the name of its order, or its number, as `trade status` shows them
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    entry: Option<String>,
    /// Every entry that waits
    #[arg(long)]
    all: bool,
    /// Why; it stands in the ledger
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// `trade buy`, and what `trade sell` has in common with it.
#[derive(Debug, Args)]
pub struct OrderCommand {
    /// What to trade
    symbol: Symbol,
    /// How many shares
    #[arg(required_unless_present = "notional", conflicts_with = "notional")]
    shares: Option<Quantity>,
    /// As many whole lots as so many dollars buy
    #[arg(long, value_name = "DOLLARS")]
    notional: Option<Money>,
    /// The worst price of an entry [default: at the market, or as risk.entry_order says]
    #[arg(long, value_name = "PRICE")]
    limit: Option<Price>,
    /// Where its loss is taken [default: as far away as risk.stop_loss allows]
    #[arg(long, value_name = "PRICE")]
    stop: Option<Price>,
    /// Where its profit is taken [default: one and a half times as far as the stop]
    #[arg(long, value_name = "PRICE")]
    target: Option<Price>,
}

/// `trade sell`.
#[derive(Debug, Args)]
pub struct SellCommand {
    #[command(flatten)]
    order: OrderCommand,
    /// Sell short what is not held
    #[arg(long)]
    short: bool,
}

/// `trade close`.
#[derive(Debug, Args)]
#[group(id = "position", required = true, multiple = false, args = ["symbol", "all"])]
pub struct CloseCommand {
    /// The symbol whose position is closed
    symbol: Option<Symbol>,
    /// Every position
    #[arg(long)]
    all: bool,
}

/// `trade cancel`.
#[derive(Debug, Args)]
#[group(id = "orders", required = true, multiple = false, args = ["order", "all"])]
pub struct CancelCommand {
    /// The order, by the broker's name for it or by the one it was sent under
    order: Option<String>,
    /// Every open order
    #[arg(long)]
    all: bool,
}

impl ReasonArg {
    /// Stops new entries.
    ///
    /// # Errors
    /// As [`ask`]; so for the others below.
    pub fn halt(self, context: &Context) -> anyhow::Result<()> {
        operate(context, &Command::Halt { reason: self.reason })
    }

    /// Clears every latch.
    pub fn resume(self, context: &Context) -> anyhow::Result<()> {
        operate(context, &Command::Resume { reason: self.reason })
    }
}

impl StopCommand {
    /// Halts, cancels and closes everything.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        if !self.yes {
            confirm()?;
        }
        operate(context, &Command::Trade(Trade::StopEverything { reason: self.why.reason }))
    }
}

impl AnswerCommand {
    /// Says yes: the entry is sent.
    pub fn approve(self, context: &Context) -> anyhow::Result<()> {
        self.answer(Answer::Approved, context)
    }

    /// Says no: the entry is not sent.
    pub fn reject(self, context: &Context) -> anyhow::Result<()> {
        self.answer(Answer::Rejected, context)
    }

    fn answer(self, answer: Answer, context: &Context) -> anyhow::Result<()> {
        operate(context, &Command::Answer { answer, entry: self.entry, reason: self.reason })
    }
}

impl OrderCommand {
    /// Buys, through the gate that every entry passes.
    pub fn buy(self, context: &Context) -> anyhow::Result<()> {
        operate(context, &Command::Trade(Trade::Order(self.order(Side::Buy, false)?)))
    }

    fn order(self, side: Side, short: bool) -> Result<HandOrder, CommandError> {
        let Self { symbol, shares, notional, limit, stop, target } = self;
        let size = match (shares, notional) {
            (Some(shares), _) if shares.is_positive() => HandSize::Shares(shares),
            (None, Some(dollars)) if dollars.is_positive() => HandSize::Worth(dollars),
            (Some(_), _) | (None, _) => {
                let side = side.as_str();
                let message = format!("how much? More than none is expected, as in `trade {side} {symbol} 10`");
                return Err(CommandError::Usage(message));
            }
        };
        for (option, price) in [("--limit", limit), ("--stop", stop), ("--target", target)] {
            let Some(price) = price else { continue };
            if !price.is_positive() {
                return Err(CommandError::Usage(format!("{option} {price}: expected a price above zero")));
            }
            if price != price.round_to_tick_down() {
                let (tick, below) = (price.tick(), price.round_to_tick_down());
                let message =
                    format!("{option} {price} is no price that trades: expected steps of {tick}, such as {below}");
                return Err(CommandError::Usage(message));
            }
        }
        Ok(HandOrder { symbol, side, size, short, limit, stop, target })
    }
}

impl SellCommand {
    /// Sells what is held, or short.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        operate(context, &Command::Trade(Trade::Order(self.order.order(Side::Sell, self.short)?)))
    }
}

impl CloseCommand {
    /// Closes one position, or all.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        operate(context, &Command::Trade(Trade::Close { symbol: self.symbol }))
    }
}

impl CancelCommand {
    /// Cancels one order, or all.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        operate(context, &Command::Trade(Trade::Cancel { order: self.order }))
    }
}

/// Asks for something in a ledger that is there: a slip in its name must not make a new one.
///
/// A scheduler has the settings that it needs: with a configuration that cannot be used here it is asked all the same.
fn operate(context: &Context, command: &Command) -> anyhow::Result<()> {
    let (configuration, unusable) = load_usable(&context.sources())?;
    let path = &configuration.settings.ledger.path;
    if let Some(error) = unusable {
        let Some(holder) = LedgerLock::holder(path)? else { return Err(error.into()) };
        say(&format!("{}\nasking {holder}, which holds {}", unusable_here(&error), path.display()));
        return ask_scheduler(context, path, command, holder);
    }
    if !path.exists() {
        return Err(LedgerError::NotFound { path: path.clone() }.into());
    }
    ask(context, &configuration, command)
}

fn confirm() -> Result<(), CommandError> {
    if !io::stdin().is_terminal() {
        let message = "nobody is there to confirm the emergency stop: add --yes";
        return Err(CommandError::Usage(message.to_owned()));
    }
    // A prompt that cannot be shown is answered with nothing, which is no.
    let _ = write!(
        io::stderr(),
        "This stops new entries, cancels every order and closes every position at the market, until a person\n\
         resumes. Type \"{CONFIRMATION}\" to go on: "
    );
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    if read.is_ok() && answer.trim() == CONFIRMATION {
        return Ok(());
    }
    Err(CommandError::Refused("not confirmed: nothing was done".to_owned()))
}
