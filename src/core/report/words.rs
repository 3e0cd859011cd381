//! Numbers, times and sentences as a person reads them: the same in a mail, an alert and on a terminal.
//!
//! Times are New York's. What a person reads elsewhere is built of these.

use std::time::Duration;

use super::{DayHalt, DayReport, Figure, LimitUse, WeekReport};
use crate::analysis::RegimeReading;
use crate::calendar::{Session, SessionKind};
use crate::money::{Bps, Money, Price, Quantity};
use crate::risk::{CheckName, HaltKind};
use crate::schedule::Pace;
use crate::strategy::Reason;
use crate::time::{SessionDate, Timestamp};
use chrono_tz::{America::New_York, Tz};

/// The zone of everything that is shown.
const ZONE: Tz = New_York;

/// Writes a number of `10^-decimals` with thousands separated, keeping `shown` decimals (rounded half
/// away from zero).
fn grouped(value: i64, decimals: u32, shown: u32) -> String {
    let step = 10_u64.pow(decimals - shown);
    let rounded = value.unsigned_abs().saturating_add(step / 2) / step;
    let unit = 10_u64.pow(shown);
    let whole = (rounded / unit).to_string();
    let mut text = String::with_capacity(whole.len() * 2);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if shown > 0 {
        text.push_str(&format!(".{:0width$}", rounded % unit, width = shown as usize));
    }
    text
}

/// `$100,212.40`, `-$3.10`: to the cent.
#[must_use]
pub fn dollars(amount: Money) -> String {
    let digits = grouped(amount.0, 8, 2);
    let sign = if amount.is_negative() && digits != "0.00" { "-" } else { "" };
    format!("{sign}${digits}")
}

/// `+$212.40`, `-$3.10`, `$0.00`.
#[must_use]
pub fn signed_dollars(amount: Money) -> String {
    let text = dollars(amount);
    if amount.is_positive() && text != "$0.00" { format!("+{text}") } else { text }
}

/// `$100,200`: to the dollar, for an axis.
#[must_use]
pub fn whole_dollars(amount: Money) -> String {
    let digits = grouped(amount.0, 8, 0);
    let sign = if amount.is_negative() && digits != "0" { "-" } else { "" };
    format!("{sign}${digits}")
}

/// `0.21 %`.
#[must_use]
pub fn percent(ratio: Bps) -> String {
    let sign = if ratio.0 < 0 { "-" } else { "" };
    format!("{sign}{} %", grouped(ratio.0, 2, 2))
}

/// `+0.21 %`.
#[must_use]
pub fn signed_percent(ratio: Bps) -> String {
    if ratio.0 > 0 { format!("+{}", percent(ratio)) } else { percent(ratio) }
}

/// `75 %`: rounded toward zero, so that a limit that is almost reached does not read as reached.
#[must_use]
pub fn whole_percent(ratio: Bps) -> String {
    format!("{} %", ratio.0 / 100)
}

/// `3.45`: one to one is 1.00.
#[must_use]
pub fn factor(ratio: Bps) -> String {
    let sign = if ratio.0 < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(ratio.0, 4, 2))
}

/// `+1.9 R`: a result in units of what was at risk.
#[must_use]
pub fn r_multiple(ratio: Bps) -> String {
    let sign = if ratio.0 < 0 { "-" } else { "+" };
    format!("{sign}{} R", grouped(ratio.0, 4, 1))
}

/// `212.34`; below a dollar `0.1234`.
#[must_use]
pub fn price(price: Price) -> String {
    let sign = if price.is_negative() { "-" } else { "" };
    let shown = if price.abs().0 >= Price::UNIT { 2 } else { 4 };
    format!("{sign}{}", grouped(price.0, 8, shown))
}

/// `1,200`, `0.5`.
#[must_use]
pub fn shares(quantity: Quantity) -> String {
    if quantity.0 % Quantity::UNIT == 0 { grouped(quantity.0, 9, 0) } else { quantity.to_string() }
}

/// `1 trade`, `1,200 trades`.
#[must_use]
pub fn counted(number: usize, one: &str, many: &str) -> String {
    let digits = grouped(i64::try_from(number).unwrap_or(i64::MAX), 0, 0);
    format!("{digits} {}", if number == 1 { one } else { many })
}

