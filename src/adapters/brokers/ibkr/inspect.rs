//! Whether the gateway stands on the same ground: its version, its account, its clock.

use super::IbkrBroker;
use super::settings::environment_of;
use crate::adapters::Environment;
use crate::ports::BrokerError;

/// How far the clocks may be apart, in milliseconds: orders are dated, and sessions end, by both.
const SKEW_MAX_MS: i64 = 1_000;

/// What was found at the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The account's number.
    pub account: String,
    /// Whose money it holds.
    pub environment: Environment,
    /// The version of the gateway's interface.
    pub server_version: i32,
    /// What a person should know, a line each: clocks that disagree, a line to the broker that is lost.
    pub remarks: Vec<String>,
}

impl IbkrBroker {
    /// Asks the gateway who it is logged in for, and compares the clocks. Its calendar is not asked for: it tells trading
    /// hours by the contract, for some days ahead.
    ///
    /// # Errors
    /// If the gateway does not answer, is too old, or is logged in to an account that was not meant.
    pub async fn inspect(&self) -> Result<Inspection, BrokerError> {
        let session = self.session().await?;
        let before = self.clock.wall();
        let theirs = session.server_time_ms().await?;
        let after = self.clock.wall();
        // It was read at some instant between the two: what lies outside of them is the least difference.
        let ahead = (theirs - after.0).max(0) - (before.0 - theirs).max(0);
        let mut remarks = Vec::new();
        if ahead.abs() > SKEW_MAX_MS {
            let way = if ahead > 0 { "behind" } else { "ahead of" };
            let seconds = ahead.abs() as f64 / 1000.0;
            remarks.push(format!("this machine's clock is {seconds:.1} s {way} the gateway's: keep it with NTP"));
        }
        if let Some(lost) = session.answers.upstream_lost() {
            remarks.push(format!("the gateway has lost its line to Interactive Brokers: {lost}"));
        }
        Ok(Inspection {
            environment: environment_of(&session.account),
            account: session.account.clone(),
            server_version: session.server_version(),
            remarks,
        })
    }
}
