use std::str::FromStr;

use super::{
    AccumulationDistribution, Adx, Adxr, Aroon, Atr, Band, Bollinger, Candle, Cci, ChaikinOscillator, CloseToClose,
    Dema, Di, Donchian, Dx, Ema, FastStochastic, GarmanKlass, Indicator, Kama, Keltner, LinearRegressionSlope, Macd,
    MacdPeriods, MacdValue, Mfi, Momentum, Natr, Obv, OpeningBars, ParabolicSar, Parkinson, Period, Pivots,
    PlacedCandle, RelativeVolume, RollingVwap, Rsi, SessionGap, SessionPivots, SessionPlace, SessionProfile,
    SessionVwap, Sma, StdDev, StochRsi, Stochastic, StochasticPeriods, StochasticValue, Supertrend, Tema, Trix,
    TrueRange, Ultosc, ValueArea, Vwap, WilliamsR, Wma,
};
use crate::money::Price;

/// An indicator under its name, `SMA_20` or `MACD_12_26_9`, fed bar by bar.
///
/// ```
/// use daybook_core::indicators::{Candle, Column};
///
/// let mut average: Column = "SMA_2".parse().unwrap();
/// let bar = |close| Candle { open: close, high: close, low: close, close, volume: 1.0 };
/// assert_eq!(average.update(&bar(1.0), true), None);
/// assert_eq!(average.update(&bar(2.0), false), Some(1.5));
/// ```
pub struct Column {
    name: String,
    machine: Machine,
}

/// Takes a bar, and where it stands in its session.
type Machine = Box<dyn FnMut(&Candle, SessionPlace) -> Option<f64> + Send>;

/// A name that is no column's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// No indicator is called that.
    #[error("no indicator is called {name}: expected one such as {}", Column::FORMS.join(", "))]
    Unknown { name: String },
    /// The indicator takes other parameters.
    #[error("{name} does not have the parameters of its indicator: expected a form such as {form}")]
    Parameters { name: String, form: &'static str },
}

impl Column {
    /// One name of each indicator, with its usual parameters.
    ///
    /// Distances in `SAR` are decimals without their point: `002` is 0.02. The number of a volume profile is the
    /// height of its levels in cents; all others count bars, or deviations and ranges. `docs/indicators.md` has each
    /// with its formula.
    pub const FORMS: &[&str] = &[
        "SMA_20",
        "EMA_12",
        "WMA_20",
        "DEMA_20",
        "TEMA_20",
        "KAMA_30",
        "MACD_12_26_9",
        "MACDSIGNAL_12_26_9",
        "MACDHIST_12_26_9",
        "RSI_14",
        "TRANGE",
        "ATR_14",
        "NATR_14",
        "ADX_14",
        "ADXR_14",
        "DX_14",
        "PLUS_DI_14",
        "MINUS_DI_14",
        "BB_UPPER_20_2",
        "BB_MIDDLE_20_2",
        "BB_LOWER_20_2",
        "STDDEV_20",
        "STOCH_K_14_3_3",
        "STOCH_D_14_3_3",
        "STOCHF_K_14_3",
        "STOCHF_D_14_3",
        "STOCHRSI_K_14_5_3",
        "STOCHRSI_D_14_5_3",
        "CCI_20",
        "MFI_14",
        "OBV",
        "AD",
        "ADOSC_3_10",
        "ROC_10",
        "ROCP_10",
        "MOM_10",
        "WILLR_14",
        "SAR_002_02",
        "AROON_UP_14",
        "AROON_DOWN_14",
        "TRIX_30",
        "ULTOSC_7_14_28",
        "LINEARREG_SLOPE_14",
        "VWAP_CUM",
        "VWAP_SESSION",
        "VWAP_ROLL_20",
        "RVOL_20",
        "DONCHIAN_UPPER_20",
        "DONCHIAN_LOWER_20",
        "KELTNER_UPPER_20_2",
        "KELTNER_MIDDLE_20_2",
        "KELTNER_LOWER_20_2",
        "SUPERTREND_10_3",
        "VOL_CLOSE_20",
        "VOL_PARKINSON_20",
        "VOL_GARMAN_KLASS_20",
        "GAP",
        "OR_HIGH_15",
        "OR_LOW_15",
        "PIVOT",
        "PIVOT_R1",
        "PIVOT_R2",
        "PIVOT_R3",
        "PIVOT_S1",
        "PIVOT_S2",
        "PIVOT_S3",
        "POC_10",
        "VAH_10",
        "VAL_10",
    ];

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes a bar and its place in the session (`true` is the first of regular hours, `false` another one);
    /// `None` while the indicator is undefined.
    pub fn update(&mut self, candle: &Candle, place: impl Into<SessionPlace>) -> Option<f64> {
        (self.machine)(candle, place.into())
    }
}

