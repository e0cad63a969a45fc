//! What the configuration file says, key by key. What the program believes is in `config.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use forebay_inference::Device;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionFile {
    pub(crate) name: String,
    pub(crate) jurisdiction: String,
    pub(crate) listen: SocketAddr,
    #[serde(default)]
    pub(crate) allow_plaintext: bool,
    pub(crate) tls: Option<TlsTable>,
    pub(crate) runtime: RuntimeTable,
    #[serde(default)]
    pub(crate) models: Vec<ModelTable>,
    #[serde(default)]
    pub(crate) keys: Vec<KeyTable>,
    #[serde(default)]
    pub(crate) limits: LimitsTable,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsTable {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: Option<PathBuf>,
    #[serde(default)]
    pub(crate) allow_any_client: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuntimeTable {
    pub(crate) library: PathBuf,
    pub(crate) sha256: Option<String>,
    #[serde(default)]
    pub(crate) device: Device,
    #[serde(default)]
    pub(crate) require_gpu: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelTable {
    pub(crate) path: PathBuf,
    #[serde(default = "default_queue_capacity")]
    pub(crate) queue_capacity: usize,
    #[serde(default = "one")]
    pub(crate) sessions: usize,
    #[serde(default = "one")]
    pub(crate) intra_threads: usize,
}

fn default_queue_capacity() -> usize {
    64
}

fn one() -> usize {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyTable {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsTable {
    pub(crate) connections: usize,
    pub(crate) streams: u32,
    pub(crate) handshake_ms: u64,
    pub(crate) header_read_ms: u64,
    pub(crate) header_bytes: usize,
    pub(crate) header_count: usize,
    pub(crate) idle_ms: u64,
    pub(crate) write_stall_ms: u64,
    pub(crate) body_bytes: usize,
    pub(crate) buffered_bytes: usize,
    pub(crate) request_ms: u64,
    pub(crate) drain_ms: u64,
}

impl Default for LimitsTable {
    fn default() -> Self {
        LimitsTable {
            connections: 1024,
            streams: 256,
            handshake_ms: 10_000,
            header_read_ms: 10_000,
            header_bytes: 32 * 1024,
            header_count: 100,
            idle_ms: 75_000,
            write_stall_ms: 30_000,
            body_bytes: 32 * 1024 * 1024,
            buffered_bytes: 512 * 1024 * 1024,
            request_ms: 30_000,
            drain_ms: 30_000,
        }
    }
}
