use std::fmt;

use serde::{Deserialize, Serialize};

use super::proposal::{self, Frame, Proposer, Setup, ratio};
use super::terms::{Problems, Terms, terms};
use super::{Direction, Directions, Distance, Reasons, SymbolView};
use crate::analysis::ModelAnswer;
use crate::indicators::{Ema, Indicator, Period, Rsi, Vwap};
use crate::market::Timeframe;
use crate::money::{Bps, Factor, MoneyError};
use crate::patterns::{CandlePatterns, directed};
use crate::time::Span;

/// Bars that the candlestick patterns are looked for in: the longest look back over fourteen.
const PATTERN_BARS: usize = 20;

/// The sum of pattern values that counts in full: two patterns that agree.
const PATTERNS_FULL: f64 = 200.0;

/// Weighs what speaks for a rise and for a fall into one confidence, and trades from a threshold on.
///
/// Each part says something between -100 % (a fall) and 100 % (a rise); a part that has nothing to say does not
/// count. The score is their weighted mean: its sign is the direction, its size the confidence.
///
/// | part | is |
/// |---|---|
/// | technical | the mean of: the averages' distance, one ATR in full; `(RSI - 50) / 25`; the close's distance from the session's VWAP, two ATRs in full; the close's place in the session's range, from end to end |
/// | patterns | the values of the candlestick patterns at the last bar that have a direction, summed, 200 in full |
/// | news | the catalyst score of the headlines since the close before; see [`catalyst`](crate::analysis::catalyst()) |
/// | model | what a model says of it; see [`ModelQuestion`](crate::analysis::ModelQuestion) |
///
/// Sources: combining weak signals into one: Kakushadze and Serur, *151 Trading Strategies* (2018), section 3.20;
/// what headlines say by a lexicon: Tetlock, *Giving Content to Investor Sentiment* (Journal of Finance 62, 2007),
/// and Loughran and McDonald, *When Is a Liability Not a Liability?* (Journal of Finance 66, 2011).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Composite {
    /// Whether it proposes at all.
    pub enabled: bool,
    /// Which directions are traded.
    pub direction: Directions,
    /// The bars it looks at; ATR is theirs, too.
    pub timeframe: Timeframe,
    /// The weight of what the indicators say.
    pub technical_weight: u32,
    /// The weight of what the candlestick patterns say.
    pub pattern_weight: u32,
    /// The weight of what the news say.
    pub news_weight: u32,
    /// The weight of what a model says; 0: none is asked.
    pub model_weight: u32,
    /// The least confidence to propose with.
    pub threshold: Bps,
    /// The bars of the fast average.
    pub fast: Period,
    /// The bars of the slow average.
    pub slow: Period,
    /// The bars of the RSI.
    pub rsi_period: Period,
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

impl Default for Composite {
    fn default() -> Self {
        Self {
            enabled: false,
            direction: Directions::Long,
            timeframe: Timeframe::M5,
            technical_weight: 3,
            pattern_weight: 1,
            news_weight: 1,
            model_weight: 0,
            threshold: Bps(6_000),
            fast: Period::of::<8>(),
            slow: Period::of::<21>(),
            rsi_period: Period::of::<14>(),
            stop: Distance::Atr(Factor::whole(2)),
            target: Distance::Atr(Factor::whole(3)),
            earliest_entry: Span::minutes(30),
            latest_entry: Span::hours(5),
            max_entries: 1,
            valid_for: Span::minutes(5),
        }
    }
}

impl Proposer for Composite {
    const NAME: &'static str = "composite";
    const IDEA: &'static str = "indicators, candlestick patterns, news and a model weighed into one confidence";

    fn terms(&self) -> Terms {
        terms!(self)
    }

    fn check(&self, problems: &mut Problems) {
        let threshold = self.threshold;
        let holds = Bps::ZERO < threshold && threshold <= Bps::ONE;
        problems.require("threshold", holds, threshold, "more than 0%, and at most 100%");
        problems.require("slow", self.slow > self.fast, self.slow, &format!("more than fast ({})", self.fast));
        let weight = self.technical_weight;
        problems.require(
            "technical_weight",
            weight > 0,
            weight,
            "at least 1: what else speaks for it is no ground alone",
        );
    }

    fn wants_news(&self) -> bool {
        self.news_weight > 0
    }

    fn wants_model(&self) -> bool {
        self.model_weight > 0
    }

    fn look(&self, view: &SymbolView<'_>, frame: &Frame, reasons: &mut Reasons) -> Result<Option<Setup>, MoneyError> {
        let Some(atr) = proposal::average_range(&frame.bars)?.filter(|atr| atr.is_positive()) else {
            proposal::unknown_atr(self.timeframe, reasons);
            return Ok(None);
        };
        let Some(technical) = self.technical(frame, atr.to_f64(), reasons) else {
            let least = self.slow.len().max(self.rsi_period.len() + 1);
            let have = frame.bars.len();
            reasons.note("bars", format_args!("{have} of {} (at least {least})", self.timeframe));
            return Ok(None);
        };
        let parts = [
            ("technical", self.technical_weight, Some(technical)),
            ("patterns", self.pattern_weight, patterns(frame, reasons)),
            ("news", self.news_weight, view.news_score),
        ];
        // Where no model is asked there is nothing to say of it.
        let model = Proposer::wants_model(self).then(|| ("model", self.model_weight, model(view.model, reasons)));
        let (mut sum, mut weights) = (0, 0);
        for (name, weight, part) in parts.into_iter().chain(model) {
            let weight = i64::from(weight);
            match part {
                Some(part) => {
                    reasons.note(name, format_args!("{part}, weight {weight}"));
                    sum += weight * part.0.clamp(-Bps::ONE.0, Bps::ONE.0);
                    weights += weight;
                }
                None => reasons.note(name, "nothing"),
            }
        }
        let score = Bps(sum / weights.max(1));
        reasons.note("score", score);
        let (direction, confidence) =
            if score > Bps::ZERO { (Direction::Long, score) } else { (Direction::Short, Bps(-score.0)) };
        if confidence < self.threshold {
            reasons.note("threshold", self.threshold);
            return Ok(None);
        }
        Ok(Some(Setup { direction, confidence, target_limit: None }))
    }
}

