//! The tree's own rules, as far as a machine can check them: walls between crates, the form of files, documents that
//! must agree with the code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use forebay::Config;
use forebay_http::ProblemType;
use forebay_region::RegionConfig;
use forebay_tests::assets::root;
use serde_json::Value;

/// Lines before the tests of a file. Most are under 300; this is where a file certainly holds a second idea.
const PRODUCTION_LINES_MAX: usize = 450;

/// Files that may be longer, and why.
const LONG_FILES: [(&str, &str); 0] = [];

/// Every file of the tree that a person wrote, by its path from the root.
static TREE: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let mut files = BTreeMap::new();
    walk(&root(), &mut files);
    files
});

fn walk(folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            walk(&path, files);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            files.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text);
        }
    }
}

fn with_extension(extension: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let files =
        TREE.iter().filter(move |(path, _)| Path::new(path).extension().is_some_and(|found| found == extension));
    files.map(|(path, text)| (path.as_str(), text.as_str()))
}

/// The part of a file before its tests.
fn production(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap()
}

#[track_caller]
fn none(what: &str, found: impl IntoIterator<Item = impl ToString>) {
    let found: Vec<String> = found.into_iter().map(|one| one.to_string()).collect();
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// The workspace's packages: name to the names of what they depend on, tests aside.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo metadata");
    let names = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies.filter(|one| one["kind"] != "dev").map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (package["name"].as_str().unwrap().to_owned(), names(package))).collect()
}

