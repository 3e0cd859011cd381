use std::cmp::Ordering;
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use super::sizing::{Basis, Wanted, wanted};
use super::{Check, CheckName, Halt, Pause, RiskSettings, Verdict, protective_stop};
use crate::calendar::Session;
use crate::decision::{EquityPoint, Mark};
use crate::market::Symbol;
use crate::money::{Bps, Money, MoneyError, Price, Quantity};
use crate::strategy::{Direction, Signal, Wording};
use crate::time::{Span, Timestamp};

/// What the pre-trade gate knows when it reviews the signals of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskFacts {
    /// When the facts were gathered.
    pub as_of: Timestamp,
    /// The session that is traded.
    pub session: Session,
    /// Latches in force.
    pub halts: Vec<Halt>,
    /// Pauses of entries in force.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// The account's figures; exposure is that of `positions`.
    pub equity: EquityPoint,
    /// What new positions may cost, by the broker's word.
    pub buying_power: Money,
    /// Open positions, at their marks.
    pub positions: Vec<Commitment>,
    /// Orders that wait to enter, and intents to enter that were not sent yet, at their prices.
    pub working_entries: Vec<Commitment>,
    /// The symbol of each entry of this session, whether its position is open or closed again.
    pub entered_today: Vec<Symbol>,
    /// What is known of the symbols that signals speak of.
    pub symbols: Vec<SymbolFacts>,
    /// Analysis runs that have decided, over the ledger's life.
    pub analysis_cycles: u32,
    /// The results of the latest closed trades, less fees: as many as the sizing looks at.
    #[serde(default)]
    pub latest_results: Vec<Money>,
}

/// A symbol and the value that is bound in it; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    /// The symbol.
    pub symbol: Symbol,
    /// Shares at their price.
    pub value: Money,
}

/// What the gate knows of a symbol's market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolFacts {
    /// The symbol.
    pub symbol: Symbol,
    /// Its present price: a quote's middle, or the last trade.
    pub mark: Option<Mark>,
    /// Minute bars seen of this session.
    pub bars: u32,
    /// The average true range of the sessions before.
    #[serde(default)]
    pub daily_atr: Option<Price>,
}

/// Reviews the signals of one run: for each, in the order given, the size it may have or the check
/// that refuses it.
///
/// The surest signal is reviewed first (ties: by symbol, then strategy), and what it is granted is
/// taken from what the next may use: places, exposure and buying power. Every check is made, also
/// after one has failed, so that a person sees all the numbers; those of size are left out where
/// there is no size. Untold, a verdict has no checks but the name of the one that refused.
#[must_use]
pub fn review(signals: &[Signal], facts: &RiskFacts, settings: &RiskSettings, wording: Wording) -> Vec<Verdict> {
    let mut ranked: Vec<(usize, &Signal)> = signals.iter().enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| surest_first(a, b));
    let mut room = Room::left_by(facts);
    let mut verdicts: Vec<(usize, Verdict)> = ranked
        .into_iter()
        .map(|(place, signal)| (place, review_one(signal, None, facts, settings, &mut room, Checks::new(wording))))
        .collect();
    verdicts.sort_by_key(|(place, _)| *place);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// Reviews what a person proposes, of the size that they ask for: by the same checks, but for those that ask a strategy
/// how sure it is and how much it has seen. More than the sizing allows is refused, not cut.
#[must_use]
pub(super) fn review_asked(signal: &Signal, asked: Quantity, facts: &RiskFacts, settings: &RiskSettings) -> Verdict {
    let mut room = Room::left_by(facts);
    review_one(signal, Some(asked), facts, settings, &mut room, Checks::new(Wording::Told))
}

/// The order in which signals are reviewed: the surest first, ties by symbol and strategy.
pub(super) fn surest_first(a: &Signal, b: &Signal) -> Ordering {
    b.confidence.cmp(&a.confidence).then_with(|| a.symbol.cmp(&b.symbol)).then_with(|| a.strategy.cmp(&b.strategy))
}

/// What the account has left for further entries.
struct Room<'f> {
    facts: &'f RiskFacts,
    positions: usize,
    exposure: Money,
    buying_power: Money,
    /// The symbols that were granted an entry, each its own.
    granted: Vec<Symbol>,
}

