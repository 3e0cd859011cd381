use serde::{Deserialize, Serialize};

use crate::money::Price;
use crate::order::OrderType;

/// When an order may trade, beyond its time in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// It rests as long as its time in force says.
    #[default]
    Resting,
    /// What does not fill at once is canceled.
    ImmediateOrCancel,
    /// All of it fills at once, or nothing.
    FillOrKill,
    /// It fills at the first price of a session, or not at all.
    AtOpen,
    /// It fills at the last price of a session, or not at all.
    AtClose,
}

/// What a venue lets an order ask for beyond its ticket. The default is what a ticket means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Terms {
    /// When it may trade.
    pub timing: Timing,
    /// Whether it also trades before the open and after the close.
    pub extended_hours: bool,
    /// The limit of a bracket's or a pair's stop leg, which then is a stop-limit order.
    pub stop_loss_limit: Option<Price>,
    /// The one exit that a simple order's fill activates (one-triggers-other).
    pub then: Option<OrderType>,
}
