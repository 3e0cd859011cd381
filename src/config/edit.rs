//! Sets keys in a YAML file and leaves all else of it as it is: comments, order, blank lines, references to secrets.
//!
//! It knows the block style in which the documented file is written, line by line. It is no YAML parser: who uses it
//! reads what came of it, and compares.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::change::changed_keys;
use super::node::{Entry, Node, Step, Value as Tree};
use super::yaml::{self, Document};

/// The text of a file that says `before`, edited so that it says `after`: both are settings as the ledger keeps them.
/// `None` where a key has no line that it could be set on.
///
/// # Errors
/// If one of the settings is not what the ledger keeps.
pub fn edited(text: &str, before: &str, after: &str) -> Result<Option<String>, serde_json::Error> {
    let settings: Value = serde_json::from_str(after)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for key in changed_keys(before, after)? {
        let path: Vec<&str> = key.split('.').collect();
        if set(&mut lines, &settings, &path).is_none() {
            return Ok(None);
        }
    }
    Ok(Some(lines.join("\n") + "\n"))
}

/// A line that begins with a key.
struct KeyLine {
    /// Its place among the lines.
    at: usize,
    /// Blanks before the key.
    indent: usize,
    /// The key's path.
    path: Vec<String>,
    /// The line up to the colon, that included.
    head: String,
    /// What follows it, without a comment.
    value: String,
    /// The comment, with the blanks before it.
    comment: String,
}

fn set(lines: &mut Vec<String>, settings: &Value, path: &[&str]) -> Option<()> {
    let keys = key_lines(lines);
    let depth_of = |line: &KeyLine| {
        let is_on_the_way = line.path.len() <= path.len() && line.path.iter().zip(path).all(|(a, b)| a == b);
        is_on_the_way.then_some(line.path.len())
    };
    let Some(nearest) = keys.iter().filter(|line| depth_of(line).is_some()).max_by_key(|line| line.path.len()) else {
        lines.extend(section(path, 0, settings_at(settings, path)?));
        return Some(());
    };
    let (there, missing) = path.split_at(nearest.path.len());
    if !missing.is_empty() && !nearest.value.is_empty() {
        // A section on one line: it is written anew, a line a key, with what stood there and what is set.
        let end = end_of_value(lines, nearest);
        let rest = lines.get(nearest.at + 1..end).unwrap_or_default();
        let source = [std::slice::from_ref(&nearest.value), rest].concat().join("\n");
        let Document { mut root, problems } = yaml::parse(&source, &Arc::from(Path::new("section"))).ok()?;
        // Anchors and comments in its midst would be lost.
        let is_plain = problems.is_empty() && !source.contains(['#', '&', '*']);
        if !is_plain || !matches!(root.value, Tree::Map(_)) {
            return None;
        }
        let steps: Vec<Step> = missing.iter().map(|key| Step::Key((*key).to_owned())).collect();
        let value = yaml::parse(&inline(settings_at(settings, path)?), &Arc::from(Path::new("value"))).ok()?.root;
        root.set(&steps, value);
        let mut new = vec![format!("{}{}", nearest.head, nearest.comment)];
        new.extend(block(&root, nearest.indent + 2));
        lines.splice(nearest.at..end, new);
        return Some(());
    }
    if missing.is_empty() {
        let value = inline(settings_at(settings, there)?);
        lines
            .splice(nearest.at..end_of_value(lines, nearest), [format!("{} {value}{}", nearest.head, nearest.comment)]);
        return Some(());
    }
    let child = keys.iter().find(|line| line.path.len() == there.len() + 1 && line.path.starts_with(&nearest.path));
    let indent = child.map_or(nearest.indent + 2, |child| child.indent);
    let new = section(missing, indent, settings_at(settings, path)?);
    lines.splice(nearest.at + 1..nearest.at + 1, new);
    Some(())
}

fn settings_at<'a>(settings: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(settings, |value, key| value.get(key))
}

