//! Falls from a highest point, and how long it took to come back.

use super::DatedReturns;
use crate::time::SessionDate;

/// A fall from a highest point to the day on which it was reached again.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Drawdown {
    /// The first day below the highest point.
    pub from: SessionDate,
    /// The day of the lowest point.
    pub bottom: SessionDate,
    /// The day on which the highest point was reached again; `None` while it was not.
    pub recovered: Option<SessionDate>,
    /// The lowest point as a ratio of the highest: below zero.
    pub depth: f64,
    /// Days below the highest point.
    pub days: usize,
}

/// How far below the highest point so far each value is; the beginning, one, counts as a point.
pub(super) fn series(growth: &[f64]) -> Vec<f64> {
    let mut peak = 1.0_f64;
    let below = |wealth: &f64| {
        peak = peak.max(*wealth);
        wealth / peak - 1.0
    };
    growth.iter().map(below).collect()
}

impl DatedReturns {
    /// Every drawdown, the deepest first.
    #[must_use]
    pub fn deepest_drawdowns(&self) -> Vec<Drawdown> {
        let mut found = Vec::new();
        let mut under_water: Option<Drawdown> = None;
        for (date, depth) in self.dates().iter().copied().zip(self.returns().drawdowns()) {
            match under_water.take() {
                Some(drawdown) if depth >= 0.0 => found.push(Drawdown { recovered: Some(date), ..drawdown }),
                Some(drawdown) => {
                    let deeper = depth < drawdown.depth;
                    let (bottom, depth) = if deeper { (date, depth) } else { (drawdown.bottom, drawdown.depth) };
                    under_water = Some(Drawdown { bottom, depth, days: drawdown.days + 1, ..drawdown });
                }
                None if depth < 0.0 => {
                    under_water = Some(Drawdown { from: date, bottom: date, recovered: None, depth, days: 1 });
                }
                None => {}
            }
        }
        found.extend(under_water);
        found.sort_by(|a, b| a.depth.total_cmp(&b.depth));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::Returns;
    use super::*;

    #[test]
    fn a_drawdown_lasts_until_the_highest_point_is_reached_again() {
        let first: SessionDate = "2026-01-05".parse().unwrap();
        let date = |day: i64| first.plus_days(day);
        let values = [0.1, -0.1, -0.1, 0.3, -0.05, 0.01];
        let dates = (0..6).map(date).collect();
        let dated = DatedReturns::new(dates, Returns::new(values.to_vec()).unwrap()).unwrap();
        let found = dated.deepest_drawdowns();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].from, found[0].bottom, found[0].recovered, found[0].days),
            (date(1), date(2), Some(date(3)), 2)
        );
        assert!((found[0].depth + 0.19).abs() < 1e-12);
        assert_eq!((found[1].from, found[1].recovered, found[1].days), (date(4), None, 2));
    }
}
