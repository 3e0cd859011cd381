//! The equity curve as a picture: own SVG, turned into a PNG with an embedded font.
//!
//! Mail readers show PNG and little else, and a machine without fonts must draw the same picture.
//! Floating point is fine here: nothing but pixels follows from it.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use daybook_core::money::Money;
use daybook_core::report::{CurvePoint, DayReport, DayTrade, Figure, Limit};
use daybook_core::risk::HaltKind;
use daybook_core::time::Timestamp;
use resvg::usvg::fontdb::Database;
use resvg::{tiny_skia, usvg};

use daybook_core::report::words::{clock, minute_of_day, signed_dollars, whole_dollars};

use crate::page::drawing::{Range, draw};

/// The picture's size in CSS pixels; the PNG has twice as many each way, for sharp screens.
pub(super) const WIDTH: f64 = 640.0;
pub(super) const HEIGHT: f64 = 280.0;
const SCALE: f32 = 2.0;

/// The plot inside it: dollars stand left of it (as wide as they are), times below it.
pub(super) const RIGHT: f64 = 622.0;
pub(super) const TOP: f64 = 30.0;
pub(super) const BOTTOM: f64 = 248.0;

/// The dollar axis has at most about as many lines.
const LINES: f64 = 5.0;
/// The least height of the plot in dollars: a day that moved by cents is a flat line, not a storm.
pub(super) const SPAN_MIN: f64 = 20.0;
/// Room that the label of an hour keeps from the labels of open and close.
const LABEL_ROOM: f64 = 62.0;
/// The loss limit is drawn from this share of it on; further away it would only flatten the curve.
const LIMIT_NEAR_BPS: i64 = 5_000;

pub(super) const INK: &str = "#1f2937";
pub(super) const MUTED: &str = "#667085";
pub(super) const GRID: &str = "#eaecf0";
pub(super) const UP: &str = "#0b7a4b";
pub(super) const DOWN: &str = "#c0352b";

/// Why a picture could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The drawing is not understood.
    #[error("the equity curve's drawing is not valid SVG")]
    Svg(#[from] usvg::Error),
    /// The picture could not be encoded.
    #[error("the equity curve cannot be encoded as PNG: {reason}")]
    Png { reason: String },
}

/// Draws the day's equity as a PNG; `None` with fewer than two points, which make no curve.
///
/// # Errors
/// [`ChartError`] if the picture cannot be drawn.
pub fn equity_curve(day: &DayReport) -> Result<Option<Vec<u8>>, ChartError> {
    svg(day).map(|svg| drawn(&svg)).transpose()
}

pub(super) fn drawn(svg: &str) -> Result<Vec<u8>, ChartError> {
    static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
        let mut fonts = Database::new();
        fonts.load_font_data(include_bytes!("../../assets/fonts/Inter-Medium-Latin.otf").to_vec());
        Arc::new(fonts)
    });
    let options =
        usvg::Options { font_family: "Inter".to_owned(), fontdb: Arc::clone(&FONTS), ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options)?;
    let size = tree.size().to_int_size().scale_by(SCALE);
    let pixels = size.and_then(|size| tiny_skia::Pixmap::new(size.width(), size.height()));
    let mut pixels = pixels.ok_or_else(|| ChartError::Png { reason: "it has no size".to_owned() })?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    encoded(pixels).map_err(|error| ChartError::Png { reason: error.to_string() })
}

/// Quickly rather than small: a curve on a plain ground is small anyway.
fn encoded(pixels: tiny_skia::Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(&pixels.take_demultiplied())?;
    Ok(bytes)
}

/// Where times and amounts lie in the picture.
struct Plane {
    from: Timestamp,
    to: Timestamp,
    low: f64,
    high: f64,
    /// Where the plot begins: right of the widest amount.
    left: f64,
}

