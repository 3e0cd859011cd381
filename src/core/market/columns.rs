use std::ops::Range;

use super::{Bar, MINUTE};
use crate::money::{MoneyError, Price, Quantity};
use crate::time::Timestamp;

/// Milliseconds of a minute.
const MINUTE_MS: u64 = MINUTE.as_secs() * 1_000;

/// Bars of one symbol with a column for each field: who looks for the next close above a price reads closes
/// and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct BarColumns {
    starts: Vec<Timestamp>,
    opens: Vec<Price>,
    highs: Vec<Price>,
    lows: Vec<Price>,
    closes: Vec<Price>,
    volumes: Vec<Quantity>,
}

impl BarColumns {
    /// Adds a bar behind the last one.
    pub fn push(&mut self, bar: &Bar) {
        self.starts.push(bar.start);
        self.opens.push(bar.open);
        self.highs.push(bar.high);
        self.lows.push(bar.low);
        self.closes.push(bar.close);
        self.volumes.push(bar.volume);
    }

    /// Bars whose fields stand in these columns, opens, highs, lows and closes in this order; `None` unless all are of one
    /// length.
    #[must_use]
    pub fn of(starts: Vec<Timestamp>, prices: [Vec<Price>; 4], volumes: Vec<Quantity>) -> Option<Self> {
        let [opens, highs, lows, closes] = prices;
        let is_even = [&opens, &highs, &lows, &closes].iter().all(|prices| prices.len() == starts.len());
        (is_even && volumes.len() == starts.len()).then_some(Self { starts, opens, highs, lows, closes, volumes })
    }

    /// The columns of [`Self::of`].
    #[must_use]
    pub fn into_columns(self) -> (Vec<Timestamp>, [Vec<Price>; 4], Vec<Quantity>) {
        (self.starts, [self.opens, self.highs, self.lows, self.closes], self.volumes)
    }

    /// Makes room for so many more bars.
    pub fn reserve(&mut self, more: usize) {
        self.starts.reserve(more);
        self.opens.reserve(more);
        self.highs.reserve(more);
        self.lows.reserve(more);
        self.closes.reserve(more);
        self.volumes.reserve(more);
    }

    /// Adds the bars in `places` of others, as far as there are any, behind the last one.
    pub fn append(&mut self, bars: &Self, places: Range<usize>) {
        let end = places.end.min(bars.len());
        let places = places.start.min(end)..end; // all columns are of one length
        self.starts.extend_from_slice(&bars.starts[places.clone()]);
        self.opens.extend_from_slice(&bars.opens[places.clone()]);
        self.highs.extend_from_slice(&bars.highs[places.clone()]);
        self.lows.extend_from_slice(&bars.lows[places.clone()]);
        self.closes.extend_from_slice(&bars.closes[places.clone()]);
        self.volumes.extend_from_slice(&bars.volumes[places]);
    }

    /// Adds bars of the same symbol, both in order. Where both have a minute, the bar that was there stays.
    pub fn merge(&mut self, more: Self) {
        let comes_before = |earlier: &Self, later: &Self| match (earlier.starts.last(), later.starts.first()) {
            (Some(last), Some(first)) => last < first,
            (None, _) | (_, None) => true,
        };
        if self.is_empty() {
            *self = more;
        } else if comes_before(self, &more) {
            self.append(&more, 0..more.len());
        } else {
            let mut bars: Vec<Bar> = self.bars(0..self.len()).chain(more.bars(0..more.len())).collect();
            // Stable: of two bars of one minute the earlier stays first.
            bars.sort_by_key(|bar| bar.start);
            bars.dedup_by_key(|bar| bar.start);
            *self = bars.into_iter().collect();
        }
    }

    /// The first minute that both have and not alike; both are in order.
    #[must_use]
    pub fn first_conflict(&self, other: &Self) -> Option<Timestamp> {
        let (last, first) = (*self.starts.last()?, *other.starts.first()?);
        if last < first {
            return None;
        }
        let place = self.place_of(first, 0);
        let mut ours = self.bars(place..self.len()).peekable();
        other.bars(0..other.len()).find_map(|theirs| {
            while ours.next_if(|bar| bar.start < theirs.start).is_some() {}
            ours.peek().filter(|bar| bar.start == theirs.start && **bar != theirs).map(|bar| bar.start)
        })
    }

