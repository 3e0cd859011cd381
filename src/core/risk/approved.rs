use crate::order::OrderTicket;

/// Proof that risk has reviewed an order: its constructors are private to this module tree, and a
/// broker accepts nothing else.
///
/// It is not serialised: what comes back from the ledger is reviewed again against the verdict that
/// is stored with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved<T>(T);

impl<T> Approved<T> {
    /// What was approved.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.0
    }
}

impl Approved<OrderTicket> {
    /// Wraps an order that the caller, inside `risk`, has reviewed.
    pub(in crate::risk) const fn reviewed(ticket: OrderTicket) -> Self {
        Self(ticket)
    }
}
