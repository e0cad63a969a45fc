//! `model.toml`: what a model is called, what it is for, and how far a request for it may go.
//!
//! What the file says ([`File`]) is turned into what the rest of the crate believes ([`Manifest`]) here and nowhere
//! else.

use std::{collections::BTreeMap, path::Path};

use forebay_config::{Check, Mistakes};
use serde::Deserialize;

/// The manifest's name in a model's folder.
pub(crate) const MANIFEST_FILE: &str = "model.toml";
/// The graph's name in a model's folder.
pub(crate) const GRAPH_FILE: &str = "model.onnx";

/// A checked manifest.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) task: TaskSettings,
    pub(crate) limits: Limits,
    /// Sizes of named dimensions in the first run, for graphs that cannot run on 1.
    pub(crate) warm_up: BTreeMap<String, u64>,
}

/// What the model is for.
#[derive(Debug, Clone)]
pub(crate) enum TaskSettings {
    /// The graph's own tensors in and out.
    Tensor,
    /// Texts in, vectors out.
    Embedding(EmbeddingSettings),
    /// Pictures of one line of text each in, texts out.
    TextRecognition(TextRecognitionSettings),
}

impl TaskSettings {
    /// The word used in `model.toml` and in metadata.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Tensor => "tensor",
            Self::Embedding(_) => "embedding",
            Self::TextRecognition(_) => "text-recognition",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    version: String,
    task: TaskName,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    warm_up: BTreeMap<String, u64>,
    embedding: Option<EmbeddingSettings>,
    text_recognition: Option<TextRecognitionSettings>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TaskName {
    Tensor,
    Embedding,
    TextRecognition,
}

/// `[limits]`: bounds on one request.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Most rows in one request: texts, pictures, or a graph's open first dimension.
    pub(crate) max_batch: u64,
    /// Most elements in one input.
    pub(crate) max_elements: u64,
    /// Most bytes in one output.
    pub(crate) max_output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_batch: 64, max_elements: 1 << 24, max_output_bytes: 64 << 20 }
    }
}

/// `[embedding]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EmbeddingSettings {
    /// The tokenizer's file in the model's folder, in Hugging Face's `tokenizer.json` form.
    pub(crate) tokenizer: String,
    /// A text of more tokens is cut.
    pub(crate) max_tokens: usize,
    /// A text of more bytes is refused. Without it, as many as `max_tokens` can need: a longer text is work for tokens
    /// that are then cut off.
    pub(crate) max_text_bytes: Option<usize>,
    pub(crate) pooling: Pooling,
    /// Whether vectors are scaled to length 1.
    pub(crate) normalize: bool,
    pub(crate) input: String,
    pub(crate) output: String,
}

impl Default for EmbeddingSettings {
    fn default() -> Self {
        Self {
            tokenizer: "tokenizer.json".to_owned(),
            max_tokens: 256,
            max_text_bytes: None,
            pooling: Pooling::Mean,
            normalize: true,
            input: "text".to_owned(),
            output: "embedding".to_owned(),
        }
    }
}

/// More bytes than a token of ordinary text has: four in English, and rarely over ten anywhere.
const TOKEN_BYTES: usize = 16;

impl EmbeddingSettings {
    /// Most bytes of one text.
    pub(crate) fn text_bytes(&self) -> usize {
        self.max_text_bytes.unwrap_or(self.max_tokens.saturating_mul(TOKEN_BYTES))
    }
}

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token.
    Cls,
}

/// `[text_recognition]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TextRecognitionSettings {
    /// The file in the model's folder with one character a line, in the order of the graph's classes; the first line
    /// stands for CTC's blank.
    pub(crate) dictionary: String,
    /// Height in pixels that the graph wants.
    pub(crate) height: u32,
    /// Greatest width in pixels after scaling; what is longer is squeezed.
    pub(crate) max_width: u32,
    /// A picture of more bytes is refused.
    pub(crate) max_image_bytes: usize,
    pub(crate) input: String,
    pub(crate) text_output: String,
    pub(crate) confidence_output: String,
}

impl Default for TextRecognitionSettings {
    fn default() -> Self {
        Self {
            dictionary: "dictionary.txt".to_owned(),
            height: 48,
            max_width: 1600,
            max_image_bytes: 8 << 20,
            input: "image".to_owned(),
            text_output: "text".to_owned(),
            confidence_output: "confidence".to_owned(),
        }
    }
}

/// Reads and checks the manifest in a model's folder.
///
/// # Errors
/// Every mistake in the file at once.
pub(crate) fn load(folder: &Path) -> Result<Manifest, Mistakes> {
    let loaded = forebay_config::load::<File>(&folder.join(MANIFEST_FILE))?.checked(check)?;
    Ok(believe(loaded.value))
}

fn believe(file: File) -> Manifest {
    let task = match file.task {
        TaskName::Tensor => TaskSettings::Tensor,
        TaskName::Embedding => TaskSettings::Embedding(file.embedding.unwrap_or_default()),
        TaskName::TextRecognition => TaskSettings::TextRecognition(file.text_recognition.unwrap_or_default()),
    };
    Manifest { name: file.name, version: file.version, task, limits: file.limits, warm_up: file.warm_up }
}

