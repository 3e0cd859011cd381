//! Pictures of the days: equity, drawdown, rolling Sharpe ratio, distribution.
//!
//! Colours are classes, which the page's style gives a light and a dark value.

use std::fmt::Write;

use chrono::{Datelike, NaiveDate};
use daybook_core::statistics::words::percent;
use daybook_core::statistics::{DatedReturns, normal};
use daybook_core::time::SessionDate;

use crate::page::drawing::{Plot, Range, draw, escaped};
use crate::page::minus;

/// The pictures' size in their own pixels; the page makes them as wide as itself.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 922.0;
const TOP: f64 = 14.0;
/// Room below a plot for its axis.
const FOOT: f64 = 28.0;

const EQUITY_HEIGHT: f64 = 320.0;
const DRAWDOWN_HEIGHT: f64 = 170.0;
const ROLLING_HEIGHT: f64 = 200.0;
const DISTRIBUTION_HEIGHT: f64 = 260.0;
pub(super) const PRICES_HEIGHT: f64 = 280.0;

/// Labels that an axis of dates has room for.
const DATES_MAX: i32 = 10;
/// Months between the labels of an axis.
const MONTH_STEPS: [i32; 9] = [1, 2, 3, 6, 12, 24, 60, 120, 240];
/// Days between them, where the axis is shorter than some months.
const DAY_STEPS: [i32; 6] = [1, 2, 3, 7, 14, 28];
/// From here on an axis is labelled by months.
const MONTHS_FROM_DAYS: i32 = 100;

/// Columns of a distribution.
const BINS: std::ops::RangeInclusive<f64> = 9.0..=61.0;
/// Points of the bell curve over it.
const BELL_POINTS: u32 = 120;

/// A drawing that has begun: its size, and its axes.
pub(super) fn begun(plot: &Plot, height: f64, label: &str) -> String {
    let mut svg = String::new();
    let label = escaped(label);
    draw!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">"#
    );
    draw!(
        svg,
        r#"<line class="axis" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
        plot.left,
        plot.bottom,
        plot.right,
        plot.bottom
    );
    svg
}

pub(super) fn plot(across: Range, up: Range, height: f64) -> Plot {
    Plot { across, up, left: LEFT, right: RIGHT, top: TOP, bottom: height - FOOT }
}

pub(super) fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, class: &str, words: &str) {
    let words = escaped(&minus(words));
    draw!(svg, r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#);
}

pub(super) fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
    draw!(svg, r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#);
}

/// Lines across the plot, each with its label.
pub(super) fn levels(svg: &mut String, plot: &Plot, values: &[f64], label: impl Fn(f64) -> String) {
    for value in values {
        let y = plot.y(*value);
        line(svg, (plot.left, y), (plot.right, y), if *value == 0.0 { "zero" } else { "grid" });
        text(svg, (plot.left - 8.0, y + 4.0), "end", "muted", &label(*value));
    }
}

/// Labels below the plot.
pub(super) fn places(svg: &mut String, plot: &Plot, labels: &[(f64, String)]) {
    for (value, label) in labels {
        let x = plot.x(*value);
        line(svg, (x, plot.bottom), (x, plot.bottom + 4.0), "axis");
        text(svg, (x, plot.bottom + 19.0), "middle", "muted", label);
    }
}

/// A ratio's label, with as many decimals as its neighbours are apart.
fn percent_labels(values: &[f64]) -> impl Fn(f64) -> String {
    let step = values.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0) * 100.0;
    let decimals = if step >= 0.999 {
        0
    } else if step >= 0.0999 {
        1
    } else {
        2
    };
    let decimals = if step < 9.0 && (step.fract() - 0.5).abs() < 0.01 { 1 } else { decimals };
    move |value| {
        let text = format!("{:.decimals$} %", value * 100.0);
        if text.trim_start_matches('-').trim_end_matches(" %").chars().all(|c| c == '0' || c == '.') {
            return "0 %".to_owned();
        }
        text
    }
}

fn day_number(date: SessionDate) -> f64 {
    f64::from(date.0.num_days_from_ce())
}

/// The days of a series, from the one before the first: where one has not earned anything yet.
fn days_across(series: &DatedReturns) -> Option<(Range, Vec<(f64, String)>)> {
    let (first, last) = (series.dates().first()?.plus_days(-1), *series.dates().last()?);
    Some((Range { low: day_number(first), high: day_number(last) }, date_labels(first.0, last.0)))
}

