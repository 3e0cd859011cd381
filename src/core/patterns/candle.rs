//! What the patterns look at: the last candles, each beside the averages of those before it.

use crate::indicators::Candle;

/// A candle's parts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    /// The distance of open and close.
    body: f64,
    /// The higher of open and close.
    top: f64,
    /// The lower of open and close.
    bottom: f64,
    white: bool,
}

impl From<&Candle> for Shape {
    #[inline]
    fn from(candle: &Candle) -> Self {
        let Candle { open, high, low, close, .. } = *candle;
        let white = close >= open;
        let (top, bottom) = if white { (close, open) } else { (open, close) };
        Self { open, high, low, close, body: (close - open).abs(), top, bottom, white }
    }
}

impl Shape {
    #[inline]
    fn upper(&self) -> f64 {
        self.high - self.top
    }

    #[inline]
    fn lower(&self) -> f64 {
        self.bottom - self.low
    }
}

/// How wide a candle is, in the three measures that averages are taken of.
#[derive(Debug, Clone, Copy, Default)]
struct Width {
    body: f64,
    range: f64,
    shadows: f64,
}

/// The measures that are averaged, and over how many candles: TA-Lib's settings know no others.
#[derive(Debug, Clone, Copy)]
enum Measure {
    Body10,
    Range10,
    Shadows10,
    Range5,
}

impl Measure {
    const fn period(self) -> usize {
        match self {
            Self::Body10 | Self::Range10 | Self::Shadows10 => 10,
            Self::Range5 => 5,
        }
    }
}

/// How many running sums there are.
const LANES: usize = 16;

/// The measure of each running sum, and the candle at which it begins.
///
/// The average of one measure is one number, so one sum would do, were it not for its rounding: a running
/// sum keeps that of all it ever held, so it depends on where it began. In whole cents a body often *is* the
/// average, and then the rounding decides. TA-Lib begins a pattern's sum so that its first window ends just
/// before the first candle asked about; to answer as it does on every bar, ours begin where those do. There
/// are sixteen such beginnings in all 61 patterns.
const SUMS: [(Measure, usize); LANES] = [
    (Measure::Body10, 0),
    (Measure::Body10, 1),
    (Measure::Body10, 2),
    (Measure::Body10, 3),
    (Measure::Body10, 4),
    (Measure::Range10, 0),
    (Measure::Range10, 1),
    (Measure::Range10, 2),
    (Measure::Range10, 3),
    (Measure::Shadows10, 0),
    (Measure::Shadows10, 1),
    (Measure::Shadows10, 2),
    (Measure::Range5, 0),
    (Measure::Range5, 1),
    (Measure::Range5, 5),
    (Measure::Range5, 6),
];

/// From this candle on every window is full.
const ALL_FULL: u64 = 15;

/// The place of a sum that begins at `begin`.
#[inline]
const fn lane(measure: Measure, begin: usize) -> usize {
    match measure {
        Measure::Body10 => begin,
        Measure::Range10 => 5 + begin,
        Measure::Shadows10 => 9 + begin,
        Measure::Range5 => 12 + if begin < 2 { begin } else { begin - 3 },
    }
}

/// A candle, and the averages of those before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    shape: Shape,
    averages: [f64; LANES],
}

/// The last five candles, the present one last.
pub(super) type Last = [Entry; 5];

/// Candles for which there is room. They are laid one after the other, so that the last five are always side by
/// side; when the room is used up, those that a pattern may still see move to its beginning.
const ROOM: usize = 8;

/// Widths that are kept: a power of two, and more than the longest average has.
const WIDTHS: usize = 16;

/// From which candle on each sum takes some in, and from which on its window is full.
const SPANS: [(u64, u64); LANES] = {
    let mut spans = [(0, 0); LANES];
    let mut at = 0;
    while at < LANES {
        let (measure, begin) = SUMS[at];
        spans[at] = (begin as u64, (begin + measure.period()) as u64);
        at += 1;
    }
    spans
};

/// A number for each sum, by its measure: in the order of [`SUMS`].
#[inline]
const fn by_lane(body: f64, range: f64, shadows: f64, short: f64) -> [f64; LANES] {
    [body, body, body, body, body, range, range, range, range, shadows, shadows, shadows, short, short, short, short]
}

/// What each sum is divided by.
const PERIODS: [f64; LANES] = {
    let mut periods = [0.0; LANES];
    let mut at = 0;
    while at < LANES {
        periods[at] = SUMS[at].0.period() as f64; // 5 or 10
        at += 1;
    }
    periods
};

