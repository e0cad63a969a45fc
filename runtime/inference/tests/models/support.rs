//! Where the models are, and how the tests ask them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use forebay_inference::{Inference, InferenceError, Model, ModelSettings, Runtime, RuntimeSettings};
use forebay_oip::{InferRequest, RequestedOutput, Tensor};
use tempfile::TempDir;

/// A file or folder that `cargo xtask assets` makes.
pub(super) fn asset(path: &str) -> PathBuf {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/assets").join(path);
    assert!(found.exists(), "{path} is missing: run `cargo xtask assets`");
    found
}

pub(super) fn library() -> PathBuf {
    asset("onnxruntime/libonnxruntime.so")
}

pub(super) fn runtime() -> Arc<Runtime> {
    Runtime::load(&RuntimeSettings { library: library(), sha256: None }).unwrap()
}

/// A file beside the tests.
pub(super) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A folder with one of the small graphs and a manifest for plain tensors, with `more` at its end.
pub(super) fn folder_with(graph: &str, more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(data(graph), folder.path().join("model.onnx")).unwrap();
    let manifest = format!("name = 'small'\nversion = '1'\ntask = 'tensor'\n{more}");
    std::fs::write(folder.path().join("model.toml"), manifest).unwrap();
    folder
}

pub(super) fn load_small(graph: &str, more: &str) -> Result<Model, InferenceError> {
    let folder = folder_with(graph, more);
    Model::load(&runtime(), &ModelSettings::new(folder.path()))
}

/// A shipped manifest with the downloaded files it names, so that the tests follow the manifest in the source tree.
pub(super) fn shipped(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(asset(&format!("models/{name}"))).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "model.toml" {
            std::os::unix::fs::symlink(entry.path().canonicalize().unwrap(), folder.path().join(entry.file_name()))
                .unwrap();
        }
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name).join("model.toml");
    std::fs::copy(manifest, folder.path().join("model.toml")).unwrap();
    folder
}

pub(super) fn request(inputs: impl IntoIterator<Item = Tensor>) -> InferRequest {
    InferRequest { inputs: inputs.into_iter().collect(), ..InferRequest::default() }
}

pub(super) fn wanting(mut request: InferRequest, outputs: &[&str]) -> InferRequest {
    let wanted = |name: &&str| RequestedOutput { name: (*name).to_owned(), parameters: Default::default() };
    request.outputs = outputs.iter().map(wanted).collect();
    request
}

/// Asks with more time than any test needs.
pub(super) async fn ask(model: &Model, request: InferRequest) -> Result<Inference, InferenceError> {
    model.infer(request, Instant::now() + Duration::from_secs(120)).await
}

pub(super) fn f32s(tensor: &Tensor) -> Vec<f32> {
    tensor.data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

pub(super) fn texts(tensor: &Tensor) -> Vec<String> {
    let text = |element: Result<&[u8], _>| String::from_utf8(element.unwrap().to_vec()).unwrap();
    tensor.bytes_elements().unwrap().map(text).collect()
}
