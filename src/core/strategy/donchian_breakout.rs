use serde::{Deserialize, Serialize};

use super::proposal::{self, Frame, Proposer, Setup, plateau, ratio, rise, volume_part, weigh};
use super::terms::{Problems, Terms, terms};
use super::{Direction, Directions, Distance, Reasons, SymbolView};
use crate::indicators::Period;
use crate::market::Timeframe;
use crate::money::{Bps, Factor, MoneyError, Price};
use crate::time::Span;

/// Trades in the direction in which a close leaves the range of the bars before it.
///
/// The channel is the highest high and the lowest low of the `channel_bars` bars before the last one. Source:
/// Donchian's four-week rule (Donchian, *High Finance in Copper*, Financial Analysts Journal 16(6), 1960), as the
/// Turtles traded it with twenty bars and a stop of two average ranges (Faith, *Way of the Turtle*, 2007).
///
/// | part of the confidence | weight | 100 % | 0 % |
/// |---|---|---|---|
/// | distance of the close beyond the channel, in ATRs | 30 % | 0.1 to 1 | 0, or 2 and more |
/// | relative volume | 30 % | 2 and more | 0.5 and less (unknown counts 40 %) |
/// | the channel's width, in ATRs | 20 % | 2 to 8 | 1 and less, 16 and more |
/// | where the last bar closed, within its range | 20 % | at the end that the breakout points to | the middle |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DonchianBreakout {
    /// Whether it proposes at all.
    pub enabled: bool,
    /// Which breakouts are traded.
    pub direction: Directions,
    /// The bars it looks at; ATR is theirs, too.
    pub timeframe: Timeframe,
    /// How many bars make the channel.
    pub channel_bars: Period,
    /// The furthest beyond the channel that the close may be, in ATRs.
    pub max_extension: Factor,
    /// Where the loss is taken, from the entry.
    pub stop: Distance,
    /// Where the profit is taken, from the entry.
    pub target: Distance,
    /// The earliest entry, from the session's open.
    pub earliest_entry: Span,
    /// The latest entry, from the session's open.
    pub latest_entry: Span,
    /// How often a symbol is entered in a session.
    pub max_entries: u32,
    /// How long a signal may be traded on.
    pub valid_for: Span,
}

impl Default for DonchianBreakout {
    fn default() -> Self {
        Self {
            enabled: false,
            direction: Directions::Long,
            timeframe: Timeframe::M5,
            channel_bars: Period::of::<20>(),
            max_extension: Factor::whole(2),
            stop: Distance::Atr(Factor::whole(2)),
            target: Distance::Atr(Factor::whole(4)),
            earliest_entry: Span::minutes(30),
            latest_entry: Span::hours(5),
            max_entries: 1,
            valid_for: Span::minutes(5),
        }
    }
}

impl Proposer for DonchianBreakout {
    const NAME: &'static str = "donchian_breakout";
    const IDEA: &'static str = "a close beyond the range of the bars before it";

    fn terms(&self) -> Terms {
        terms!(self)
    }

    fn check(&self, problems: &mut Problems) {
        let extension = self.max_extension;
        problems.require("max_extension", extension.is_positive(), extension, "more than 0");
    }

    fn look(&self, view: &SymbolView<'_>, frame: &Frame, reasons: &mut Reasons) -> Result<Option<Setup>, MoneyError> {
        let wanted = self.channel_bars.len();
        let Some((last, before)) = frame.bars.split_last() else {
            reasons.note("bars", format_args!("none of {}", self.timeframe));
            return Ok(None);
        };
        let channel = before.len().checked_sub(wanted).and_then(|first| before.get(first..)).unwrap_or_default();
        let extremes = channel.iter().map(|bar| bar.low).min().zip(channel.iter().map(|bar| bar.high).max());
        let Some((low, high)) = extremes else {
            let have = frame.bars.len();
            reasons.note("bars", format_args!("{have} of {} (at least {})", self.timeframe, wanted + 1));
            return Ok(None);
        };
        reasons.note("channel", format_args!("{low} to {high}, {wanted} bars of {}", self.timeframe));
        let (direction, beyond) = if last.close > high {
            (Direction::Long, last.close.minus(high)?)
        } else if last.close < low {
            (Direction::Short, low.minus(last.close)?)
        } else {
            reasons.note("close", format_args!("{} within the channel", last.close));
            return Ok(None);
        };
        reasons.note("close", format_args!("{}, {beyond} beyond the channel", last.close));
        let Some(atr) = proposal::average_range(&frame.bars)?.filter(|atr| atr.is_positive()) else {
            proposal::unknown_atr(self.timeframe, reasons);
            return Ok(None);
        };
        if beyond > atr.multiplied(self.max_extension)? {
            reasons.note("distance", format_args!("expected at most {} ATRs of {atr}", self.max_extension));
            return Ok(None);
        }
        let parts = [
            ("confidence in distance", 30, plateau(beyond.ratio_of(atr)?, [0, 1_000, 10_000, 20_000])),
            ("confidence in volume", 30, volume_part(view, Bps(20_000))),
            ("confidence in width", 20, plateau(high.minus(low)?.ratio_of(atr)?, [10_000, 20_000, 80_000, 160_000])),
            (
                "confidence in close",
                20,
                rise(place_in_range(direction, last.low, last.high, last.close), Bps(5_000), Bps(9_000)),
            ),
        ];
        Ok(Some(Setup { direction, confidence: weigh(&parts, reasons), target_limit: None }))
    }
}

/// Where a bar closed: 100 % at the end that the direction points to, 0 % at the other.
fn place_in_range(direction: Direction, low: Price, high: Price, close: Price) -> Bps {
    let place = (close.to_f64() - low.to_f64()) / (high.to_f64() - low.to_f64());
    ratio(match direction {
        Direction::Long => place,
        Direction::Short => 1.0 - place,
    })
}