impl Composite {
    /// What the indicators say; `None` with too few bars.
    fn technical(&self, frame: &Frame, atr: f64, reasons: &mut Reasons) -> Option<Bps> {
        let (mut fast, mut slow) = (Ema::new(self.fast), Ema::new(self.slow));
        let (mut rsi, mut vwap) = (Rsi::new(self.rsi_period), Vwap::default());
        let (mut high, mut low) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut now = None;
        for candle in frame.candles() {
            let close = candle.close;
            (high, low) = (high.max(candle.high), low.min(candle.low));
            let values = (fast.update(close), slow.update(close), rsi.update(close), vwap.update(candle));
            now = match values {
                (Some(fast), Some(slow), Some(rsi), vwap) => Some((close, fast - slow, rsi, vwap.unwrap_or(close))),
                _ => None,
            };
        }
        let (close, apart, rsi, vwap) = now?;
        let parts = [
            ("averages in ATR", apart / atr),
            ("RSI from its middle", (rsi - 50.0) / 25.0),
            ("VWAP in ATR", (close - vwap) / (2.0 * atr)),
            ("place in the range", 2.0 * (close - low) / (high - low) - 1.0),
        ];
        let mut sum = 0;
        for (name, part) in parts {
            let part = ratio(part.clamp(-1.0, 1.0));
            reasons.note(name, part);
            sum += part.0;
        }
        Some(Bps(sum / 4))
    }
}

/// What a model says, and on which grounds; or why none does.
fn model(answer: Option<&ModelAnswer>, reasons: &mut Reasons) -> Option<Bps> {
    match answer? {
        ModelAnswer::Score(said) => {
            reasons.note(format!("model {}", said.model), &said.rationale);
            Some(said.score)
        }
        ModelAnswer::None { reason } => {
            reasons.note("no model", reason);
            None
        }
    }
}

/// What the patterns at the last bar say; `None` where there is none with a direction.
fn patterns(frame: &Frame, reasons: &mut Reasons) -> Option<Bps> {
    let mut patterns = CandlePatterns::new();
    let before = frame.bars.len().saturating_sub(PATTERN_BARS);
    frame.candles().skip(before).for_each(|candle| patterns.push(&candle));
    let mut sum = 0.0;
    let mut found = Vec::new();
    for (pattern, value) in directed(&patterns.values()) {
        sum += f64::from(value);
        found.push(pattern.name());
    }
    if found.is_empty() {
        return None;
    }
    reasons.note("patterns found", fmt::from_fn(|f| f.write_str(&found.join(", "))));
    Some(ratio((sum / PATTERNS_FULL).clamp(-1.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::golden_tests::Day;
    use super::super::{Evaluation, Strategy};
    use super::*;
    use crate::analysis::ModelScore;
    use crate::strategy::Reason;

    /// What the composite says with a model of some weight that has answered so, two hours into a day.
    fn said(model_weight: u32, answer: Option<&ModelAnswer>) -> Vec<Reason> {
        let day = Day::drawn(1);
        let strategy = Composite { model_weight, threshold: Bps::ONE, ..Composite::default() };
        let view = SymbolView { model: answer, news_score: None, ..day.view(&day.bars, day.minute(120)) };
        match strategy.evaluate(&view) {
            Evaluation::None(reasons) => reasons,
            Evaluation::Signal(signal) => panic!("{signal:?}"),
        }
    }

    fn value(reasons: &[Reason], measure: &str) -> String {
        reasons.iter().find(|reason| reason.measure == measure).map(|reason| reason.value.clone()).unwrap_or_default()
    }

    #[test]
    fn a_model_counts_with_its_weight_and_nothing_where_it_has_none() {
        let score = |score| ModelAnswer::Score(ModelScore::new("mine", Bps(score), "a rally", None, Duration::ZERO));
        let without = said(0, Some(&score(10_000)));
        assert!(without.iter().all(|reason| !reason.measure.contains("model")), "{without:?}");
        assert_eq!(value(&without, "score"), value(&said(7, None), "score"));

        let (rise, fall) = (said(7, Some(&score(10_000))), said(7, Some(&score(-10_000))));
        assert_eq!((value(&rise, "model mine"), value(&rise, "model")), ("a rally".into(), "100%, weight 7".into()));
        let number = |reasons: &[Reason]| value(reasons, "score").parse::<Bps>().unwrap();
        assert!(number(&fall) < number(&without) && number(&without) < number(&rise));

        let silent = said(7, Some(&ModelAnswer::none("mine: no answer within 10s")));
        assert_eq!(value(&silent, "no model"), "mine: no answer within 10s");
        assert_eq!((value(&silent, "model"), number(&silent)), ("nothing".to_owned(), number(&without)));
    }
}
