//! What comes into the binary: each crate's licence, the crates that must stay out, where they
//! come from, and that NOTICE says so. Reads deny.toml, so that this and `cargo deny` agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// One package of the build.
struct Package {
    name: String,
    version: String,
    licence: String,
    /// Where it comes from, if not from the registry.
    source: Option<String>,
}

fn repository_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn deny() -> toml::Table {
    repository_file("deny.toml")
        .parse()
        .expect("deny.toml is TOML")
}

fn words(table: &toml::Table, section: &str, list: &str) -> BTreeSet<String> {
    table[section][list]
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| {
            item.as_str()
                .or_else(|| item["crate"].as_str())
                .expect("a word")
                .to_owned()
        })
        .collect()
}

/// Everything that the binary is built from on this platform: what `cargo tree` shows. (`cargo
/// metadata` would also list crates that only a feature nobody asked for would bring.)
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--prefix",
            "none",
            "--edges",
            "normal,build",
        ])
        .args([
            "--target",
            "x86_64-unknown-linux-gnu",
            "--format",
            "{p}|{l}",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    lines.iter().filter_map(|line| package(line)).collect()
}

/// Reads `name v1.2.3 (where from)|licence`; nothing in parentheses means the registry.
fn package(line: &str) -> Option<Package> {
    let (what, licence) = line.trim_end_matches(" (*)").split_once('|')?;
    let mut words = what.splitn(3, ' ');
    let name = words.next()?.to_owned();
    let version = words.next()?.trim_start_matches('v').to_owned();
    let source = words
        .next()
        .filter(|rest| *rest != "(proc-macro)")
        .map(str::to_owned);
    Some(Package {
        name,
        version,
        licence: licence.to_owned(),
        source,
    })
}

/// Whether a licence expression (SPDX; `/` is read as OR) can be met by the `allowed` licences.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = either(&tokens, &mut at, allowed);
    met && at == tokens.len()
}

fn either(tokens: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = both(tokens, at, allowed);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        met |= both(tokens, at, allowed);
    }
    met
}

fn both(tokens: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(tokens, at, allowed);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(tokens, at, allowed);
    }
    met
}

fn one(tokens: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(first) = tokens.get(*at) else {
        return false;
    };
    *at += 1;
    if *first == "(" {
        let met = either(tokens, at, allowed);
        *at += 1;
        return met;
    }
    let mut licence = first.trim_end_matches('+').to_owned();
    if tokens.get(*at) == Some(&"WITH") {
        licence = format!("{licence} WITH {}", tokens.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    allowed.contains(&licence)
}

/// The crates that may have a licence of their own, and which.
fn exceptions(table: &toml::Table) -> BTreeMap<String, BTreeSet<String>> {
    let list = table["licenses"]["exceptions"].as_array().expect("a list");
    let licences = |item: &toml::Value| {
        let list = item["allow"].as_array().expect("a list");
        list.iter()
            .filter_map(toml::Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    list.iter()
        .map(|item| {
            (
                item["crate"].as_str().expect("a name").to_owned(),
                licences(item),
            )
        })
        .collect()
}

#[test]
fn every_licence_in_the_build_is_allowed() {
    let table = deny();
    let allowed = words(&table, "licenses", "allow");
    let exceptions = exceptions(&table);
    let packages = packages();
    assert!(
        packages.len() > 100,
        "only {} packages seen",
        packages.len()
    );
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !is_met(&package.licence, &allowed))
        .filter(|package| {
            !exceptions
                .get(&package.name)
                .is_some_and(|own| is_met(&package.licence, own))
        })
        .map(|package| {
            format!(
                "{} {}: {:?}",
                package.name, package.version, package.licence
            )
        })
        .collect();
    assert!(
        refused.is_empty(),
        "not allowed by deny.toml:\n{}",
        refused.join("\n")
    );
}

#[test]
fn no_banned_crate_is_in_the_build() {
    let banned = words(&deny(), "bans", "deny");
    let found: Vec<String> = packages()
        .into_iter()
        .map(|package| package.name)
        .filter(|name| banned.contains(name))
        .collect();
    assert!(
        banned.contains("openssl") && banned.contains("ring"),
        "{banned:?}"
    );
    assert!(found.is_empty(), "banned by deny.toml: {found:?}");
}

#[test]
fn every_crate_comes_from_the_one_registry() {
    let foreign: Vec<String> = packages()
        .into_iter()
        .filter(|package| package.name != env!("CARGO_PKG_NAME"))
        .filter(|package| package.source.is_some())
        .map(|package| format!("{} from {:?}", package.name, package.source))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[test]
fn no_dependency_takes_any_version() {
    let manifest: toml::Table = repository_file("Cargo.toml").parse().expect("TOML");
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else {
            continue;
        };
        for (name, value) in table {
            let version = value.as_str().or_else(|| value.get("version")?.as_str());
            assert!(
                version.is_some_and(|v| !v.contains('*')),
                "{section}: {name} = {value}"
            );
        }
    }
}

#[test]
fn the_notice_names_each_copyleft_crate_with_its_version() {
    let notice = repository_file("NOTICE");
    for (name, _) in exceptions(&deny()) {
        let package = packages().into_iter().find(|package| package.name == name);
        let version = package
            .unwrap_or_else(|| panic!("{name} is not in the build"))
            .version;
        assert!(
            notice.contains(&format!("{name} {version} ")),
            "NOTICE lacks {name} {version}"
        );
    }
}

#[test]
fn a_licence_expression_is_met_only_by_what_it_asks_for() {
    let allowed: BTreeSet<String> = ["MIT", "ISC", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
        .map(str::to_owned)
        .into();
    for met in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/GPL-2.0",
        "ISC AND (Apache-2.0 OR GPL-2.0)",
        "Apache-2.0 WITH LLVM-exception",
        "MIT+",
    ] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for not in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "GPL-2.0 OR AGPL-3.0",
        "(MIT OR ISC) AND GPL-2.0",
        "MIT WITH something",
        "MIT ISC",
    ] {
        assert!(!is_met(not, &allowed), "{not}");
    }
}

#[test]
fn a_crate_from_elsewhere_is_told_from_one_of_the_registry() {
    let source = |line: &str| package(line).expect("a package").source;
    assert_eq!(source("serde v1.0.0|MIT"), None);
    assert_eq!(source("serde_derive v1.0.0 (proc-macro)|MIT (*)"), None);
    assert!(source("evil v1.0.0 (https://example.org/evil?rev=1#2)|MIT").is_some());
    assert!(source("evil v1.0.0 (/somewhere/evil)|MIT (*)").is_some());
}
