use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::session::gap;
use super::volatility::realised_volatility;
use crate::indicators::{Candle, Ema, Indicator, Rsi, Vwap};
use crate::market::{Symbol, Timeframe};
use crate::money::{Bps, MoneyError, Price};
use crate::strategy::{Composite, SymbolView, average_range, complete_bars};
use crate::time::{SessionDate, Span, Timestamp};

/// Headlines that a question holds, the newest.
const HEADLINES_MAX: usize = 10;
/// Characters of a headline in a question.
const HEADLINE_MAX: usize = 300;
/// Characters that are kept of what a model gives as its grounds, and of why there is no score.
const WORDS_MAX: usize = 300;
/// Characters that are kept of what a model calls itself.
const VERSION_MAX: usize = 80;

/// The bars that volatility is measured by.
const FIVE_MINUTES: Duration = Duration::from_secs(300);
/// The time of the nearer of the two changes.
const HALF_HOUR: Duration = Duration::from_secs(1_800);

/// What a model is asked: what the strategies see of one symbol, in short, and the latest headlines.
///
/// Prices are dollars, ratios have 1 for the whole; what is unknown is absent, and stands as null in JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelQuestion {
    /// The symbol.
    pub symbol: Symbol,
    /// The instant: nothing later is known.
    pub as_of: Timestamp,
    /// The session.
    pub session: SessionDate,
    /// Minutes since its open.
    pub minute: u64,
    /// How long it is, in minutes.
    pub session_minutes: u64,
    /// The latest price traded.
    pub last: Option<f64>,
    /// What is bid.
    pub bid: Option<f64>,
    /// What is asked.
    pub ask: Option<f64>,
    /// The close of the regular session before.
    pub previous_close: Option<f64>,
    /// The first price of the regular session.
    pub open: Option<f64>,
    /// Its highest price so far.
    pub high: Option<f64>,
    /// Its lowest price so far.
    pub low: Option<f64>,
    /// The open, from the close before.
    pub gap: Option<f64>,
    /// The latest price, from the close before.
    pub change: Option<f64>,
    /// The latest price, from that of half an hour ago.
    pub change_30m: Option<f64>,
    /// The session's volume so far against the usual volume by this time of day; 1 is usual.
    pub relative_volume: Option<f64>,
    /// The realised volatility of the session's five-minute bars, a year; see [`realised_volatility`].
    pub volatility: Option<f64>,
    /// The average true range of the sessions before.
    pub daily_atr: Option<f64>,
    /// The indicators that [`Composite`] looks at, with its settings.
    pub indicators: ModelIndicators,
    /// The headlines since the close before, the newest first.
    pub news: Vec<ModelHeadline>,
}

/// The indicators in a [`ModelQuestion`], over the complete bars of the session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelIndicators {
    /// The bars they are measured by.
    pub timeframe: Timeframe,
    /// How many there are.
    pub bars: usize,
    /// The fast exponential average.
    pub ema_fast: Option<f64>,
    /// The slow one.
    pub ema_slow: Option<f64>,
    /// The RSI.
    pub rsi: Option<f64>,
    /// The session's volume-weighted average price.
    pub vwap: Option<f64>,
    /// The mean true range of the last bars.
    pub atr: Option<f64>,
}

/// A headline in a [`ModelQuestion`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelHeadline {
    /// How old it is, in minutes.
    pub age_minutes: u64,
    /// Its text, on one line.
    pub headline: String,
}

