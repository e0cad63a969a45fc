//! Every mistake of a file is reported once, at its place, and never with a value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use forebay_config::{Mistakes, did_you_mean, index, join, load, parse};
use proptest::prelude::{any, proptest};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Config {
    listen: SocketAddr,
    #[serde(default)]
    workers: Option<u16>,
    #[serde(default)]
    routes: Vec<Route>,
    #[serde(default)]
    regions: BTreeMap<String, Region>,
    #[serde(default)]
    lax: Option<Lax>,
    #[serde(default)]
    tagged: Vec<Tagged>,
}

/// Serde buffers these, so that places inside them are less exact.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "lowercase")]
#[allow(dead_code)]
enum Tagged {
    Number { value: u8, file: Option<Cache> },
    Text { value: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Route {
    host: String,
    model: String,
    #[serde(default)]
    cache: Option<Cache>,
    #[serde(default)]
    regions: Vec<String>,
    #[serde(default)]
    target: Option<Target>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Cache {
    ttl_s: u32,
    #[serde(default)]
    scope: Scope,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Scope {
    #[default]
    Tenant,
    Public,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(dead_code)]
enum Target {
    Reject,
    File { path: String, mode: u8 },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Region {
    url: String,
    addr: SocketAddr,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct Lax {
    known: bool,
}

fn mistakes(text: &str) -> Mistakes {
    parse::<Config>("test.toml", text).expect_err("the text has mistakes")
}

/// `path@line` of every mistake.
fn places(text: &str) -> Vec<String> {
    let all = mistakes(text);
    all.as_slice().iter().map(|one| format!("{}@{}", one.path, one.line.unwrap_or(0))).collect()
}

#[test]
fn a_good_file_loads_and_its_places_are_known() {
    let text = "listen = '127.0.0.1:1'\n[[routes]]\nhost = 'a'\nmodel = 'm'\nregions = ['x',\n  'y']\n";
    let loaded = parse::<Config>("test.toml", text).unwrap();
    assert_eq!(loaded.value.listen.port(), 1);
    assert_eq!(loaded.value.workers, None);
    assert_eq!(loaded.source.position("routes[0].model").unwrap().line, 4);
    let element = loaded.source.position("routes[0].regions[1]").unwrap();
    assert_eq!((element.line, element.column), (6, 3));
    assert_eq!(loaded.source.nearest("routes[0].cache.ttl_s").unwrap().line, 2);
}

#[test]
fn all_mistakes_of_all_kinds_at_once() {
    let text = "\
listen = 'nowhere'
workers = 70000
colour = 1

[[routes]]
host = 1
model = 'm'
[routes.cache]
ttl_s = 'soon'
scpoe = 'public'

[[routes]]
target = { file = { path = 3, mode = 300 } }

[[routes]]
host = 'b'
model = 'm'
cache = { ttl_s = 1, scope = 'pubic' }

[regions.'eu west']
url = true
";
    let expected = [
        "listen@1",
        "workers@2",
        "colour@3",
        "routes[0].host@6",
        "routes[0].cache.ttl_s@9",
        "routes[0].cache.scpoe@10",
        "routes[1].host@12",
        "routes[1].model@12",
        "routes[1].target.file.path@13",
        "routes[1].target.file.mode@13",
        "routes[2].cache.scope@18",
        "regions.\"eu west\".addr@20",
        "regions.\"eu west\".url@21",
    ];
    assert_eq!(places(text), expected);
}

#[test]
fn unknown_keys_come_with_a_hint() {
    let all = mistakes("listen = '127.0.0.1:1'\n[[routes]]\nhost = ''\nmodel = ''\ncahce = {}\n");
    let mistake = &all.as_slice()[0];
    assert_eq!(mistake.message, "unknown key");
    assert_eq!(mistake.hint.as_deref(), Some("did you mean `cache`?"));
}

#[test]
fn unknown_keys_are_refused_even_where_the_type_forgot_to() {
    assert_eq!(places("listen = '127.0.0.1:1'\n[lax]\nknown = true\nother = 1\n"), ["lax.other@4"]);
}

#[test]
fn a_missing_key_at_the_root_has_no_line() {
    assert_eq!(places("workers = 2\n"), ["listen@0"]);
}

#[test]
fn an_array_is_not_a_table() {
    assert_eq!(
        places("listen = '127.0.0.1:1'\n[[routes]]\nhost='a'\nmodel='m'\ncache = [1, 'public']\n"),
        ["routes[0].cache@5"]
    );
}

#[test]
fn a_choice_with_settings_where_none_belong_and_the_reverse() {
    let head = "listen = '127.0.0.1:1'\n[[routes]]\nhost='a'\nmodel='m'\n";
    for target in ["'file'", "{ reject = { a = 1 } }", "{}", "{ file = {}, reject = {} }", "7", "'flie'"] {
        let found = places(&format!("{head}target = {target}\n"));
        assert!(found.iter().all(|place| place.starts_with("routes[0].target")), "{target}: {found:?}");
    }
}

#[test]
fn mistakes_in_internally_tagged_tables_are_found_at_the_table() {
    let head = "listen = '127.0.0.1:1'\n[[routes]]\nhost = 1\nmodel = ''\n[[tagged]]\n";
    for body in
        ["kind = 'number'\nvalue = ''", "kind = 'number'\nvalue = 1\nfile = { scope = 1 }", "value = 1", "kind = 'x'"]
    {
        let found = places(&format!("{head}{body}\n"));
        assert_eq!(found.first().map(String::as_str), Some("routes[0].host@3"), "{body}");
        assert!(found.len() == 2 && found[1].starts_with("tagged[0]"), "{body}: {found:?}");
    }
}

#[test]
fn several_syntax_errors_are_all_reported() {
    let all = mistakes("listen = \nworkers = = 2\n[routes\n");
    assert!(all.as_slice().len() >= 3, "{all}");
    assert!(all.as_slice().iter().all(|mistake| mistake.line.is_some()));
}

#[test]
fn duplicate_keys_are_mistakes() {
    assert_eq!(mistakes("listen = '127.0.0.1:1'\nlisten = '127.0.0.1:2'\n").as_slice()[0].line, Some(2));
}

#[test]
fn values_are_never_shown() {
    let text = "listen = 'hunter2'\nworkers = 'hunter2'\n[[routes]]\nhost = { a = 'hunter2' }\nmodel = 'm'\n\
                cache = { ttl_s = 1, scope = 'hunter2' }\ntarget = 'hunter2'\n";
    let shown = mistakes(text).to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_text_form_names_file_line_column_path_and_hint() {
    let shown = mistakes("listen = '127.0.0.1:1'\n  wokers = 3\n").to_string();
    let expected = "error: wokers: unknown key\n  --> test.toml:2:3\n  hint: did you mean `workers`?\n\n\
                    1 mistake in test.toml";
    assert_eq!(shown, expected);
}

#[test]
fn the_number_of_mistakes_is_bounded() {
    let text: String = (0..1000).map(|number| format!("unknown_{number} = 1\n")).collect();
    assert_eq!(mistakes(&text).as_slice().len(), forebay_config::MAX_MISTAKES);
}

#[test]
fn depth_is_bounded() {
    let deep = format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse::<Config>("test.toml", &deep).is_err());
    let dotted = format!("{}b = 1", "a.".repeat(100_000));
    assert!(parse::<Config>("test.toml", &dotted).is_err());
}

#[test]
fn checks_of_the_program_are_reported_alike() {
    let text = "listen = '127.0.0.1:1'\n[[routes]]\nhost='a'\nmodel='m'\nregions = ['eu-wst']\n";
    let loaded = parse::<Config>("test.toml", text).unwrap();
    let all = loaded
        .checked(|config, check| {
            for (route_index, route) in config.routes.iter().enumerate() {
                for (region_index, region) in route.regions.iter().enumerate() {
                    let path = index(&join(&index("routes", route_index), "regions"), region_index);
                    check.mistake(path, format!("no region named `{region}`"), did_you_mean(region, ["eu-west"]));
                }
            }
        })
        .unwrap_err();
    let mistake = &all.as_slice()[0];
    assert_eq!((mistake.path.as_str(), mistake.line, mistake.column), ("routes[0].regions[0]", Some(5), Some(12)));
    assert_eq!(mistake.hint.as_deref(), Some("did you mean `eu-west`?"));
}

#[test]
fn files_that_cannot_be_read_are_mistakes_too() {
    let folder = tempfile::tempdir().unwrap();
    let missing = load::<Config>(&folder.path().join("absent.toml")).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
    let latin = folder.path().join("latin.toml");
    std::fs::write(&latin, b"listen = '\xe9'").unwrap();
    assert!(load::<Config>(&latin).unwrap_err().to_string().contains("not UTF-8"));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = parse::<Config>("test.toml", &text);
    }

    #[test]
    fn text_like_toml_never_panics_and_mistakes_are_distinct(
        text in "((listen|workers|routes|host|cache|ttl_s|target|file|kind|value|[a-z]) ?= ?('[a-z]'|'number'|[0-9]{1,20}|true|\\{\\}|\\[1, 'a'\\]|\\{ ?file ?= ?\\{\\} ?\\}|1979-05-27)\n|\\[\\[?(routes|regions\\.a|routes\\.cache|tagged|tagged\\.file|lax)\\]?\\]\n){0,20}"
    ) {
        if let Err(all) = parse::<Config>("test.toml", &text) {
            let mut seen: Vec<_> = all.as_slice().iter().map(|one| (&one.path, one.line, one.column)).collect();
            let count = seen.len();
            assert!(count > 0);
            seen.sort();
            seen.dedup();
            // Syntax errors have no path and may share a place.
            assert!(seen.len() == count || all.as_slice().iter().all(|one| one.path.is_empty()), "{all}");
        }
    }
}
