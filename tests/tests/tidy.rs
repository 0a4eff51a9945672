//! Holds the house in order: which crate may know which, what `domain/` stays free of, and how long a file may get.
//!
//! Each test collects all that is wrong before it fails, so that one run says everything.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends where it is wrong"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const SERVICES: [&str; 4] = ["payment-gateway", "settlement", "notifier", "analytics-consumer"];

/// What each crate may depend on, of ours. Nobody depends on a service, on the launcher or on the simulator but those who test.
const MAY_KNOW: [(&str, &[&str]); 4] = [
    ("schemas", &[]),
    ("eventing", &["schemas"]),
    ("platform", &["schemas", "eventing"]),
    ("simulator", &["schemas"]),
];
const A_SERVICE_MAY_KNOW: &[&str] = &["schemas", "eventing", "platform"];

/// What eventing must work without: HTTP servers and the OpenTelemetry SDK are the business of whoever starts a service.
const NOT_FOR_EVENTING: [&str; 6] = [
    "axum",
    "hyper",
    "tower-http",
    "opentelemetry_sdk",
    "opentelemetry-otlp",
    "opentelemetry-prometheus",
];

/// Telemetry is set up in one place.
const FOR_PLATFORM_ALONE: [&str; 3] = [
    "opentelemetry_sdk",
    "opentelemetry-otlp",
    "opentelemetry-prometheus",
];

/// What the domain does not know: databases, networks, the runtime, and the modules around it.
const NOT_FOR_THE_DOMAIN: [&str; 13] = [
    "sqlx",
    "axum",
    "rdkafka",
    "tokio",
    "reqwest",
    "hyper",
    "tower",
    "platform",
    "crate::http",
    "crate::store",
    "crate::clients",
    "crate::consumers",
    "crate::config",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "common", "helpers", "misc"];

const MAX_MAIN_LINES: usize = 40;
const MAX_FILE_LINES: usize = 400;
/// A test file tells many stories of one subject; past this it is two subjects.
const MAX_TEST_FILE_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is a folder of the workspace")
        .to_owned()
}

/// A workspace member: its folder, and what it depends on, by kind (`null` for normal dependencies).
struct Member {
    folder: PathBuf,
    dependencies: Vec<(String, Option<String>)>,
}

impl Member {
    /// What it needs to be built, tests aside.
    fn depends_on(&self) -> BTreeSet<&str> {
        let needed = self
            .dependencies
            .iter()
            .filter(|(_, kind)| kind.as_deref() != Some("dev"));
        needed.map(|(name, _)| name.as_str()).collect()
    }
}

fn members() -> BTreeMap<String, Member> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let manifest = PathBuf::from(text(&package["manifest_path"]).expect("a package has a manifest"));
            let dependencies = list(&package["dependencies"])
                .iter()
                .filter_map(|dependency| Some((text(&dependency["name"])?, text(&dependency["kind"]))))
                .collect();
            let folder = manifest.parent().expect("a manifest is in a folder").to_owned();
            (
                text(&package["name"]).expect("a package has a name"),
                Member { folder, dependencies },
            )
        })
        .collect()
}

/// All Rust files below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for entry in entries.map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A path as a reader of the repository knows it.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn assert_none(wrong: &[String], rule: &str) {
    assert!(wrong.is_empty(), "{rule}:\n  {}", wrong.join("\n  "));
}

/// The part of a file before its tests.
fn production(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests")
        .and_then(|tests| text.get(..tests))
        .unwrap_or(text)
}

/// Whether the file is compiled for tests only: a module that its parent declares so.
fn is_test_module(path: &Path) -> bool {
    let (Some(name), Some(folder)) = (path.file_stem().and_then(|stem| stem.to_str()), path.parent()) else {
        return false;
    };
    let parents = [
        folder.join("mod.rs"),
        folder.join("lib.rs"),
        folder.with_extension("rs"),
    ];
    parents
        .iter()
        .any(|parent| read(parent).contains(&format!("#[cfg(test)]\nmod {name};")))
}

/// The code with its line numbers, without the lines that are comments: a word in a sentence is no dependency.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()));
    numbered.filter(|(_, line)| !line.starts_with("//"))
}

/// Whether the line names something of this crate or module: `name::`, or `name` as a whole in a `use`.
fn names(line: &str, path: &str) -> bool {
    let starts_a_word = |at: usize| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != ':')
    };
    line.match_indices(path).any(|(at, _)| {
        let after = line.get(at + path.len()..).unwrap_or_default();
        starts_a_word(at) && (after.starts_with("::") || line.starts_with("use ") && after.starts_with(';'))
    })
}

#[test]
fn crates_know_only_what_they_may() {
    let members = members();
    let ours: BTreeSet<&str> = members.keys().map(String::as_str).collect();
    let services = SERVICES.iter().map(|service| (*service, A_SERVICE_MAY_KNOW));
    let mut wrong = Vec::new();
    for (name, may_know) in MAY_KNOW.into_iter().chain(services) {
        let member = members
            .get(name)
            .unwrap_or_else(|| panic!("crate {name} is gone: change this test with it"));
        for known in member.depends_on().intersection(&ours) {
            if !may_know.contains(known) {
                wrong.push(format!("{name} depends on {known}"));
            }
        }
    }
    assert_none(
        &wrong,
        "schemas ← eventing ← platform ← services, and no service knows another",
    );
}