impl FromStr for Column {
    type Err = ColumnError;

    fn from_str(name: &str) -> Result<Self, ColumnError> {
        let (head, parameters) = parts(name);
        let machine = machine(head, &parameters).ok_or_else(|| {
            let form = Self::FORMS.iter().copied().find(|form| parts(form).0 == head);
            match form {
                Some(form) => ColumnError::Parameters { name: name.to_owned(), form },
                None => ColumnError::Unknown { name: name.to_owned() },
            }
        })?;
        Ok(Self { name: name.to_owned(), machine })
    }
}

/// The indicator's name and its parameters, which are the numbers at the end.
fn parts(name: &str) -> (&str, Vec<&str>) {
    let is_number = |part: &str| part.starts_with(|first: char| first.is_ascii_digit());
    let count = name.rsplit('_').take_while(|part| is_number(part)).count();
    let mut pieces: Vec<&str> = name.rsplitn(count + 1, '_').collect();
    let head = pieces.pop().unwrap_or_default();
    pieces.reverse();
    (head, pieces)
}

/// `None` for an unknown name and for parameters that do not fit it.
fn machine(head: &str, parameters: &[&str]) -> Option<Machine> {
    Some(match (head, parameters) {
        ("SMA", [n]) => of_close(Sma::new(period(n)?)),
        ("EMA", [n]) => of_close(Ema::new(period(n)?)),
        ("WMA", [n]) => of_close(Wma::new(period(n)?)),
        ("DEMA", [n]) => of_close(Dema::new(period(n)?)),
        ("TEMA", [n]) => of_close(Tema::new(period(n)?)),
        ("KAMA", [n]) => of_close(Kama::new(period(n)?)),
        ("MACD", [f, s, n]) => part_of_close(macd(f, s, n)?, |value: MacdValue| value.macd),
        ("MACDSIGNAL", [f, s, n]) => part_of_close(macd(f, s, n)?, |value: MacdValue| value.signal),
        ("MACDHIST", [f, s, n]) => part_of_close(macd(f, s, n)?, |value: MacdValue| value.histogram),
        ("RSI", [n]) => of_close(Rsi::new(period(n)?)),
        ("TRANGE", []) => of_candle(TrueRange::default()),
        ("ATR", [n]) => of_candle(Atr::new(period(n)?)),
        ("NATR", [n]) => of_candle(Natr::new(period(n)?)),
        ("ADX", [n]) => of_candle(Adx::new(period(n)?)),
        ("ADXR", [n]) => of_candle(Adxr::new(period(n)?)),
        ("DX", [n]) => of_candle(Dx::new(period(n)?)),
        ("PLUS_DI", [n]) => of_candle(Di::plus(period(n)?)),
        ("MINUS_DI", [n]) => of_candle(Di::minus(period(n)?)),
        ("BB_UPPER", [n, d]) => part_of_close(Bollinger::new(period(n)?, factor(d)?), |band: Band| band.upper),
        ("BB_MIDDLE", [n, d]) => part_of_close(Bollinger::new(period(n)?, factor(d)?), |band: Band| band.middle),
        ("BB_LOWER", [n, d]) => part_of_close(Bollinger::new(period(n)?, factor(d)?), |band: Band| band.lower),
        ("STDDEV", [n]) => of_close(StdDev::new(period(n)?)),
        ("STOCH_K", [r, k, d]) => part_of_candle(stochastic(r, k, d)?, |value: StochasticValue| value.k),
        ("STOCH_D", [r, k, d]) => part_of_candle(stochastic(r, k, d)?, |value: StochasticValue| value.d),
        ("STOCHF_K", [r, d]) => part_of_candle(fast_stochastic(r, d)?, |value: StochasticValue| value.k),
        ("STOCHF_D", [r, d]) => part_of_candle(fast_stochastic(r, d)?, |value: StochasticValue| value.d),
        ("STOCHRSI_K", [n, r, d]) => part_of_close(stoch_rsi(n, r, d)?, |value: StochasticValue| value.k),
        ("STOCHRSI_D", [n, r, d]) => part_of_close(stoch_rsi(n, r, d)?, |value: StochasticValue| value.d),
        ("CCI", [n]) => of_candle(Cci::new(period(n)?)),
        ("MFI", [n]) => of_candle(Mfi::new(period(n)?)),
        ("OBV", []) => of_candle(Obv::default()),
        ("AD", []) => of_candle(AccumulationDistribution::default()),
        ("ADOSC", [f, s]) => of_candle(ChaikinOscillator::new([period(f)?, period(s)?])),
        ("ROC", [n]) => of_close(Momentum::percent(period(n)?)),
        ("ROCP", [n]) => of_close(Momentum::ratio(period(n)?)),
        ("MOM", [n]) => of_close(Momentum::difference(period(n)?)),
        ("WILLR", [n]) => of_candle(WilliamsR::new(period(n)?)),
        ("SAR", [a, m]) => of_candle(ParabolicSar::with_acceleration(pointless(a)?, pointless(m)?)),
        ("AROON_UP", [n]) => part_of_candle(Aroon::new(period(n)?), |value| value.up),
        ("AROON_DOWN", [n]) => part_of_candle(Aroon::new(period(n)?), |value| value.down),
        ("TRIX", [n]) => of_close(Trix::new(period(n)?)),
        ("ULTOSC", [a, b, c]) => of_candle(Ultosc::new([period(a)?, period(b)?, period(c)?])),
        ("LINEARREG_SLOPE", [n]) => of_close(LinearRegressionSlope::new(period(n)?)),
        ("VWAP_CUM", []) => of_candle(Vwap::default()),
        ("VWAP_SESSION", []) => of_placed(SessionVwap::default(), |value| value),
        ("VWAP_ROLL", [n]) => of_candle(RollingVwap::new(period(n)?)),
        ("RVOL", [n]) => {
            let mut ratio = RelativeVolume::new(period(n)?);
            Box::new(move |candle, _| ratio.update(candle.volume))
        }
        ("DONCHIAN_UPPER", [n]) => part_of_candle(Donchian::new(period(n)?), |band| band.upper),
        ("DONCHIAN_LOWER", [n]) => part_of_candle(Donchian::new(period(n)?), |band| band.lower),
        ("KELTNER_UPPER", [n, f]) => part_of_candle(Keltner::new(period(n)?, factor(f)?), |band| band.upper),
        ("KELTNER_MIDDLE", [n, f]) => part_of_candle(Keltner::new(period(n)?, factor(f)?), |band| band.middle),
        ("KELTNER_LOWER", [n, f]) => part_of_candle(Keltner::new(period(n)?, factor(f)?), |band| band.lower),
        ("SUPERTREND", [n, f]) => part_of_candle(Supertrend::new(period(n)?, factor(f)?), |value| value.line),
        ("VOL_CLOSE", [n]) => of_close(CloseToClose::new(period(n)?)?),
        ("VOL_PARKINSON", [n]) => of_candle(Parkinson::new(period(n)?)),
        ("VOL_GARMAN_KLASS", [n]) => of_candle(GarmanKlass::new(period(n)?)),
        ("GAP", []) => of_placed(SessionGap::default(), |value| value),
        ("OR_HIGH", [n]) => of_placed(OpeningBars::new(period(n)?), |band: Band| band.upper),
        ("OR_LOW", [n]) => of_placed(OpeningBars::new(period(n)?), |band: Band| band.lower),
        ("PIVOT", []) => pivots(|levels| levels.pivot),
        ("PIVOT_R1", []) => pivots(|levels| levels.resistance[0]),
        ("PIVOT_R2", []) => pivots(|levels| levels.resistance[1]),
        ("PIVOT_R3", []) => pivots(|levels| levels.resistance[2]),
        ("PIVOT_S1", []) => pivots(|levels| levels.support[0]),
        ("PIVOT_S2", []) => pivots(|levels| levels.support[1]),
        ("PIVOT_S3", []) => pivots(|levels| levels.support[2]),
        ("POC", [cents]) => of_placed(profile(cents)?, |area: ValueArea| area.point_of_control.to_f64()),
        ("VAH", [cents]) => of_placed(profile(cents)?, |area: ValueArea| area.high.to_f64()),
        ("VAL", [cents]) => of_placed(profile(cents)?, |area: ValueArea| area.low.to_f64()),
        _ => return None,
    })
}

