//! Where things lie in a picture. Floating point is fine here: nothing but pixels follows from it.

use std::fmt::Write;

/// Steps of an axis that read well, as multiples of a power of ten.
const STEPS: [f64; 4] = [1.0, 2.0, 2.5, 5.0];

/// Appends to a drawing. Writing to a `String` cannot fail.
macro_rules! draw {
    ($svg:expr, $($format:tt)*) => {{ let _ = write!($svg, $($format)*); }};
}
pub(crate) use draw;

/// A range of values with room between its ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Where it begins.
    pub low: f64,
    /// Where it ends, above `low`.
    pub high: f64,
}

impl Range {
    /// From the lowest to the highest of `values` and a margin of `margin` of that on both sides; at least `least` wide.
    #[must_use]
    pub fn around(values: impl IntoIterator<Item = f64>, margin: f64, least: f64) -> Self {
        let bounds = values.into_iter().fold(None, |bounds: Option<(f64, f64)>, value| {
            Some(bounds.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        });
        let (low, high) = bounds.unwrap_or((0.0, 0.0));
        let room = (high - low) * margin + (least - (high - low)).max(0.0) / 2.0;
        Self { low: low - room, high: high + room }
    }

    /// Round values within it, about `lines` of them, at least `least` apart.
    #[must_use]
    pub fn round_values(self, lines: f64, least: f64) -> Vec<f64> {
        let wanted = (self.high - self.low) / lines;
        if !wanted.is_finite() || wanted <= 0.0 {
            return Vec::new();
        }
        let power = 10_f64.powf(wanted.log10().floor());
        let step =
            STEPS.iter().map(|step| step * power).find(|step| *step >= wanted).unwrap_or(10.0 * power).max(least);
        let first = (self.low / step).ceil();
        (0..).map(|index| (first + f64::from(index)) * step).take_while(|line| *line <= self.high).collect()
    }
}

/// A plot in a picture: from values to pixels. Pixels grow downwards, values upwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plot {
    /// What lies between `left` and `right`.
    pub across: Range,
    /// What lies between `bottom` and `top`.
    pub up: Range,
    /// Pixels.
    pub left: f64,
    /// Pixels.
    pub right: f64,
    /// Pixels.
    pub top: f64,
    /// Pixels.
    pub bottom: f64,
}

impl Plot {
    /// Pixels from the left.
    #[must_use]
    pub fn x(&self, value: f64) -> f64 {
        self.left + (self.right - self.left) * (value - self.across.low) / (self.across.high - self.across.low)
    }

    /// Pixels from the top.
    #[must_use]
    pub fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (value - self.up.low) / (self.up.high - self.up.low)
    }

    /// The `d` of a path through points in the order of their `x`, with what one pixel cannot show left out.
    #[must_use]
    pub fn path(&self, points: &[(f64, f64)]) -> String {
        let columns = (self.right - self.left).max(1.0) as usize; // pixels of a picture
        let mut path = String::new();
        for (x, y) in thinned(points, columns) {
            let command = if path.is_empty() { 'M' } else { 'L' };
            draw!(path, "{command}{:.1} {:.1}", self.x(x), self.y(y));
        }
        path
    }
}

/// At most about four points a column: the first, the lowest, the highest and the last of it.
fn thinned(points: &[(f64, f64)], columns: usize) -> Vec<(f64, f64)> {
    let length = points.len().div_ceil(columns.max(1)).max(1);
    if length < 4 {
        return points.to_vec();
    }
    let mut kept = Vec::new();
    for column in points.chunks(length) {
        let lowest = column.iter().enumerate().min_by(|a, b| a.1.1.total_cmp(&b.1.1)).map(|(place, _)| place);
        let highest = column.iter().enumerate().max_by(|a, b| a.1.1.total_cmp(&b.1.1)).map(|(place, _)| place);
        let mut places: Vec<usize> = [Some(0), lowest, highest, Some(column.len() - 1)].into_iter().flatten().collect();
        places.sort_unstable();
        places.dedup();
        kept.extend(places.into_iter().filter_map(|place| column.get(place)));
    }
    kept
}

/// Words that are safe in markup.
#[must_use]
pub fn escaped(words: &str) -> String {
    let mut safe = String::with_capacity(words.len());
    for character in words.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_axis_has_round_values() {
        let table = [
            ((0.0, 10.0), vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
            ((-0.03, 0.09), vec![-0.025, 0.0, 0.025, 0.05, 0.075]),
            ((99_780.0, 100_230.0), vec![99_800.0, 99_900.0, 100_000.0, 100_100.0, 100_200.0]),
        ];
        for ((low, high), expected) in table {
            let values = Range { low, high }.round_values(5.0, 0.0);
            assert!(
                values.len() == expected.len() && values.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9),
                "{values:?}"
            );
        }
        assert!(Range { low: 1.0, high: 1.0 }.round_values(5.0, 0.0).is_empty());
    }

    #[test]
    fn markup_becomes_words() {
        assert_eq!(escaped("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
    }

    proptest! {
        #[test]
        fn a_thinned_line_keeps_its_ends_and_extremes(values in prop::collection::vec(-9.0_f64..9.0, 1..600), columns in 1_usize..80) {
            let points: Vec<(f64, f64)> = values.iter().zip(0_u32..).map(|(value, x)| (f64::from(x), *value)).collect();
            let thin = thinned(&points, columns);
            prop_assert!(thin.len() <= points.len().min(4 * columns.max(points.len())));
            prop_assert_eq!((thin.first(), thin.last()), (points.first(), points.last()));
            let lowest = |points: &[(f64, f64)]| points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
            prop_assert_eq!(lowest(&thin), lowest(&points));
            prop_assert!(thin.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}
