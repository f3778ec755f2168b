//! What keeps the code tidy: arrows between rooms, lengths of files, words that stay out, migrations in
//! pairs, documented return codes, licences.

use std::{
    collections::BTreeSet,
    fmt::Write,
    path::{Path, PathBuf},
};

use gridbroker::{config::KEYS, rpc::pb::Reason};

/// Rooms, and those that each may use. `*`: all.
const ARROWS: [(&str, &[&str]); 14] = [
    ("lib", &[]),
    ("main", &["*"]),
    ("server", &["*"]),
    ("commands", &["*"]),
    ("transcode", &["rpc", "config", "telemetry"]),
    ("rpc", &["host", "engine", "domain", "config", "telemetry"]),
    ("host", &["engine", "backend", "outside", "domain", "config", "telemetry"]),
    ("engine", &["domain", "config", "telemetry"]),
    ("backend", &["domain", "config", "telemetry"]),
    ("outside", &["domain", "config", "telemetry"]),
    // Of `rpc` the generated stubs alone.
    ("worker", &["rpc::pb", "config", "telemetry"]),
    ("config", &["domain", "telemetry"]),
    ("domain", &[]),
    ("telemetry", &["config"]),
];

/// Most lines of a file before its tests.
const MAX_LINES: usize = 400;
/// Files that have grown past it and wait to be split, with the lines they may have until then.
const GROWN: [(&str, usize); 2] = [("src/engine/lease.rs", 450), ("src/engine/offer.rs", 450)];

/// Licences that a package may have; one of those it offers is enough, where it offers several.
const LICENCES: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A source file.
struct Source {
    /// Its path from the root, with slashes.
    path: String,
    /// Its lines without comments and the contents of texts.
    code: Vec<String>,
    /// Index of the line at which its tests begin; 0: it is all test.
    tests_at: usize,
}

impl Source {
    /// The first part of its path below `src`.
    fn room(&self) -> &str {
        let below = self.path.strip_prefix("src/").expect("it is under src");
        below.split(['/', '.']).next().unwrap_or(below)
    }
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join("src"), &mut paths);
    paths.sort();
    let mut sources: Vec<_> = paths
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).expect("sources are text");
            let code: Vec<String> = bare(&text).lines().map(str::to_owned).collect();
            let tests_at = code.windows(2).position(|lines| {
                lines[0].trim() == "#[cfg(test)]" && lines[1].contains("mod ") && lines[1].ends_with('{')
            });
            let relative = path.strip_prefix(root()).expect("it is below the root");
            let path = relative.to_string_lossy().replace('\\', "/");
            Source { path, tests_at: tests_at.unwrap_or(code.len()), code }
        })
        .collect();
    let tests: BTreeSet<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        if tests.contains(&source.path) {
            source.tests_at = 0;
        }
    }
    assert!(sources.len() > 50, "the sources are where they were");
    sources
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Files of modules that are compiled for tests alone.
fn test_modules(source: &Source) -> Vec<String> {
    let folder = match source.path.strip_suffix("/mod.rs").or(source.path.strip_suffix("/lib.rs")) {
        Some(folder) => folder,
        None => source.path.strip_suffix(".rs").expect("it is a source"),
    };
    let pairs = source.code.windows(2).filter(|lines| lines[0].trim() == "#[cfg(test)]");
    let named = pairs.filter_map(|lines| {
        let line = lines[1].trim().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    named.map(|name| format!("{folder}/{name}.rs")).collect()
}

/// Source without comments and without what stands in its texts; lines stay where they are.
fn bare(text: &str) -> String {
    let (mut out, mut chars) = (String::with_capacity(text.len()), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                while chars.peek().is_some_and(|next| *next != '\n') {
                    chars.next();
                }
            }
            '"' => {
                out.push('"');
                while let Some(inner) = chars.next() {
                    match inner {
                        '\\' => out.extend(chars.next().filter(|escaped| *escaped == '\n')),
                        '"' => break,
                        '\n' => out.push('\n'),
                        _ => {}
                    }
                }
                out.push('"');
            }
            // A quote that is a character, not the beginning of a text.
            '\'' if chars.peek() == Some(&'"') => {
                chars.next();
                out.push_str("' '");
                chars.next();
            }
            'r' if chars.peek() == Some(&'#')
                && !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') =>
            {
                chars.next();
                if chars.peek() != Some(&'"') {
                    out.push_str("r#");
                    continue;
                }
                let mut last = ' ';
                chars.next();
                for inner in chars.by_ref() {
                    if inner == '\n' {
                        out.push('\n');
                    }
                    if last == '"' && inner == '#' {
                        break;
                    }
                    last = inner;
                }
                out.push_str("\"\"");
            }
            other => out.push(other),
        }
    }
    out
}