impl Plane {
    fn of(day: &DayReport, points: &[CurvePoint]) -> Self {
        let opening = day.opening_equity.to_f64();
        let values = points.iter().map(|point| point.equity.to_f64());
        let (mut low, mut high) =
            values.fold((opening, opening), |(low, high), value| (low.min(value), high.max(value)));
        if let Some(limit) = near_loss_limit(day) {
            low = low.min(limit.to_f64());
        }
        let missing = (SPAN_MIN - (high - low)).max(0.0) / 2.0;
        let margin = (high - low) * 0.08;
        low -= margin + missing;
        high += margin + missing;
        let mut plane = Self { from: day.opened_at, to: day.closed_at, low, high, left: 0.0 };
        let widest = plane.dollar_lines().into_iter().map(|line| axis_label(line).len()).max().unwrap_or(0);
        plane.left = 14.0 + 7.8 * widest as f64; // a digit is at most 7.8 pixels wide at this size
        plane
    }

    /// Instants outside the session lie on its edge.
    fn x(&self, at: Timestamp) -> f64 {
        let length = (self.to.0 - self.from.0).max(1) as f64;
        let passed = (at.0 - self.from.0).clamp(0, self.to.0 - self.from.0) as f64;
        self.left + (RIGHT - self.left) * passed / length
    }

    fn y(&self, amount: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (amount - self.low) / (self.high - self.low)
    }

    /// Round amounts between the lowest and the highest.
    fn dollar_lines(&self) -> Vec<f64> {
        Range { low: self.low, high: self.high }.round_values(LINES, 1.0)
    }

    /// Whole hours of New York that keep their distance from the session's ends.
    fn hour_lines(&self) -> Vec<Timestamp> {
        const MINUTE_MS: i64 = 60_000;
        let minutes = (self.to.0 - self.from.0) / MINUTE_MS;
        let every = [60, 120, 180, 240, 360].into_iter().find(|every| minutes / every <= 7).unwrap_or(720);
        let first = (every - minute_of_day(self.from) % every) % every;
        (0..)
            .map(|index| first + index * every)
            .take_while(|minute| *minute <= minutes)
            .map(|minute| Timestamp(self.from.0 + minute * MINUTE_MS))
            .filter(|at| (self.left + LABEL_ROOM..=RIGHT - LABEL_ROOM).contains(&self.x(*at)))
            .collect()
    }
}

pub(super) fn axis_label(amount: f64) -> String {
    whole_dollars(Money::from_f64(amount).unwrap_or_default())
}

/// The equity at which the day's loss limit is reached, if the day came near it.
fn near_loss_limit(day: &DayReport) -> Option<Money> {
    let usage = day.limits.iter().find(|usage| usage.limit == Limit::DayLoss)?;
    match usage.allowed {
        Figure::Money(allowed) if usage.share.0 >= LIMIT_NEAR_BPS => day.opening_equity.minus(allowed).ok(),
        Figure::Money(_) | Figure::Count(_) => None,
    }
}

/// The curve between open and close; what came after the close is its last point.
fn in_session(day: &DayReport) -> Vec<CurvePoint> {
    let mut points: Vec<CurvePoint> = day.curve.iter().filter(|point| point.at < day.closed_at).copied().collect();
    points.extend(day.curve.last().filter(|last| last.at >= day.closed_at));
    points
}

fn svg(day: &DayReport) -> Option<String> {
    let points = in_session(day);
    if points.len() < 2 {
        return None;
    }
    let plane = Plane::of(day, &points);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="Inter" font-size="13" fill="{MUTED}"><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>"##
    );
    axes(&mut svg, day, &plane);
    curve(&mut svg, day, &plane, &points);
    loss_limit(&mut svg, day, &plane);
    halts(&mut svg, day, &plane);
    trades(&mut svg, day, &plane, &points);
    svg.push_str("</svg>");
    Some(svg)
}

pub(super) fn text(svg: &mut String, x: f64, y: f64, anchor: &str, fill: &str, words: &str) {
    draw!(
        svg,
        r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{fill}" stroke="#ffffff" stroke-width="3" stroke-linejoin="round" paint-order="stroke">{words}</text>"##
    );
}

pub(super) fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), stroke: &str, dashes: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    draw!(
        svg,
        r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{stroke}" stroke-dasharray="{dashes}"/>"#
    );
}