/// What the market is like, by which numbers, and how often it is looked at.
#[must_use]
pub fn regime(reading: &RegimeReading, pace: Pace) -> String {
    let RegimeReading { regime, volatility, symbols, thresholds, observations, unchanged, .. } = reading;
    let measured = volatility.map_or_else(
        || "no volatility is measured".to_owned(),
        |volatility| {
            let of = counted(usize::try_from(*symbols).unwrap_or(usize::MAX), "symbol", "symbols");
            let (from, to) = (thresholds.volatile_from, thresholds.quiet_to);
            let ground =
                observations.map_or_else(String::new, |count| format!(", percentiles of {count} measurements"));
            format!("{volatility} a year, the median of {of} (volatile from {from}, quiet up to {to}{ground})")
        },
    );
    let backed_off = if pace == regime.pace() {
        String::new()
    } else {
        format!(", backed off: {unchanged} looks in a row saw nothing new")
    };
    format!("{}: {measured}; pace {}{backed_off}", regime.as_str(), pace.as_str())
}

/// `09:50`, in New York.
#[must_use]
pub fn clock(at: Timestamp) -> String {
    at.in_zone(ZONE).format("%H:%M").to_string()
}

/// `2026-11-16-114205`, in New York: for a file's name.
#[must_use]
pub fn compact_instant(at: Timestamp) -> String {
    at.in_zone(ZONE).format("%Y-%m-%d-%H%M%S").to_string()
}

/// `2026-11-16`, the date in New York.
#[must_use]
pub fn date(at: Timestamp) -> String {
    at.in_zone(ZONE).format("%Y-%m-%d").to_string()
}

/// `2026-11-16 11:42:05 EST`.
#[must_use]
pub fn instant(at: Timestamp) -> String {
    at.in_zone(ZONE).format("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// The zone's letters at an instant: `EST` or `EDT`.
#[must_use]
pub fn zone_letters(at: Timestamp) -> String {
    at.in_zone(ZONE).format("%Z").to_string()
}

/// The minute of the day in New York.
#[must_use]
pub fn minute_of_day(at: Timestamp) -> i64 {
    use chrono::Timelike;
    let wall = at.in_zone(ZONE);
    i64::from(wall.hour() * 60 + wall.minute())
}

/// `Monday, November 16, 2026`.
#[must_use]
pub fn long_date(date: SessionDate) -> String {
    date.0.format("%A, %B %-d, %Y").to_string()
}

/// `42 min`, `2 h 05 min`, `35 s`.
#[must_use]
pub fn held(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    match (minutes / 60, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) if hours < 48 => format!("{hours} h {:02} min", minutes % 60),
        (hours, _) => format!("{} days", hours / 24),
    }
}

/// `full session` or `early close`.
#[must_use]
pub const fn kind(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Full => "full session",
        SessionKind::Early => "early close",
    }
}

/// `Tuesday, November 17: opens 09:30, closes 16:00 New York time (full session).`
#[must_use]
pub fn next_session(session: &Session) -> String {
    format!(
        "{}: opens {}, closes {} New York time ({}).",
        session.date.0.format("%A, %B %-d"),
        clock(session.open),
        clock(session.close),
        kind(session.kind)
    )
}

/// What a person calls a check that refused.
#[must_use]
pub const fn check(name: CheckName) -> &'static str {
    match name {
        CheckName::Halted => "halted",
        CheckName::DayLoss => "day loss",
        CheckName::Positions => "positions at once",
        CheckName::PositionValue => "position value",
        CheckName::Exposure => "exposure",
        CheckName::BuyingPower => "buying power",
        CheckName::PriceSanity => "price sanity",
        CheckName::PriceAge => "price age",
        CheckName::Protections => "paused by a protection",
        CheckName::DuplicateSymbol => "symbol already traded",
        CheckName::SessionTime => "time left in the session",
        CheckName::Confidence => "confidence",
        CheckName::Validity => "signal too old",
        CheckName::WarmUp => "warm-up",
        CheckName::Size => "size",
        CheckName::Rank => "rank",
    }
}

/// What a person calls a latch.
#[must_use]
pub const fn halt(kind: HaltKind) -> &'static str {
    match kind {
        HaltKind::EmergencyStop => "emergency stop",
        HaltKind::MaxDrawdown => "drawdown stop",
        HaltKind::Manual => "manual halt",
        HaltKind::Conflict => "conflict with the broker",
        HaltKind::StaleMarks => "stale prices",
        HaltKind::ClockStep => "clock set back",
        HaltKind::SafeMode => "safe mode",
    }
}

