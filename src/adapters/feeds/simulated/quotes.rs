//! Quotes: bid and ask around the price, second by second, on a path through each minute's four prices.

use daybook_core::calendar::Session;
use daybook_core::market::{Bar, Quote, Symbol};
use daybook_core::money::{Price, Quantity};
use daybook_core::time::Timestamp;

use super::company::Company;
use super::days::{self, Walk};
use super::draw::{Purpose, Stream, share};
use super::{Part, SimulatedMarket};

/// Quotes change on the second.
const STEP_MS: i64 = 1_000;

/// Sessions that are looked back on for the last minute that traded; each has at least two.
const SESSIONS_BACK: usize = 2;

impl SimulatedMarket {
    /// The quote in force at an instant: between low and high of the minute, or of the last minute that
    /// traded, with the instant at which it was last renewed. `None` before the first session and for a
    /// symbol that is not listed.
    #[must_use]
    pub fn quote_at(&self, symbol: Symbol, at: Timestamp) -> Option<Quote> {
        let company = self.company(symbol)?;
        let today = at.date_in(self.calendar.zone()).plus_days(1);
        let sessions = self.calendar.sessions(self.calendar.first_date(), today).rev();
        for session in sessions.filter(|session| session.pre_open <= at).take(SESSIONS_BACK) {
            for part in Part::ALL.into_iter().rev() {
                let (start, _) = part.interval(&session);
                if start > at {
                    continue;
                }
                let minutes = self.minutes(symbol, &session, part)?;
                let traded = minutes.partition_point(|bar| bar.start <= at);
                if let Some(bar) = traded.checked_sub(1).and_then(|place| minutes.get(place)) {
                    return Some(self.quote_within(company, &session, part, bar, at));
                }
            }
        }
        None
    }

    /// The quote at an instant from the start of a minute on; after its end that of its last second.
    fn quote_within(&self, company: &Company, session: &Session, part: Part, bar: &Bar, at: Timestamp) -> Quote {
        let last = bar.minute_end().0 - STEP_MS;
        let at = Timestamp((at.0 - at.0.rem_euclid(STEP_MS)).min(last));
        let walk = Walk::company(self.seed, company);
        let day = days::number(session.date);
        let minute = bar.start.0.cast_unsigned();
        let path = Path::of(bar, walk.stream(day, Purpose::QuotePath), minute);
        let (low, high) = (cents_of(bar.low), cents_of(bar.high));
        let spread = part.spread(company, cents_of(bar.open)).min(high - low);
        let bid = (path.at(at.0 - bar.start.0) - spread / 2).clamp(low, high - spread);
        let sizes = walk.stream(day, Purpose::QuoteSize);
        let size = |side: u64| round_lots(bar.volume, share(sizes.bits(at.0.cast_unsigned() << 1 | side)));
        Quote {
            at,
            bid: Price::from_cents(bid),
            ask: Price::from_cents(bid + spread),
            bid_size: size(0),
            ask_size: size(1),
        }
    }
}

/// The price within a minute: from the open to one extreme, to the other, to the close.
struct Path {
    /// Instants in milliseconds from the start, and prices in cents.
    corners: [(i64, i64); 4],
}

impl Path {
    fn of(bar: &Bar, draws: Stream, minute: u64) -> Self {
        let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(cents_of);
        let bits = draws.bits(minute);
        let first_ms = 10_000 + (bits & 0x3fff) as i64; // up to 26.4 s
        let second_ms = 34_000 + (bits >> 14 & 0x3fff) as i64; // up to 50.4 s
        // A minute that rises has most often been at its low first.
        let low_first = (close >= open) == (share(bits >> 32) < 0.7);
        let (first, second) = if low_first { (low, high) } else { (high, low) };
        Self { corners: [(0, open), (first_ms, first), (second_ms, second), (60_000, close)] }
    }

    /// The price some milliseconds into the minute, in cents, rounded down.
    fn at(&self, into_ms: i64) -> i64 {
        for pair in self.corners.windows(2) {
            if let [(from_ms, from), (to_ms, to)] = *pair
                && into_ms < to_ms
            {
                return from + ((to - from) * (into_ms - from_ms)).div_euclid(to_ms - from_ms);
            }
        }
        self.corners[3].1 // the fourth of four
    }
}

fn cents_of(price: Price) -> i64 {
    price.0 / Price::from_cents(1).0
}

/// A size in hundreds: about a twentieth of what the minute trades, at least one hundred.
fn round_lots(volume: Quantity, chance: f64) -> Quantity {
    let shares = volume.to_f64() / 20.0 * (0.5 + chance);
    Quantity::whole(((shares / 100.0) as i64).max(1) * 100)
}