fn of_close(mut indicator: impl Indicator<Input = f64, Output = f64> + Send + 'static) -> Machine {
    Box::new(move |candle, _| indicator.update(candle.close))
}

fn of_candle(mut indicator: impl Indicator<Input = Candle, Output = f64> + Send + 'static) -> Machine {
    Box::new(move |candle, _| indicator.update(*candle))
}

fn part_of_close<I: Indicator<Input = f64> + Send + 'static>(mut indicator: I, part: fn(I::Output) -> f64) -> Machine {
    Box::new(move |candle, _| indicator.update(candle.close).map(part))
}

fn part_of_candle<I>(mut indicator: I, part: fn(I::Output) -> f64) -> Machine
where
    I: Indicator<Input = Candle> + Send + 'static,
{
    Box::new(move |candle, _| indicator.update(*candle).map(part))
}

fn of_placed<I>(mut indicator: I, part: fn(I::Output) -> f64) -> Machine
where
    I: Indicator<Input = PlacedCandle> + Send + 'static,
{
    Box::new(move |candle, place| indicator.update(PlacedCandle { candle: *candle, place }).map(part))
}

fn pivots(part: fn(Pivots) -> f64) -> Machine {
    of_placed(SessionPivots::default(), part)
}

/// Levels of so many cents.
fn profile(cents: &str) -> Option<SessionProfile> {
    SessionProfile::new(Price::from_f64(factor(cents)? / 100.0).ok()?)
}

