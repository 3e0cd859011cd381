//! What is built in keeps to `deny.toml`: licences, duplicates, sources.
//!
//! cargo-deny reads the same file; this needs neither it nor a network. It looks at what this platform
//! builds.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

use crate::repository;

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
    exceptions: Vec<LicenseException>,
}

#[derive(Deserialize)]
struct LicenseException {
    #[serde(rename = "crate")]
    package: String,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    skip: Vec<Skip>,
}

#[derive(Deserialize)]
struct Skip {
    #[serde(rename = "crate")]
    package: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

fn deny() -> Deny {
    basic_toml::from_str(&repository::read("deny.toml")).unwrap()
}

fn packages() -> Vec<Package> {
    let arguments = ["metadata", "--locked", "--offline", "--format-version=1", "--filter-platform=host-tuple"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(repository::root()).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Metadata>(&output.stdout).unwrap().packages
}

#[test]
fn every_licence_is_allowed() {
    let licenses = deny().licenses;
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| {
            let excepted = licenses.exceptions.iter().find(|exception| exception.package == package.name);
            let allowed = |licence: &str| {
                licenses.allow.contains(licence) || excepted.is_some_and(|exception| exception.allow.contains(licence))
            };
            !package.license.as_deref().is_some_and(|expression| is_satisfied(expression, &allowed))
        })
        .map(|package| format!("{} {}: {:?}", package.name, package.version, package.license))
        .collect();
    assert!(refused.is_empty(), "not allowed by deny.toml: {refused:#?}");
}

#[test]
fn a_package_is_there_once_unless_deny_toml_says_why() {
    let skipped = deny().bans.skip;
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        versions.entry(package.name).or_default().push(package.version);
    }
    for skip in &skipped {
        assert!(!skip.reason.trim().is_empty(), "{} is skipped without a reason", skip.package);
        let (name, version) = skip.package.split_once('@').unwrap();
        let there = versions.get_mut(name).and_then(|versions| {
            let at = versions.iter().position(|found| found == version)?;
            Some(versions.swap_remove(at))
        });
        assert!(there.is_some(), "deny.toml skips {}, which is not built any more", skip.package);
    }
    let duplicates: Vec<_> = versions.iter().filter(|(_, versions)| versions.len() > 1).collect();
    assert!(duplicates.is_empty(), "more than one version of {duplicates:#?}");
}

#[test]
fn everything_comes_from_the_registry_or_this_repository() {
    let allowed = deny().sources.allow_registry;
    for package in packages() {
        let from_registry = |source: &String| source.strip_prefix("registry+").is_some_and(|url| allowed.contains(url));
        // A package of the workspace has no source.
        assert!(package.source.as_ref().is_none_or(from_registry), "{}: {:?}", package.name, package.source);
    }
}

/// Whether an SPDX expression can be met with allowed licences alone. Older manifests write `/` for `OR`.
fn is_satisfied(expression: &str, allowed: &impl Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (satisfied, rest) = any_of(&words, allowed);
    satisfied && rest.is_empty()
}

fn any_of<'w>(words: &'w [&'w str], allowed: &impl Fn(&str) -> bool) -> (bool, &'w [&'w str]) {
    let (mut satisfied, mut rest) = all_of(words, allowed);
    while let ["OR", after @ ..] = rest {
        let (other, after) = all_of(after, allowed);
        (satisfied, rest) = (satisfied | other, after);
    }
    (satisfied, rest)
}

fn all_of<'w>(words: &'w [&'w str], allowed: &impl Fn(&str) -> bool) -> (bool, &'w [&'w str]) {
    let (mut satisfied, mut rest) = one(words, allowed);
    while let ["AND", after @ ..] = rest {
        let (other, after) = one(after, allowed);
        (satisfied, rest) = (satisfied & other, after);
    }
    (satisfied, rest)
}

fn one<'w>(words: &'w [&'w str], allowed: &impl Fn(&str) -> bool) -> (bool, &'w [&'w str]) {
    match words {
        ["(", inner @ ..] => match any_of(inner, allowed) {
            (satisfied, [")", rest @ ..]) => (satisfied, rest),
            (_, rest) => (false, rest),
        },
        [licence, "WITH", exception, rest @ ..] => (allowed(&format!("{licence} WITH {exception}")), rest),
        [licence, rest @ ..] => (allowed(licence), rest),
        [] => (false, &[]),
    }
}

#[test]
fn expressions_are_read_as_spdx_has_them() {
    let allowed = |licence: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&licence);
    for satisfied in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/GPL-2.0",
        "MIT AND ISC",
        "(GPL-3.0 OR MIT) AND ISC",
        "Apache-2.0 WITH LLVM-exception",
        "GPL-3.0 OR MIT AND ISC",
    ] {
        assert!(is_satisfied(satisfied, &allowed), "{satisfied}");
    }
    for refused in
        ["GPL-3.0", "", "MIT AND GPL-3.0", "Apache-2.0", "(MIT", "MIT)", "MIT ISC", "(MIT OR ISC) AND MPL-2.0"]
    {
        assert!(!is_satisfied(refused, &allowed), "{refused}");
    }
}