    /// Leaves out every bar from the one at `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.starts.truncate(len);
        self.opens.truncate(len);
        self.highs.truncate(len);
        self.lows.truncate(len);
        self.closes.truncate(len);
        self.volumes.truncate(len);
    }

    /// How many bars there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Where each bar begins.
    #[must_use]
    pub fn starts(&self) -> &[Timestamp] {
        &self.starts
    }

    /// Each bar's first price.
    #[must_use]
    pub fn opens(&self) -> &[Price] {
        &self.opens
    }

    /// Each bar's highest price.
    #[must_use]
    pub fn highs(&self) -> &[Price] {
        &self.highs
    }

    /// Each bar's lowest price.
    #[must_use]
    pub fn lows(&self) -> &[Price] {
        &self.lows
    }

    /// Each bar's last price.
    #[must_use]
    pub fn closes(&self) -> &[Price] {
        &self.closes
    }

    /// The shares traded in each bar.
    #[must_use]
    pub fn volumes(&self) -> &[Quantity] {
        &self.volumes
    }

    /// Whether each bar is one, as [`Bar::check`] has it.
    #[must_use]
    pub fn are_sound(&self) -> bool {
        const TOGETHER: usize = 64;
        let some_are_sound = |from: usize| {
            let to = self.len().min(from + TOGETHER);
            let prices = self.opens[from..to].iter().zip(&self.highs[from..to]); // all columns are of one length
            let prices = prices.zip(self.lows[from..to].iter().zip(&self.closes[from..to]));
            // A number below zero has the highest bit; where no field has it, no difference of two overflows. So they are
            // asked together, in a form that processors have for several bars at once.
            let signs = prices.zip(&self.volumes[from..to]).fold(0, |signs, (((open, high), (low, close)), volume)| {
                let fields = open.0 | high.0 | low.0 | close.0 | volume.0 | low.0.wrapping_sub(1);
                let low_is_lowest = open.0.wrapping_sub(low.0) | close.0.wrapping_sub(low.0);
                let high_is_highest = high.0.wrapping_sub(open.0) | high.0.wrapping_sub(close.0);
                signs | fields | low_is_lowest | high_is_highest
            });
            signs >= 0
        };
        (0..self.len()).step_by(TOGETHER).all(some_are_sound)
    }

    /// The bar at a place.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<Bar> {
        Some(Bar {
            start: *self.starts.get(place)?,
            open: *self.opens.get(place)?,
            high: *self.highs.get(place)?,
            low: *self.lows.get(place)?,
            close: *self.closes.get(place)?,
            volume: *self.volumes.get(place)?,
        })
    }

    /// The bars in `places`, as far as there are any.
    pub fn bars(&self, places: Range<usize>) -> impl Iterator<Item = Bar> + '_ {
        let end = places.end.min(self.len());
        let places = places.start.min(end)..end;
        let prices = self.opens[places.clone()].iter().zip(&self.highs[places.clone()]); // all columns are of one length
        let more = self.lows[places.clone()].iter().zip(&self.closes[places.clone()]);
        let rest = self.starts[places.clone()].iter().zip(&self.volumes[places]);
        prices.zip(more).zip(rest).map(|(((open, high), (low, close)), (start, volume))| Bar {
            start: *start,
            open: *open,
            high: *high,
            low: *low,
            close: *close,
            volume: *volume,
        })
    }

    /// The bars in `places` as one bar; `None` if there is none.
    ///
    /// # Errors
    /// If the volume overflows.
    pub fn as_one(&self, places: Range<usize>) -> Result<Option<Bar>, MoneyError> {
        // As bare numbers: what is chosen between them is one instruction each.
        let high = self.highs.get(places.clone()).unwrap_or_default().iter().map(|Price(high)| *high).max().map(Price);
        let low = self.lows.get(places.clone()).unwrap_or_default().iter().map(|Price(low)| *low).min().map(Price);
        let volume = self.volume_in(places.clone())?;
        let first = self.get(places.start);
        let last = places.end.checked_sub(1).and_then(|last| self.closes.get(last)).copied();
        let known = first.zip(last).zip(high.zip(low));
        Ok(known.map(|((first, close), (high, low))| Bar { high, low, close, volume, ..first }))
    }

    /// The shares traded in the bars in `places`.
    ///
    /// # Errors
    /// If their sum overflows.
    pub fn volume_in(&self, places: Range<usize>) -> Result<Quantity, MoneyError> {
        let volumes = self.volumes.get(places).unwrap_or_default();
        // Without a branch between them: a sum that overflows is found again, with its error.
        let (sum, overflows) = volumes.iter().fold((0_i64, false), |(sum, overflowed), volume| {
            let (sum, overflows) = sum.overflowing_add(volume.0);
            (sum, overflowed | overflows)
        });
        if overflows { volumes.iter().copied().try_fold(Quantity::ZERO, Quantity::plus) } else { Ok(Quantity(sum)) }
    }

    /// The first place at or after `from` whose bar begins at `start` or later.
    #[must_use]
    pub fn place_of(&self, start: Timestamp, from: usize) -> usize {
        let rest = self.starts.get(from..).unwrap_or_default();
        // Where no minute is missing in between, it is as far away as there are minutes.
        let distance_ms = rest.first().map_or(0, |first| start.0.saturating_sub(first.0).max(0).unsigned_abs());
        let away = usize::try_from(distance_ms.div_ceil(MINUTE_MS)).unwrap_or(usize::MAX);
        let before = away.checked_sub(1).map(|place| rest.get(place));
        let is_later = before.is_none_or(|bar| bar.is_some_and(|known| *known < start));
        if is_later && rest.get(away).is_none_or(|known| *known >= start) {
            return from + away;
        }
        from + rest.partition_point(|known| *known < start)
    }
}

