//! A tear sheet in words: every string that the page shows.

use std::collections::BTreeMap;

use daybook_core::market::Symbol;
use daybook_core::money::MoneyError;
use daybook_core::report::words::{clock, counted, date, held, price, signed_dollars};
use daybook_core::statistics::words::{number, percent};
use daybook_core::statistics::{CONVENTIONS, ClosedTrade, Drawdown, Figures, MonthReturn, TradeFigures};
use serde::Serialize;

use super::{TearSheet, Trade, charts, prices};

/// Half a year: the window of the rolling Sharpe ratio, as in quantstats; a month, where there is less than a year.
const WINDOWS: [usize; 2] = [126, 21];
/// The deepest drawdowns shown.
const DRAWDOWNS_MAX: usize = 5;
/// Symbols shown with their prices: those with the most trades.
const PRICE_CHARTS_MAX: usize = 4;
/// Trades listed; the latest.
const TRADES_MAX: usize = 40;
/// The weakest and the strongest colour of a month.
const HEAT: (f64, f64) = (0.05, 0.55);
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Figures that stand at the top.
const TILES: [&str; 6] =
    ["Total return", "Growth a year (CAGR)", "Sharpe", "Sortino", "Max drawdown", "Volatility a year"];

#[derive(Debug, Serialize)]
pub(super) struct View {
    title: String,
    span: String,
    tiles: Vec<(&'static str, String)>,
    equity: Option<String>,
    drawdown: Option<String>,
    months: [&'static str; 12],
    years: Vec<Year>,
    rolling: Option<Picture>,
    distribution: Option<String>,
    drawdowns: Vec<Fall>,
    figures: Vec<(&'static str, String)>,
    trade_figures: Vec<(&'static str, String)>,
    prices: Vec<Picture>,
    prices_left_out: usize,
    trades: Vec<TradeRow>,
    trades_left_out: usize,
    conventions: &'static str,
}

/// A picture with its heading.
#[derive(Debug, Serialize)]
struct Picture {
    heading: String,
    aside: String,
    svg: String,
}

#[derive(Debug, Serialize)]
struct Year {
    year: i32,
    months: Vec<Option<Heat>>,
    total: Heat,
}

/// A return with the colour behind it.
#[derive(Debug, Serialize)]
struct Heat {
    text: String,
    tone: &'static str,
    strength: String,
}

#[derive(Debug, Serialize)]
struct Fall {
    depth: String,
    from: String,
    bottom: String,
    recovered: String,
    days: String,
}

#[derive(Debug, Serialize)]
struct TradeRow {
    symbol: String,
    entered: String,
    entry_price: String,
    exited: String,
    exit_price: String,
    held: String,
    pnl: String,
    tone: &'static str,
    reason: String,
}

impl View {
    pub(super) fn of(sheet: &TearSheet<'_>) -> Result<Self, MoneyError> {
        let TearSheet { title, series, trades, .. } = *sheet;
        let figures = Figures::of(series);
        let words = figures.in_words();
        let closed: Vec<ClosedTrade> = trades.iter().map(Trade::closed).collect();
        let trade_figures = if trades.is_empty() { Vec::new() } else { TradeFigures::of(&closed)?.in_words() };
        let span = figures.from.zip(figures.to).map_or_else(String::new, |(from, to)| format!("{from} to {to}, "));
        let (prices, prices_left_out) = price_charts(sheet);
        Ok(Self {
            title: title.to_owned(),
            span: format!("{span}{}", counted(figures.days, "day", "days")),
            tiles: TILES.iter().filter_map(|name| words.iter().find(|(known, _)| known == name).cloned()).collect(),
            equity: charts::equity(series),
            drawdown: charts::drawdown(series),
            months: MONTHS,
            years: years(&series.months()),
            rolling: rolling(sheet),
            distribution: charts::distribution(series),
            drawdowns: series.deepest_drawdowns().iter().take(DRAWDOWNS_MAX).map(fall).collect(),
            figures: words,
            trade_figures,
            prices,
            prices_left_out,
            trades: trades.iter().rev().take(TRADES_MAX).map(trade_row).collect(),
            trades_left_out: trades.len().saturating_sub(TRADES_MAX),
            conventions: CONVENTIONS,
        })
    }
}

fn rolling(sheet: &TearSheet<'_>) -> Option<Picture> {
    let [half_a_year, month] = WINDOWS;
    let window = if sheet.series.dates().len() >= 2 * half_a_year { half_a_year } else { month };
    let svg = charts::rolling_sharpe(sheet.series, window)?;
    let whole = sheet.series.returns().sharpe().map(|ratio| format!("dashed: all days, {}", number(ratio)));
    let heading = format!("Sharpe ratio of the last {window} days");
    Some(Picture { heading, aside: whole.unwrap_or_default(), svg })
}

fn years(months: &[MonthReturn]) -> Vec<Year> {
    let strongest = |values: &mut dyn Iterator<Item = f64>| values.map(f64::abs).fold(1e-9, f64::max);
    let month_max = strongest(&mut months.iter().map(|month| month.value));
    let by_year: Vec<&[MonthReturn]> = months.chunk_by(|a, b| a.year == b.year).collect();
    let total = |year: &[MonthReturn]| year.iter().map(|month| 1.0 + month.value).product::<f64>() - 1.0;
    let year_max = strongest(&mut by_year.iter().map(|year| total(year)));
    let row = |year: &&[MonthReturn]| {
        let cell =
            |wanted: u32| year.iter().find(|month| month.month == wanted).map(|month| heat(month.value, month_max));
        Some(Year {
            year: year.first()?.year,
            months: (1..=12).map(cell).collect(),
            total: heat(total(year), year_max),
        })
    };
    by_year.iter().filter_map(row).collect()
}

fn heat(value: f64, strongest: f64) -> Heat {
    let strength = HEAT.0 + (HEAT.1 - HEAT.0) * (value.abs() / strongest).min(1.0);
    let text = percent(value);
    let tone = if value < 0.0 { "down" } else { "up" };
    Heat { text: text.trim_end_matches(" %").to_owned(), tone, strength: format!("{strength:.2}") }
}

fn fall(drawdown: &Drawdown) -> Fall {
    Fall {
        depth: percent(drawdown.depth),
        from: drawdown.from.to_string(),
        bottom: drawdown.bottom.to_string(),
        recovered: drawdown.recovered.map_or_else(|| "not yet".to_owned(), |date| date.to_string()),
        days: counted(drawdown.days, "day", "days"),
    }
}

/// The charts of the symbols with the most trades, and how many more were traded.
fn price_charts(sheet: &TearSheet<'_>) -> (Vec<Picture>, usize) {
    let mut by_symbol: BTreeMap<Symbol, Vec<&Trade>> = BTreeMap::new();
    for trade in sheet.trades {
        by_symbol.entry(trade.symbol).or_default().push(trade);
    }
    let traded = by_symbol.len();
    let mut by_symbol: Vec<(Symbol, Vec<&Trade>)> = by_symbol.into_iter().collect();
    by_symbol.sort_by_key(|(symbol, trades)| (std::cmp::Reverse(trades.len()), *symbol));
    let drawn = by_symbol.iter().filter_map(|(symbol, trades)| {
        let svg = prices::chart(sheet.bars.get(symbol)?, trades)?;
        Some(Picture { heading: symbol.to_string(), aside: counted(trades.len(), "trade", "trades"), svg })
    });
    let charts: Vec<Picture> = drawn.take(PRICE_CHARTS_MAX).collect();
    let left_out = traded - charts.len();
    (charts, left_out)
}

fn trade_row(trade: &Trade) -> TradeRow {
    let (entry, exit) = (date(trade.entered_at), date(trade.exited_at));
    let exited = if entry == exit { clock(trade.exited_at) } else { format!("{exit} {}", clock(trade.exited_at)) };
    TradeRow {
        symbol: trade.symbol.to_string(),
        entered: format!("{entry} {}", clock(trade.entered_at)),
        entry_price: price(trade.entry_price),
        exited,
        exit_price: price(trade.exit_price),
        held: held(trade.exited_at.since(trade.entered_at)),
        pnl: signed_dollars(trade.pnl),
        tone: if trade.pnl.is_negative() { "down" } else { "up" },
        reason: trade.exit_reason.clone(),
    }
}
