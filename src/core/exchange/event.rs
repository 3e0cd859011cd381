use crate::market::{Bar, Quote, Symbol};
use crate::money::Price;
use crate::time::Timestamp;

/// What the market says, one piece at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarketEvent {
    /// Regular trading begins: parked orders start to work.
    SessionOpen { at: Timestamp },
    /// Regular trading ends: day orders expire and the day's equity is kept.
    SessionClose { at: Timestamp },
    /// Trading before the regular open begins: parked orders that ask for it start to work.
    ExtendedOpen { at: Timestamp },
    /// Trading after the regular close ends: day orders that took part in it expire.
    ExtendedClose { at: Timestamp },
    /// A bar has begun at this price. It may be left out: a bar's range tells its open too.
    BarOpen { symbol: Symbol, at: Timestamp, open: Price },
    /// A bar is complete.
    BarRange { symbol: Symbol, bar: Bar, end: Timestamp },
    /// The best bid and offer have changed.
    Quote { symbol: Symbol, quote: Quote },
}

impl MarketEvent {
    /// The instant from which it can be known.
    #[must_use]
    pub const fn known_at(&self) -> Timestamp {
        match self {
            Self::SessionOpen { at }
            | Self::SessionClose { at }
            | Self::ExtendedOpen { at }
            | Self::ExtendedClose { at }
            | Self::BarOpen { at, .. } => *at,
            Self::BarRange { end, .. } => *end,
            Self::Quote { quote, .. } => quote.at,
        }
    }

    /// The order in which events are applied, whoever collected them: by the instant from which they
    /// are known; at one instant what has ended comes before what begins; then by symbol.
    ///
    /// So the last bar of a session still fills before its close, and the bar before the open does not.
    #[must_use]
    pub const fn order_key(&self) -> (Timestamp, u8, Option<Symbol>) {
        let (rank, symbol) = match self {
            Self::BarRange { symbol, .. } => (0, Some(*symbol)),
            Self::SessionClose { .. } | Self::ExtendedClose { .. } => (1, None),
            Self::SessionOpen { .. } | Self::ExtendedOpen { .. } => (2, None),
            Self::BarOpen { symbol, .. } => (3, Some(*symbol)),
            Self::Quote { symbol, .. } => (4, Some(*symbol)),
        };
        (self.known_at(), rank, symbol)
    }
}
