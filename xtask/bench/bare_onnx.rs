//! ONNX Runtime with nothing around it: tokenise, run, throw away. One thread, one session, the same model and texts.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use serde::{Deserialize, Serialize};
use tokenizers::{Encoding, PaddingParams, Tokenizer};
use xtask::Workspace;

use crate::sample::Sample;

const WARM_UP: u64 = 3;

/// The n-th text: new each time, and about as long as a search query.
pub(crate) fn text(number: u64) -> String {
    format!("Which gate of the dam is open when basin {number} stands at its highest mark?")
}

/// The n-th text as an inference.
pub(crate) fn question(number: u64) -> String {
    format!(r#"{{"inputs":[{{"name":"text","datatype":"BYTES","shape":[1],"data":["{}"]}}]}}"#, text(number))
}

/// What the loop did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Bare {
    texts: u64,
    elapsed_s: f64,
    cpu_s: f64,
    run_p50_us: f64,
    run_p99_us: f64,
}

impl Bare {
    pub(crate) fn sample(&self) -> Sample {
        let texts = self.texts.max(1) as f64;
        Sample {
            requests_per_s: texts / self.elapsed_s,
            p50_us: self.run_p50_us,
            p99_us: self.run_p99_us,
            cpu_us: self.cpu_s * 1e6 / texts,
        }
    }
}

/// Runs the loop and prints a [`Bare`] as JSON.
pub(crate) fn run(batch: usize, seconds: u64) -> Result<()> {
    let assets = Workspace::locate()?.assets_dir();
    let mut model = Model::load(&assets)?;
    let mut next = 0;
    for _ in 0..WARM_UP {
        model.run(&texts(&mut next, batch))?;
    }
    let mut times = Vec::new();
    let (start, cpu) = (Instant::now(), own_cpu_time()?);
    while start.elapsed() < Duration::from_secs(seconds) {
        let run = Instant::now();
        model.run(&texts(&mut next, batch))?;
        times.push(run.elapsed().as_secs_f64() * 1e6);
    }
    let (elapsed_s, cpu_s) = (start.elapsed().as_secs_f64(), (own_cpu_time()? - cpu).as_secs_f64());
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    let texts = (times.len() * batch) as u64;
    let bare = Bare { texts, elapsed_s, cpu_s, run_p50_us: at(50), run_p99_us: at(99) };
    println!("{}", serde_json::to_string(&bare)?);
    Ok(())
}

fn texts(next: &mut u64, batch: usize) -> Vec<String> {
    let first = *next;
    *next += batch as u64;
    (first..*next).map(text).collect()
}

/// On-CPU time of this process: the first field of each thread's `schedstat`, in nanoseconds.
fn own_cpu_time() -> Result<Duration> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split_whitespace().next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

struct Model {
    session: Session,
    tokenizer: Tokenizer,
}

impl Model {
    fn load(assets: &Path) -> Result<Self> {
        let environment =
            ort::init_from(assets.join("onnxruntime/libonnxruntime.so"))?.with_telemetry(false).build()?;
        let session = Session::builder(&environment)?
            .with_intra_threads(1)
            .map_err(|error| anyhow!("{error}"))?
            .with_intra_op_spinning(false)
            .map_err(|error| anyhow!("{error}"))?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(|error| anyhow!("{error}"))?
            .commit_from_file(assets.join("models/minilm/model.onnx"))?;
        let mut tokenizer =
            Tokenizer::from_file(assets.join("models/minilm/tokenizer.json")).map_err(|error| anyhow!("{error}"))?;
        tokenizer.with_padding(Some(PaddingParams::default()));
        Ok(Self { session, tokenizer })
    }

    fn run(&mut self, texts: &[String]) -> Result<()> {
        let encodings = self.tokenizer.encode_batch(texts.to_vec(), true).map_err(|error| anyhow!("{error}"))?;
        let length = encodings.first().map_or(0, |encoding| encoding.get_ids().len());
        let shape = [texts.len(), length];
        let flat = |row: fn(&Encoding) -> &[u32]| -> Vec<i64> {
            encodings.iter().flat_map(row).map(|value| i64::from(*value)).collect()
        };
        let ids = flat(Encoding::get_ids);
        let mask = flat(Encoding::get_attention_mask);
        let kinds = flat(Encoding::get_type_ids);
        let outputs = self.session.run(ort::inputs![
            "input_ids" => TensorRef::from_array_view((shape, ids.as_slice()))?,
            "attention_mask" => TensorRef::from_array_view((shape, mask.as_slice()))?,
            "token_type_ids" => TensorRef::from_array_view((shape, kinds.as_slice()))?,
        ])?;
        std::hint::black_box(outputs.len());
        Ok(())
    }
}
