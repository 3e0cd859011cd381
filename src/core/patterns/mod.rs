//! Candlestick patterns: TA-Lib's 61, its candle settings, its values.
//!
//! A pattern is a question about the last one to five candles: is this body long, that shadow short, this price
//! near that one? Long and short, near and far are held against the averages of the candles before. All patterns
//! ask for the same few averages, so those are kept once, beside the candles, and a pattern is what is left:
//! its conditions.
//!
//! A positive value is bullish, a negative one bearish: ±100 as a rule, ±80 for an engulfing or harami whose edges
//! touch, ±200 for a hikkake that is confirmed. Doji and a few others are 100 whatever the direction.
//!
//! Source: TA-Lib's candlestick functions with their default settings and penetrations; the patterns themselves
//! are described in Nison, *Japanese Candlestick Charting Techniques* (1991), and Morris, *Candlestick Charting
//! Explained* (2006). Tests hold every value to what TA-Lib itself says.

mod candle;
mod direction;
mod double;
mod hikkake;
mod longer;
mod single;
mod triple;

#[cfg(test)]
mod golden_tests;

pub use self::direction::directed;

use self::candle::{History, Last, View};
use self::hikkake::Hikkake;
use crate::indicators::{Candle, Indicator};

/// How many patterns there are.
pub const PATTERNS: usize = 61;

/// The value of each pattern at one candle, in the order of [`Pattern::ALL`].
pub type PatternValues = [i16; PATTERNS];

macro_rules! patterns {
    ($($pattern:ident $name:literal $($function:path)?;)+) => {
        /// A candlestick pattern, in the order of TA-Lib's names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Pattern {
            $(#[doc = concat!("TA-Lib's `", $name, "`.")] $pattern,)+
        }

        impl Pattern {
            /// All of them, in the order of their names.
            pub const ALL: [Self; PATTERNS] = [$(Self::$pattern),+];

            /// TA-Lib's name: `CDL2CROWS`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$pattern => $name,)+
                }
            }
        }

        /// The patterns that follow from the last candles alone.
        #[inline]
        fn stateless(at: u64, last: &Last, values: &mut PatternValues) {
            $($(values[Pattern::$pattern as usize] = value(at, last, $function);)?)+
        }
    };
}

patterns! {
    TwoCrows "CDL2CROWS" triple::two_crows;
    ThreeBlackCrows "CDL3BLACKCROWS" longer::three_black_crows;
    ThreeInside "CDL3INSIDE" triple::three_inside;
    ThreeLineStrike "CDL3LINESTRIKE" longer::three_line_strike;
    ThreeOutside "CDL3OUTSIDE" triple::three_outside;
    ThreeStarsInSouth "CDL3STARSINSOUTH" triple::three_stars_in_south;
    ThreeWhiteSoldiers "CDL3WHITESOLDIERS" triple::three_white_soldiers;
    AbandonedBaby "CDLABANDONEDBABY" triple::abandoned_baby;
    AdvanceBlock "CDLADVANCEBLOCK" triple::advance_block;
    BeltHold "CDLBELTHOLD" single::belt_hold;
    Breakaway "CDLBREAKAWAY" longer::breakaway;
    ClosingMarubozu "CDLCLOSINGMARUBOZU" single::closing_marubozu;
    ConcealingBabySwallow "CDLCONCEALBABYSWALL" longer::concealing_baby_swallow;
    Counterattack "CDLCOUNTERATTACK" double::counterattack;
    DarkCloudCover "CDLDARKCLOUDCOVER" double::dark_cloud_cover;
    Doji "CDLDOJI" single::doji;
    DojiStar "CDLDOJISTAR" double::doji_star;
    DragonflyDoji "CDLDRAGONFLYDOJI" single::dragonfly_doji;
    Engulfing "CDLENGULFING" double::engulfing;
    EveningDojiStar "CDLEVENINGDOJISTAR" triple::evening_doji_star;
    EveningStar "CDLEVENINGSTAR" triple::evening_star;
    GapSideSideWhite "CDLGAPSIDESIDEWHITE" triple::gap_side_side_white;
    GravestoneDoji "CDLGRAVESTONEDOJI" single::gravestone_doji;
    Hammer "CDLHAMMER" single::hammer;
    HangingMan "CDLHANGINGMAN" single::hanging_man;
    Harami "CDLHARAMI" double::harami;
    HaramiCross "CDLHARAMICROSS" double::harami_cross;
    HighWave "CDLHIGHWAVE" single::high_wave;
    Hikkake "CDLHIKKAKE";
    ModifiedHikkake "CDLHIKKAKEMOD";
    HomingPigeon "CDLHOMINGPIGEON" double::homing_pigeon;
    IdenticalThreeCrows "CDLIDENTICAL3CROWS" triple::identical_three_crows;
    InNeck "CDLINNECK" double::in_neck;
    InvertedHammer "CDLINVERTEDHAMMER" single::inverted_hammer;
    Kicking "CDLKICKING" double::kicking;
    KickingByLength "CDLKICKINGBYLENGTH" double::kicking_by_length;
    LadderBottom "CDLLADDERBOTTOM" longer::ladder_bottom;
    LongLeggedDoji "CDLLONGLEGGEDDOJI" single::long_legged_doji;
    LongLine "CDLLONGLINE" single::long_line;
    Marubozu "CDLMARUBOZU" single::marubozu;
    MatchingLow "CDLMATCHINGLOW" double::matching_low;
    MatHold "CDLMATHOLD" longer::mat_hold;
    MorningDojiStar "CDLMORNINGDOJISTAR" triple::morning_doji_star;
    MorningStar "CDLMORNINGSTAR" triple::morning_star;
    OnNeck "CDLONNECK" double::on_neck;
    Piercing "CDLPIERCING" double::piercing;
    RickshawMan "CDLRICKSHAWMAN" single::rickshaw_man;
    RiseFallThreeMethods "CDLRISEFALL3METHODS" longer::rise_fall_three_methods;
    SeparatingLines "CDLSEPARATINGLINES" double::separating_lines;
    ShootingStar "CDLSHOOTINGSTAR" single::shooting_star;
    ShortLine "CDLSHORTLINE" single::short_line;
    SpinningTop "CDLSPINNINGTOP" single::spinning_top;
    StalledPattern "CDLSTALLEDPATTERN" triple::stalled_pattern;
    StickSandwich "CDLSTICKSANDWICH" triple::stick_sandwich;
    Takuri "CDLTAKURI" single::takuri;
    TasukiGap "CDLTASUKIGAP" triple::tasuki_gap;
    Thrusting "CDLTHRUSTING" double::thrusting;
    Tristar "CDLTRISTAR" triple::tristar;
    UniqueThreeRiver "CDLUNIQUE3RIVER" triple::unique_three_river;
    UpsideGapTwoCrows "CDLUPSIDEGAP2CROWS" triple::upside_gap_two_crows;
    GapThreeMethods "CDLXSIDEGAP3METHODS" triple::gap_three_methods;
}