fn macd(fast: &str, slow: &str, signal: &str) -> Option<Macd> {
    Some(Macd::new(MacdPeriods { fast: period(fast)?, slow: period(slow)?, signal: period(signal)? }))
}

fn stochastic(range: &str, slow_k: &str, d: &str) -> Option<Stochastic> {
    Some(Stochastic::new(StochasticPeriods { range: period(range)?, slow_k: period(slow_k)?, d: period(d)? }))
}

fn fast_stochastic(range: &str, d: &str) -> Option<FastStochastic> {
    Some(FastStochastic::new(period(range)?, period(d)?))
}

fn stoch_rsi(rsi: &str, range: &str, d: &str) -> Option<StochRsi> {
    Some(StochRsi::new(Rsi::new(period(rsi)?), fast_stochastic(range, d)?))
}

fn period(text: &str) -> Option<Period> {
    Period::try_from(text.parse::<usize>().ok()?).ok()
}

fn factor(text: &str) -> Option<f64> {
    text.parse().ok().filter(|factor: &f64| factor.is_finite())
}

/// A number below ten, written without its point: `002` is 0.02.
fn pointless(text: &str) -> Option<f64> {
    let (whole, decimals) = text.split_at_checked(1)?;
    factor(&format!("{whole}.{decimals}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_a_column() {
        for form in Column::FORMS {
            assert_eq!(form.parse::<Column>().map(|column| column.name().to_owned()).as_deref(), Ok(*form));
        }
    }

    #[test]
    fn a_wrong_name_says_what_would_be_right() {
        let error = |name: &str| name.parse::<Column>().err().unwrap();
        for (name, form) in [
            ("SMA", "SMA_20"),
            ("SMA_0", "SMA_20"),
            ("MACD_12_26", "MACD_12_26_9"),
            ("OBV_5", "OBV"),
            ("VOL_CLOSE_1", "VOL_CLOSE_20"),
            ("OR_HIGH_0", "OR_HIGH_15"),
            ("POC_0", "POC_10"),
            ("POC_0.0000001", "POC_10"),
        ] {
            assert_eq!(error(name), ColumnError::Parameters { name: name.to_owned(), form });
        }
        assert!(error("FOO_3").to_string().starts_with("no indicator is called FOO_3: expected one such as SMA_20, "));
        assert!(matches!(error(""), ColumnError::Unknown { .. }));
    }

    #[test]
    fn numbers_without_their_point_are_read() {
        let table = [("002", Some(0.02)), ("02", Some(0.2)), ("1", Some(1.0)), ("", None), ("0x", None)];
        for (text, value) in table {
            assert_eq!(pointless(text), value, "{text}");
        }
    }

    #[test]
    fn the_session_average_begins_with_the_session() {
        let mut column: Column = "VWAP_SESSION".parse().unwrap();
        let bar = |price| Candle { open: price, high: price, low: price, close: price, volume: 1.0 };
        let values = [(1.0, true), (3.0, false), (9.0, true)].map(|(price, begins)| column.update(&bar(price), begins));
        assert_eq!(values, [Some(1.0), Some(2.0), Some(9.0)]);
    }
}