/// The lines of a key in sections that are not there yet.
fn section(path: &[&str], indent: usize, value: &Value) -> Vec<String> {
    let last = path.len().saturating_sub(1);
    path.iter()
        .enumerate()
        .map(|(depth, key)| {
            let value = if depth == last { format!(" {}", inline(value)) } else { String::new() };
            format!("{:1$}{key}:{value}", "", indent + 2 * depth)
        })
        .collect()
}

/// A section's values, a line a key.
fn block(section: &Node, indent: usize) -> Vec<String> {
    let Tree::Map(entries) = &section.value else { return Vec::new() };
    let mut lines = Vec::new();
    for entry in entries {
        let key = written(&entry.key, false);
        if matches!(&entry.node.value, Tree::Map(inner) if !inner.is_empty()) {
            lines.push(format!("{:indent$}{key}:", ""));
            lines.extend(block(&entry.node, indent + 2));
        } else {
            lines.push(format!("{:indent$}{key}: {}", "", flow(&entry.node)));
        }
    }
    lines
}

/// A value on one line, as it was written.
fn flow(node: &Node) -> String {
    match &node.value {
        Tree::Null => "null".to_owned(),
        Tree::Scalar { text, quoted, .. } => written(text, *quoted),
        Tree::List(items) => format!("[{}]", items.iter().map(|(_, item)| flow(item)).collect::<Vec<_>>().join(", ")),
        Tree::Map(entries) => {
            let entry = |entry: &Entry| format!("{}: {}", written(&entry.key, false), flow(&entry.node));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Text with quotes where it had some or needs them.
fn written(text: &str, quoted: bool) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '%' | '+');
    if !quoted && !text.is_empty() && text.chars().all(is_word) && text != "-" {
        return text.to_owned();
    }
    Value::String(text.to_owned()).to_string()
}

/// The place of the first line that does not belong to a key's value any more.
fn end_of_value(lines: &[String], key: &KeyLine) -> usize {
    let mut end = key.at + 1;
    for (at, line) in lines.iter().enumerate().skip(key.at + 1) {
        let text = line.trim_start();
        if text.is_empty() {
            continue;
        }
        let indent = line.len() - text.len();
        let is_item = indent == key.indent && (text.starts_with("- ") || text == "-");
        if indent <= key.indent && !is_item {
            break;
        }
        if !text.starts_with('#') {
            end = at + 1;
        }
    }
    end
}

/// The lines that begin with a key of a mapping in block style.
fn key_lines(lines: &[String]) -> Vec<KeyLine> {
    let mut found: Vec<KeyLine> = Vec::new();
    let mut sections: Vec<(usize, String)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let Some((key, rest)) = text.split_once(':') else { continue };
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if key.is_empty()
            || !key.chars().all(is_word)
            || key.starts_with('-')
            || !(rest.is_empty() || rest.starts_with(' '))
        {
            continue;
        }
        while sections.last().is_some_and(|(outer, _)| *outer >= indent) {
            sections.pop();
        }
        sections.push((indent, key.to_owned()));
        let (value, comment) = without_comment(rest);
        found.push(KeyLine {
            at,
            indent,
            path: sections.iter().map(|(_, key)| key.clone()).collect(),
            head: format!("{:indent$}{key}:", ""),
            value: value.trim().to_owned(),
            comment: comment.to_owned(),
        });
    }
    found
}