/// A pattern's value at candle `at`; 0 before it is defined.
#[inline]
fn value<const LOOKBACK: u64>(at: u64, last: &Last, pattern: impl FnOnce(View<'_, LOOKBACK>) -> i16) -> i16 {
    if at >= LOOKBACK { pattern(View::of(last)) } else { 0 }
}

/// Whether all conditions hold. Each is looked at: half of them are a toss-up, and a wrong guess of the branch
/// costs more than the rest of them.
#[inline]
fn all<const N: usize>(conditions: [bool; N]) -> bool {
    conditions.into_iter().fold(true, |all, condition| all & condition)
}

/// The value of a pattern that is there.
#[inline]
fn when(is: bool, value: i16) -> i16 {
    value * i16::from(is)
}

/// All patterns of a series, candle by candle.
///
/// ```
/// use daybook_core::indicators::{Candle, Indicator};
/// use daybook_core::patterns::{CandlePatterns, Pattern};
///
/// let mut patterns = CandlePatterns::new();
/// let candle = |open, close| Candle { open, high: 12.0, low: 9.0, close, volume: 0.0 };
/// patterns.update(candle(11.0, 10.0));
/// patterns.update(candle(11.0, 10.0));
/// let values = patterns.update(candle(9.5, 11.5)).unwrap();
/// assert_eq!(values[Pattern::Engulfing as usize], 100);
/// ```
#[derive(Debug, Clone)]
pub struct CandlePatterns {
    history: History,
    hikkake: Hikkake,
    modified_hikkake: Hikkake,
    /// The values of the two at the last candle: they follow from more than the last five.
    hikkakes: [i16; 2],
}

impl CandlePatterns {
    /// Before the first candle.
    #[must_use]
    pub fn new() -> Self {
        let (hikkake, modified_hikkake) = (Hikkake::default(), Hikkake::default());
        Self { history: History::new(), hikkake, modified_hikkake, hikkakes: [0; 2] }
    }

    /// Takes the next candle. It costs a third of what asking for the values does: who wants those of the last
    /// candle alone, as a scan does, asks once.
    #[inline]
    pub fn push(&mut self, candle: &Candle) {
        let at = self.history.seen();
        self.history.push(candle);
        let Some(last) = self.history.last() else { return };
        let hikkake = value(at, last, |view| self.hikkake.update(at, view));
        let modified = value(at, last, |view| self.modified_hikkake.update_modified(at, view));
        self.hikkakes =
            [if at >= HIKKAKE_FROM { hikkake } else { 0 }, if at >= MODIFIED_HIKKAKE_FROM { modified } else { 0 }];
    }

    /// The values at the last candle: 0 where there is no such pattern, or none yet.
    #[must_use]
    pub fn values(&self) -> PatternValues {
        let mut values = [0; PATTERNS];
        let Some((last, at)) = self.history.last().zip(self.history.seen().checked_sub(1)) else { return values };
        stateless(at, last, &mut values);
        let [hikkake, modified] = self.hikkakes;
        values[Pattern::Hikkake as usize] = hikkake;
        values[Pattern::ModifiedHikkake as usize] = modified;
        values
    }
}

impl Default for CandlePatterns {
    fn default() -> Self {
        Self::new()
    }
}

/// TA-Lib's first candle with a value of the hikkake and of its modified form; traps before it count.
const HIKKAKE_FROM: u64 = 5;
const MODIFIED_HIKKAKE_FROM: u64 = 10;

impl Indicator for CandlePatterns {
    type Input = Candle;
    type Output = PatternValues;

    /// The values at this candle; a pattern that has not seen enough candles is 0, so there always are some.
    fn update(&mut self, candle: Candle) -> Option<PatternValues> {
        self.push(&candle);
        Some(self.values())
    }
}
