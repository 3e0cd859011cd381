//! Who may import whom, read from the sources.
//!
//! `src/ARCHITECTURE.md` draws the house; here its walls stand. A module that wants something it may not
//! have is in the wrong place, or what it wants is.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use crate::repository;

/// What each module of the library may use of its sisters; itself it always may. `daybook-core` is
/// there for all of them, and can use none of them: it is a crate of its own.
const MAY_USE: &[(&str, &[&str])] = &[
    ("crash", &[]),
    ("ports", &[]),
    ("adapters", &["ports"]),
    ("scripting", &["process"]),
    // Each adapter brings the type of its own settings; who watches files needs a clock; a script is checked with the
    // settings that name it.
    ("config", &["adapters", "ports", "scripting"]),
    ("logging", &["config"]),
    ("process", &[]),
    ("ledger", &[]),
    ("page", &[]),
    ("tear_sheet", &["page"]),
    ("digest", &["ports", "page"]),
    ("outbox", &["ports", "ledger", "digest"]),
    ("engine", &["crash", "ports", "config", "ledger", "outbox", "process"]),
    // A job's parameters are part of its file.
    ("jobs", &["crash", "ports", "config", "ledger", "engine", "outbox", "digest", "scripting"]),
    // A service of its own beside the program: it takes a feed and a clock, and knows no ledger.
    ("paper_exchange", &["ports", "adapters"]),
    // What is asked over HTTP is answered by the engine.
    ("api", &["ports", "engine"]),
    // Wiring: the places that name concrete adapters.
    ("wiring", &["ports", "adapters", "api", "config", "digest", "ledger", "outbox", "engine", "jobs"]),
    ("terminal", &["engine", "ledger", "wiring"]),
    // It makes a whole world around the program.
    ("simulation", &["ports", "adapters", "config", "ledger", "engine", "jobs", "wiring"]),
    (
        "cli",
        &[
            "ports",
            "adapters",
            "config",
            "ledger",
            "digest",
            "tear_sheet",
            "outbox",
            "engine",
            "jobs",
            "wiring",
            "logging",
            "terminal",
            "simulation",
            "process",
            "paper_exchange",
            "scripting",
        ],
    ),
];

/// What no part of the core may name: the outside world.
const CORE_MAY_NOT_NAME: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::io",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "Utc::now",
    "Local::now",
];

#[test]
fn modules_use_only_what_they_may() {
    let mut wrong = Vec::new();
    for path in repository::files("src", ".rs") {
        let Some(module) = module_of(&path) else { continue };
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: module `{module}` has no row in MAY_USE", path.display()));
            continue;
        };
        for used in used_modules(&repository::read(&path.to_string_lossy())) {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: `{module}` may not use `{used}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_touches_nothing_outside() {
    for path in repository::files("src/core", ".rs") {
        let text = code(&repository::read(&path.to_string_lossy()));
        for name in CORE_MAY_NOT_NAME {
            assert!(!text.contains(name), "{} names {name}", path.display());
        }
    }
    let manifest = repository::read("src/core/Cargo.toml");
    let dependencies = manifest.split_once("[dependencies]").and_then(|(_, rest)| rest.split("\n[").next()).unwrap();
    for crate_with_effects in ["tokio", "rusqlite", "reqwest", "rand", "getrandom", "tracing", "daybook"] {
        assert!(
            !dependencies.lines().any(|line| line.split('=').next().unwrap_or_default().trim() == crate_with_effects),
            "the core depends on {crate_with_effects}"
        );
    }
}

/// The module of the library that a file belongs to; `None` for the core, the binaries and the root.
fn module_of(path: &Path) -> Option<String> {
    let mut parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let first = parts.nth(1)?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!["core", "bin", "lib"].contains(&module)).then(|| module.to_owned())
}

/// The sister modules that a file's code names: `crate::NAME`, also as `crate::{NAME, ...}`.
fn used_modules(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let mut used = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let group = after.strip_prefix('{').map(top_level_names);
        used.extend(group.unwrap_or_else(|| vec![leading_name(after)]));
    }
    used.remove("");
    used
}

fn leading_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_').collect()
}

/// The first names in a group, up to the brace that ends it.
fn top_level_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut begins) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && !c.is_whitespace() => {
                names.push(leading_name(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

/// A file's text without its comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn uses_are_found_in_every_form() {
    let text = "
        //! crate::in_a_comment
        use crate::ports::Clock;
        use crate::{config::Settings, ledger::{run, order}, jobs};
        fn f() { crate::engine::start(); }
        use daybook_core::money::Price;";
    let found: Vec<String> = used_modules(text).into_iter().collect();
    assert_eq!(found, ["config", "engine", "jobs", "ledger", "ports"]);
}