impl ModelQuestion {
    /// The question about what a view shows, and headlines with the instants of their publication, the oldest first.
    ///
    /// # Errors
    /// If a figure overflows.
    pub fn of<'n>(
        view: &SymbolView<'_>,
        settings: &Composite,
        news: impl IntoIterator<Item = (Timestamp, &'n str)>,
    ) -> Result<Self, MoneyError> {
        let session = &view.session;
        let minutes = |from: Timestamp, to: Timestamp| to.since(from).as_secs() / 60;
        let (regular, last) = (view.regular_bars(), view.last_price());
        let then = view.as_of.before(HALF_HOUR);
        let known_then = regular.iter().rev().find(|bar| bar.minute_end() <= then).map(|bar| bar.close);
        let open = regular.first().map(|bar| bar.open);
        let from = |before: Option<Price>, price: Option<Price>| gap(before?, price?).map(Bps::to_f64);
        let fives = complete_bars(view, Timeframe::M5)?;
        let mut news: Vec<ModelHeadline> = news
            .into_iter()
            .map(|(at, headline)| ModelHeadline {
                age_minutes: minutes(at, view.as_of),
                headline: brief(headline, HEADLINE_MAX),
            })
            .collect();
        news.reverse();
        news.truncate(HEADLINES_MAX);
        Ok(Self {
            symbol: view.symbol,
            as_of: view.as_of,
            session: session.date,
            minute: minutes(session.open, view.as_of),
            session_minutes: minutes(session.open, session.close),
            last: last.map(Price::to_f64),
            bid: view.quote.map(|quote| quote.bid.to_f64()),
            ask: view.quote.map(|quote| quote.ask.to_f64()),
            previous_close: view.previous_close.map(Price::to_f64),
            open: open.map(Price::to_f64),
            high: regular.iter().map(|bar| bar.high).max().map(Price::to_f64),
            low: regular.iter().map(|bar| bar.low).min().map(Price::to_f64),
            gap: from(view.previous_close, open),
            change: from(view.previous_close, last),
            change_30m: from(known_then, last),
            relative_volume: view.relative_volume.map(Bps::to_f64),
            volatility: realised_volatility(&fives, FIVE_MINUTES).map(in_short),
            daily_atr: view.daily_atr.map(|atr| in_short(atr.to_f64())),
            indicators: ModelIndicators::of(view, settings)?,
            news,
        })
    }
}

impl ModelIndicators {
    fn of(view: &SymbolView<'_>, settings: &Composite) -> Result<Self, MoneyError> {
        let bars = complete_bars(view, settings.timeframe)?;
        let candles: Vec<Candle> = bars.iter().map(Candle::from).collect();
        let closes: Vec<f64> = candles.iter().map(|candle| candle.close).collect();
        Ok(Self {
            timeframe: settings.timeframe,
            bars: bars.len(),
            ema_fast: Ema::new(settings.fast).last(closes.iter().copied()).map(in_short),
            ema_slow: Ema::new(settings.slow).last(closes.iter().copied()).map(in_short),
            rsi: Rsi::new(settings.rsi_period).last(closes.iter().copied()).map(in_short),
            vwap: Vwap::default().last(candles.iter().copied()).map(in_short),
            atr: average_range(&bars)?.map(|atr| in_short(atr.to_f64())),
        })
    }
}

/// Four decimals: a question is read, and nothing is worked out from it here.
fn in_short(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// What somebody makes of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelScore {
    /// The model's name in the configuration.
    pub model: String,
    /// What the model calls itself, such as its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// -100 % (a fall) to 100 % (a rise).
    pub score: Bps,
    /// Its grounds, in a few words on one line; may be empty.
    pub rationale: String,
    /// How long the answer took.
    pub took: Span,
}

