//! Loading, deadlines and closing.

use std::{
    fs,
    time::{Duration, Instant},
};

use forebay_inference::{Blame, InferenceError, Model, ModelSettings, Runtime, RuntimeSettings};
use forebay_oip::{Datatype, Tensor};

use super::support::{ask, data, f32s, folder_with, library, load_small, request, runtime};

/// Longer than any test: a run of this many turns takes centuries.
const FOREVER: i64 = i64::MAX;

fn steps(count: i64) -> Tensor {
    Tensor::from_raw("steps", Datatype::Int64, [1], count.to_le_bytes().to_vec().into())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(100)
}

#[tokio::test]
async fn a_run_that_outlasts_its_deadline_is_stopped_and_the_next_one_runs() {
    let model = load_small("countdown.onnx", "").unwrap();
    let deadline = Instant::now() + Duration::from_secs(1);
    let error = model.infer(request([steps(FOREVER)]), deadline).await.unwrap_err();
    assert!(matches!(error, InferenceError::DeadlineExceeded { started: true }), "{error}");
    // There is one session: this can only be answered if the endless run has ended.
    let answer = ask(&model, request([steps(3)])).await.unwrap();
    assert_eq!(f32s(&answer.response.outputs[0]), [3.0]);
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_is_answered_on_time() {
    let model = load_small("countdown.onnx", "").unwrap();
    let endless = model.clone();
    let endless = tokio::spawn(async move { ask(&endless, request([steps(FOREVER)])).await });
    let late = async {
        let began = Instant::now();
        // The first may find the session free if the endless run has not arrived; the second cannot.
        let first = model.infer(request([steps(FOREVER)]), soon()).await.unwrap_err();
        assert_eq!(first.blame(), Blame::Deadline);
        let second = model.infer(request([steps(1)]), soon()).await.unwrap_err();
        assert!(matches!(second, InferenceError::DeadlineExceeded { started: false }), "{second}");
        assert!(began.elapsed() < Duration::from_secs(30), "nobody waited for the endless run");
        assert_eq!(model.queue_depth(), 0);
    };
    late.await;
    // A caller that goes away stops its run.
    endless.abort();
    assert_eq!(f32s(&ask(&model, request([steps(2)])).await.unwrap().response.outputs[0]), [2.0]);
}

#[tokio::test]
async fn there_are_as_many_places_as_can_wait_and_run() {
    let folder = folder_with("countdown.onnx", "");
    let settings = ModelSettings { queue_capacity: 1, ..ModelSettings::new(folder.path()) };
    let model = Model::load(&runtime(), &settings).unwrap();
    let (first, _second) = (model.reserve().unwrap(), model.reserve().unwrap());
    assert!(matches!(model.reserve(), Err(InferenceError::QueueFull { capacity: 1, .. })));
    drop(first);
    model.reserve().unwrap();
}

#[tokio::test]
async fn closing_stops_what_runs() {
    let model = load_small("countdown.onnx", "").unwrap();
    let closing = model.clone();
    let closer = async {
        let late = model.infer(request([steps(1)]), soon()).await;
        assert!(matches!(late, Err(InferenceError::DeadlineExceeded { started: false })));
        tokio::task::spawn_blocking(move || closing.close()).await.unwrap();
    };
    let (endless, ()) = tokio::join!(ask(&model, request([steps(FOREVER)])), closer);
    assert!(matches!(endless, Err(InferenceError::Closed)));
    assert!(matches!(ask(&model, request([steps(1)])).await, Err(InferenceError::Closed)));
}

#[test]
fn a_library_that_cannot_be_used_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.so");
    let whole = fs::read(library()).unwrap();
    fs::write(&cut, &whole[..whole.len() * 2 / 3]).unwrap();
    let load = |path, sha256: Option<&str>| {
        let error = Runtime::load(&RuntimeSettings { library: path, sha256: sha256.map(str::to_owned) }).unwrap_err();
        assert_eq!(error.blame(), Blame::Operator);
        error.to_string()
    };
    assert!(load(cut, None).contains("cut short"));
    assert!(load(folder.path().join("none.so"), None).contains("No such file"));
    assert!(load(data("line.png"), None).contains("not an ELF library"));
    assert!(load(library(), Some("00")).contains("as configured"));

    // The right one is loaded once; another beside it is refused, not passed over in silence.
    let first = runtime();
    assert!(std::sync::Arc::ptr_eq(&first, &runtime()));
    let copy = folder.path().join("copy.so");
    fs::copy(library(), &copy).unwrap();
    assert!(load(copy, None).contains("already loaded"));
}

#[test]
fn a_model_that_cannot_be_used_is_a_sentence() {
    let folder = folder_with("matmul.onnx", "");
    let load = |settings: &ModelSettings| Model::load(&runtime(), settings).unwrap_err();
    let settings = ModelSettings::new(folder.path());

    let error = load(&ModelSettings { sessions: 0, ..settings.clone() });
    assert!(error.to_string().contains("`sessions` must be from 1"), "{error}");

    fs::write(folder.path().join("model.onnx"), b"no graph").unwrap();
    assert!(matches!(load(&settings), InferenceError::Model { .. }));

    fs::remove_file(folder.path().join("model.onnx")).unwrap();
    assert!(matches!(load(&settings), InferenceError::Model { .. }));

    fs::write(folder.path().join("model.toml"), "name = 'a'\nvresion = '1'").unwrap();
    let error = load(&settings);
    assert!(matches!(error, InferenceError::Manifest(_)) && error.to_string().contains("vresion"), "{error}");
}

#[test]
fn a_task_that_does_not_fit_the_graph_is_refused() {
    let folder = folder_with("matmul.onnx", "");
    for (task, expected) in [("embedding", "no input `input_ids`"), ("text-recognition", "dictionary.txt")] {
        let manifest = format!("name = 'a'\nversion = '1'\ntask = '{task}'");
        fs::write(folder.path().join("model.toml"), manifest).unwrap();
        let error = Model::load(&runtime(), &ModelSettings::new(folder.path())).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Weights may lie in a file of their own, but not outside the model's folder.
#[tokio::test]
async fn external_weights_stay_in_the_folder() {
    let one = 1.0_f32.to_le_bytes();

    let inside = folder_with("external_inside.onnx", "");
    fs::write(inside.path().join("weight.bin"), one).unwrap();
    let model = Model::load(&runtime(), &ModelSettings::new(inside.path())).unwrap();
    let answer = ask(&model, request([Tensor::from_f32("x", [1], &[2.0])])).await.unwrap();
    assert_eq!(f32s(&answer.response.outputs[0]), [3.0]);

    let around = folder_with("external_outside.onnx", "");
    let model_folder = around.path().join("model");
    fs::create_dir(&model_folder).unwrap();
    for file in ["model.onnx", "model.toml"] {
        fs::rename(around.path().join(file), model_folder.join(file)).unwrap();
    }
    fs::write(around.path().join("weight.bin"), one).unwrap();
    let error = Model::load(&runtime(), &ModelSettings::new(&model_folder)).unwrap_err();
    assert!(error.to_string().contains("weight.bin") && error.to_string().contains("escapes"), "{error}");
}