impl<'f> Room<'f> {
    fn left_by(facts: &'f RiskFacts) -> Self {
        let committed = facts.positions.iter().chain(&facts.working_entries);
        // Saturated exposure is beyond every limit: it refuses, which is the safe side.
        let exposure = committed.fold(0, |sum: i64, commitment| sum.saturating_add(commitment.value.0));
        Self {
            facts,
            positions: facts.positions.len() + facts.working_entries.len(),
            exposure: Money(exposure),
            buying_power: facts.buying_power,
            granted: Vec::new(),
        }
    }

    /// Whether the symbol is held, ordered or granted.
    fn is_taken(&self, symbol: Symbol) -> bool {
        let is_committed = |commitments: &[Commitment]| commitments.iter().any(|other| other.symbol == symbol);
        is_committed(&self.facts.positions)
            || is_committed(&self.facts.working_entries)
            || self.granted.contains(&symbol)
    }

    /// How often the symbol was entered today.
    fn entries(&self, symbol: Symbol) -> u32 {
        let entries = self.facts.entered_today.iter().filter(|entered| **entered == symbol).count();
        u32::try_from(entries).unwrap_or(u32::MAX)
    }

    fn grant(&mut self, symbol: Symbol, value: Money) {
        self.positions += 1;
        self.exposure = Money(self.exposure.0.saturating_add(value.0));
        self.buying_power = Money(self.buying_power.0.saturating_sub(value.0));
        self.granted.push(symbol);
    }
}

/// How many checks a signal meets.
const CHECKS: usize = 15;

/// The checks of one signal, as they are made.
struct Checks {
    wording: Wording,
    refused_by: Option<CheckName>,
    told: Vec<Check>,
}

impl Checks {
    fn new(wording: Wording) -> Self {
        let told = match wording {
            Wording::Told => Vec::with_capacity(CHECKS),
            Wording::Untold => Vec::new(),
        };
        Self { wording, refused_by: None, told }
    }

    fn add(&mut self, name: CheckName, passed: bool, value: impl Display, limit: impl Display) {
        if !passed && self.refused_by.is_none() {
            self.refused_by = Some(name);
        }
        if self.wording == Wording::Told {
            self.told.push(Check { name, passed, value: value.to_string(), limit: limit.to_string() });
        }
    }
}

/// The size of an entry, and what bounds it.
struct Size {
    quantity: Quantity,
    value: Money,
    is_allowed: bool,
    grounds: SizeGrounds,
}

/// Why an entry has its size.
enum SizeGrounds {
    /// There is nothing to size by.
    None { equity: Money, price: Price, distance: Price, stop: Price },
    /// What the sizing wanted, and the shares that are left of it.
    Wanted { quantity: Quantity, wanted: Wanted },
    /// What a person asked for, and what the sizing allows.
    Asked { asked: Quantity, allowed: Quantity, wanted: Wanted },
}

impl Display for SizeGrounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None { equity, price, distance, stop } => {
                write!(f, "no shares: equity {equity}, price {price}, {distance} to the stop at {stop}")
            }
            Self::Wanted { quantity, wanted } => write!(f, "{quantity} shares: {wanted}"),
            Self::Asked { asked, allowed, wanted } => {
                write!(f, "{asked} shares asked for, {allowed} allowed: {wanted}")
            }
        }
    }
}

/// What stands there, or that nothing does.
fn or_none(text: Option<impl Display>) -> impl Display {
    fmt::from_fn(move |f| match &text {
        Some(text) => text.fmt(f),
        None => f.write_str("none"),
    })
}

/// Reviews a signal for as many shares as the sizing says, or for those that were `asked` for.
fn review_one(
    signal: &Signal,
    asked: Option<Quantity>,
    facts: &RiskFacts,
    settings: &RiskSettings,
    room: &mut Room<'_>,
    mut checks: Checks,
) -> Verdict {
    check_moment(&mut checks, signal, facts, settings);
    let mark = check_price(&mut checks, signal, facts, settings);
    if asked.is_none() {
        check_grounds(&mut checks, signal, facts, settings);
    }
    check_place(&mut checks, signal, settings, room);

    let size = size_of(signal, asked, mark, facts, settings);
    let fits = match &size {
        Ok(size) => {
            let lot = settings.lot_size;
            match size.grounds {
                SizeGrounds::Asked { allowed, .. } => {
                    let limit = format_args!("at most {allowed}, in lots of {lot}");
                    checks.add(CheckName::Size, size.is_allowed, &size.grounds, limit);
                }
                SizeGrounds::None { .. } | SizeGrounds::Wanted { .. } => {
                    let limit = format_args!("at least one lot of {lot}");
                    checks.add(CheckName::Size, size.is_allowed, &size.grounds, limit);
                }
            }
            size.quantity.is_positive().then_some(size)
        }
        Err(error) => {
            checks.add(CheckName::Size, false, error, "a size that can be computed");
            None
        }
    };
    if let Some(size) = fits {
        check_room(&mut checks, size, settings, room);
    }

    let Checks { refused_by, told: checks, .. } = checks;
    let quantity = match (refused_by, fits) {
        (None, Some(size)) => {
            room.grant(signal.symbol, size.value);
            Some(size.quantity)
        }
        (Some(_), _) | (None, None) => None,
    };
    Verdict { quantity, refused_by, checks }
}