/// The last candles with their averages, and the running sums.
#[derive(Debug, Clone)]
pub(super) struct History {
    seen: u64,
    /// Where the next entry goes; at least four, for those before the first.
    end: usize,
    entries: [Entry; ROOM],
    widths: [Width; WIDTHS],
    sums: [f64; LANES],
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            seen: 0,
            end: 4,
            entries: [Entry::default(); ROOM],
            widths: [Width::default(); WIDTHS],
            sums: [0.0; LANES],
        }
    }

    /// How many candles have been taken.
    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes the next candle.
    #[inline]
    pub(super) fn push(&mut self, candle: &Candle) {
        let shape = Shape::from(candle);
        let mut averages = self.sums;
        for (average, period) in averages.iter_mut().zip(PERIODS) {
            *average /= period;
        }
        self.add(Width { body: shape.body, range: shape.high - shape.low, shadows: shape.upper() + shape.lower() });
        if self.end == ROOM {
            self.entries.copy_within(ROOM - 4.., 0);
            self.end = 4;
        }
        if let Some(place) = self.entries.get_mut(self.end) {
            *place = Entry { shape, averages };
            self.end += 1;
        }
        self.seen += 1;
    }

    /// The last candles, those before the first being empty.
    #[inline]
    pub(super) fn last(&self) -> Option<&Last> {
        self.entries.get(..self.end)?.last_chunk()
    }

    /// Adds a candle's width to the sums, and takes off the one that leaves its window.
    #[inline]
    fn add(&mut self, width: Width) {
        let (ten, five) = (self.widths[self.place(10)], self.widths[self.place(5)]);
        self.widths[self.place(0)] = width;
        if self.seen < ALL_FULL {
            self.begin_sums(width, ten, five);
            return;
        }
        let (body, range, shadows) = (width.body - ten.body, width.range - ten.range, width.shadows - ten.shadows);
        let changes = by_lane(body, range, shadows, width.range - five.range);
        for (sum, change) in self.sums.iter_mut().zip(changes) {
            *sum += change;
        }
    }

    /// As [`History::add`], while some windows are not full.
    #[cold]
    fn begin_sums(&mut self, width: Width, ten: Width, five: Width) {
        let new = by_lane(width.body, width.range, width.shadows, width.range);
        let old = by_lane(ten.body, ten.range, ten.shadows, five.range);
        for ((sum, (begin, full)), (new, old)) in self.sums.iter_mut().zip(SPANS).zip(new.into_iter().zip(old)) {
            let change = new - if self.seen >= full { old } else { 0.0 };
            *sum += if self.seen >= begin { change } else { 0.0 };
        }
    }

    /// Where the width `back` candles before the next one stands.
    #[inline]
    const fn place(&self, back: u64) -> usize {
        (self.seen.wrapping_sub(back) % WIDTHS as u64) as usize // below the length
    }
}

/// The last candles, seen by a pattern that is defined from candle `LOOKBACK` on.
///
/// `k` counts back from the present candle, which is 0, to 4. The lookback says which running sum an average
/// is taken from; see [`SUMS`].
#[derive(Clone, Copy)]
pub(super) struct View<'a, const LOOKBACK: u64>(&'a Last);

impl<'a, const LOOKBACK: u64> View<'a, LOOKBACK> {
    #[inline]
    pub(super) const fn of(last: &'a Last) -> Self {
        Self(last)
    }

    #[inline]
    const fn entry(&self, k: usize) -> &Entry {
        &self.0[4 - k] // a pattern has five candles at most
    }

    #[inline]
    fn shape(&self, k: usize) -> &Shape {
        &self.entry(k).shape
    }

    #[inline]
    fn average(&self, measure: Measure, k: usize) -> f64 {
        // Every pattern asks only for averages whose sum stands in [`SUMS`]; the golden tests run each on each bar.
        self.entry(k).averages[lane(measure, LOOKBACK as usize - k - measure.period())]
    }

    #[inline]
    pub(super) fn open(&self, k: usize) -> f64 {
        self.shape(k).open
    }

    #[inline]
    pub(super) fn high(&self, k: usize) -> f64 {
        self.shape(k).high
    }

    #[inline]
    pub(super) fn low(&self, k: usize) -> f64 {
        self.shape(k).low
    }

    #[inline]
    pub(super) fn close(&self, k: usize) -> f64 {
        self.shape(k).close
    }

    #[inline]
    pub(super) fn body(&self, k: usize) -> f64 {
        self.shape(k).body
    }

    /// The higher of open and close.
    #[inline]
    pub(super) fn top(&self, k: usize) -> f64 {
        self.shape(k).top
    }

    /// The lower of open and close.
    #[inline]
    pub(super) fn bottom(&self, k: usize) -> f64 {
        self.shape(k).bottom
    }

