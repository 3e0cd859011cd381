//! A day in words: every string that the page and the plain text show, so that both say the same.

use daybook_core::money::Bps;
use daybook_core::report::{DayReport, DayTrade, Fault, Limit, LimitUse, Refusal};
use serde::Serialize;

use daybook_core::report::words::{
    self, clock, counted, dollars, factor, held, long_date, percent, price, r_multiple, shares, signed_dollars,
    signed_percent, used_of_allowed, whole_percent, zone_letters,
};

/// Trades shown one by one: mail readers cut a page off at about 100 kB.
const TRADES_SHOWN_MAX: usize = 40;
/// Refusals shown one by one; more are summed up by check.
const REFUSALS_SHOWN_MAX: usize = 10;
/// Symbols named of a sum of refusals.
const SYMBOLS_SHOWN_MAX: usize = 8;
/// Faults shown.
const FAULTS_SHOWN_MAX: usize = 20;
/// Candidates shown of a scan.
const CANDIDATES_SHOWN_MAX: usize = 5;
/// From this share on a limit is shown as a warning; the same as risk's own warning.
const WARNING_BPS: i64 = 7_500;

/// Whether something is good, bad or neither: the page's colour for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tone {
    Up,
    Down,
    Warn,
    Plain,
}

#[derive(Debug, Serialize)]
pub(super) struct View {
    pub title: String,
    pub date: String,
    pub kind: &'static str,
    pub zone: String,
    pub tone: Tone,
    pub pnl: String,
    pub pnl_ratio: String,
    pub verdict: String,
    pub figures: Vec<(&'static str, String)>,
    pub open_positions: Vec<String>,
    pub halts: Vec<String>,
    pub trades: Vec<TradeRow>,
    pub trades_left_out: usize,
    pub signals: String,
    pub refusals: Vec<RefusalRow>,
    pub limits: Vec<LimitRow>,
    pub faults: Vec<FaultRow>,
    pub faults_left_out: usize,
    pub candidates: Vec<CandidateRow>,
    pub candidates_left_out: usize,
    pub next_session: String,
    pub counts: String,
    pub gathered: String,
    pub command: String,
}

#[derive(Debug, Serialize)]
pub(super) struct TradeRow {
    pub symbol: String,
    pub direction: &'static str,
    pub quantity: String,
    pub entered: String,
    pub entry_price: String,
    pub exited: String,
    pub exit_price: String,
    pub pnl: String,
    pub tone: Tone,
    pub r_multiple: String,
    pub strategy: String,
    pub story: String,
}

#[derive(Debug, Serialize)]
pub(super) struct RefusalRow {
    pub who: String,
    pub when: String,
    pub check: &'static str,
    pub why: String,
}

#[derive(Debug, Serialize)]
pub(super) struct LimitRow {
    pub label: &'static str,
    pub used: String,
    pub share: String,
    /// Filled part of the bar, in percent of its length.
    pub filled: i64,
    pub tone: Tone,
}

#[derive(Debug, Serialize)]
pub(super) struct FaultRow {
    pub at: String,
    pub what: String,
    pub detail: String,
    pub times: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct CandidateRow {
    pub rank: u32,
    pub symbol: String,
    pub factors: String,
}

impl View {
    pub(super) fn of(day: &DayReport) -> Self {
        Self {
            title: words::subject(day),
            date: long_date(day.session),
            kind: words::kind(day.kind),
            zone: zone_letters(day.opened_at),
            tone: tone(day.pnl.0),
            pnl: signed_dollars(day.pnl),
            pnl_ratio: signed_percent(day.pnl_ratio),
            verdict: words::verdict(day),
            figures: figures(day),
            open_positions: open_positions(day),
            halts: halts(day),
            trades: day.trades.iter().take(TRADES_SHOWN_MAX).map(trade_row).collect(),
            trades_left_out: day.trades.len().saturating_sub(TRADES_SHOWN_MAX),
            signals: signals(day),
            refusals: refusals(day),
            limits: day.limits.iter().map(limit_row).collect(),
            faults: day.faults.iter().take(FAULTS_SHOWN_MAX).map(fault_row).collect(),
            faults_left_out: day.faults.len().saturating_sub(FAULTS_SHOWN_MAX),
            candidates: candidates(day),
            candidates_left_out: day.candidates.len().saturating_sub(CANDIDATES_SHOWN_MAX),
            next_session: day
                .next_session
                .as_ref()
                .map_or_else(|| "beyond the last year of the calendar.".to_owned(), words::next_session),
            counts: counts(day),
            gathered: format!("Figures of {}.", words::instant(day.as_of)),
            command: format!("trade report day {}", day.session),
        }
    }
}

pub(super) const fn tone(sign: i64) -> Tone {
    match sign {
        1.. => Tone::Up,
        0 => Tone::Plain,
        _ => Tone::Down,
    }
}

fn figures(day: &DayReport) -> Vec<(&'static str, String)> {
    let wins = day.trades.iter().filter(|trade| trade.pnl.is_positive()).count();
    let mut figures = vec![
        ("Opening equity", dollars(day.opening_equity)),
        ("Closing equity", dollars(day.closing_equity)),
        ("Realised", signed_dollars(day.realised)),
        ("Fees", dollars(day.fees)),
        ("Max drawdown", format!("{} ({})", dollars(day.max_drawdown), percent(day.max_drawdown_ratio))),
        (
            "Win rate",
            day.win_rate
                .map_or("-".to_owned(), |rate| format!("{} ({wins} of {})", whole_percent(rate), day.trades.len())),
        ),
        (
            "Profit factor",
            match (day.profit_factor, wins) {
                (Some(ratio), _) => factor(ratio),
                (None, 0) => "-".to_owned(),
                (None, _) => "no loser".to_owned(),
            },
        ),
        ("Trades", day.trades.len().to_string()),
    ];
    if !day.unrealised.is_zero() {
        figures.push(("Unrealised", signed_dollars(day.unrealised)));
    }
    if !day.unexplained.is_zero() {
        figures.push(("Not by trading", signed_dollars(day.unexplained)));
    }
    figures
}

fn open_positions(day: &DayReport) -> Vec<String> {
    let line = |open: &daybook_core::report::OpenPosition| {
        let stop = open.stop.map_or_else(|| "no stop".to_owned(), |stop| format!("stop at {}", price(stop)));
        let (symbol, direction, quantity) = (open.symbol, open.direction.as_str(), shares(open.quantity));
        let (at, entry) = (clock(open.entered_at), price(open.entry_price));
        format!("{symbol}: {direction} {quantity} since {at} at {entry}, {stop}.")
    };
    day.open_positions.iter().map(line).collect()
}

fn halts(day: &DayReport) -> Vec<String> {
    let line = |latch: &daybook_core::report::DayHalt| {
        let span = words::halt_span(latch, day.as_of);
        let numbers = words::reasons(&latch.halt.numbers);
        let numbers = if numbers.is_empty() { numbers } else { format!(" ({numbers})") };
        let cleared = latch.cleared_by.as_deref().map(|who| format!(" Cleared by {who}.")).unwrap_or_default();
        format!("{span}: {}, {}{numbers}.{cleared}", words::halt(latch.halt.kind), latch.halt.reason)
    };
    day.halts.iter().map(line).collect()
}

fn trade_row(trade: &DayTrade) -> TradeRow {
    let reason = trade.exit_reason.as_deref().unwrap_or("for a reason not recorded");
    TradeRow {
        symbol: trade.symbol.to_string(),
        direction: trade.direction.as_str(),
        quantity: shares(trade.quantity),
        entered: clock(trade.entered_at),
        entry_price: price(trade.entry_price),
        exited: clock(trade.exited_at),
        exit_price: price(trade.exit_price),
        pnl: signed_dollars(trade.pnl),
        tone: tone(trade.pnl.0),
        r_multiple: trade.r_multiple.map(r_multiple).unwrap_or_default(),
        strategy: trade.strategy.clone().unwrap_or_else(|| "not ours".to_owned()),
        story: format!("{reason}, {}", held(trade.held())),
    }
}

fn signals(day: &DayReport) -> String {
    let refused = usize::try_from(day.refusals()).unwrap_or(usize::MAX);
    let all = counted(day.taken.len().saturating_add(refused), "signal", "signals");
    format!("{all}, {} taken, {refused} refused", day.taken.len())
}

fn refusals(day: &DayReport) -> Vec<RefusalRow> {
    if day.refused.len() <= REFUSALS_SHOWN_MAX {
        return day.refused.iter().map(refusal_row).collect();
    }
    let mut by_check: Vec<Vec<&Refusal>> = Vec::new();
    for refusal in &day.refused {
        match by_check.iter_mut().find(|group| group.iter().any(|other| other.check == refusal.check)) {
            Some(group) => group.push(refusal),
            None => by_check.push(vec![refusal]),
        }
    }
    by_check.sort_by_key(|group| std::cmp::Reverse(group.len()));
    by_check.iter().filter_map(|group| group_row(group)).collect()
}

fn refusal_row(refusal: &Refusal) -> RefusalRow {
    let times = if refusal.times > 1 { format!(" ({} times)", refusal.times) } else { String::new() };
    RefusalRow {
        who: format!("{} {}", refusal.symbol, refusal.direction.as_str()),
        when: clock(refusal.at),
        check: words::check(refusal.check),
        why: format!("{}{times}", measured(refusal)),
    }
}

/// `$11,204.00; limit: $10,000.00`.
fn measured(refusal: &Refusal) -> String {
    match (refusal.value.as_str(), refusal.limit.as_str()) {
        ("", "") => "without numbers".to_owned(),
        (value, "") => value.to_owned(),
        ("", limit) => format!("limit: {limit}"),
        (value, limit) => format!("{value}; limit: {limit}"),
    }
}

/// Refusals by the same check as one row: how many, of what, and the first one's numbers.
fn group_row(group: &[&Refusal]) -> Option<RefusalRow> {
    let first = group.first()?;
    if group.len() == 1 {
        return Some(refusal_row(first));
    }
    let mut symbols: Vec<&str> = group.iter().map(|refusal| refusal.symbol.as_str()).collect();
    symbols.dedup();
    let more = symbols.len().saturating_sub(SYMBOLS_SHOWN_MAX);
    let named = symbols[..symbols.len() - more].join(", ");
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let times = group.iter().fold(0_u32, |sum, refusal| sum.saturating_add(refusal.times));
    Some(RefusalRow {
        who: format!("{times} signals"),
        when: format!("from {}", clock(first.at)),
        check: words::check(first.check),
        why: format!("{named}{more}. The first: {}", measured(first)),
    })
}

fn limit_row(usage: &LimitUse) -> LimitRow {
    LimitRow {
        label: usage.limit.label(),
        used: used_of_allowed(usage),
        share: whole_percent(usage.share),
        filled: usage.share.0.clamp(0, Bps::ONE.0) / 100,
        tone: match usage.limit {
            Limit::DayLoss | Limit::Exposure if usage.is_reached() => Tone::Down,
            Limit::DayLoss | Limit::Exposure if usage.share.0 >= WARNING_BPS => Tone::Warn,
            // To fill these is a plan, not a danger.
            Limit::DayLoss | Limit::Exposure | Limit::Positions | Limit::PositionValue | Limit::Adjustments => {
                Tone::Plain
            }
        },
    }
}

fn fault_row(fault: &Fault) -> FaultRow {
    FaultRow {
        at: clock(fault.at),
        what: format!("{} {}", fault.kind.label(), fault.subject),
        detail: fault.detail.clone(),
        times: fault.times,
    }
}

fn candidates(day: &DayReport) -> Vec<CandidateRow> {
    let shown = day.candidates.iter().take(CANDIDATES_SHOWN_MAX);
    shown
        .map(|candidate| CandidateRow {
            rank: candidate.rank,
            symbol: candidate.symbol.to_string(),
            factors: words::reasons(&candidate.factors),
        })
        .collect()
}

fn counts(day: &DayReport) -> String {
    let number = |count: u32, one, many| counted(usize::try_from(count).unwrap_or(usize::MAX), one, many);
    format!(
        "{} due, {} done, {} sent, {}.",
        number(day.counts.slots, "slot", "slots"),
        number(day.counts.runs, "run", "runs"),
        number(day.counts.orders, "order", "orders"),
        number(day.counts.fills, "fill", "fills"),
    )
}
