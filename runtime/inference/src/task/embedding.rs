//! Texts to vectors: tokens in, the graph's vector per token out, pooled into one per text.

use std::path::Path;

use forebay_oip::{Datatype, InferRequest, Tensor, TensorSpec};
use tokenizers::{Tokenizer, TruncationParams};

use super::{Run, Task, rows::Rows};
use crate::{
    InferenceError,
    manifest::{EmbeddingSettings, Pooling},
    session::{Input, Session},
    signature::{Dimension, Signature},
};

/// Texts in one run. On a processor larger batches gain nothing for encoders, and from 32 on they lose to the cache.
const RUN_ROWS: usize = 8;

/// A word of one token, for a text of as many tokens as words.
const LONG_TEXT_WORD: &str = "a ";

const TOKENS: &str = "input_ids";
const MASK: &str = "attention_mask";
const SEGMENTS: &str = "token_type_ids";

pub(super) struct Embedding {
    rows: Rows,
    output: String,
    graph_output: String,
    width: usize,
    segments: bool,
    pooling: Pooling,
    normalize: bool,
    tokenizer: Tokenizer,
    max_tokens: usize,
}

impl Embedding {
    pub(super) fn load(
        settings: &EmbeddingSettings,
        max_rows: u64,
        folder: &Path,
        session: &Session,
    ) -> Result<Self, InferenceError> {
        let (graph_output, width) =
            check_graph(session.inputs(), session.outputs()).map_err(|reason| InferenceError::model(folder, reason))?;
        Ok(Self {
            rows: Rows { input: settings.input.clone(), max_rows, max_row_bytes: settings.text_bytes() },
            output: settings.output.clone(),
            graph_output,
            width,
            segments: session.inputs().iter().any(|input| input.name == SEGMENTS),
            pooling: settings.pooling,
            normalize: settings.normalize,
            tokenizer: load_tokenizer(&folder.join(&settings.tokenizer), settings.max_tokens)?,
            max_tokens: settings.max_tokens,
        })
    }

    /// The tokens of every text.
    fn tokenize(&self, request: &InferRequest, run: &Run<'_>) -> Result<Vec<Vec<u32>>, InferenceError> {
        let token = |(place, text): (usize, &[u8])| {
            run.check()?;
            let refuse = |what: &str| InferenceError::invalid(&self.rows.input, format!("element {place} {what}"));
            let text = std::str::from_utf8(text).map_err(|_not_utf8| refuse("is not UTF-8"))?;
            let encoding = self
                .tokenizer
                .encode_fast(text, true)
                .map_err(|error| refuse(&format!("cannot be split into tokens: {error}")))?;
            match encoding.get_ids() {
                [] => Err(refuse("has no tokens")),
                tokens => Ok(tokens.to_vec()),
            }
        };
        self.rows.of(request)?.into_iter().enumerate().map(token).collect()
    }

    /// The graph's inputs for some of the texts, padded to the longest of them.
    fn inputs(&self, texts: &[&[u32]]) -> Vec<Input> {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let shape = || vec![texts.len() as u64, longest as u64];
        let padded = |value: fn(u32) -> i64| {
            let row = |text: &&[u32]| {
                let padding = longest.saturating_sub(text.len());
                text.iter().map(|token| value(*token)).chain(std::iter::repeat_n(0, padding)).collect::<Vec<_>>()
            };
            texts.iter().flat_map(row).collect::<Vec<i64>>()
        };
        let mut inputs = vec![
            Input::Int64 { name: TOKENS, shape: shape(), data: padded(i64::from) },
            Input::Int64 { name: MASK, shape: shape(), data: padded(|_token| 1) },
        ];
        if self.segments {
            inputs.push(Input::Int64 { name: SEGMENTS, shape: shape(), data: padded(|_token| 0) });
        }
        inputs
    }

    /// One text's vector from those of its tokens, padding cut off.
    fn pool(&self, tokens: &[f32]) -> Vec<f32> {
        let mut vector = vec![0.0; self.width];
        let (rows, count) = match self.pooling {
            Pooling::Mean => (tokens, tokens.len() / self.width.max(1)),
            Pooling::Cls => (tokens.get(..self.width).unwrap_or_default(), 1),
        };
        for row in rows.chunks_exact(self.width.max(1)) {
            for (sum, value) in vector.iter_mut().zip(row) {
                *sum += value;
            }
        }
        // A text has at most a million tokens (`max_tokens`), which an f32 holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        let mut scale = 1.0 / count.max(1) as f32;
        if self.normalize {
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            scale = 1.0 / length.max(f32::MIN_POSITIVE);
        }
        vector.iter_mut().for_each(|value| *value *= scale);
        vector
    }
}

impl Task for Embedding {
    fn inputs(&self) -> Vec<TensorSpec> {
        vec![TensorSpec { name: self.rows.input.clone(), datatype: Datatype::Bytes, shape: vec![-1] }]
    }

    fn outputs(&self) -> Vec<TensorSpec> {
        let width = i64::try_from(self.width).unwrap_or(-1);
        vec![TensorSpec { name: self.output.clone(), datatype: Datatype::Fp32, shape: vec![-1, width] }]
    }

