//! ONNX Runtime in this process: loaded once, kept until the process ends.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;

use crate::{InferenceError, library, session::Environment};

/// Where ONNX Runtime's library lies.
#[derive(Debug, Clone)]
pub struct RuntimeSettings {
    /// The library, for example `libonnxruntime.so`. Its GPU providers are looked for beside it.
    pub library: PathBuf,
    /// Its expected SHA-256 as 64 hexadecimal digits. Without one only the file's form is checked.
    pub sha256: Option<String>,
}

/// ONNX Runtime, loaded and ready to open models.
#[derive(Debug)]
pub struct Runtime {
    library: PathBuf,
    environment: Environment,
}

/// ONNX Runtime can be loaded once in a process and its environment cannot be made again after it was dropped.
static LOADED: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);

impl Runtime {
    /// Loads the library, or gives the one that is loaded already if it is the same file. Blocks on the disk.
    ///
    /// # Errors
    /// [`InferenceError::Library`] if the file is missing, cut short, another one than expected, not ONNX Runtime, too
    /// old, or if another file was loaded before.
    pub fn load(settings: &RuntimeSettings) -> Result<Arc<Self>, InferenceError> {
        let refuse = |reason: String| InferenceError::Library { path: settings.library.clone(), reason };

        library::check(&settings.library, settings.sha256.as_deref()).map_err(refuse)?;
        let library = settings.library.canonicalize().map_err(|error| refuse(error.to_string()))?;

        let mut loaded = LOADED.lock();
        if let Some(runtime) = loaded.as_ref() {
            if runtime.library == library {
                return Ok(Arc::clone(runtime));
            }
            return Err(refuse(format!("this process has already loaded {}", runtime.library.display())));
        }
        let environment = Environment::open(&library).map_err(refuse)?;
        let runtime = Arc::new(Self { library, environment });
        *loaded = Some(Arc::clone(&runtime));
        Ok(runtime)
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}
