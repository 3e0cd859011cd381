//! What the process says about itself: to standard error, for people or as JSON.
//!
//! Standard output belongs to what a command prints. Secrets cannot be logged: their type has no
//! `Display`, and its `Debug` says only that there is one.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogFormat, LoggingSettings};

/// The filter of this process's log, where the settings may change it.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Begins to log, for the rest of the process. `RUST_LOG`, where it is set and reads, wins over the settings.
///
/// # Errors
/// If the process logs already.
pub fn init(settings: &LoggingSettings) -> Result<(), TryInitError> {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let from_environment =
        std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty()).and_then(|text| text.parse().ok());
    let may_change = from_environment.is_none();
    let targets = from_environment.or_else(|| settings.targets()).unwrap_or_default();
    let (filter, handle) = reload::Layer::new(targets);
    tracing_subscriber::registry().with(layer(settings.format, filter, colour, std::io::stderr)).try_init()?;
    if may_change {
        // It was not set before: who logs already was refused above.
        FILTER.get_or_init(|| handle);
    }
    Ok(())
}

/// Logs at other levels from now on. Where `RUST_LOG` has set them, or nobody logs, nothing changes.
pub fn set_level(settings: &LoggingSettings) {
    if let (Some(filter), Some(targets)) = (FILTER.get(), settings.targets())
        && let Err(error) = filter.reload(targets)
    {
        tracing::warn!(%error, "logging.unchanged");
    }
}

fn layer<W>(
    format: LogFormat,
    targets: reload::Layer<Targets, Registry>,
    colour: bool,
    writer: W,
) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Pretty => layer.with_ansi(colour).with_target(false).with_filter(targets).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).with_filter(targets).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::{Environment, Sources, load};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str, colour: bool, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let settings = LoggingSettings { format, level: level.to_owned() };
        let (filter, _) = reload::Layer::new(settings.targets().unwrap());
        let layer = layer(format, filter, colour, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_an_object_a_line_with_the_fields_at_its_top() {
        let text = logged(LogFormat::Json, "info", true, || {
            tracing::info!(run_id = 7, symbol = "AAPL", "order.submitted");
            tracing::debug!("not said at info");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "order.submitted");
        assert_eq!(line["run_id"], 7);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn lines_for_people_are_coloured_on_a_terminal_only() {
        let say = || tracing::warn!(symbol = "AAPL", "risk.refused");
        assert!(!logged(LogFormat::Pretty, "info", false, say).contains('\u{1b}'));
        assert!(logged(LogFormat::Pretty, "info", true, say).contains('\u{1b}'));
        assert!(logged(LogFormat::Pretty, "info", false, say).contains("WARN risk.refused symbol=\"AAPL\""));
    }

    #[test]
    fn levels_are_set_by_module() {
        let say = || {
            tracing::info!(target: "daybook::engine", "kept");
            tracing::info!(target: "other", "dropped");
        };
        let text = logged(LogFormat::Pretty, "warn,daybook=info", false, say);
        assert!(text.contains("kept") && !text.contains("dropped"), "{text}");
    }

    #[test]
    fn the_wakers_library_is_heard_when_something_is_wrong() {
        let text = logged(LogFormat::Pretty, "info", false, || {
            tracing::info!(target: "tokio_cron_scheduler::simple", "its insides");
            tracing::warn!(target: "tokio_cron_scheduler::simple", "its trouble");
            tracing::info!("ours");
        });
        assert!(!text.contains("its insides") && text.contains("its trouble") && text.contains("ours"), "{text}");
    }

    #[test]
    fn a_logged_configuration_shows_no_secret() {
        let variables: Environment =
            [("DAYBOOK__SCHEDULER__HEARTBEAT_URL", "https://ping.example/hunter2")].into_iter().collect();
        let configuration = load(&Sources::new(None, variables)).unwrap();
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let text = logged(format, "info", false, || {
                tracing::info!(?configuration, settings = ?configuration.settings, "config.loaded");
            });
            assert!(text.contains("config.loaded") && text.contains("heartbeat_url"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
