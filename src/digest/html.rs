//! The day as a page for mail readers and browsers.

use std::sync::LazyLock;

use daybook_core::report::DayReport;
use minijinja::value::Serde;
use minijinja::{Environment, context};

use super::view::View;
use crate::page;

/// Escaped because of its name's ending.
const TEMPLATE: &str = "digest.html";

/// Why a digest could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// The page could not be rendered.
    #[error("the page of {session} cannot be rendered")]
    Page {
        /// The day.
        session: daybook_core::time::SessionDate,
        /// What the template engine says.
        source: minijinja::Error,
    },
    /// The picture could not be drawn.
    #[error("the equity curve of {session} cannot be drawn")]
    Picture {
        /// The day.
        session: daybook_core::time::SessionDate,
        /// What went wrong.
        source: super::ChartError,
    },
}

/// Renders the day as a page; `picture` is where its equity curve is found (`cid:equity`), if there is one.
///
/// The page loads nothing from anywhere, and is built of tables with inline styles, because that is
/// what mail readers show alike.
///
/// # Errors
/// [`DigestError::Page`] if the template fails.
pub fn page(day: &DayReport, picture: Option<&str>) -> Result<String, DigestError> {
    static ENVIRONMENT: LazyLock<Result<Environment<'static>, String>> =
        LazyLock::new(|| environment().map_err(|error| error.to_string()));
    let render = || {
        let environment = ENVIRONMENT
            .as_ref()
            .map_err(|reason| minijinja::Error::new(minijinja::ErrorKind::SyntaxError, reason.clone()))?;
        environment.get_template(TEMPLATE)?.render(context! { day => Serde(View::of(day)), picture })
    };
    render().map_err(|source| DigestError::Page { session: day.session, source })
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    with_parts(TEMPLATE, include_str!("templates/digest.html"))
}

/// An environment with one page, and what the pages have in common.
pub(super) fn with_parts(name: &'static str, template: &'static str) -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = page::environment()?;
    environment.add_template("parts.html", include_str!("templates/parts.html"))?;
    environment.add_template("style.html", include_str!("templates/style.html"))?;
    environment.add_template(name, template)?;
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::samples;

    #[test]
    fn a_busy_day() {
        insta::assert_snapshot!(page(&samples::rich_day(), Some("cid:equity")).unwrap());
    }

    #[test]
    fn an_empty_day() {
        insta::assert_snapshot!(page(&samples::empty_day(), Some("cid:equity")).unwrap());
    }

    #[test]
    fn an_emergency_stop_day() {
        insta::assert_snapshot!(page(&samples::emergency_stop_day(), Some("cid:equity")).unwrap());
    }

    #[test]
    fn what_a_broker_says_cannot_become_markup() {
        let html = page(&samples::emergency_stop_day(), None).unwrap();
        assert!(html.contains("&lt;halted&gt; &amp; locked") && !html.contains("<halted>"));
    }

    #[test]
    fn the_page_loads_nothing_from_outside_and_is_not_cut_off() {
        for day in [samples::rich_day(), samples::empty_day(), samples::emergency_stop_day()] {
            let html = page(&day, Some("cid:equity")).unwrap();
            assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("<script"));
            assert!(html.len() < 100_000, "Gmail cuts a page off at 102 kB; this one has {} bytes", html.len());
        }
    }
}
