//! What a person reads in the evening.
//!
//! A [`DayReport`](daybook_core::report::DayReport) becomes a mail: a subject that says it all, plain
//! text for a terminal, a page for a phone, and a picture of the equity. Everything is drawn from the
//! stored report and nothing else, so the same day always gives the same mail, however often it is
//! asked for. Times are New York's, and say so.

mod chart;
mod html;
mod inert;
mod message;
mod template;
mod text;
mod view;
mod week;

pub use chart::{ChartError, equity_curve};
pub use html::{DigestError, page};
pub use inert::inert;
pub use message::{alert_message, day_message, group_message};
pub use template::Templates;
pub use text::plain_text;
pub use week::{week_curve, week_message, week_page, week_text};

#[cfg(test)]
pub(crate) mod samples;
