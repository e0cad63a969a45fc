//! From nothing to a first verdict, in each language, with the commands that README.md of a new plugin gives.
//!
//! Real toolchains: Cargo, npm with componentize-js, pip with componentize-py. What a bare machine lacks is fetched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;
use xtask::assets::authoring::{self, Authoring};

const FOREBAY: &str = env!("CARGO_BIN_EXE_forebay-under-test");

static TOOLS: LazyLock<Authoring> = LazyLock::new(|| authoring::ensure().unwrap());

/// An author with an empty folder.
struct Author {
    home: TempDir,
    /// What Cargo builds natively is kept, as an author's folder keeps it.
    native_target: PathBuf,
}

/// How a command ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Author {
    fn new() -> Self {
        let native_target = xtask::Workspace::locate().unwrap().authoring_dir().join("cargo");
        Self { home: tempfile::tempdir().unwrap(), native_target }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("gatekeeper")
    }

    /// Runs a command in the plugin's folder.
    fn run<S: AsRef<OsStr>>(&self, program: S, args: &[&str], variables: &[(&str, OsString)]) -> Ended {
        let folder = self.folder();
        let folder = if folder.is_dir() { folder } else { self.home.path().to_path_buf() };
        let output = Command::new(&program)
            .args(args)
            .current_dir(folder)
            .env("PATH", &TOOLS.path)
            .env("XDG_CACHE_HOME", self.home.path().join("cache"))
            .env("CARGO_TARGET_DIR", &self.native_target)
            .env_remove("VIRTUAL_ENV")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", program.as_ref().display()));
        Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs one that must succeed.
    fn does<S: AsRef<OsStr>>(&self, program: S, args: &[&str]) -> String {
        let ended = self.run(&program, args, &[]);
        assert_eq!(ended.code, Some(0), "{} {args:?}\n{}{}", program.as_ref().display(), ended.out, ended.err);
        ended.out
    }

    fn makes(&self, language: &str) {
        self.does(FOREBAY, &["plugin", "new", "gatekeeper", "--lang", language]);
    }

    fn builds(&self) {
        let mut variables = TOOLS.rust.clone();
        variables.push(("CARGO_TARGET_DIR", TOOLS.rust_target.clone().into()));
        let ended = self.run(FOREBAY, &["plugin", "build"], &variables);
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    }

    /// The one JSON object that a command prints.
    fn report(&self, args: &[&str]) -> (Option<i32>, Value) {
        let ended = self.run(FOREBAY, &[&["plugin"], args, &["--json"]].concat(), &[]);
        let value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{args:?}: {}{}", ended.out, ended.err));
        (ended.code, value)
    }

    fn asks(&self, request: &str) -> Value {
        std::fs::write(self.folder().join("other.toml"), request).unwrap();
        let (code, verdict) = self.report(&["try", "--request", "other.toml"]);
        assert_eq!(code, Some(0), "{verdict}");
        verdict
    }

    /// What holds for a built plugin in any language.
    fn has_a_plugin_that_works(&self) {
        let (code, report) = self.report(&["check"]);
        assert_eq!(code, Some(0), "{report}");
        assert_eq!(report["hooks"], serde_json::json!(["on-request"]));
        assert_eq!(report["imports"], serde_json::json!(["http", "identity"]));
        assert_eq!((&report["pure"], &report["fit"]), (&Value::Bool(true), &Value::Bool(true)));

        let (code, first) = self.report(&["try"]);
        assert_eq!((code, &first["verdict"]), (Some(0), &Value::from("continue")), "{first}");
        assert_eq!(first["headers"], serde_json::json!([["x-checked-by", "gatekeeper"]]));
        let stranger = self.asks("path = \"/v2/models\"");
        assert_eq!((&stranger["status"], &stranger["problem"]), (&401.into(), &"missing-credentials".into()));
        assert_eq!(stranger["headers"], serde_json::json!([["www-authenticate", "Bearer"]]));
        let reader = self.asks("path = \"/v2/models\"\n[claims]\nscope = \"read\"");
        assert_eq!((&reader["status"], &reader["problem"]), (&403.into(), &"forbidden".into()));
        assert_eq!(self.asks("path = \"/healthz\"")["verdict"], "continue");

        let (code, bench) = self.report(&["bench"]);
        assert_eq!(code, Some(0), "{bench}");
        let ways: Vec<_> = bench["ways"].as_array().unwrap().iter().map(|way| way["way"].as_str().unwrap()).collect();
        assert_eq!(ways, ["fresh instance", "premade instance", "memo"]);
    }
}

#[test]
fn a_plugin_in_rust_from_nothing_to_its_first_verdict() {
    let author = Author::new();
    author.makes("rust");
    author.does(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), &["test", "--quiet"]);
    author.builds();
    author.has_a_plugin_that_works();

    let (code, report) = author.report(&["check", "--grants", "http"]);
    assert_eq!((code, &report["missing"]), (Some(1), &serde_json::json!(["identity"])));
    let ended = author.run(FOREBAY, &["plugin", "check", "--grants", "http"], &[]);
    assert!(ended.err.contains("uses [http, identity] but is granted [http]: grant identity"), "{}", ended.err);

    std::fs::write(author.folder().join("config.toml"), "scope = \"a b\"").unwrap();
    let (code, report) = author.report(&["check", "--config", "config.toml", "--grants", "http,identity"]);
    assert_eq!((code, &report["fit"]), (Some(1), &Value::Bool(false)));
    assert!(report["problem"].as_str().unwrap().contains("scope: must be one scope"), "{report}");
}

#[test]
fn a_plugin_in_javascript_from_nothing_to_its_first_verdict() {
    let author = Author::new();
    author.makes("js");
    let missing = author.run(FOREBAY, &["plugin", "build"], &[]);
    assert!(missing.code == Some(1) && missing.err.contains("`npm ci`"), "{}", missing.err);
    let (npm, words) = TOOLS.npm.split_first().unwrap();
    let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
    author.does(npm, &[&words[..], &["ci", "--no-audit", "--no-fund"]].concat());
    author.does(npm, &[&words[..], &["test"]].concat());
    author.builds();
    author.has_a_plugin_that_works();
}

#[test]
fn a_plugin_in_python_from_nothing_to_its_first_verdict() {
    let author = Author::new();
    author.makes("python");
    author.does("python3", &["-m", "venv", ".venv"]);
    let pip = Path::new(".venv/bin/pip");
    author.does(
        author.folder().join(pip),
        &["install", "--quiet", "--require-hashes", "--requirement", "requirements.txt"],
    );
    author.does("python3", &["-m", "unittest", "discover", "src"]);
    author.builds();
    author.has_a_plugin_that_works();
}

#[test]
fn what_is_missing_or_in_the_way_is_said() {
    let author = Author::new();
    for (args, words) in [
        (&["new", "Gate", "--lang", "js"][..], "lower-case letters"),
        (&["build"], "so no plugin"),
        (&["check"], "name a component"),
        (&["check", "none.wasm"], "none.wasm"),
    ] {
        let ended = author.run(FOREBAY, &[&["plugin"], args].concat(), &[]);
        assert_eq!(ended.code, Some(2), "{args:?}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains(words), "{args:?}: {}", ended.err);
    }
    author.makes("python");
    let again = author.run(FOREBAY, &["plugin", "new", "gatekeeper", "--lang", "js", "--path", "."], &[]);
    assert!(again.code == Some(2) && again.err.contains("not an empty folder"), "{}", again.err);
}