/// Whether this is a moment to trade at all.
fn check_moment(checks: &mut Checks, signal: &Signal, facts: &RiskFacts, settings: &RiskSettings) {
    let now = facts.as_of;
    let halt = facts.halts.iter().find(|halt| halt.holds_at(now));
    let standing = halt.map(|halt| fmt::from_fn(move |f| write!(f, "{}: {}", halt.kind.as_str(), halt.reason)));
    checks.add(CheckName::Halted, halt.is_none(), or_none(standing), "no halt");

    let pause = facts.pauses.iter().find(|pause| pause.stops(signal.symbol, now));
    checks.add(CheckName::Protections, pause.is_none(), or_none(pause.map(Pause::words)), "no pause");

    let pnl = facts.equity.day_pnl();
    let limit = settings.max_daily_loss.negated();
    checks.add(CheckName::DayLoss, pnl > limit, pnl, format_args!("above {limit}"));

    checks.add(CheckName::Validity, now <= signal.valid_until, now, format_args!("until {}", signal.valid_until));

    let left = if now < facts.session.open { Span::ZERO } else { span(facts.session.close.since(now)) };
    let enough = !left.is_zero() && left >= settings.min_session_left;
    checks.add(CheckName::SessionTime, enough, format_args!("{left} left"), settings.min_session_left);
}

/// Whether the price is one to trade on; the answer is the price the entry is sized at.
fn check_price(checks: &mut Checks, signal: &Signal, facts: &RiskFacts, settings: &RiskSettings) -> Price {
    let mark = facts.symbols.iter().find(|known| known.symbol == signal.symbol).and_then(|known| known.mark);
    let Some(mark) = mark else {
        checks.add(
            CheckName::PriceSanity,
            is_sane(signal, signal.entry),
            sides(signal, signal.entry),
            "stop, price, target in order",
        );
        checks.add(CheckName::PriceAge, false, "no price", settings.max_price_age);
        return signal.entry;
    };
    let moved = mark.price.minus(signal.entry).and_then(|distance| distance.abs().ratio_of(signal.entry));
    let close = matches!(moved, Ok(ratio) if ratio <= settings.absurd_move);
    checks.add(
        CheckName::PriceSanity,
        close && is_sane(signal, signal.entry) && is_sane(signal, mark.price),
        sides(signal, mark.price),
        format_args!("stop, price, target in order; within {} of {}", settings.absurd_move, signal.entry),
    );
    let age = span(facts.as_of.since(mark.at));
    checks.add(CheckName::PriceAge, age <= settings.max_price_age, age, settings.max_price_age);
    mark.price
}

fn is_sane(signal: &Signal, price: Price) -> bool {
    let (low, high) = match signal.direction {
        Direction::Long => (signal.stop, signal.target),
        Direction::Short => (signal.target, signal.stop),
    };
    low.is_positive() && low < price && price < high
}

fn sides(signal: &Signal, price: Price) -> impl Display {
    let Signal { direction, stop, target, .. } = signal;
    fmt::from_fn(move |f| write!(f, "{} stop {stop}, price {price}, target {target}", direction.as_str()))
}