/// From when to when a latch held: `11:42, still in force`, `10:02 to 10:32`.
#[must_use]
pub fn halt_span(halt: &DayHalt, as_of: Timestamp) -> String {
    let since = clock(halt.halt.since);
    let expired = halt.halt.until.filter(|until| *until <= as_of);
    match halt.cleared_at.or(expired) {
        Some(end) => format!("{since} to {}", clock(end)),
        None => format!("{since}, still in force"),
    }
}

/// `gap +3.12 %, relative volume 4.1 x`.
#[must_use]
pub fn reasons(reasons: &[Reason]) -> String {
    let words: Vec<String> = reasons.iter().map(|reason| format!("{} {}", reason.measure, reason.value)).collect();
    words.join(", ")
}

/// `$412.00`, `3`.
#[must_use]
pub fn figure(figure: Figure) -> String {
    match figure {
        Figure::Money(amount) => dollars(amount),
        Figure::Count(number) => number.to_string(),
    }
}

/// `4 of 5`.
#[must_use]
pub fn used_of_allowed(usage: &LimitUse) -> String {
    format!("{} of {}", figure(usage.used), figure(usage.allowed))
}

/// The subject of a day's mail: `Daybook 2026-11-16: +$212.40 (+0.21 %), 4 trades, flat`.
#[must_use]
pub fn subject(day: &DayReport) -> String {
    let trades =
        if day.trades.is_empty() { "no trades".to_owned() } else { counted(day.trades.len(), "trade", "trades") };
    let end = if day.is_flat() {
        "flat".to_owned()
    } else {
        counted(day.open_positions.len(), "POSITION OPEN", "POSITIONS OPEN")
    };
    let corrected = if day.corrects.is_some() { "corrected, " } else { "" };
    let mut subject = format!(
        "Daybook {}: {corrected}{} ({}), {trades}, {end}",
        day.session,
        signed_dollars(day.pnl),
        signed_percent(day.pnl_ratio)
    );
    if day.halts.iter().any(|halt| halt.halt.kind == HaltKind::EmergencyStop) {
        subject.push_str(", EMERGENCY STOP");
    }
    subject
}

/// The day in a few sentences: its result, whether it ended flat, what stopped it, which limits were
/// reached, and whether something went wrong.
#[must_use]
pub fn verdict(day: &DayReport) -> String {
    let mut sentences = vec![result_sentence(day), end_sentence(day)];
    sentences.extend(day.corrects.map(|told| {
        let told = signed_dollars(told);
        format!("This takes the place of an earlier report, which told {told}: the broker has shown more since.")
    }));
    sentences.extend(day.halts.iter().map(|latch| halt_sentence(latch, day.as_of)));
    let reached: Vec<String> = day
        .limits
        .iter()
        .filter(|usage| usage.is_reached())
        .map(|usage| format!("{} ({})", usage.limit.label(), used_of_allowed(usage)))
        .collect();
    sentences.push(match reached.len() {
        0 => "No limit was reached.".to_owned(),
        1 => format!("Limit reached: {}.", reached.concat()),
        _ => format!("Limits reached: {}.", reached.join(", ")),
    });
    if !day.faults.is_empty() {
        sentences.push(format!("{}, listed below.", counted(day.faults.len(), "fault", "faults")));
    }
    sentences.join(" ")
}

/// The subject of a week's mail: `Daybook week of 2026-11-16: -$384.35 (-0.38 %), 29 trades in 5 sessions`.
#[must_use]
pub fn week_subject(week: &WeekReport) -> String {
    let sum = &week.summary;
    let trades = match sum.trades {
        0 => "no trades".to_owned(),
        trades => counted(usize::try_from(trades).unwrap_or(usize::MAX), "trade", "trades"),
    };
    let sessions = counted(sum.sessions.len(), "session", "sessions");
    let (pnl, ratio) = (signed_dollars(sum.pnl), signed_percent(sum.pnl_ratio));
    format!("Daybook week of {}: {pnl} ({ratio}), {trades} in {sessions}", week.monday)
}