/// Splits what follows a key from the comment behind it.
fn without_comment(rest: &str) -> (&str, &str) {
    let mut quote = None;
    let mut blanks_at = None;
    for (at, c) in rest.char_indices() {
        match (quote, c) {
            (None, '#') if blanks_at.is_some() => return rest.split_at(blanks_at.unwrap_or(at)),
            (None, ' ') => {
                blanks_at.get_or_insert(at);
                continue;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        blanks_at = None;
    }
    (rest, "")
}

/// A value on one line, without quotes where it reads the same.
fn inline(value: &Value) -> String {
    let is_plain = |text: &str| {
        let number = text.strip_prefix('-').unwrap_or(text);
        let of_figures = number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '%'));
        let of_letters = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
            && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&text.to_lowercase().as_str());
        of_figures || of_letters
    };
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DOCUMENTED, Settings};

    fn body(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.version().unwrap().body
    }

    #[test]
    fn a_value_is_replaced_and_its_comment_stays() {
        let after = body(|settings| {
            settings.risk.max_positions = 8;
            settings.risk.trailing.step = daybook_core::money::Factor(2_500);
            settings.notifications.email.to = vec!["me@example.com".parse().unwrap()];
        });
        let text = edited(DOCUMENTED, &body(|_| {}), &after).unwrap().unwrap();
        let changed: Vec<&str> = text.lines().filter(|line| !DOCUMENTED.lines().any(|known| known == *line)).collect();
        assert_eq!(changed.len(), 3, "{changed:#?}");
        assert_eq!(changed[0], "  max_positions: 8             # positions at once; orders that wait to enter count");
        assert_eq!(changed[1], "    step: 0.25                  # least that it is moved by");
        assert!(
            changed[2].starts_with("    to: [\"me@example.com\"] ") && changed[2].contains("# who is told"),
            "{changed:?}"
        );
        assert_eq!(text.lines().count(), DOCUMENTED.lines().count());
    }

    #[test]
    fn a_key_that_is_missing_is_added_to_its_section() {
        let after = body(|settings| {
            settings.risk.max_positions = 8;
            settings.risk.safe_mode.after_losses = 2;
            settings.scan.top = 4;
        });
        let text = "# mine\nrisk:\n    stop_loss: 1%   # close\nanalysis: {concurrency: 8}\n";
        let text = edited(text, &body(|_| {}), &after).unwrap().unwrap();
        assert_eq!(
            text,
            "# mine\nrisk:\n    safe_mode:\n      after_losses: 2\n    max_positions: 8\n    stop_loss: 1%   # close\n\
             analysis: {concurrency: 8}\nscan:\n  top: 4\n"
        );
    }

    #[test]
    fn a_section_on_one_line_gets_a_line_a_key_and_keeps_what_it_says() {
        let after = body(|settings| {
            settings.analysis.concurrency = 2;
            settings.scheduler.drain_timeout = daybook_core::time::Span::seconds(5);
        });
        let text = "analysis: {concurrency: 8} # few\nscheduler: {heartbeat: 1m, heartbeat_url: \"${URL}\"}\n";
        assert_eq!(
            edited(text, &body(|_| {}), &after).unwrap().unwrap(),
            "analysis: # few\n  concurrency: 2\nscheduler:\n  heartbeat: 1m\n  heartbeat_url: \"${URL}\"\n  drain_timeout: 5s\n"
        );
        let after = body(|settings| settings.risk.trailing.distance = daybook_core::money::Factor(20_000));
        let text = "risk: {max_positions: 9, trailing: {step: 1},\n  stop_loss: 1%}\nscan: {top: 3}\n";
        assert_eq!(
            edited(text, &body(|_| {}), &after).unwrap().unwrap(),
            "risk:\n  max_positions: 9\n  stop_loss: 1%\n  trailing:\n    step: 1\n    distance: 2\nscan: {top: 3}\n"
        );
        assert_eq!(edited("risk: {max_positions: &n 9}\n", &body(|_| {}), &after).unwrap(), None);
    }

    #[test]
    fn a_reference_is_written_back() {
        let with =
            |written: &str| body(|settings| settings.notifications.command.run = vec!["say".into(), written.into()]);
        let text = "notifications:\n  command:\n    run: [say, plain]\n";
        let text = edited(text, &with("plain"), &with("X-Key: ${KEY}")).unwrap().unwrap();
        assert_eq!(text, "notifications:\n  command:\n    run: [\"say\",\"X-Key: ${KEY}\"]\n");
    }

    #[test]
    fn a_list_of_several_lines_becomes_one() {
        let text = "market:\n  files:\n    bars:\n    - a.csv\n    - b.csv\n\n    skip_bad: true\n";
        let before = body(|settings| settings.market.files.bars = vec!["a.csv".into(), "b.csv".into()]);
        let after = body(|settings| settings.market.files.bars = vec!["c.csv".into()]);
        let text = edited(text, &before, &after).unwrap().unwrap();
        assert_eq!(text, "market:\n  files:\n    bars: [\"c.csv\"]\n\n    skip_bad: true\n");
    }
}
