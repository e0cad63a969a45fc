//! What `cargo xtask assets` prepares, prepared once per test binary.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static ASSETS: LazyLock<PathBuf> = LazyLock::new(|| xtask::assets::ensure().unwrap());

/// The root of the tree.
pub fn root() -> PathBuf {
    xtask::Workspace::locate().unwrap().root().to_path_buf()
}

/// An asset, such as `models/minilm`.
pub fn asset(path: &str) -> PathBuf {
    ASSETS.join(path)
}

/// The component of a plugin or test guest.
pub fn plugin(name: &str) -> PathBuf {
    asset(&format!("plugins/{name}.wasm"))
}

/// A graph that the inference runtime is tested with.
pub fn graph(name: &str) -> PathBuf {
    test_data(&format!("{name}.onnx"))
}

/// A picture of the line `Forebay serves 2026`.
pub fn line_png() -> Vec<u8> {
    std::fs::read(test_data("line.png")).unwrap()
}

fn test_data(name: &str) -> PathBuf {
    root().join(Path::new("runtime/inference/tests/data")).join(name)
}