/// The week in a few sentences: its best and its worst day, days that did not end flat, what was changed, and whether
/// something went wrong.
#[must_use]
pub fn week_verdict(week: &WeekReport) -> String {
    let sum = &week.summary;
    let mut sentences = Vec::new();
    let day = |(session, pnl): (SessionDate, Money)| format!("{} {}", session.0.format("%a"), signed_dollars(pnl));
    if let (Some(best), Some(worst)) = (sum.best_day, sum.worst_day)
        && best.0 != worst.0
    {
        sentences.push(format!("Best day {}, worst {}.", day(best), day(worst)));
    }
    let open: Vec<String> = sum.sessions.iter().filter(|day| !day.flat).map(|day| day.session.to_string()).collect();
    sentences.push(match open.len() {
        0 => "Every session ended flat.".to_owned(),
        _ => format!("Not flat at the end: {}.", open.join(", ")),
    });
    if !week.changes.is_empty() {
        sentences.push(format!("{} of the configuration.", counted(week.changes.len(), "change", "changes")));
    }
    if !week.faults.is_empty() {
        sentences.push(format!("{}, listed below.", counted(week.faults.len(), "fault", "faults")));
    }
    sentences.join(" ")
}

fn result_sentence(day: &DayReport) -> String {
    let trades = match day.trades.len() {
        0 if day.pnl.is_zero() => return "No trades.".to_owned(),
        0 => "without a closed trade".to_owned(),
        number => format!("in {}", counted(number, "trade", "trades")),
    };
    let moved = if day.pnl.is_positive() { "Up" } else { "Down" };
    if day.pnl.is_zero() {
        return format!("Unchanged {trades}.");
    }
    format!("{moved} {} ({}) {trades}.", dollars(day.pnl.abs()), signed_percent(day.pnl_ratio))
}

fn end_sentence(day: &DayReport) -> String {
    if day.is_flat() {
        return if day.trades.is_empty() { "Flat all day." } else { "Flat by the close." }.to_owned();
    }
    let symbols: Vec<&str> = day.open_positions.iter().map(|open| open.symbol.as_str()).collect();
    let are = counted(symbols.len(), "position is", "positions are");
    format!("NOT FLAT: {are} still open ({}).", symbols.join(", "))
}

fn halt_sentence(latch: &DayHalt, as_of: Timestamp) -> String {
    let name = halt(latch.halt.kind);
    let mut letters = name.chars();
    let name = letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default();
    format!("{name} from {}.", halt_span(latch, as_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_to_the_cent_and_grouped() {
        let cases = [
            (10_021_240_000_000, "$100,212.40"),
            (-310_000_000, "-$3.10"),
            (123_456_789_012_345_678, "$1,234,567,890.12"),
            (500_000, "$0.01"),
            (499_999, "$0.00"),
            (-499_999, "$0.00"),
            (0, "$0.00"),
            (99_999_999_999, "$1,000.00"),
        ];
        for (units, expected) in cases {
            assert_eq!(dollars(Money(units)), expected);
        }
        assert_eq!(signed_dollars(Money(1)), "$0.00", "a sign before nothing would mislead");
        assert_eq!(signed_dollars(Money::whole(7)), "+$7.00");
    }

    #[test]
    fn ratios_read_as_percent_factor_and_r() {
        assert_eq!(signed_percent(Bps(21)), "+0.21 %");
        assert_eq!(signed_percent(Bps(-105)), "-1.05 %");
        assert_eq!(whole_percent(Bps(9_998)), "99 %");
        assert_eq!(factor(Bps(34_527)), "3.45");
        assert_eq!(r_multiple(Bps(-8_660)), "-0.9 R");
    }

    #[test]
    fn times_are_new_yorks_on_both_sides_of_the_clock_change() {
        let winter: Timestamp = "2026-11-16T14:50:00Z".parse().unwrap();
        let summer: Timestamp = "2026-07-16T14:50:00Z".parse().unwrap();
        assert_eq!((clock(winter), zone_letters(winter)), ("09:50".to_owned(), "EST".to_owned()));
        assert_eq!((clock(summer), zone_letters(summer)), ("10:50".to_owned(), "EDT".to_owned()));
    }

    #[test]
    fn a_hold_time_has_the_unit_that_fits() {
        let cases = [(35, "35 s"), (42 * 60, "42 min"), (125 * 60, "2 h 05 min"), (72 * 3_600, "3 days")];
        for (seconds, expected) in cases {
            assert_eq!(held(Duration::from_secs(seconds)), expected);
        }
    }
}