fn check(file: &File, check: &mut Check<'_>) {
    for (path, value) in [("name", &file.name), ("version", &file.version)] {
        if !is_path_segment(value) {
            check.mistake(path, "must be 1 to 128 letters, digits, `.`, `_` or `-`, and not begin with `.`", None);
        }
    }
    check_limits(&file.limits, check);
    if file.warm_up.values().any(|size| !(1..=MAX_SIZE).contains(size)) {
        check.mistake("warm_up", format!("sizes must be from 1 to {MAX_SIZE}"), None);
    }
    if let Some(embedding) = &file.embedding {
        belongs_to(file, TaskName::Embedding, "embedding", check);
        check_embedding(embedding, check);
    }
    if let Some(recognition) = &file.text_recognition {
        belongs_to(file, TaskName::TextRecognition, "text_recognition", check);
        check_text_recognition(recognition, check);
    }
}

/// Largest size that any setting may name: far beyond sense, and far below overflow.
const MAX_SIZE: u64 = 1 << 31;

fn check_limits(limits: &Limits, check: &mut Check<'_>) {
    within("limits.max_batch", limits.max_batch, 1, MAX_SIZE, check);
    within("limits.max_elements", limits.max_elements, 1, MAX_SIZE, check);
    within("limits.max_output_bytes", limits.max_output_bytes as u64, 1, MAX_SIZE, check);
}

fn check_embedding(embedding: &EmbeddingSettings, check: &mut Check<'_>) {
    // Fewer would not hold the special tokens that a tokenizer adds.
    within("embedding.max_tokens", embedding.max_tokens as u64, 8, 1 << 20, check);
    within("embedding.max_text_bytes", embedding.text_bytes() as u64, 1, MAX_SIZE, check);
    plain_file("embedding.tokenizer", &embedding.tokenizer, check);
}

fn check_text_recognition(recognition: &TextRecognitionSettings, check: &mut Check<'_>) {
    within("text_recognition.height", recognition.height.into(), 8, 1024, check);
    within("text_recognition.max_width", recognition.max_width.into(), 32, 16384, check);
    within("text_recognition.max_image_bytes", recognition.max_image_bytes as u64, 1, MAX_SIZE, check);
    plain_file("text_recognition.dictionary", &recognition.dictionary, check);
    if recognition.text_output == recognition.confidence_output {
        check.mistake("text_recognition.confidence_output", "must differ from `text_output`", None);
    }
}

fn belongs_to(file: &File, task: TaskName, section: &str, check: &mut Check<'_>) {
    if file.task != task {
        check.mistake(section, "the model's `task` is another one", None);
    }
}

fn within(path: &str, value: u64, least: u64, most: u64, check: &mut Check<'_>) {
    if !(least..=most).contains(&value) {
        check.mistake(path, format!("must be from {least} to {most}"), None);
    }
}

fn plain_file(path: &str, name: &str, check: &mut Check<'_>) {
    if !is_path_segment(name) {
        check.mistake(path, "must be the name of a file in the model's folder", None);
    }
}

/// Safe as one segment of a URL path and of a file's path.
fn is_path_segment(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    (1..=128).contains(&text.len()) && !text.starts_with('.') && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::{File, Manifest, TaskSettings, believe, check};

    fn parse(text: &str) -> Result<Manifest, String> {
        forebay_config::parse::<File>(super::MANIFEST_FILE, text)
            .and_then(|loaded| loaded.checked(check))
            .map(|loaded| believe(loaded.value))
            .map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn the_manifests_we_ship_are_right() {
        for (text, task) in [
            (include_str!("../models/minilm/model.toml"), "embedding"),
            (include_str!("../models/ocr/model.toml"), "text-recognition"),
        ] {
            assert_eq!(parse(text).unwrap().task.as_str(), task);
        }
    }

    #[test]
    fn three_lines_are_enough() {
        let manifest = parse("name = 'a'\nversion = '1'\ntask = 'embedding'").unwrap();
        let TaskSettings::Embedding(embedding) = manifest.task else { panic!("not an embedding") };
        assert_eq!((embedding.max_tokens, embedding.text_bytes(), manifest.limits.max_batch), (256, 4096, 64));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let error = parse(
            "name = '../a'\nversion = ''\ntask = 'tensor'\n[embedding]\nmax_tokens = 2\ntokenizer = '/etc/passwd'\n\
             [limits]\nmax_batch = 0\n[warm_up]\nbatch = 0",
        )
        .unwrap_err();
        for path in [
            "name",
            "version",
            "embedding.max_tokens",
            "embedding.tokenizer",
            "limits.max_batch",
            "warm_up",
            "another one",
        ] {
            assert!(error.contains(path), "{path} is not in\n{error}");
        }
        assert!(error.ends_with("7 mistakes in model.toml"), "{error}");
    }

    #[test]
    fn unknown_keys_and_tasks_are_mistakes() {
        assert!(parse("name = 'a'\nversion = '1'\ntask = 'tensor'\nspeed = 3").unwrap_err().contains("speed"));
        assert!(parse("name = 'a'\nversion = '1'\ntask = 'tensors'").is_err());
    }
}