/// What a source uses of its crate: line and path, `crate::{a, b::c}` taken apart.
fn uses(source: &Source) -> Vec<(usize, String)> {
    let text = source.code.join("\n");
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let line = |offset: usize| text[..at + "crate::".len() + offset].matches('\n').count() + 1;
        if !rest.starts_with('{') {
            found.push((line(0), path_at(rest)));
            continue;
        }
        let mut depth = 0;
        for (i, c) in rest.char_indices() {
            let is_first = depth == 1 && rest[..i].trim_end().ends_with(['{', ',']);
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                c if is_first && c.is_alphabetic() => found.push((line(i), path_at(&rest[i..]))),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// A path of two parts at most.
fn path_at(text: &str) -> String {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    text[..end].split("::").filter(|part| !part.is_empty()).take(2).collect::<Vec<_>>().join("::")
}

#[test]
fn arrows_between_rooms_only_go_down() {
    let mut upward = String::new();
    for source in sources() {
        let room = source.room().to_owned();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            let _ = writeln!(upward, "{}: the room {room} is not in the table", source.path);
            continue;
        };
        for (line, used) in uses(&source) {
            let first = used.split("::").next().unwrap_or_default();
            let fits = |allowed: &&str| {
                // The part after the room is known unless a list follows.
                *allowed == "*"
                    || *allowed == first
                    || used == **allowed
                    || used.starts_with(&format!("{allowed}::"))
            };
            if first != room && !allowed.iter().any(fits) {
                let _ = writeln!(upward, "{}:{line}: {room} must not use {used}", source.path);
            }
        }
    }
    assert!(upward.is_empty(), "upward arrows:\n{upward}");
}

#[test]
fn paths_are_taken_out_of_any_use() {
    let code = "use crate::{\n    a::{x, y::z},\n    b, c::*,\n};\nuse crate::d::e::f;\nlet x = crate::g::h();\nmy_crate::no::no";
    let source = Source {
        path: "src/x.rs".into(),
        code: bare(&format!("{code}\n// crate::never\nlet t = \"crate::never\"; let c = '\"'; crate::i::j"))
            .lines()
            .map(str::to_owned)
            .collect(),
        tests_at: 0,
    };
    let expected = [(2, "a"), (3, "b"), (3, "c"), (5, "d::e"), (6, "g::h"), (9, "i::j")];
    assert_eq!(uses(&source), expected.map(|(line, path)| (line, path.to_owned())));
}

#[test]
fn files_are_short() {
    let mut long = String::new();
    for source in sources() {
        let most = GROWN.iter().find(|(path, _)| *path == source.path).map(|(_, most)| *most);
        if source.tests_at > most.unwrap_or(MAX_LINES) {
            let _ = writeln!(long, "{}: {} lines before its tests", source.path, source.tests_at);
        }
        if most.is_some() && source.tests_at <= MAX_LINES {
            let _ = writeln!(long, "{}: is short again; take it out of GROWN", source.path);
        }
    }
    assert!(long.is_empty(), "which second idea wants a file of its own?\n{long}");
}

#[test]
fn what_may_panic_or_is_unfinished_stays_in_tests() {
    const WORDS: [&str; 6] =
        [".unwrap()", ".unwrap_err()", "todo!(", "unimplemented!(", "dbg!(", "allow(dead_code)"];
    let mut found = String::new();
    for source in sources() {
        for (i, line) in source.code[..source.tests_at].iter().enumerate() {
            if let Some(word) = WORDS.iter().find(|word| line.contains(**word)) {
                let _ = writeln!(found, "{}:{}: {word}", source.path, i + 1);
            }
        }
    }
    assert!(found.is_empty(), "outside of tests:\n{found}");
}

#[test]
fn migrations_of_all_stores_have_the_same_numbers_and_names() {
    let names = |store: &str| -> Option<Vec<String>> {
        let entries = std::fs::read_dir(root().join("migrations").join(store)).ok()?;
        let names =
            entries.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| name.ends_with(".sql")).collect();
        names.sort();
        Some(names)
    };
    let sqlite = names("sqlite").expect("the embedded store has migrations");
    // What is made side by side may leave gaps until all of it is there.
    let numbers: BTreeSet<&str> = sqlite.iter().filter_map(|name| name.split('_').next()).collect();
    assert_eq!(numbers.len(), sqlite.len(), "each has a number of its own: {sqlite:?}");
    assert!(numbers.iter().all(|number| number.len() == 4 && number.parse::<u16>().is_ok()), "{numbers:?}");
    if let Some(postgres) = names("postgres") {
        assert_eq!(postgres, sqlite, "a migration has its twin");
    }
}

