//! The equity through a week's sessions as a picture: one session beside the other, the nights left out.

use std::fmt::Write;

use daybook_core::report::{CurvePoint, WeekReport};
use daybook_core::time::SessionDate;

use super::super::chart::{
    BOTTOM, ChartError, DOWN, GRID, HEIGHT, INK, MUTED, RIGHT, SPAN_MIN, TOP, UP, WIDTH, axis_label, drawn, line, text,
};
use crate::page::drawing::{Range, draw};

/// The dollar axis has at most about as many lines.
const LINES: f64 = 5.0;
/// Of a session's width, the part on each side that keeps it from the next one.
const GAP: f64 = 0.03;

/// Draws the week's equity as a PNG; `None` with fewer than two points, which make no curve.
///
/// # Errors
/// [`ChartError`] if the picture cannot be drawn.
pub fn week_curve(week: &WeekReport) -> Result<Option<Vec<u8>>, ChartError> {
    svg(week).map(|svg| drawn(&svg)).transpose()
}

/// A session's points.
struct Stretch<'a> {
    session: SessionDate,
    points: &'a [CurvePoint],
}

/// Where sessions and amounts lie in the picture.
struct Plane {
    low: f64,
    high: f64,
    left: f64,
    /// The width of a session.
    width: f64,
}

impl Plane {
    fn of(week: &WeekReport, sessions: usize) -> Self {
        let opening = week.summary.opening_equity.to_f64();
        let values = week.curve.iter().map(|point| point.equity.to_f64());
        let (mut low, mut high) =
            values.fold((opening, opening), |(low, high), value| (low.min(value), high.max(value)));
        let missing = (SPAN_MIN - (high - low)).max(0.0) / 2.0;
        let margin = (high - low) * 0.08;
        low -= margin + missing;
        high += margin + missing;
        let range = Range { low, high };
        let widest = range.round_values(LINES, 1.0).into_iter().map(|line| axis_label(line).len()).max().unwrap_or(0);
        let left = 14.0 + 7.8 * widest as f64; // a digit is at most 7.8 pixels wide at this size
        Self { low, high, left, width: (RIGHT - left) / sessions.max(1) as f64 }
    }

    fn y(&self, amount: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (amount - self.low) / (self.high - self.low)
    }

    fn begin(&self, session: usize) -> f64 {
        self.left + self.width * session as f64
    }

    /// Where a part of a session lies, from 0 to 1.
    fn x(&self, session: usize, part: f64) -> f64 {
        self.begin(session) + self.width * (GAP + (1.0 - 2.0 * GAP) * part)
    }
}

fn svg(week: &WeekReport) -> Option<String> {
    if week.curve.len() < 2 {
        return None;
    }
    let stretches = stretches(week);
    let plane = Plane::of(week, stretches.len());
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="Inter" font-size="13" fill="{MUTED}"><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>"##
    );
    axes(&mut svg, week, &plane, &stretches);
    curve(&mut svg, week, &plane, &stretches);
    text(&mut svg, RIGHT, 15.0, "end", MUTED, "equity, the nights left out");
    svg.push_str("</svg>");
    Some(svg)
}

/// The points of each session, by their dates in New York.
fn stretches(week: &WeekReport) -> Vec<Stretch<'_>> {
    let date = |point: &CurvePoint| point.at.date_in(chrono_tz::America::New_York);
    let of_one_day = week.curve.chunk_by(|a, b| date(a) == date(b));
    of_one_day.filter_map(|points| Some(Stretch { session: date(points.first()?), points })).collect()
}

fn axes(svg: &mut String, week: &WeekReport, plane: &Plane, stretches: &[Stretch<'_>]) {
    for amount in (Range { low: plane.low, high: plane.high }).round_values(LINES, 1.0) {
        let y = plane.y(amount);
        line(svg, (plane.left, y), (RIGHT, y), GRID, "none");
        text(svg, plane.left - 8.0, y + 4.0, "end", MUTED, &axis_label(amount));
    }
    for (index, stretch) in stretches.iter().enumerate() {
        let x = plane.begin(index);
        line(svg, (x, TOP), (x, BOTTOM + 5.0), "#d0d5dd", "none");
        let label = stretch.session.0.format("%a %-d").to_string();
        text(svg, x + plane.width / 2.0, BOTTOM + 21.0, "middle", INK, &label);
    }
    let y = plane.y(week.summary.opening_equity.to_f64());
    line(svg, (plane.left, y), (RIGHT, y), "#98a2b3", "4 3");
}

/// One colour above the equity at the week's open and another below it.
fn curve(svg: &mut String, week: &WeekReport, plane: &Plane, stretches: &[Stretch<'_>]) {
    let base = plane.y(week.summary.opening_equity.to_f64());
    let border = (base + 1.0) / HEIGHT; // half a line lower, so that a flat line has one colour
    draw!(
        svg,
        r##"<linearGradient id="result" gradientUnits="userSpaceOnUse" x1="0" y1="0" x2="0" y2="{HEIGHT}"><stop offset="{border:.4}" stop-color="{UP}"/><stop offset="{border:.4}" stop-color="{DOWN}"/></linearGradient>"##
    );
    for (index, stretch) in stretches.iter().enumerate() {
        let (Some(first), Some(last)) = (stretch.points.first(), stretch.points.last()) else { continue };
        let length = (last.at.0 - first.at.0).max(1) as f64;
        let mut path = String::new();
        for point in stretch.points {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let x = plane.x(index, (point.at.0 - first.at.0) as f64 / length);
            draw!(path, "{command}{x:.1} {:.1}", plane.y(point.equity.to_f64()));
        }
        let (from, to) = (plane.x(index, 0.0), plane.x(index, if stretch.points.len() > 1 { 1.0 } else { 0.0 }));
        draw!(
            svg,
            r##"<path d="{path}L{to:.1} {base:.1}L{from:.1} {base:.1}Z" fill="url(#result)" fill-opacity="0.10"/><path d="{path}" fill="none" stroke="url(#result)" stroke-width="1.8" stroke-linejoin="round" stroke-linecap="round"/>"##
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::samples;

    #[test]
    fn a_week_is_drawn_session_beside_session() {
        let svg = svg(&samples::busy_week()).unwrap();
        for label in ["Mon 16", "Tue 17", "Wed 18"] {
            assert!(svg.contains(label), "{label}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let png = week_curve(&samples::busy_week()).unwrap().unwrap();
        assert!(png.len() < 120_000, "a mail's picture has {} bytes", png.len());
    }

    #[test]
    fn one_point_makes_no_curve() {
        let mut week = samples::busy_week();
        week.curve.truncate(1);
        assert!(week_curve(&week).unwrap().is_none());
    }
}