/// Round dates between two.
fn date_labels(first: NaiveDate, last: NaiveDate) -> Vec<(f64, String)> {
    let (from, to) = (first.num_days_from_ce(), last.num_days_from_ce());
    if to - from < MONTHS_FROM_DAYS {
        let step = DAY_STEPS.into_iter().find(|step| (to - from) / step <= DATES_MAX).unwrap_or(28);
        let days = (0..).map(|index| from + 1 + index * step).take_while(|day| *day <= to);
        let label = |day| NaiveDate::from_num_days_from_ce_opt(day).map(|date| date.format("%b %-d").to_string());
        return days.filter_map(|day| Some((f64::from(day), label(day)?))).collect();
    }
    let month = |date: NaiveDate| date.year() * 12 + date.month0() as i32; // 0 to 11
    let (from, to) = (month(first) + 1, month(last));
    let step = MONTH_STEPS.into_iter().find(|step| (to - from) / step <= DATES_MAX).unwrap_or(480);
    let form = if step < 12 { "%b %Y" } else { "%Y" };
    (from..=to)
        .filter(|month| month.rem_euclid(step) == 0)
        .filter_map(|month| NaiveDate::from_ymd_opt(month.div_euclid(12), month.rem_euclid(12).unsigned_abs() + 1, 1))
        .map(|date| (f64::from(date.num_days_from_ce()), date.format(form).to_string()))
        .collect()
}

/// What one unit has become, less that unit; from the day before the first.
pub(super) fn equity(series: &DatedReturns) -> Option<String> {
    let (across, labels) = days_across(series)?;
    let start = (across.low, 0.0);
    let growth = series.returns().growth();
    let days = series.dates().iter().zip(growth).map(|(date, wealth)| (day_number(*date), wealth - 1.0));
    let points: Vec<(f64, f64)> = std::iter::once(start).chain(days).collect();
    let plot = plot(across, Range::around(points.iter().map(|point| point.1), 0.06, 0.002), EQUITY_HEIGHT);
    let mut svg = begun(&plot, EQUITY_HEIGHT, "Equity: what was earned since the beginning");
    let values = plot.up.round_values(6.0, 0.0);
    levels(&mut svg, &plot, &values, percent_labels(&values));
    places(&mut svg, &plot, &labels);
    let path = plot.path(&points);
    let base = plot.y(0.0).clamp(plot.top, plot.bottom);
    let (from, to) = (plot.left, plot.right);
    draw!(
        svg,
        r#"<path class="equity-area" d="{path}L{to:.1} {base:.1}L{from:.1} {base:.1}Z"/><path class="equity" d="{path}"/></svg>"#
    );
    Some(svg)
}

