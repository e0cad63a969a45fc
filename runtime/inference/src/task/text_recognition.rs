//! Pictures of one line of text each to texts, with a graph of the PaddleOCR family (CRNN with CTC).

mod ctc;
mod picture;

use std::path::Path;

use bytes::Bytes;
use forebay_oip::{Datatype, InferRequest, Tensor, TensorSpec};

use super::{Run, Task, rows::Rows};
use crate::{
    InferenceError,
    manifest::TextRecognitionSettings,
    session::{Input, Session},
    signature::{Dimension, Signature},
};

pub(super) struct TextRecognition {
    rows: Rows,
    text_output: String,
    confidence_output: String,
    graph_input: String,
    graph_output: String,
    height: u32,
    max_width: u32,
    dictionary: ctc::Dictionary,
    blank: Bytes,
}

impl TextRecognition {
    pub(super) fn load(
        settings: &TextRecognitionSettings,
        max_rows: u64,
        folder: &Path,
        session: &Session,
    ) -> Result<Self, InferenceError> {
        let path = folder.join(&settings.dictionary);
        let dictionary = ctc::Dictionary::load(&path).map_err(|reason| InferenceError::model(&path, reason))?;
        let (graph_input, graph_output) =
            check_graph(session.inputs(), session.outputs(), settings.height, dictionary.classes())
                .map_err(|reason| InferenceError::model(folder, reason))?;
        Ok(Self {
            rows: Rows { input: settings.input.clone(), max_rows, max_row_bytes: settings.max_image_bytes },
            text_output: settings.text_output.clone(),
            confidence_output: settings.confidence_output.clone(),
            graph_input,
            graph_output,
            height: settings.height,
            max_width: settings.max_width,
            dictionary,
            blank: picture::blank(settings.height).map_err(|error| InferenceError::internal(error.to_string()))?,
        })
    }

    fn recognise(&self, place: usize, picture: &[u8], run: &mut Run<'_>) -> Result<ctc::Line, InferenceError> {
        run.check()?;
        let pixels = picture::decode(picture, self.height, self.max_width)
            .map_err(|reason| InferenceError::invalid(&self.rows.input, format!("element {place} {reason}")))?;
        let outputs = run.graph(vec![Input::Float32 {
            name: self.graph_input.clone(),
            shape: vec![1, 3, self.height.into(), pixels.width.into()],
            data: pixels.planes,
        }])?;
        let (_, probabilities) = outputs.float32(&self.graph_output)?;
        let line = self.dictionary.read(probabilities);
        run.prepare_next();
        Ok(line)
    }
}

impl Task for TextRecognition {
    fn inputs(&self) -> Vec<TensorSpec> {
        vec![TensorSpec { name: self.rows.input.clone(), datatype: Datatype::Bytes, shape: vec![-1] }]
    }

    fn outputs(&self) -> Vec<TensorSpec> {
        let output = |name: &String, datatype| TensorSpec { name: name.clone(), datatype, shape: vec![-1] };
        vec![output(&self.text_output, Datatype::Bytes), output(&self.confidence_output, Datatype::Fp32)]
    }

    fn check(&self, request: &InferRequest) -> Result<(), InferenceError> {
        self.rows.check(request)
    }

    fn warm_up(&self) -> Vec<InferRequest> {
        let picture = Tensor::from_strings(&self.rows.input, [1], [self.blank.as_ref()]);
        vec![InferRequest { inputs: vec![picture], ..InferRequest::default() }]
    }

    fn perform(&self, request: InferRequest, run: &mut Run<'_>) -> Result<Vec<Tensor>, InferenceError> {
        let pictures = self.rows.of(&request)?;
        let lines = pictures
            .into_iter()
            .enumerate()
            .map(|(place, picture)| self.recognise(place, picture, run))
            .collect::<Result<Vec<_>, _>>()?;

        let shape = [lines.len() as u64];
        let confidences: Vec<f32> = lines.iter().map(|line| line.confidence).collect();
        Ok(vec![
            Tensor::from_strings(&self.text_output, shape, lines.iter().map(|line| line.text.as_bytes())),
            Tensor::from_f32(&self.confidence_output, shape, &confidences),
        ])
    }
}

/// Checks that the graph is a recogniser of lines; gives the names of its input and its output.
fn check_graph(
    inputs: &[Signature],
    outputs: &[Signature],
    height: u32,
    classes: usize,
) -> Result<(String, String), String> {
    let fits = |dimension: &Dimension, size: u64| !matches!(dimension, Dimension::Fixed(fixed) if *fixed != size);
    let float = |signature: &Signature| signature.datatype == Datatype::Fp32;

    let [input] = inputs else {
        return Err(format!("the graph has {} inputs, not one", inputs.len()));
    };
    match input.dimensions.as_slice() {
        [rows, channels, tall, wide] if float(input) && fits(rows, 1) && fits(channels, 3) => {
            if !fits(tall, height.into()) {
                return Err(format!("the graph's input is not {height} pixels high"));
            }
            if let Dimension::Fixed(width) = wide {
                return Err(format!("the graph takes pictures of one width only, {width}"));
            }
        }
        _ => {
            return Err(format!("the graph's input `{}` is not FP32 [pictures, 3, height, width]", input.name));
        }
    }
    let output = outputs.first().ok_or("the graph has no output")?;
    match output.dimensions.as_slice() {
        [_, _, last] if float(output) && fits(last, classes as u64) => Ok((input.name.clone(), output.name.clone())),
        [_, _, Dimension::Fixed(other)] if float(output) => {
            Err(format!("the graph has {other} classes and the dictionary {classes}"))
        }
        _ => Err(format!("the graph's output `{}` is not FP32 [pictures, steps, classes]", output.name)),
    }
}