#[test]
fn eventing_knows_no_http_server_and_nobody_but_platform_the_telemetry_sdk() {
    let members = members();
    let mut wrong = Vec::new();
    for (name, member) in &members {
        let depends_on = member.depends_on();
        let forbidden = match name.as_str() {
            "eventing" => &NOT_FOR_EVENTING[..],
            "platform" => &[],
            _ => &FOR_PLATFORM_ALONE[..],
        };
        let found = forbidden
            .iter()
            .filter(|dependency| depends_on.contains(**dependency));
        wrong.extend(found.map(|dependency| format!("{name} depends on {dependency}")));
    }
    assert_none(
        &wrong,
        "HTTP servers and the OpenTelemetry SDK are for whoever starts a service",
    );
}

#[test]
fn the_domain_is_pure() {
    let mut wrong = Vec::new();
    for service in SERVICES {
        for path in rust_files(&root().join(service).join("src").join("domain")) {
            let text = read(&path);
            for (number, line) in code_lines(production(&text)) {
                let found = NOT_FOR_THE_DOMAIN
                    .iter()
                    .filter(|forbidden| names(line, forbidden));
                wrong.extend(found.map(|forbidden| format!("{}:{number} names {forbidden}", shown(&path))));
            }
        }
    }
    assert_none(
        &wrong,
        "the domain knows no database, no network, no runtime, and none of the modules around it",
    );
}

#[test]
fn a_services_main_only_starts_it() {
    let mains = SERVICES.map(|service| root().join(service).join("src").join("main.rs"));
    let lengths = mains.iter().map(|path| (path, read(path).lines().count()));
    let wrong = lengths.filter(|(_, lines)| !(1..=MAX_MAIN_LINES).contains(lines));
    let wrong: Vec<_> = wrong
        .map(|(path, lines)| format!("{} has {lines} lines", shown(path)))
        .collect();
    assert_none(
        &wrong,
        &format!("a service has a main.rs of at most {MAX_MAIN_LINES} lines"),
    );
}

#[test]
fn a_file_past_its_bound_is_two_things() {
    let mut wrong = Vec::new();
    for path in members().values().flat_map(|member| rust_files(&member.folder)) {
        let text = read(&path);
        let is_test = path.components().any(|part| part.as_os_str() == "it") || is_test_module(&path);
        let (lines, bound) = if is_test {
            (text.lines().count(), MAX_TEST_FILE_LINES)
        } else {
            (production(&text).lines().count(), MAX_FILE_LINES)
        };
        if lines > bound {
            wrong.push(format!("{} has {lines} lines, more than {bound}", shown(&path)));
        }
    }
    wrong.sort();
    assert_none(&wrong, "split what has become two things");
}

#[test]
fn a_module_is_named_for_what_is_in_it() {
    let files = members()
        .into_values()
        .flat_map(|member| rust_files(&member.folder));
    let mut wrong = BTreeSet::new();
    for path in files {
        let inside = path.strip_prefix(root()).unwrap_or(&path).with_extension("");
        let is_empty =
            |part: std::path::Component<'_>| EMPTY_NAMES.iter().any(|name| part.as_os_str() == *name);
        if inside.components().any(is_empty) {
            wrong.insert(shown(&path));
        }
    }
    assert_none(
        &Vec::from_iter(wrong),
        "these names say nothing about what is inside",
    );
}

#[test]
fn anyhow_is_for_programs_and_tests() {
    let libraries = SERVICES.into_iter().chain(["schemas", "eventing", "platform"]);
    let mut wrong = Vec::new();
    for path in libraries.flat_map(|library| rust_files(&root().join(library).join("src"))) {
        let text = read(&path);
        let is_program = path.file_name().is_some_and(|name| name == "main.rs");
        if !is_program && code_lines(production(&text)).any(|(_, line)| names(line, "anyhow")) {
            wrong.push(shown(&path));
        }
    }
    assert_none(&wrong, "a module has an error type of its own");
}

#[test]
fn every_crate_explains_itself() {
    let mut wrong = Vec::new();
    for (name, member) in members() {
        let is_explained = |root: &str| {
            read(&member.folder.join("src").join(root)).contains("#![doc = include_str!(\"../README.md\")]")
        };
        if !member.folder.join("README.md").is_file() || !(is_explained("lib.rs") || is_explained("main.rs"))
        {
            wrong.push(name);
        }
    }
    assert_none(&wrong, "a crate's README.md is its documentation");
}

#[test]
fn this_test_tells_a_dependency_from_a_word() {
    for (line, expected) in [
        ("use sqlx::PgPool;", true),
        ("use sqlx;", true),
        ("let pool: sqlx::PgPool = pool();", true),
        ("#[derive(sqlx::Type)]", true),
        ("let mysqlx::Pool = x;", false),
        ("let sqlx = 1;", false),
        ("other::sqlx::y", false),
    ] {
        assert_eq!(names(line, "sqlx"), expected, "{line}");
    }
    assert!(names("use crate::store::payments;", "crate::store"));
    assert!(!names("use crate::storeroom::x;", "crate::store"));
}