fn axes(svg: &mut String, day: &DayReport, plane: &Plane) {
    for amount in plane.dollar_lines() {
        let y = plane.y(amount);
        line(svg, (plane.left, y), (RIGHT, y), GRID, "none");
        text(svg, plane.left - 8.0, y + 4.0, "end", MUTED, &axis_label(amount));
    }
    for (at, anchor) in [(day.opened_at, "start"), (day.closed_at, "end")] {
        let x = plane.x(at);
        line(svg, (x, TOP), (x, BOTTOM + 5.0), "#d0d5dd", "none");
        text(svg, x, BOTTOM + 21.0, anchor, INK, &clock(at));
    }
    for at in plane.hour_lines() {
        let x = plane.x(at);
        line(svg, (x, BOTTOM), (x, BOTTOM + 4.0), "#d0d5dd", "none");
        text(svg, x, BOTTOM + 21.0, "middle", MUTED, &clock(at));
    }
    let y = plane.y(day.opening_equity.to_f64());
    line(svg, (plane.left, y), (RIGHT, y), "#98a2b3", "4 3");
}

fn curve(svg: &mut String, day: &DayReport, plane: &Plane, points: &[CurvePoint]) {
    let base = plane.y(day.opening_equity.to_f64());
    let mut path = String::new();
    for point in points {
        let command = if path.is_empty() { 'M' } else { 'L' };
        draw!(path, "{command}{:.1} {:.1}", plane.x(point.at), plane.y(point.equity.to_f64()));
    }
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let (from, to) = (plane.x(first.at), plane.x(last.at));
    // One colour above the opening equity and another below it: a gradient without a transition. Half a line
    // lower, so that a flat line has one colour.
    let border = (base + 1.0) / HEIGHT;
    draw!(
        svg,
        r##"<linearGradient id="result" gradientUnits="userSpaceOnUse" x1="0" y1="0" x2="0" y2="{HEIGHT}"><stop offset="{border:.4}" stop-color="{UP}"/><stop offset="{border:.4}" stop-color="{DOWN}"/></linearGradient><path d="{path}L{to:.1} {base:.1}L{from:.1} {base:.1}Z" fill="url(#result)" fill-opacity="0.10"/><path d="{path}" fill="none" stroke="url(#result)" stroke-width="1.8" stroke-linejoin="round" stroke-linecap="round"/>"##
    );
}

fn loss_limit(svg: &mut String, day: &DayReport, plane: &Plane) {
    let Some(limit) = near_loss_limit(day) else { return };
    let y = plane.y(limit.to_f64());
    line(svg, (plane.left, y), (RIGHT, y), DOWN, "6 3");
    let loss = day.opening_equity.minus(limit).unwrap_or_default().negated();
    text(svg, plane.left + 6.0, y - 5.0, "start", DOWN, &format!("loss limit {}", signed_dollars(loss)));
}

fn halts(svg: &mut String, day: &DayReport, plane: &Plane) {
    for halt in day.halts.iter().filter(|halt| halt.halt.kind == HaltKind::EmergencyStop) {
        let x = plane.x(halt.halt.since);
        line(svg, (x, TOP), (x, BOTTOM), DOWN, "2 2");
        let (anchor, x) = if x > (plane.left + RIGHT) / 2.0 { ("end", x - 5.0) } else { ("start", x + 5.0) };
        text(svg, x, TOP + 12.0, anchor, DOWN, &format!("emergency stop {}", clock(halt.halt.since)));
    }
}

