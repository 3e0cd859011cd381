//! Figures drawn from bars: volatility and its regime, the opening range, the scan's ranking, what news say; and what
//! a model is asked and answers.
//!
//! [Indicators](crate::indicators) are floating point. What leads to an order leaves as exact types: the
//! opening range and the gap are integers throughout, and an indicator becomes a price through its one
//! checked conversion. Only `+ - × ÷ √` are used, which every machine rounds alike, so a figure is the same
//! everywhere; but for the two range estimators of volatility, which need logarithms and are off by default.

mod features;
mod model;
mod news;
mod pace;
mod regime;
mod scan;
mod session;
mod technical;
mod volatility;

pub use features::{ScanFeatures, ScanInput, Unmeasured};
pub use model::{ModelAnswer, ModelFault, ModelHeadline, ModelIndicators, ModelQuestion, ModelScore, brief};
pub use news::catalyst;
pub use pace::{MarketLook, Novelty, PastLooks, RegimeReading, choose_pace};
pub use regime::{PercentileSettings, Regime, RegimeSettings, ThresholdSource, Thresholds, VolatilityHistory};
pub use scan::{Rejections, ScanResult, ScanSettings, scan, why_not};
pub use session::{OpeningRange, gap, relative_volume, session_vwap, usual_part, volume_through};
pub use technical::{Figures, TechnicalScan, Technicals};
pub use volatility::{SESSION_MINUTES, SESSIONS_PER_YEAR, VolatilityMeasure, latest_atr, realised_volatility};

/// What is wrong with a settings struct: the field, and what was expected of it.
pub type Problem = (&'static str, String);
