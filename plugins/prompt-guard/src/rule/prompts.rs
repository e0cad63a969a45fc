//! Where the texts of a prompt are in a body, and how they are read.

use serde_json::Value;

/// Where the Open Inference Protocol and the interfaces for chats, completions and embeddings have their texts.
const USUAL: [&str; 9] = [
    "/messages/*/content",
    "/messages/*/content/*/text",
    "/prompt",
    "/prompt/*",
    "/input",
    "/input/*",
    "/instructions",
    "/system",
    "/inputs",
];

/// Characters that a reader does not see and a pattern would stumble over.
const WIDTHLESS: [char; 9] =
    ['\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{feff}', '\u{180e}'];

/// The texts of a body.
pub(super) fn find<'v>(body: &'v Value, more: &[String]) -> Vec<&'v str> {
    let mut texts = Vec::new();
    for pointer in USUAL.iter().copied().chain(more.iter().map(String::as_str)) {
        walk(body, pointer, &mut texts);
    }
    let inputs = body.get("inputs").and_then(Value::as_array).into_iter().flatten();
    for input in inputs.filter(|input| input.get("datatype").and_then(Value::as_str) == Some("BYTES")) {
        strings(input.get("data"), &mut texts);
    }
    texts
}

/// The string at a pointer in which `*` stands for every item or member.
fn walk<'v>(value: &'v Value, pointer: &str, texts: &mut Vec<&'v str>) {
    let Some(rest) = pointer.strip_prefix('/') else {
        texts.extend(value.as_str());
        return;
    };
    let (token, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    match (token, value) {
        ("*", Value::Array(items)) => items.iter().for_each(|item| walk(item, rest, texts)),
        ("*", Value::Object(map)) => map.values().for_each(|item| walk(item, rest, texts)),
        (token, Value::Array(items)) => {
            if let Some(item) = token.parse::<usize>().ok().and_then(|i| items.get(i)) {
                walk(item, rest, texts);
            }
        }
        (token, Value::Object(map)) => {
            if let Some(item) = map.get(&token.replace("~1", "/").replace("~0", "~")) {
                walk(item, rest, texts);
            }
        }
        _ => {}
    }
}

/// Every string below, however deep: tensors come flat or nested.
fn strings<'v>(value: Option<&'v Value>, texts: &mut Vec<&'v str>) {
    match value {
        Some(Value::String(text)) => texts.push(text),
        Some(Value::Array(items)) => items.iter().for_each(|item| strings(Some(item), texts)),
        _ => {}
    }
}

/// The texts one after the other, as patterns see them.
pub(super) fn plain(texts: &[&str]) -> String {
    let mut plain = String::with_capacity(texts.iter().map(|text| text.len() + 1).sum());
    for text in texts {
        for c in text.chars().filter(|c| !WIDTHLESS.contains(c)).chain([' ']) {
            if !c.is_whitespace() {
                plain.push(c);
            } else if !plain.ends_with(' ') && !plain.is_empty() {
                plain.push(' ');
            }
        }
    }
    plain
}