    fn check(&self, request: &InferRequest) -> Result<(), InferenceError> {
        self.rows.check(request)
    }

    /// A graph may load and take short texts, and yet not have as many positions as `max_tokens`.
    fn warm_up(&self) -> Vec<InferRequest> {
        let words = self.max_tokens.min(self.rows.max_row_bytes / LONG_TEXT_WORD.len());
        [LONG_TEXT_WORD.to_owned(), LONG_TEXT_WORD.repeat(words.max(1))]
            .map(|text| {
                let text = Tensor::from_strings(&self.rows.input, [1], [text.as_bytes()]);
                InferRequest { inputs: vec![text], ..InferRequest::default() }
            })
            .into()
    }

    fn perform(&self, request: InferRequest, run: &mut Run<'_>) -> Result<Vec<Tensor>, InferenceError> {
        let texts = self.tokenize(&request, run)?;
        let mut vectors = vec![Vec::new(); texts.len()];
        for group in groups(&texts) {
            let members: Vec<&[u32]> = group.iter().filter_map(|place| texts.get(*place)).map(Vec::as_slice).collect();
            let outputs = run.graph(self.inputs(&members))?;
            let (_, values) = outputs.float32(&self.graph_output)?;
            let padded = values.len() / members.len().max(1);
            for ((place, tokens), row) in group.iter().zip(&members).zip(values.chunks_exact(padded.max(1))) {
                if let (Some(vector), Some(row)) = (vectors.get_mut(*place), row.get(..tokens.len() * self.width)) {
                    *vector = self.pool(row);
                }
            }
            run.prepare_next();
        }
        if vectors.iter().any(|vector| vector.len() != self.width) {
            return Err(InferenceError::internal("the graph's output does not have the shape of its input"));
        }
        let shape = [texts.len() as u64, self.width as u64];
        Ok(vec![Tensor::from_f32(&self.output, shape, &vectors.concat())])
    }
}

/// Which texts run together: those of like length, since the rest of a row is padding that costs as much as text.
fn groups(texts: &[Vec<u32>]) -> Vec<Vec<usize>> {
    let length = |place: usize| texts.get(place).map_or(0, Vec::len);
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|place| length(*place));

    let mut groups: Vec<Vec<usize>> = Vec::new();
    for place in order {
        match groups.last_mut() {
            Some(group)
                if group.len() < RUN_ROWS
                    && group.first().is_some_and(|first| alike(length(*first), length(place))) =>
            {
                group.push(place);
            }
            _ => groups.push(vec![place]),
        }
    }
    groups
}

/// A quarter of padding is less than a second run costs; so are a few tokens.
fn alike(shorter: usize, longer: usize) -> bool {
    longer <= shorter + (shorter / 4).max(4)
}

fn load_tokenizer(path: &Path, max_tokens: usize) -> Result<Tokenizer, InferenceError> {
    let refuse = |error: tokenizers::Error| InferenceError::model(path, error.to_string());
    let mut tokenizer = Tokenizer::from_file(path).map_err(refuse)?;
    let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(refuse)?;
    // Padding is ours: the file's own may be to a fixed length.
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// Checks that the graph is an encoder; gives the name and the width of its output.
fn check_graph(inputs: &[Signature], outputs: &[Signature]) -> Result<(String, usize), String> {
    let is_tokens = |input: &Signature| input.datatype == Datatype::Int64 && input.dimensions.len() == 2;
    for needed in [TOKENS, MASK] {
        if !inputs.iter().any(|input| input.name == needed) {
            return Err(format!("the graph has no input `{needed}`"));
        }
    }
    for input in inputs {
        if ![TOKENS, MASK, SEGMENTS].contains(&input.name.as_str()) || !is_tokens(input) {
            return Err(format!("the graph's input `{}` is none that an encoder of texts has", input.name));
        }
    }
    let output = outputs.first().ok_or("the graph has no output")?;
    match output.dimensions.as_slice() {
        [_, _, Dimension::Fixed(width)] if output.datatype == Datatype::Fp32 && *width > 0 => {
            Ok((output.name.clone(), usize::try_from(*width).map_err(|error| error.to_string())?))
        }
        _ => Err(format!("the graph's output `{}` is not FP32 [texts, tokens, a fixed width]", output.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::{RUN_ROWS, alike, groups};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_is_in_one_group_of_like_lengths(lengths in prop::collection::vec(0usize..300, 0..70)) {
            let texts: Vec<_> = lengths.iter().map(|length| vec![0; *length]).collect();
            let groups = groups(&texts);
            let mut all: Vec<_> = groups.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..texts.len()).collect::<Vec<_>>());
            for group in groups {
                prop_assert!(group.len() <= RUN_ROWS);
                let of_group = group.iter().filter_map(|place| lengths.get(*place)).copied();
                let (shortest, longest) = (of_group.clone().min().unwrap_or(0), of_group.max().unwrap_or(0));
                prop_assert!(alike(shortest, longest));
            }
        }
    }
}
