use serde::{Deserialize, Serialize};

use super::{DrawdownPause, LossPause, LowProfitPause, ProtectionSettings, StopPause};
use crate::market::Symbol;
use crate::money::{Bps, Money};
use crate::portfolio::Position;
use crate::strategy::Reason;
use crate::time::{Span, Timestamp};

/// What in the record of trades makes entries pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseKind {
    /// Too many positions were left at their stops.
    StopLossGuard,
    /// The last trade in a symbol lost.
    LossCooldown,
    /// The trades of some time lost too much of the equity.
    TradeDrawdown,
    /// The trades in a symbol do not earn enough.
    LowProfit,
    /// Trades in a symbol lost one after the other.
    LossStreak,
}

impl PauseKind {
    /// What a person calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StopLossGuard => "stop-loss guard",
            Self::LossCooldown => "cooldown after a loss",
            Self::TradeDrawdown => "drawdown of recent trades",
            Self::LowProfit => "low profit",
            Self::LossStreak => "loss streak",
        }
    }
}

/// A latch that stops entries for a time, in one symbol or in all. It stands in the ledger until its time is over or a
/// person resumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// What brought it about.
    pub kind: PauseKind,
    /// The symbol that is not entered; `None`: none is.
    pub symbol: Option<Symbol>,
    /// The numbers behind it.
    pub numbers: Vec<Reason>,
    /// When it began.
    pub since: Timestamp,
    /// When it ends, or ended.
    pub until: Timestamp,
}

impl Pause {
    /// Whether it stops an entry in `symbol` at `now`.
    #[must_use]
    pub fn stops(&self, symbol: Symbol, now: Timestamp) -> bool {
        now < self.until && self.symbol.is_none_or(|paused| paused == symbol)
    }

    /// Whom it concerns and why, in a line: `AAPL: cooldown after a loss (result -120.00)`.
    #[must_use]
    pub fn words(&self) -> String {
        let whom = self.symbol.map_or_else(|| "all symbols".to_owned(), |symbol| symbol.to_string());
        format!("{whom}: {} ({})", self.kind.as_str(), crate::report::words::reasons(&self.numbers))
    }
}

/// A trade of the past, as the protections look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastTrade {
    /// What was traded.
    pub symbol: Symbol,
    /// When its last share left.
    pub closed_at: Timestamp,
    /// Realised, less fees.
    pub net: Money,
    /// What the shares that entered were worth.
    pub cost: Money,
    /// Whether it lost, and its stop ended it.
    pub stopped: bool,
}

impl PastTrade {
    /// The trade that a position was; `None` while it is open.
    #[must_use]
    pub fn of(position: &Position) -> Option<Self> {
        let (symbol, net, cost) = (position.symbol, position.net(), position.entry_value);
        let stopped = net.is_negative() && position.was_stopped();
        position.closed_at.map(|closed_at| Self { symbol, closed_at, net, cost, stopped })
    }
}

/// What the protections know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TradeRecord {
    /// The trades of as long as any protection looks back, in the order in which they closed.
    pub trades: Vec<PastTrade>,
    /// The pauses that began in that time, whether they still hold or not.
    pub pauses: Vec<Pause>,
}

/// The pauses that the record of trades brings about now and that do not hold already.
///
/// A protection looks at the trades since its last pause began, so that the same trades never bring about two, also
/// where a person has ended the first.
#[must_use]
pub fn pauses(record: &TradeRecord, equity: Money, now: Timestamp, settings: &ProtectionSettings) -> Vec<Pause> {
    let mut found = Vec::new();
    let mut symbols: Vec<Symbol> = record.trades.iter().map(|trade| trade.symbol).collect();
    symbols.sort_unstable();
    symbols.dedup();
    let looks = |kind, symbol, within| Look { record, kind, symbol, within, now };
    found.extend(stop_loss_guard(&looks(PauseKind::StopLossGuard, None, settings.stop_loss_guard.within), settings));
    let within = settings.drawdown.within;
    found.extend(drawdown(&looks(PauseKind::TradeDrawdown, None, within), equity, &settings.drawdown));
    for symbol in symbols {
        let symbol = Some(symbol);
        let longest = settings.loss_cooldown;
        found.extend(loss_cooldown(&looks(PauseKind::LossCooldown, symbol, longest), settings.loss_cooldown));
        let within = settings.low_profit.within;
        found.extend(low_profit(&looks(PauseKind::LowProfit, symbol, within), &settings.low_profit));
        let within = settings.loss_streak.within;
        found.extend(loss_streak(&looks(PauseKind::LossStreak, symbol, within), &settings.loss_streak));
    }
    found
}