impl FromIterator<Bar> for BarColumns {
    fn from_iter<I: IntoIterator<Item = Bar>>(bars: I) -> Self {
        let (mut columns, bars) = (Self::default(), bars.into_iter());
        columns.reserve(bars.size_hint().0);
        bars.for_each(|bar| columns.push(&bar));
        columns
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bars(prices: &[[i64; 5]]) -> BarColumns {
        let bar = |(minute, [open, high, low, close, volume]): (i64, &[i64; 5])| Bar {
            start: Timestamp(60_000 * minute),
            open: Price(*open),
            high: Price(*high),
            low: Price(*low),
            close: Price(*close),
            volume: Quantity(*volume),
        };
        (0..).zip(prices).map(bar).collect()
    }

    proptest! {
        /// Nearly all are sound, as in a file; the one that is not may be any.
        #[test]
        fn columns_are_sound_if_each_bar_is(faults in prop::collection::vec((0..200_usize, 0..5_usize, -3..8_i64), 0..2)) {
            let mut prices = vec![[3, 5, 2, 4, 0]; 150];
            for (place, field, value) in faults {
                if let Some(bar) = prices.get_mut(place) {
                    bar[field] = value;
                }
            }
            let columns = bars(&prices);
            let each = columns.bars(0..columns.len()).all(|bar| bar.check().is_ok());
            prop_assert_eq!(columns.are_sound(), each);
        }

        #[test]
        fn a_volume_is_the_sum_or_an_overflow(volumes in prop::collection::vec(prop_oneof![0..9_i64, Just(i64::MAX / 2)], 0..9)) {
            let prices: Vec<[i64; 5]> = volumes.iter().map(|volume| [1, 1, 1, 1, *volume]).collect();
            let columns = bars(&prices);
            for end in 0..=volumes.len() + 1 {
                let sum: i128 = volumes.iter().take(end).skip(1).map(|volume| i128::from(*volume)).sum();
                let expected = if end <= volumes.len() { i64::try_from(sum).ok().map(Quantity) } else { Some(Quantity::ZERO) };
                prop_assert_eq!(columns.volume_in(1.min(end)..end).ok(), expected);
            }
        }
    }
}