    #[inline]
    pub(super) fn upper_shadow(&self, k: usize) -> f64 {
        self.shape(k).upper()
    }

    #[inline]
    pub(super) fn lower_shadow(&self, k: usize) -> f64 {
        self.shape(k).lower()
    }

    #[inline]
    pub(super) fn white(&self, k: usize) -> bool {
        self.shape(k).white
    }

    #[inline]
    pub(super) fn black(&self, k: usize) -> bool {
        !self.shape(k).white
    }

    /// 100 with the sign of the candle's colour.
    #[inline]
    pub(super) fn signed(&self, k: usize) -> i16 {
        if self.white(k) { 100 } else { -100 }
    }

    /// Whether one body lies above another.
    #[inline]
    pub(super) fn body_gap_up(&self, k: usize, over: usize) -> bool {
        self.bottom(k) > self.top(over)
    }

    /// Whether one body lies below another.
    #[inline]
    pub(super) fn body_gap_down(&self, k: usize, under: usize) -> bool {
        self.top(k) < self.bottom(under)
    }

    /// Whether the body is longer than the ten before it on average.
    #[inline]
    pub(super) fn is_long(&self, k: usize) -> bool {
        self.body(k) > self.average(Measure::Body10, k)
    }

    /// The body below which a candle is short.
    #[inline]
    pub(super) fn short(&self, k: usize) -> f64 {
        self.average(Measure::Body10, k)
    }

    /// The body up to which a candle is a doji: a tenth of the average range.
    #[inline]
    pub(super) fn doji(&self, k: usize) -> f64 {
        0.1 * self.average(Measure::Range10, k)
    }

    /// The shadow below which it is very short: a tenth of the average range.
    #[inline]
    pub(super) fn very_short_shadow(&self, k: usize) -> f64 {
        0.1 * self.average(Measure::Range10, k)
    }

    /// The shadow below which it is short: half of what both shadows are on average.
    #[inline]
    pub(super) fn short_shadow(&self, k: usize) -> f64 {
        self.average(Measure::Shadows10, k) / 2.0
    }

    /// The shadow above which it is long: the candle's own body.
    #[inline]
    pub(super) fn long_shadow(&self, k: usize) -> f64 {
        self.body(k)
    }

    /// The shadow above which it is very long: twice the candle's own body.
    #[inline]
    pub(super) fn very_long_shadow(&self, k: usize) -> f64 {
        2.0 * self.body(k)
    }

    /// The distance within which prices are near: a fifth of the average range of five.
    #[inline]
    pub(super) fn near(&self, k: usize) -> f64 {
        0.2 * self.average(Measure::Range5, k)
    }

    /// The distance beyond which prices are far: three fifths of the average range of five.
    #[inline]
    pub(super) fn far(&self, k: usize) -> f64 {
        0.6 * self.average(Measure::Range5, k)
    }

    /// Whether a price lies within a twentieth of the average range of five, as candle `k` has it.
    #[inline]
    pub(super) fn is_equal(&self, price: f64, to: f64, k: usize) -> bool {
        let tolerance = self.equal(k);
        price <= to + tolerance && price >= to - tolerance
    }

    /// The distance within which prices are equal: a twentieth of the average range of five.
    #[inline]
    pub(super) fn equal(&self, k: usize) -> f64 {
        0.05 * self.average(Measure::Range5, k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sum_stands_in_its_lane() {
        for (place, (measure, begin)) in SUMS.into_iter().enumerate() {
            assert_eq!(lane(measure, begin), place);
            assert!((begin + measure.period()) as u64 <= ALL_FULL);
        }
    }

    #[test]
    fn averages_are_of_the_candles_before() {
        let mut history = History::new();
        let widths: Vec<f64> = (0..40).map(|i| f64::from((i * 7) % 13) / 8.0).collect();
        for (at, width) in widths.iter().enumerate() {
            let candle = Candle { open: 10.0, high: 12.0 + width, low: 9.0, close: 10.0 + width, volume: 0.0 };
            history.push(&candle);
            let last = history.last().unwrap();
            if at < 15 {
                continue;
            }
            let (view, shorter) = (View::<14>::of(last), View::<12>::of(last));
            let mean =
                |back: usize, period: usize| widths[at - back - period..at - back].iter().sum::<f64>() / period as f64;
            for k in 0..5 {
                assert_eq!(view.short(k), mean(k, 10), "exact in eighths");
            }
            assert_eq!(view.doji(1), 0.1 * (3.0 + mean(1, 10)));
            assert_eq!(shorter.near(1), 0.2 * (3.0 + mean(1, 5)));
            assert_eq!(shorter.short_shadow(2), (2.0 + 1.0) / 2.0);
        }
    }
}