/// Entries are hollow, exits are filled with the colour of their result and named where there is room.
fn trades(svg: &mut String, day: &DayReport, plane: &Plane, points: &[CurvePoint]) {
    let base = plane.y(day.opening_equity.to_f64());
    let place = |at| (plane.x(at), plane.y(equity_at(points, at)));
    for trade in &day.trades {
        let (x, y) = place(trade.entered_at);
        draw!(svg, r##"<circle cx="{x:.1}" cy="{y:.1}" r="3.2" fill="#ffffff" stroke="{MUTED}" stroke-width="1.4"/>"##);
    }
    let mut named: Vec<(f64, f64)> = Vec::new();
    for trade in &day.trades {
        let (x, y) = place(trade.exited_at);
        let colour = colour_of(trade);
        draw!(
            svg,
            r##"<circle cx="{x:.1}" cy="{y:.1}" r="3.8" fill="{colour}" stroke="#ffffff" stroke-width="1.2"/>"##
        );
        let hangs = (y > base && y + 19.0 < BOTTOM) || y < TOP + 14.0;
        let (label_x, label_y) = (x.clamp(plane.left + 20.0, RIGHT - 20.0), if hangs { y + 19.0 } else { y - 8.0 });
        let is_free = named.iter().all(|(x, y)| (x - label_x).abs() > 46.0 || (y - label_y).abs() > 15.0);
        if is_free {
            named.push((label_x, label_y));
            text(svg, label_x, label_y, "middle", colour, trade.symbol.as_str());
        }
    }
    if !day.trades.is_empty() {
        draw!(
            svg,
            r##"<circle cx="{:.1}" cy="11" r="3.2" fill="#ffffff" stroke="{MUTED}" stroke-width="1.4"/><circle cx="{:.1}" cy="11" r="3.6" fill="{UP}"/><circle cx="{:.1}" cy="11" r="3.6" fill="{DOWN}"/>"##,
            plane.left + 4.0,
            plane.left + 60.0,
            plane.left + 70.0
        );
        text(svg, plane.left + 12.0, 15.0, "start", MUTED, "entry");
        text(svg, plane.left + 79.0, 15.0, "start", MUTED, "exit, by its result");
    }
    text(svg, RIGHT, 15.0, "end", MUTED, "equity, New York time");
}

const fn colour_of(trade: &DayTrade) -> &'static str {
    if trade.pnl.is_negative() { DOWN } else { UP }
}

/// The equity at an instant, on the straight line between the points around it.
fn equity_at(points: &[CurvePoint], at: Timestamp) -> f64 {
    let after = points.partition_point(|point| point.at < at);
    let value = |point: &CurvePoint| point.equity.to_f64();
    match (after.checked_sub(1).and_then(|before| points.get(before)), points.get(after)) {
        (Some(before), Some(next)) => {
            let share = (at.0 - before.at.0) as f64 / (next.at.0 - before.at.0).max(1) as f64;
            value(before) + (value(next) - value(before)) * share
        }
        (Some(only), None) | (None, Some(only)) => value(only),
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::samples;

    #[test]
    fn a_day_with_a_curve_has_a_sharp_picture() {
        let png = equity_curve(&samples::rich_day()).unwrap().unwrap();
        let pixels = tiny_skia::Pixmap::decode_png(&png).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (1_280, 560));
        assert!(png.len() < 120_000, "a mail's picture has {} bytes", png.len());
    }

    #[test]
    fn its_words_are_drawn_with_the_embedded_font() {
        let with = drawn(r#"<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20" font-family="Inter"><rect width="60" height="20" fill="white"/><text x="2" y="15">$100</text></svg>"#).unwrap();
        let without = drawn(r#"<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20" font-family="Inter"><rect width="60" height="20" fill="white"/></svg>"#).unwrap();
        assert_ne!(with, without);
    }

    #[test]
    fn one_point_makes_no_curve() {
        let mut day = samples::empty_day();
        day.curve.truncate(1);
        assert!(equity_curve(&day).unwrap().is_none());
    }

    #[test]
    fn the_loss_limit_is_drawn_only_where_the_day_came_near_it() {
        assert!(!svg(&samples::rich_day()).unwrap().contains("loss limit"));
        let stopped = svg(&samples::emergency_stop_day()).unwrap();
        assert!(stopped.contains("loss limit -$2,000.00") && stopped.contains("emergency stop 11:42"));
    }

    #[test]
    fn a_day_that_did_not_move_is_a_flat_line_with_an_axis() {
        let svg = svg(&samples::empty_day()).unwrap();
        assert!(svg.contains("$100,000"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
