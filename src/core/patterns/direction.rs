use super::{Pattern, PatternValues};

/// The patterns whose sign is a direction. Those that only tell of indecision, or of a long or a short line, have none.
const DIRECTED: [Pattern; 24] = [
    Pattern::AbandonedBaby,
    Pattern::BeltHold,
    Pattern::DarkCloudCover,
    Pattern::Engulfing,
    Pattern::EveningDojiStar,
    Pattern::EveningStar,
    Pattern::Hammer,
    Pattern::HangingMan,
    Pattern::Harami,
    Pattern::HaramiCross,
    Pattern::Hikkake,
    Pattern::InvertedHammer,
    Pattern::Kicking,
    Pattern::Marubozu,
    Pattern::MorningDojiStar,
    Pattern::MorningStar,
    Pattern::Piercing,
    Pattern::RiseFallThreeMethods,
    Pattern::ShootingStar,
    Pattern::ThreeBlackCrows,
    Pattern::ThreeInside,
    Pattern::ThreeOutside,
    Pattern::ThreeWhiteSoldiers,
    Pattern::TasukiGap,
];

/// The patterns of a candle that are there and have a direction, with their values: above zero is bullish.
pub fn directed(values: &PatternValues) -> impl Iterator<Item = (Pattern, i16)> + '_ {
    let valued = |pattern: Pattern| Some((pattern, values.get(pattern as usize).copied().filter(|value| *value != 0)?));
    DIRECTED.into_iter().filter_map(valued)
}
