//! Trades on the prices that they were made at.

use std::fmt::Write;

use daybook_core::market::Bar;
use daybook_core::report::words::{self, price, signed_dollars};
use daybook_core::time::Timestamp;

use super::Trade;
use super::charts::{PRICES_HEIGHT, begun, levels, places, plot};
use crate::page::drawing::{Plot, Range, draw, escaped};

/// Bars shown before the first entry and after the last exit.
const BARS_AROUND: usize = 30;
/// Labels that the axis has room for.
const LABELS_MAX: usize = 9;
/// From so many trades on their marks are smaller.
const CROWD: usize = 60;

/// A symbol's closes with its trades; `None` where there are no bars at the time of the trades.
///
/// Bars stand one beside the other: nights and weekends take no room.
pub(super) fn chart(bars: &[Bar], trades: &[&Trade]) -> Option<String> {
    let entered = trades.iter().map(|trade| trade.entered_at).min()?;
    let exited = trades.iter().map(|trade| trade.exited_at).max()?;
    let from = place(bars, entered).saturating_sub(BARS_AROUND);
    let to = (place(bars, exited) + 1 + BARS_AROUND).min(bars.len());
    let bars = bars.get(from..to).filter(|bars| bars.len() > 1 && bars.iter().any(|bar| bar.start >= entered))?;

    let points: Vec<(f64, f64)> =
        bars.iter().enumerate().map(|(place, bar)| (place as f64, bar.close.to_f64())).collect();
    let traded = trades.iter().flat_map(|trade| [trade.entry_price.to_f64(), trade.exit_price.to_f64()]);
    let up = Range::around(points.iter().map(|point| point.1).chain(traded), 0.08, 0.02);
    let plot = plot(Range { low: 0.0, high: (bars.len() - 1) as f64 }, up, PRICES_HEIGHT);
    let symbol = trades.first().map(|trade| trade.symbol.to_string()).unwrap_or_default();
    let mut svg = begun(&plot, PRICES_HEIGHT, &format!("Trades of {symbol} on its price"));
    let values = plot.up.round_values(5.0, 0.0);
    let step = values.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
    let decimals = if step >= 1.0 { 0 } else { 2 };
    levels(&mut svg, &plot, &values, |value| format!("{value:.decimals$}"));
    places(&mut svg, &plot, &time_labels(bars));
    draw!(svg, r#"<path class="price" d="{}"/>"#, plot.path(&points));
    for trade in trades {
        mark(&mut svg, &plot, bars, trade, if trades.len() < CROWD { 4.0 } else { 2.6 });
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// The bar in which an instant lies.
fn place(bars: &[Bar], at: Timestamp) -> usize {
    bars.partition_point(|bar| bar.start <= at).saturating_sub(1)
}

/// The entry hollow, the exit filled with the colour of the result, a line between them.
fn mark(svg: &mut String, plot: &Plot, bars: &[Bar], trade: &Trade, radius: f64) {
    let at = |instant, price: f64| (plot.x(place(bars, instant) as f64), plot.y(price));
    let (x1, y1) = at(trade.entered_at, trade.entry_price.to_f64());
    let (x2, y2) = at(trade.exited_at, trade.exit_price.to_f64());
    let tone = if trade.pnl.is_negative() { "down" } else { "up" };
    let told = |what: &str, at, paid| format!("{what} {} at {}", words::instant(at), price(paid));
    let entry = escaped(&told("entered", trade.entered_at, trade.entry_price));
    let exit = told("left", trade.exited_at, trade.exit_price);
    let exit = escaped(&format!("{exit}, {}, {}", signed_dollars(trade.pnl), trade.exit_reason));
    draw!(
        svg,
        r#"<line class="held {tone}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/><circle class="entry" cx="{x1:.1}" cy="{y1:.1}" r="{radius}"><title>{entry}</title></circle><circle class="exit {tone}" cx="{x2:.1}" cy="{y2:.1}" r="{radius}"><title>{exit}</title></circle>"#
    );
}

/// The days on which bars begin, or the hours where all lie in one day.
fn time_labels(bars: &[Bar]) -> Vec<(f64, String)> {
    let first_of = |key: fn(Timestamp) -> String| -> Vec<(f64, String)> {
        let keys: Vec<String> = bars.iter().map(|bar| key(bar.start)).collect();
        let begins = |place: &usize| place.checked_sub(1).is_none_or(|before| keys.get(before) != keys.get(*place));
        (0..keys.len()).filter(begins).filter_map(|place| Some((place as f64, keys.get(place)?.clone()))).collect()
    };
    let days = first_of(words::date);
    let labels = if days.len() > 1 { days } else { first_of(half_hour) };
    let step = labels.len().div_ceil(LABELS_MAX).max(1);
    labels.into_iter().step_by(step).collect()
}

/// `09:30`: the half hour in which an instant lies, in New York.
fn half_hour(at: Timestamp) -> String {
    let minute = words::minute_of_day(at) / 30 * 30;
    format!("{:02}:{:02}", minute / 60, minute % 60)
}
