//! Returns with their calendar.

use chrono::Datelike;

use super::Returns;
use crate::time::SessionDate;

/// Daily returns, each with its date, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct DatedReturns {
    dates: Vec<SessionDate>,
    returns: Returns,
}

/// Dates that do not belong to the returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DateOrder {
    /// More of one than of the other.
    #[error("{dates} dates for {returns} returns: expected one for each")]
    Count { dates: usize, returns: usize },
    /// A day that is not after the one before it.
    #[error("{date} does not come after {before}: expected each date once, the oldest first")]
    Order { place: usize, date: SessionDate, before: SessionDate },
}

/// The return of a month.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct MonthReturn {
    /// The year.
    pub year: i32,
    /// 1 to 12.
    pub month: u32,
    /// Its days, compounded.
    pub value: f64,
}

impl DatedReturns {
    /// Puts dates to returns.
    ///
    /// # Errors
    /// [`DateOrder`] if there is not one for each, or one does not come after the one before it.
    pub fn new(dates: Vec<SessionDate>, returns: Returns) -> Result<Self, DateOrder> {
        if dates.len() != returns.values().len() {
            return Err(DateOrder::Count { dates: dates.len(), returns: returns.values().len() });
        }
        match dates.windows(2).position(|pair| pair[1] <= pair[0]) {
            // `position` has found a pair there.
            Some(at) => Err(DateOrder::Order { place: at + 1, date: dates[at + 1], before: dates[at] }),
            None => Ok(Self { dates, returns }),
        }
    }

    /// The dates, oldest first.
    #[must_use]
    pub fn dates(&self) -> &[SessionDate] {
        &self.dates
    }

    /// The returns of those dates.
    #[must_use]
    pub const fn returns(&self) -> &Returns {
        &self.returns
    }

    /// The return of each month that has a day, oldest first.
    #[must_use]
    pub fn months(&self) -> Vec<MonthReturn> {
        let days = self.dates.iter().zip(self.returns.values());
        let mut months: Vec<MonthReturn> = Vec::new();
        for (date, value) in days {
            let (year, month) = (date.0.year(), date.0.month());
            match months.last_mut() {
                Some(last) if (last.year, last.month) == (year, month) => {
                    last.value = (1.0 + last.value) * (1.0 + value) - 1.0;
                }
                _ => months.push(MonthReturn { year, month, value: *value }),
            }
        }
        months
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(texts: &[&str]) -> Vec<SessionDate> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn days_are_compounded_to_their_months() {
        let dates = dates(&["2025-12-31", "2026-01-02", "2026-01-05", "2026-03-02"]);
        let dated = DatedReturns::new(dates, Returns::new(vec![0.5, 0.1, 0.1, -0.25]).unwrap()).unwrap();
        let months: Vec<(i32, u32, f64)> =
            dated.months().iter().map(|month| (month.year, month.month, (month.value * 1e6).round() / 1e6)).collect();
        assert_eq!(months, [(2025, 12, 0.5), (2026, 1, 0.21), (2026, 3, -0.25)]);
    }

    #[test]
    fn dates_stand_in_order_one_for_each_return() {
        let returns = || Returns::new(vec![0.0, 0.0]).unwrap();
        let wrong = DatedReturns::new(dates(&["2026-01-05", "2026-01-05"]), returns()).unwrap_err();
        assert!(matches!(wrong, DateOrder::Order { place: 1, .. }), "{wrong}");
        let short = DatedReturns::new(dates(&["2026-01-05"]), returns());
        assert_eq!(short, Err(DateOrder::Count { dates: 1, returns: 2 }));
    }
}
