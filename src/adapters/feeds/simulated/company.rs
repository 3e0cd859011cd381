use daybook_core::market::Symbol;

use super::draw::{Purpose, Stream, exp};
use crate::ports::SymbolInfo;

/// How many companies there are to list.
pub(super) const COMPANIES: u32 = 500;

pub(super) const SECTORS: [&str; 11] = [
    "Communication",
    "Consumer Cyclical",
    "Consumer Staples",
    "Energy",
    "Financials",
    "Health Care",
    "Industrials",
    "Materials",
    "Real Estate",
    "Technology",
    "Utilities",
];

/// A symbol is one of these 25 beginnings and one of these 20 ends: 500 that read like real ones.
const BEGINNINGS: [&str; 25] = [
    "AB", "AC", "AG", "AL", "AM", "AR", "BE", "BL", "BR", "CA", "CE", "CR", "DA", "DO", "EL", "EN", "EV", "FA", "FO",
    "GL", "HE", "IN", "KO", "LU", "ME",
];
const ENDS: [&str; 20] = [
    "DN", "LX", "MR", "NT", "RG", "RX", "ST", "TA", "TH", "TK", "VA", "VN", "XA", "YR", "ZO", "LO", "NE", "RN", "SK",
    "LT",
];

/// Companies are the same under every seed; only what happens to them differs.
const LISTING_SEED: u64 = 0;

/// What does not change about a company.
#[derive(Debug, Clone)]
pub(super) struct Company {
    pub(super) symbol: Symbol,
    /// Its place in the listing, from 0.
    pub(super) place: u32,
    /// Its place among [`SECTORS`].
    pub(super) sector: u32,
    /// How much of the market's move it shares.
    pub(super) beta: f64,
    /// Standard deviation of what it moves by itself on an ordinary day.
    pub(super) own_deviation: f64,
    /// Natural logarithm of the price, in dollars, that its level returns to.
    pub(super) base: f64,
    /// Shares that it trades on an ordinary day.
    pub(super) shares: f64,
    /// Its spread in regular hours, as a ratio of the price.
    pub(super) spread: f64,
}

impl Company {
    pub(super) fn info(&self) -> SymbolInfo {
        let name = usize::try_from(self.sector).ok().and_then(|place| SECTORS.get(place));
        let sector = name.copied().unwrap_or("-");
        SymbolInfo { symbol: self.symbol, sector: sector.to_owned() }
    }
}

/// The company at a place of the listing; `None` past the end.
pub(super) fn company(place: u32) -> Option<Company> {
    let index = usize::try_from(place).ok()?;
    let beginning = BEGINNINGS.get(index / ENDS.len())?;
    let end = ENDS.get(index % ENDS.len())?;
    let symbol = format!("{beginning}{end}").parse().ok()?;

    let draws = Stream::new(LISTING_SEED, u64::from(place), 0, Purpose::Company);
    // Small companies are many: a quarter of them below 0.06, the median at 0.25, giants near 1.
    let size = draws.uniform(0) * draws.uniform(0);
    let smallness = 1.0 - size;
    // About 8 dollars for the smallest and 200 for the largest, each within a factor of a few.
    let base = (2.1 + 3.2 * size + 0.6 * draws.normal(1)).clamp(1.6, 6.5);
    // 2 million dollars a day for the smallest, 3.6 billion for the largest.
    let dollars = 2e6 * exp(7.5 * size);
    Some(Company {
        symbol,
        place,
        sector: u32::try_from(draws.bits(2) % SECTORS.len() as u64).ok()?,
        beta: (1.0 + 0.35 * draws.normal(3)).clamp(0.3, 2.0),
        own_deviation: 0.006 + 0.016 * smallness * smallness + 0.005 * draws.uniform(4),
        base,
        shares: dollars / exp(base),
        spread: 0.0001 + 0.0025 * smallness * smallness * smallness,
    })
}