/// Everything in the workspace that `package` is built from.
fn reach(packages: &BTreeMap<String, BTreeSet<String>>, package: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![package.to_owned()];
    while let Some(name) = open.pop() {
        for next in packages.get(&name).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    reached
}

#[test]
fn crates_keep_their_walls() {
    let packages = dependencies();
    let users = |dependency: &str| -> Vec<&str> {
        let users = packages.iter().filter(|(_, names)| names.contains(dependency));
        users.map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(users("wasmtime"), ["forebay-policy", "forebay-wasi-http"]);
    assert_eq!(users("wasmtime-wizer"), ["forebay-policy"]);
    // The benchmark measures bare ONNX Runtime beside ours.
    assert_eq!(users("ort"), ["forebay-inference", "xtask"]);

    for (package, never) in [
        ("forebay-policy", &["forebay-inference", "forebay-http", "forebay-oip", "hyper", "ort"][..]),
        ("forebay-inference", &["forebay-policy", "forebay-http", "hyper", "http", "wasmtime"]),
        ("forebay-oip", &["forebay-http", "hyper", "http", "tokio"]),
        ("forebay-seal", &["forebay-http", "forebay-oip", "hyper", "tokio"]),
        ("forebay-config", &["forebay-http", "hyper", "tokio"]),
        ("forebay-http", &["forebay-config", "forebay-oip", "forebay-policy", "forebay-inference"]),
        ("forebay-wasi-http", &["forebay", "forebay-policy", "forebay-inference", "forebay-oip", "ort"]),
        ("forebay-region", &["forebay", "forebay-policy", "forebay-wasi-http", "wasmtime"]),
    ] {
        let reached = reach(&packages, package);
        none(&format!("{package} reaches"), never.iter().filter(|name| reached.contains(**name)));
    }
}

#[test]
fn plugins_see_the_contract_and_nothing_else_of_ours() {
    let packages = dependencies();
    let manifests =
        with_extension("toml").filter(|(path, _)| path.starts_with("plugins/") && path.ends_with("Cargo.toml"));
    let names: Vec<String> =
        manifests.map(|(_, text)| manifest(text)["package"]["name"].as_str().unwrap().into()).collect();
    assert!(names.len() >= 2);
    for name in names {
        let ours = packages[&name].iter().filter(|one| packages.contains_key(*one) && *one != "forebay-plugin-sdk");
        none(&format!("plugin {name} depends on"), ours);
    }
}

fn manifest(text: &str) -> toml::Table {
    text.parse().unwrap()
}

/// Whether a path that begins with `start` stands in the text.
fn names(text: &str, start: &str) -> bool {
    let is_inside =
        |before: &str| before.ends_with(|last: char| last.is_ascii_alphanumeric() || last == '_' || last == '"');
    text.match_indices(start).any(|(at, _)| !text.get(..at).is_some_and(is_inside))
}

/// Files that name one of these, the benchmark aside: it serves and measures on its own.
fn naming(starts: &[&str]) -> Vec<&'static str> {
    let code = with_extension("rs").filter(|(path, _)| !path.starts_with("xtask/bench/"));
    code.filter(|(_, text)| starts.iter().any(|start| names(text, start))).map(|(path, _)| path).collect()
}

#[test]
fn runtimes_and_servers_are_named_in_one_place() {
    assert_eq!(naming(&["ort::"]), ["runtime/inference/src/session.rs"]);
    let servers = naming(&["hyper::server", "hyper_util::server"]);
    none("hyper's servers are named in", servers.iter().filter(|path| !path.starts_with("runtime/http/")));
    let wasm = naming(&["wasmtime::"]);
    let runtimes = ["runtime/policy/", "runtime/wasi-http/"];
    none("wasmtime is named in", wasm.iter().filter(|path| !runtimes.iter().any(|home| path.starts_with(home))));
}

#[test]
fn every_file_says_first_why_it_is_there() {
    // A `tests.rs` is the tail of the file beside its folder.
    let bare = with_extension("rs").filter(|(path, text)| !text.starts_with("//!") && !path.ends_with("/tests.rs"));
    none("files without a module head", bare.map(|(path, _)| path));
}

#[test]
fn files_lie_beside_their_folders_and_hold_one_idea() {
    none("name the file after its folder", TREE.keys().filter(|path| path.ends_with("/mod.rs")));
    let lines = |text: &str| production(text).lines().count();
    let is_long = |path: &str| LONG_FILES.iter().any(|(long, _)| *long == path);
    let long = with_extension("rs").filter(|(_, text)| lines(text) > PRODUCTION_LINES_MAX).map(|(path, _)| path);
    none("longer than a file should be", long.filter(|path| !is_long(path)));
    for (path, _) in LONG_FILES {
        assert!(lines(&TREE[path]) > PRODUCTION_LINES_MAX, "{path} is short now: take it off the list");
    }
}

#[test]
fn every_crate_obeys_the_lints() {
    let manifests: Vec<_> = with_extension("toml").filter(|(path, _)| path.ends_with("/Cargo.toml")).collect();
    assert!(manifests.len() > 10);
    let lax = manifests.iter().filter(|(_, text)| {
        manifest(text).get("lints").and_then(|lints| lints.get("workspace")) != Some(&toml::Value::Boolean(true))
    });
    none("crates without `[lints] workspace = true`", lax.map(|(path, _)| path));
    let nameless = manifests.iter().filter(|(_, text)| {
        let package = &manifest(text)["package"];
        package.get("description").and_then(toml::Value::as_str).is_none_or(|text| text.len() < 20)
    });
    none("crates without a description", nameless.map(|(path, _)| path));
}

#[test]
fn production_code_allows_itself_nothing_that_panics() {
    let lints = ["unwrap_used", "expect_used", "panic", "indexing_slicing", "todo", "unimplemented", "string_slice"];
    // Generated code, and the harness of the tests.
    let exempt = |path: &str| {
        let generated = ["runtime/policy/src/bindings.rs"].contains(&path);
        let in_tests = path.contains("/tests/") || path.starts_with("tests/") || path.ends_with("/tests.rs");
        generated || in_tests || path.contains("/examples/")
    };
    let allows = |text: &str| {
        let allowing = text.lines().filter(|line| line.contains("allow(") || line.contains("expect(clippy"));
        allowing.flat_map(|line| lints.iter().filter(move |lint| line.contains(&format!("clippy::{lint}")))).count() > 0
    };
    // Bindings of a component are generated in place, behind `mod bindings`.
    let is_guest = |path: &str| path.starts_with("plugins/");
    let lax = with_extension("rs").filter(|(path, text)| !exempt(path) && !is_guest(path) && allows(production(text)));
    none("files that allow what production code must not do", lax.map(|(path, _)| path));
}

#[test]
fn nothing_is_left_to_be_done_in_a_comment() {
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let is_text = |path: &str| ["rs", "toml", "md", "wit"].iter().any(|kind| path.ends_with(&format!(".{kind}")));
    let left = TREE.iter().filter(|(path, text)| is_text(path) && words.iter().any(|word| text.contains(word)));
    none("files that put off something", left.map(|(path, _)| path));
}

#[test]
fn every_configuration_in_the_tree_has_no_mistakes() {
    let not_ours = ["Cargo.toml", "clippy.toml", "deny.toml", "rustfmt.toml", "rust-toolchain.toml", "model.toml"];
    let mut checked = Vec::new();
    for (path, text) in with_extension("toml") {
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        if not_ours.contains(&name) || path.starts_with("xtask/") {
            continue;
        }
        let folder = PathBuf::from("/etc/forebay");
        let is_region = manifest(text).contains_key("runtime");
        let outcome = if is_region {
            RegionConfig::parse(path, text, &folder).map(drop)
        } else {
            Config::parse(path, text, &folder).map(drop)
        };
        outcome.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        checked.push(path);
    }
    for example in ["gateway/example.toml", "runtime/region/example.toml"] {
        assert!(checked.contains(&example), "{example} is gone");
    }
}

/// The keys that a file of raw configuration structs takes.
fn keys(source: &str) -> BTreeSet<&str> {
    let fields = production(source).lines().filter_map(|line| {
        let field = line.strip_prefix("    pub ").or_else(|| line.strip_prefix("    pub(crate) "))?;
        field.split_once(": ").map(|(name, _)| name)
    });
    fields
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'))
        .collect()
}

#[test]
fn the_examples_show_every_key() {
    for (source, example) in [
        ("gateway/src/config/file.rs", "gateway/example.toml"),
        ("gateway/src/config/file/identity.rs", "gateway/example.toml"),
        ("gateway/src/config/file/policy.rs", "gateway/example.toml"),
        ("runtime/region/src/file.rs", "runtime/region/example.toml"),
    ] {
        let keys = keys(&TREE[source]);
        assert!(keys.len() > 10, "{source}: {keys:?}");
        let text = &TREE[example];
        let shown = |key: &&&str| {
            [format!("{key} = "), format!("[{key}]"), format!(".{key}]"), format!(".{key}.")]
                .iter()
                .any(|form| text.contains(form))
        };
        none(&format!("keys of {source} that {example} does not show"), keys.iter().filter(|key| !shown(key)));
    }
}

#[test]
fn the_list_of_errors_is_the_codes() {
    let document = &TREE["docs/errors.md"];
    let reference = ProblemType::reference();
    assert!(document.contains(&reference), "docs/errors.md must hold this table:\n\n{reference}");
    assert_eq!(document.matches("\n| `").count(), ProblemType::ALL.len(), "docs/errors.md has more than the table");
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    let mut blocks =
        TREE["README.md"].split("```").skip(1).step_by(2).map(|block| block.trim_start_matches("sh").trim());
    assert_eq!((blocks.next(), blocks.next()), (Some("cargo xtask demo"), Some("cargo xtask test")));
}