impl ModelScore {
    /// A score with its words cut to what a ledger keeps; the score lies between -100 % and 100 %.
    #[must_use]
    pub fn new(model: &str, score: Bps, rationale: &str, version: Option<&str>, took: Duration) -> Self {
        Self {
            model: model.to_owned(),
            version: version.map(|version| brief(version, VERSION_MAX)),
            score: Bps(score.0.clamp(-Bps::ONE.0, Bps::ONE.0)),
            rationale: brief(rationale, WORDS_MAX),
            took: Span::millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// What came of asking about a symbol. It is a fact of the run that asked: a run that is decided again takes it from
/// there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelAnswer {
    /// A model has answered.
    Score(ModelScore),
    /// None has.
    None {
        /// Why.
        reason: String,
    },
}

impl ModelAnswer {
    /// No score, for these reasons.
    #[must_use]
    pub fn none(reason: &str) -> Self {
        Self::None { reason: brief(reason, WORDS_MAX) }
    }

    /// The score, if there is one.
    #[must_use]
    pub const fn score(&self) -> Option<Bps> {
        match self {
            Self::Score(answer) => Some(answer.score),
            Self::None { .. } => None,
        }
    }
}

/// A model that gave no score: a person is told of it once a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFault {
    /// The model's name in the configuration.
    pub model: String,
    /// What went wrong first.
    pub reason: String,
}

impl ModelFault {
    /// A fault with its words cut to what a ledger keeps.
    #[must_use]
    pub fn new(model: &str, reason: &str) -> Self {
        Self { model: model.to_owned(), reason: brief(reason, WORDS_MAX) }
    }
}

/// A text of somebody else's on one line, of at most so many characters; an ellipsis says that there were more.
#[must_use]
pub fn brief(text: &str, chars_max: usize) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|it| !it.is_empty()).collect();
    let line = words.join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    let mut cut: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Calendar;
    use crate::market::{Bar, Quote};
    use crate::money::Quantity;

    /// A symbol that rises by a cent a minute from 80.00 for two hours, after a close of 79.
    fn asked(minute: i64, news: &[(i64, &str)]) -> serde_json::Value {
        let session = Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap();
        let at = |minute: i64| Timestamp(session.open.0 + 60_000 * minute);
        let bars: Vec<Bar> = (0..120)
            .map(|minute| {
                let open = Price::from_cents(80_00 + minute);
                let close = Price::from_cents(80_01 + minute);
                Bar { start: at(minute), open, high: close, low: open, close, volume: Quantity::whole(100) }
            })
            .collect();
        let cents = Price::from_cents;
        let quote = Quote {
            at: at(minute),
            bid: cents(81_19),
            ask: cents(81_21),
            bid_size: Quantity::whole(1),
            ask_size: Quantity::whole(1),
        };
        let view = SymbolView {
            symbol: "ACME".parse().unwrap(),
            session,
            as_of: at(minute),
            bars: &bars,
            quote: Some(quote),
            previous_close: Some(cents(79_00)),
            daily_atr: Some(cents(2_00)),
            relative_volume: Some(Bps(15_000)),
            news_score: None,
            model: None,
            entries_today: 0,
        };
        let news = news.iter().map(|(minute, headline)| (at(*minute), *headline));
        serde_json::to_value(ModelQuestion::of(&view, &Composite::default(), news).unwrap()).unwrap()
    }

    #[test]
    fn a_question_holds_what_is_known_and_nothing_later() {
        let question = asked(60, &[(-600, "Acme\nto   present"), (50, "Acme raises its outlook")]);
        let expected = serde_json::json!({
            "symbol": "ACME", "as_of": "2026-11-16T15:30:00Z", "session": "2026-11-16", "minute": 60,
            "session_minutes": 390, "last": 80.6, "bid": 81.19, "ask": 81.21, "previous_close": 79.0, "open": 80.0,
            "high": 80.6, "low": 80.0, "gap": 0.0126, "change": 0.0202, "change_30m": 0.0037, "relative_volume": 1.5,
            "volatility": 0.0873, "daily_atr": 2.0,
            "indicators": {
                "timeframe": "5m", "bars": 12, "ema_fast": 80.425, "ema_slow": null, "rsi": null, "vwap": 80.3083,
                "atr": 0.05,
            },
            "news": [
                {"age_minutes": 10, "headline": "Acme raises its outlook"},
                {"age_minutes": 660, "headline": "Acme to present"},
            ],
        });
        assert_eq!(question, expected);
        let early = asked(0, &[]);
        assert_eq!((&early["last"], &early["indicators"]["bars"]), (&serde_json::Value::Null, &0.into()));
    }

    #[test]
    fn a_question_has_a_bound() {
        let news: Vec<(i64, &str)> = (0..50).map(|minute| (minute, "x")).collect();
        let question = asked(60, &news);
        let told = question["news"].as_array().unwrap();
        assert_eq!((told.len(), &told[0]["age_minutes"]), (HEADLINES_MAX, &11.into()));
    }

    #[test]
    fn what_is_kept_is_short_and_on_one_line() {
        let score = ModelScore::new("mine", Bps(20_000), "a\n\tb\u{7}c", Some("v 1\r\n"), Duration::from_micros(1_999));
        assert_eq!((score.score, score.rationale.as_str(), score.version.as_deref()), (Bps::ONE, "a b c", Some("v 1")));
        assert_eq!(score.took, Span::millis(1));
        let ModelAnswer::None { reason } = ModelAnswer::none(&"é".repeat(1_000)) else { panic!("no score") };
        assert_eq!(reason.chars().count(), WORDS_MAX);
        assert!(reason.ends_with('…'));
        assert_eq!(brief("abc", 3), "abc");
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        for answer in [
            ModelAnswer::Score(ModelScore::new("mine", Bps(-2_500), "weak", None, Duration::from_secs(1))),
            ModelAnswer::none("mine: no answer within 10s"),
        ] {
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<ModelAnswer>(&text).unwrap(), answer, "{text}");
        }
    }
}