/// How far below the highest point.
pub(super) fn drawdown(series: &DatedReturns) -> Option<String> {
    let (across, labels) = days_across(series)?;
    let days = series.dates().iter().map(|date| day_number(*date)).zip(series.returns().drawdowns());
    let points: Vec<(f64, f64)> = std::iter::once((across.low, 0.0)).chain(days).collect();
    let deepest = points.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let up = Range { low: (deepest.1 * 1.25).min(-0.001), high: 0.0 };
    let plot = plot(across, up, DRAWDOWN_HEIGHT);
    let mut svg = begun(&plot, DRAWDOWN_HEIGHT, "Drawdown: how far below the highest point");
    let values = plot.up.round_values(4.0, 0.0);
    levels(&mut svg, &plot, &values, percent_labels(&values));
    places(&mut svg, &plot, &labels);
    let path = plot.path(&points);
    let (from, to, base) = (plot.left, plot.right, plot.top);
    draw!(
        svg,
        r#"<path class="loss-area" d="{path}L{to:.1} {base:.1}L{from:.1} {base:.1}Z"/><path class="loss" d="{path}"/>"#
    );
    if deepest.1 < 0.0 {
        let (x, y) = (plot.x(deepest.0), plot.y(deepest.1));
        draw!(svg, r#"<circle class="down" cx="{x:.1}" cy="{y:.1}" r="3.2"/>"#);
        let below = (x.clamp(plot.left + 30.0, plot.right - 30.0), y + 16.0);
        text(&mut svg, below, "middle", "down halo", &percent(deepest.1));
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// The Sharpe ratio of the last `window` days at each day; `None` where there are no more days than that.
pub(super) fn rolling_sharpe(series: &DatedReturns, window: usize) -> Option<String> {
    let (across, labels) = days_across(series)?;
    let days = series.dates().iter().map(|date| day_number(*date)).zip(series.returns().rolling_sharpe(window));
    let points: Vec<(f64, f64)> = days.filter_map(|(day, ratio)| Some((day, ratio?))).collect();
    if points.len() < 2 {
        return None;
    }
    let whole = series.returns().sharpe();
    let values = points.iter().map(|point| point.1).chain(whole).chain(std::iter::once(0.0));
    let plot = plot(across, Range::around(values, 0.08, 1.0), ROLLING_HEIGHT);
    let mut svg = begun(&plot, ROLLING_HEIGHT, "Rolling Sharpe ratio");
    let values = plot.up.round_values(5.0, 0.0);
    let decimals = usize::from(values.iter().any(|value| (value - value.round()).abs() > 1e-9));
    levels(&mut svg, &plot, &values, |value| format!("{:.decimals$}", value + 0.0));
    places(&mut svg, &plot, &labels);
    draw!(svg, r#"<path class="accent" d="{}"/>"#, plot.path(&points));
    if let Some(whole) = whole {
        let y = plot.y(whole);
        line(&mut svg, (plot.left, y), (plot.right, y), "mark");
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// How many days had which return, with the bell curve of the same mean and deviation.
pub(super) fn distribution(series: &DatedReturns) -> Option<String> {
    let values = series.returns().values();
    let moments = series.returns().moments();
    let (mean, deviation) = (moments.mean()?, moments.spread()?);
    let (worst, best) = (series.returns().worst_day()?, series.returns().best_day()?);
    let count = (1.6 * (values.len() as f64).sqrt()).clamp(*BINS.start(), *BINS.end()).floor();
    let width = (best - worst) / count;
    let mut bins = vec![0_u32; count as usize]; // 9 to 61
    for value in values {
        let bin = ((value - worst) / width).floor() as usize; // the best day is one past the end
        let last = bins.len().saturating_sub(1);
        if let Some(days) = bins.get_mut(bin.min(last)) {
            *days += 1;
        }
    }
    let scale = values.len() as f64 * width;
    let bell = |x: f64| scale * normal::density((x - mean) / deviation) / deviation;
    let highest = bins.iter().map(|days| f64::from(*days)).fold(bell(mean), f64::max);
    let across = Range { low: worst - width, high: best + width };
    let plot = plot(across, Range { low: 0.0, high: highest * 1.1 }, DISTRIBUTION_HEIGHT);
    let mut svg = begun(&plot, DISTRIBUTION_HEIGHT, "Distribution of the days' returns");
    levels(&mut svg, &plot, &plot.up.round_values(5.0, 1.0), |value| format!("{value:.0}"));
    let round = across.round_values(8.0, 0.0);
    let label = percent_labels(&round);
    places(&mut svg, &plot, &round.iter().map(|value| (*value, label(*value))).collect::<Vec<_>>());
    for (bin, days) in bins.iter().enumerate().filter(|(_, days)| **days > 0) {
        let from = worst + bin as f64 * width;
        let (x, y) = (plot.x(from), plot.y(f64::from(*days)));
        let (wide, high) = ((plot.x(from + width) - x - 1.0).max(1.0), plot.bottom - y);
        let tone = if from + width / 2.0 < 0.0 { "down" } else { "up" };
        draw!(svg, r#"<rect class="{tone} bin" x="{x:.1}" y="{y:.1}" width="{wide:.1}" height="{high:.1}"><title>"#);
        draw!(svg, "{} to {}: {days} days</title></rect>", percent(from), percent(from + width));
    }
    let bell_x =
        (0..=BELL_POINTS).map(|i| across.low + (across.high - across.low) * f64::from(i) / f64::from(BELL_POINTS));
    draw!(svg, r#"<path class="accent" d="{}"/>"#, plot.path(&bell_x.map(|x| (x, bell(x))).collect::<Vec<_>>()));
    if let Some(risk) = series.returns().var_95_historical() {
        let x = plot.x(risk);
        line(&mut svg, (x, plot.top), (x, plot.bottom), "mark");
        let (anchor, beside) = if x > plot.left + 150.0 { ("end", x - 6.0) } else { ("start", x + 6.0) };
        text(
            &mut svg,
            (beside, plot.top + 10.0),
            anchor,
            "ink halo",
            &format!("one day in 20 below {}", percent(risk)),
        );
    }
    svg.push_str("</svg>");
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(first: &str, last: &str) -> Vec<String> {
        date_labels(first.parse().unwrap(), last.parse().unwrap()).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn an_axis_of_dates_has_room_for_its_labels() {
        assert_eq!(labels("2026-01-01", "2026-01-08"), ["Jan 2", "Jan 3", "Jan 4", "Jan 5", "Jan 6", "Jan 7", "Jan 8"]);
        assert_eq!(labels("2025-12-20", "2026-07-01").first().map(String::as_str), Some("Jan 2026"));
        assert_eq!(
            labels("2004-03-01", "2024-02-01"),
            ["2006", "2008", "2010", "2012", "2014", "2016", "2018", "2020", "2022", "2024"]
        );
        for (first, last) in [("1990-01-01", "2030-12-31"), ("2026-01-01", "2026-04-20"), ("2026-01-01", "2028-01-01")]
        {
            let labels = labels(first, last);
            assert!((3..=10).contains(&labels.len()), "{labels:?}");
        }
    }

    #[test]
    fn a_ratio_has_the_decimals_of_its_axis() {
        let label = percent_labels(&[-0.01, 0.0, 0.01]);
        assert_eq!([label(-0.01), label(-0.0), label(0.1)], ["-1 %", "0 %", "10 %"]);
        assert_eq!(percent_labels(&[0.0, 0.025])(0.025), "2.5 %");
        assert_eq!(percent_labels(&[0.0, 0.002])(0.002), "0.2 %");
        assert_eq!(percent_labels(&[0.0, 0.0005])(0.0005), "0.05 %");
    }
}
