//! The files of a new plugin, by language.

use std::path::Path;

use crate::cli::plugin::language::Language;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// Where the contract lies in a plugin whose own world is beside it.
const CONTRACT_AS_DEPENDENCY: &str = "wit/deps/forebay-policy";

/// The files of a plugin: paths from its folder, and contents.
pub(super) fn files(name: &str, language: Language) -> Vec<(String, String)> {
    let fill = Fill::new(name, language);
    let mut files: Vec<_> = embedded::TEMPLATES
        .iter()
        .filter_map(|(path, text)| Some((destination(path, language)?, fill.fill(text))))
        .collect();
    let contract = if language == Language::Rust { "wit" } else { CONTRACT_AS_DEPENDENCY };
    files.extend(copies(embedded::WIT, contract));
    if language == Language::Rust {
        files.extend(copies(embedded::SDK, "vendor/sdk/src"));
        // The versions that this program was built with. The first build drops those of crates that it does not use.
        files.push(("Cargo.lock".to_owned(), embedded::LOCK.to_owned()));
    }
    files
}

/// What to type next, one command a line.
pub(super) fn commands(language: Language, folder: &Path) -> String {
    let words = words(language);
    format!("  cd {}\n{}", folder.display(), indented(&[words.setup, words.test, COMMANDS].concat()))
}

const COMMANDS: &str = "forebay plugin build\nforebay plugin check\nforebay plugin try\nforebay plugin bench\n";

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn copies(files: &'static [(&str, &str)], folder: &str) -> impl Iterator<Item = (String, String)> {
    files.iter().map(move |(path, text)| (format!("{folder}/{path}"), (*text).to_owned()))
}

/// Where a template's file goes in a plugin of `language`; none if it is not for that language.
fn destination(template: &str, language: Language) -> Option<String> {
    let (folder, file) = template.split_once('/')?;
    let own = match language {
        Language::Rust => "rust",
        Language::Js => "js",
        Language::Python => "python",
    };
    // A plugin in Rust says its world in `lib.rs`.
    let is_for = folder == own || (folder == "common" && (file != "world.wit" || language != Language::Rust));
    let file = match file.trim_end_matches(".tmpl") {
        "world.wit" => "wit/world.wit",
        "gitignore" => ".gitignore",
        file => file,
    };
    is_for.then(|| file.to_owned())
}

/// What differs between languages in files that all have.
struct Words {
    setup: &'static str,
    test: &'static str,
    limits: &'static str,
    ignored: &'static str,
    files: &'static str,
}

fn words(language: Language) -> Words {
    match language {
        Language::Rust => Words {
            setup: "",
            test: "cargo test\n",
            limits: "",
            ignored: "/target",
            files: "| `src/rule.rs` | the decision, with its tests |\n\
                    | `src/lib.rs` | glue between the decision and the gateway |\n\
                    | `vendor/sdk` | what plugins in Rust are written with |\n",
        },
        Language::Js => Words {
            setup: "npm ci\n",
            test: "npm test\n",
            limits: ENGINE_LIMITS,
            ignored: "/node_modules",
            files: "| `rule.js`, `rule.test.js` | the decision and its tests |\n\
                    | `plugin.js` | glue between the decision and the gateway |\n",
        },
        Language::Python => Words {
            setup: "python3 -m venv .venv\n.venv/bin/pip install --require-hashes -r requirements.txt\n",
            test: "python3 -m unittest discover src\n",
            limits: ENGINE_LIMITS,
            ignored: "/.venv\n__pycache__",
            files: "| `src/rule.py`, `src/test_rule.py` | the decision and its tests |\n\
                    | `src/app.py` | glue between the decision and the gateway |\n",
        },
    }
}

/// An engine or interpreter begins with 9 to 13 MB, and takes a millisecond or two for what Rust does in microseconds.
const ENGINE_LIMITS: &str = "memory_bytes = 33554432           # of one instance\n\
                             deadline_ms = 20                  # computing time of one hook\n";

/// Fills in what templates leave open.
struct Fill(Vec<(&'static str, String)>);

impl Fill {
    fn new(name: &str, language: Language) -> Self {
        let words = words(language);
        Self(vec![
            ("{{name}}", name.to_owned()),
            ("{{contract}}", contract_version().to_owned()),
            ("{{version}}", env!("CARGO_PKG_VERSION").to_owned()),
            ("{{setup}}", words.setup.to_owned()),
            ("{{test}}", words.test.to_owned()),
            ("{{limits}}", words.limits.to_owned()),
            ("{{ignored}}", words.ignored.to_owned()),
            ("{{files}}", words.files.to_owned()),
        ])
    }

    fn fill(&self, template: &str) -> String {
        self.0.iter().fold(template.to_owned(), |text, (hole, value)| text.replace(hole, value))
    }
}

/// The version in the contract's `package forebay:policy@0.1.1;`.
fn contract_version() -> &'static str {
    let version = |text: &'static str| text.split_once("package forebay:policy@")?.1.split_once(';').map(|(is, _)| is);
    embedded::WIT.iter().find_map(|(_, text)| version(text)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn nothing_is_left_open() {
        for language in Language::ALL {
            let files = files("team-quota", language);
            for (path, text) in &files {
                let is_hole = |rest: &str| {
                    let inside = rest.split_once("}}").map(|(inside, _)| inside);
                    inside.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()))
                };
                assert!(!text.split("{{").skip(1).any(is_hole) && !path.ends_with(".tmpl"), "{path}");
            }
            let has = |path: &str| files.iter().any(|(found, _)| found == path);
            for path in [language.marker(), "README.md", "plugin.toml", "request.toml", ".gitignore"] {
                assert!(has(path), "{language:?}: {path}");
            }
            assert_eq!(has("wit/world.wit"), language != Language::Rust);
            assert!(has("wit/http.wit") || has("wit/deps/forebay-policy/http.wit"));
        }
    }

    #[test]
    fn the_sdk_is_given_with_its_dependencies() {
        let given = files("team-quota", Language::Rust);
        let manifest = |text: &str| text.parse::<toml::Table>().unwrap();
        let text = &given.iter().find(|(path, _)| path == "vendor/sdk/Cargo.toml").unwrap().1;
        let (given, own) = (manifest(text), manifest(include_str!("../../../../../plugins/sdk/Cargo.toml")));
        let names = |table: &toml::Table| table["dependencies"].as_table().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&given), names(&own));
        let of_target = |table: &toml::Table| {
            table.get("target").map(|targets| {
                let targets = targets.as_table().unwrap().values();
                targets.flat_map(|target| names(target.as_table().unwrap())).collect::<Vec<_>>()
            })
        };
        assert_eq!(of_target(&given), of_target(&own));
    }

    #[test]
    fn the_contract_has_a_version() {
        let parts: Vec<u32> = contract_version().split('.').map(|part| part.parse().unwrap()).collect();
        assert_eq!(parts.len(), 3);
    }
}
