//! Files and folders that settings name: what is wrong with them is told where they are named, before anything uses them.

use std::path::Path;

use daybook_core::alert::AlertEvent;

use super::node::{Node, path_steps};
use super::problem::{Problem, suggestion};
use super::settings::Settings;

/// Most files of a folder of templates that are looked at.
const TEMPLATES_MAX: usize = 1_000;

/// What is wrong with them.
pub(super) fn problems_of_files(settings: &Settings, root: &Node) -> Vec<Problem> {
    let told = &settings.notifications;
    let authority = told.email.problem_of_root_ca().map(|message| ("notifications.email.root_ca", message));
    authority.map(|(key, message)| at(root, key, message)).into_iter().collect()
}

/// Templates that are the words of nothing, or a folder of them that is not there: then the built-in words are used, and
/// nobody goes without a monitor for the words of a mail.
pub(super) fn remarks_of_files(settings: &Settings, root: &Node) -> Vec<Problem> {
    let Some(folder) = &settings.notifications.templates else { return Vec::new() };
    if !folder.is_dir() {
        let message = format!("there is no folder \"{}\": the built-in words are used", folder.display());
        return vec![at(root, "notifications.templates", message)];
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(TEMPLATES_MAX);
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let remark = |path: &std::path::PathBuf| Some(at(root, "notifications.templates", strange(path)?));
    paths.iter().filter_map(remark).collect()
}

/// What is strange about a template's name, if anything is: it is `EVENT.txt`, `EVENT.CHANNEL.txt`, `EVENT.html` or
/// the same with `alert` for any event.
fn strange(path: &Path) -> Option<String> {
    let is_template = path.extension().is_some_and(|extension| extension == "txt" || extension == "html");
    let name = path.file_stem()?.to_str()?;
    let of_events = || AlertEvent::ALL.iter().map(|event| event.as_str()).chain(["alert"]);
    let is_of = |event: &str| match name.strip_prefix(event) {
        Some("") => true,
        // Of a channel that may be off now.
        Some(rest) => rest.strip_prefix('.').is_some_and(|channel| CHANNELS.contains(&channel)),
        None => false,
    };
    if !is_template || of_events().any(is_of) {
        return None;
    }
    let event = of_events().find(|event| name.strip_prefix(event).is_some_and(|rest| rest.starts_with('.')));
    let meant = match event {
        Some(event) => {
            let channel = name.get(event.len() + 1..).unwrap_or_default();
            suggestion(channel, CHANNELS).map(|channel| format!("{event}.{channel}"))
        }
        None => suggestion(name, of_events()).map(str::to_owned),
    };
    let meant = meant.map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"));
    Some(format!(
        "{} is the template of nothing: expected EVENT.txt, EVENT.CHANNEL.txt or EVENT.html, with an event of \
         `trade notify catalogue`{meant}",
        path.display()
    ))
}

/// The channels that there can be.
const CHANNELS: [&str; 10] =
    ["command", "discord", "email", "file", "log", "ntfy", "pagerduty", "slack", "telegram", "webhook"];

fn at(root: &Node, key: &str, message: String) -> Problem {
    Problem { origin: root.origin_near(&path_steps(key)).clone(), key: key.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_s_name_is_that_of_an_event() {
        for good in ["order.filled.txt", "order.filled.slack.txt", "alert.html", "alert.email.txt", "README.md"] {
            assert_eq!(strange(Path::new(good)), None, "{good}");
        }
        for (wrong, meant) in [
            ("order.fileld.txt", "did you mean \"order.filled\"?"),
            ("order.filled.slcak.txt", "did you mean \"order.filled.slack\"?"),
            ("notes.txt", "is the template of nothing"),
        ] {
            assert!(strange(Path::new(wrong)).is_some_and(|told| told.contains(meant)), "{wrong}");
        }
    }
}