/// One protection's look at the record, for one symbol or for all.
struct Look<'a> {
    record: &'a TradeRecord,
    kind: PauseKind,
    symbol: Option<Symbol>,
    within: Span,
    now: Timestamp,
}

impl Look<'_> {
    /// The trades that count: not too long ago, and since the last pause of this kind began. None while it holds.
    fn trades(&self) -> Vec<PastTrade> {
        let own = |pause: &&Pause| pause.kind == self.kind && pause.symbol == self.symbol;
        let last = self.record.pauses.iter().filter(own).map(|pause| (pause.since, pause.until)).max();
        if last.is_some_and(|(_, until)| self.now < until) {
            return Vec::new();
        }
        let from = self.now.before(self.within.as_duration());
        let counts = |trade: &&PastTrade| {
            trade.closed_at >= from
                && last.is_none_or(|(since, _)| since < trade.closed_at)
                && self.symbol.is_none_or(|symbol| symbol == trade.symbol)
        };
        self.record.trades.iter().filter(counts).copied().collect()
    }

    fn begins(&self, numbers: Vec<Reason>, length: Span) -> Pause {
        let until = self.now.after(length.as_duration());
        Pause { kind: self.kind, symbol: self.symbol, numbers, since: self.now, until }
    }
}

fn stop_loss_guard(look: &Look<'_>, settings: &ProtectionSettings) -> Option<Pause> {
    let StopPause { stops: limit, within, pause } = settings.stop_loss_guard;
    let stops = count(look.trades().iter().filter(|trade| trade.stopped));
    let begins = limit > 0 && stops >= limit;
    begins.then(|| look.begins(vec![Reason::new("stops", format!("{stops} in {within} (limit {limit})"))], pause))
}

fn loss_cooldown(look: &Look<'_>, length: Span) -> Option<Pause> {
    let last = look.trades().last().copied().filter(|trade| !length.is_zero() && trade.net.is_negative())?;
    let mut pause = look.begins(vec![Reason::new("result", last.net)], length);
    // It counts from the loss, not from when it was seen.
    pause.until = last.closed_at.after(length.as_duration());
    (look.now < pause.until).then_some(pause)
}

fn drawdown(look: &Look<'_>, equity: Money, settings: &DrawdownPause) -> Option<Pause> {
    let DrawdownPause { limit, trades: least, within, pause } = *settings;
    let trades = look.trades();
    if limit <= Bps::ZERO || count(trades.iter()) < least {
        return None;
    }
    let (mut sum, mut peak, mut deepest) = (0_i64, 0_i64, 0_i64);
    for trade in &trades {
        sum = sum.saturating_add(trade.net.0);
        peak = peak.max(sum);
        deepest = deepest.max(peak.saturating_sub(sum));
    }
    let fallen = Money(deepest).ratio_of(equity).ok().filter(|fallen| *fallen >= limit)?;
    let numbers = vec![
        Reason::new("drawdown", format!("{fallen} of the equity in {within} (limit {limit})")),
        Reason::new("trades", trades.len()),
    ];
    Some(look.begins(numbers, pause))
}

fn low_profit(look: &Look<'_>, settings: &LowProfitPause) -> Option<Pause> {
    let LowProfitPause { trades: least, required, within, pause } = *settings;
    let trades = look.trades();
    if least == 0 || count(trades.iter()) < least {
        return None;
    }
    let sum =
        |part: fn(&PastTrade) -> Money| Money(trades.iter().map(part).fold(0, |sum, part| sum.saturating_add(part.0)));
    let (net, cost) = (sum(|trade| trade.net), sum(|trade| trade.cost));
    let profit = net.ratio_of(cost).ok().filter(|profit| *profit < required)?;
    let numbers = vec![
        Reason::new("profit", format!("{profit} of what was paid in {within} (at least {required})")),
        Reason::new("trades", trades.len()),
    ];
    Some(look.begins(numbers, pause))
}

fn loss_streak(look: &Look<'_>, settings: &LossPause) -> Option<Pause> {
    let LossPause { losses: limit, within, pause } = *settings;
    let losses = count(look.trades().iter().rev().take_while(|trade| trade.net.is_negative()));
    let begins = limit > 0 && losses >= limit;
    begins.then(|| {
        look.begins(vec![Reason::new("losses in a row", format!("{losses} in {within} (limit {limit})"))], pause)
    })
}

fn count<'a>(trades: impl Iterator<Item = &'a PastTrade>) -> u32 {
    u32::try_from(trades.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "pause_tests.rs"]
mod tests;