#[test]
fn every_return_code_stands_in_the_readme_with_its_status() {
    let readme = read("README.md");
    let section = readme.split("\n### Errors\n").nth(1).expect("the README has a section Errors");
    let section = section.split("\n#").next().unwrap_or(section);
    let mut rows = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with("| `") && !line.contains("`rc`")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        rows.insert((cells[0].trim_matches('`').to_owned(), cells[1].to_owned()));
    }
    // Numbers may have gaps.
    let reasons = (1..1000).filter_map(|number| Reason::try_from(number).ok());
    let known: BTreeSet<_> =
        reasons.map(|reason| (reason.rc().to_owned(), reason.http().to_string())).collect();
    assert!(known.len() > 40);
    let differ: Vec<_> = rows.symmetric_difference(&known).collect();
    assert!(differ.is_empty(), "README and proto/grid/v2/reason.proto differ in {differ:?}");
}

#[test]
fn what_is_deployed_sets_nothing_that_is_no_setting() {
    let mut found = 0;
    for file in ["compose.yaml", "Dockerfile", "Caddyfile", "nginx.conf", "README.md"] {
        let text = read(&format!("deploy/{file}"));
        let is_of_a_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let words = text.split(|c: char| !is_of_a_name(c));
        for word in words.filter(|word| word.starts_with("GRIDBROKER_")) {
            assert!(KEYS.iter().any(|key| key.variable() == word), "deploy/{file}: {word}");
            found += 1;
        }
    }
    assert!(found > 5, "the files are where they were");
}

#[test]
fn every_package_has_a_licence_that_may_be_used() {
    let metadata = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("it is JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    assert!(packages.len() > 50);
    let mut unknown = String::new();
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_allowed(licence) {
            let _ = writeln!(unknown, "{} {}: {licence}", package["name"], package["version"]);
        }
    }
    assert!(unknown.is_empty(), "licences that are not in the list:\n{unknown}");
}

/// Whether an SPDX expression (or the older form with slashes) can be met.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    any_of(&mut words) && words.is_empty()
}

fn any_of(words: &mut Vec<&str>) -> bool {
    let mut allowed = all_of(words);
    while words.last() == Some(&"OR") {
        words.pop();
        allowed |= all_of(words);
    }
    allowed
}

fn all_of(words: &mut Vec<&str>) -> bool {
    let mut allowed = one(words);
    while words.last() == Some(&"AND") {
        words.pop();
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut Vec<&str>) -> bool {
    match words.pop() {
        Some("(") => {
            let allowed = any_of(words);
            words.pop() == Some(")") && allowed
        }
        Some(name) => {
            // An exception only allows more.
            if words.last() == Some(&"WITH") {
                words.truncate(words.len().saturating_sub(2));
            }
            LICENCES.contains(&name)
        }
        None => false,
    }
}

#[test]
fn licences_are_read_as_expressions() {
    for (expression, allowed) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("MIT OR GPL-3.0-only", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(GPL-2.0-only OR Apache-2.0) AND GPL-2.0-only", false),
        ("Unlicense/MIT", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-2.0-only WITH Classpath-exception-2.0 OR MIT", true),
        ("none", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression), allowed, "{expression:?}");
    }
}