/// Whether a strategy has seen enough, and is sure enough.
fn check_grounds(checks: &mut Checks, signal: &Signal, facts: &RiskFacts, settings: &RiskSettings) {
    let bars = facts.symbols.iter().find(|known| known.symbol == signal.symbol).map_or(0, |known| known.bars);
    checks.add(
        CheckName::WarmUp,
        bars >= settings.min_bars && facts.analysis_cycles >= settings.warm_up_cycles,
        format_args!("{bars} bars, {} analyses", facts.analysis_cycles),
        format_args!("{} bars, {} analyses", settings.min_bars, settings.warm_up_cycles),
    );
    checks.add(
        CheckName::Confidence,
        signal.confidence > settings.min_confidence && signal.confidence <= Bps::ONE,
        signal.confidence,
        format_args!("above {}", settings.min_confidence),
    );
}

/// Whether there is a place for the signal.
fn check_place(checks: &mut Checks, signal: &Signal, settings: &RiskSettings, room: &Room<'_>) {
    let (is_taken, entries) = (room.is_taken(signal.symbol), room.entries(signal.symbol));
    let standing = fmt::from_fn(|f| match (is_taken, entries) {
        (true, _) => f.write_str("held or ordered"),
        (false, 0) => f.write_str("new today"),
        (false, 1) => f.write_str("entered today"),
        (false, entries) => write!(f, "entered {entries} times today"),
    });
    let most = fmt::from_fn(|f| match settings.max_entries {
        1 => f.write_str("one entry a symbol and day"),
        most => write!(f, "{most} entries a symbol and day"),
    });
    checks.add(CheckName::DuplicateSymbol, !is_taken && entries < settings.max_entries, standing, most);
    let granted = u32::try_from(room.granted.len()).unwrap_or(u32::MAX);
    checks.add(
        CheckName::Rank,
        granted < settings.execute_top_n,
        format_args!("{granted} surer ones approved"),
        format_args!("best {}", settings.execute_top_n),
    );
    let most = usize::try_from(settings.max_positions).unwrap_or(usize::MAX);
    checks.add(CheckName::Positions, room.positions < most, format_args!("{} held or ordered", room.positions), most);
}

/// The shares that the sizing asks for and the value cap allows, in whole lots.
///
/// The cap is `max_position_value / price`; the smaller counts. What was `asked` for has to be within it.
fn size_of(
    signal: &Signal,
    asked: Option<Quantity>,
    price: Price,
    facts: &RiskFacts,
    settings: &RiskSettings,
) -> Result<Size, MoneyError> {
    let stop = protective_stop(signal, settings)?;
    let distance = match signal.direction {
        Direction::Long => price.minus(stop)?,
        Direction::Short => stop.minus(price)?,
    };
    let equity = facts.equity.equity;
    if !distance.is_positive() || !price.is_positive() || !equity.is_positive() {
        let grounds = SizeGrounds::None { equity, price, distance, stop };
        return Ok(Size { quantity: Quantity::ZERO, value: Money::ZERO, is_allowed: false, grounds });
    }
    let known = facts.symbols.iter().find(|known| known.symbol == signal.symbol);
    let daily_atr = known.and_then(|known| known.daily_atr);
    let wanted = wanted(&Basis { equity, price, stop, distance, daily_atr, results: &facts.latest_results }, settings)?;
    let most = settings.max_position_value.shares_at(price)?;
    let allowed = wanted.shares.min(most).max(Quantity::ZERO).floor_to_lot(settings.lot_size);
    let (quantity, is_allowed, grounds) = match asked {
        None => (allowed, allowed.is_positive(), SizeGrounds::Wanted { quantity: allowed, wanted }),
        Some(asked) => {
            let is_in_lots = asked.is_positive() && asked == asked.floor_to_lot(settings.lot_size);
            (asked, is_in_lots && asked <= allowed, SizeGrounds::Asked { asked, allowed, wanted })
        }
    };
    Ok(Size { quantity, value: price.times(quantity)?, is_allowed, grounds })
}

/// Whether the account has room for an entry of this size.
fn check_room(checks: &mut Checks, size: &Size, settings: &RiskSettings, room: &Room) {
    let cap = settings.max_position_value;
    checks.add(CheckName::PositionValue, size.value <= cap, size.value, cap);
    let exposure = Money(room.exposure.0.saturating_add(size.value.0));
    checks.add(CheckName::Exposure, exposure <= settings.max_exposure, exposure, settings.max_exposure);
    checks.add(CheckName::BuyingPower, size.value <= room.buying_power, size.value, room.buying_power);
}

/// A duration as a person reads it; an age or a rest beyond a hundred years is none that occurs.
pub(super) fn span(duration: std::time::Duration) -> Span {
    let whole_seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    Span::seconds(whole_seconds)
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
