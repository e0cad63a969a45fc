//! What a regional node believes about itself: checked, with paths resolved and times as durations.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_config::{Check, Loaded, Mistakes, index, join};
use forebay_inference::{Device, ModelSettings, RuntimeSettings};

use crate::file::{LimitsTable, ModelTable, RegionFile};

/// Longest time that a limit may give, in milliseconds: one day.
const MAX_MS: u64 = 86_400_000;

/// A node's checked configuration. Everything in it is read at the start only.
#[derive(Clone, Debug)]
pub struct RegionConfig {
    pub(crate) name: String,
    pub(crate) jurisdiction: String,
    pub(crate) listen: SocketAddr,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) runtime: RuntimeSettings,
    pub(crate) models: Vec<ModelSettings>,
    /// Names of master keys and their files.
    pub(crate) keys: Vec<(String, PathBuf)>,
    pub(crate) listener: forebay_http::Limits,
    pub(crate) body_bytes: usize,
    pub(crate) buffered_bytes: usize,
    pub(crate) request: Duration,
}

/// Files of a listener's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Certificate chain, PEM.
    pub(crate) cert: PathBuf,
    /// Private key, PEM.
    pub(crate) key: PathBuf,
    /// Authority that callers' certificates must come from, PEM.
    pub(crate) client_ca: Option<PathBuf>,
}

impl RegionConfig {
    /// Reads a configuration file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// Every mistake in the file, each with its place.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::check(forebay_config::load(path)?, folder)
    }

    /// Reads a configuration from text, as if it were the file `file_name` in `folder`.
    ///
    /// # Errors
    /// As in `load`.
    pub fn parse(file_name: &str, text: &str, folder: &Path) -> Result<Self, Mistakes> {
        Self::check(forebay_config::parse(file_name, text)?, folder)
    }

    /// The region's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the region's data may be processed.
    pub fn jurisdiction(&self) -> &str {
        &self.jurisdiction
    }

    /// The address to listen on.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The same configuration with another address, of the same protection: loopback or with TLS.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.listen.set_port(port);
        self
    }

    fn check(loaded: Loaded<RegionFile>, folder: &Path) -> Result<Self, Mistakes> {
        let loaded = loaded.checked(find_mistakes)?;
        Ok(believe(loaded.value, folder))
    }
}

fn find_mistakes(file: &RegionFile, check: &mut Check<'_>) {
    for (path, name) in [("name", &file.name), ("jurisdiction", &file.jurisdiction)] {
        if !is_label(name) {
            check.mistake(path, "must be 1 to 64 letters, digits, `-`, `_` or `.`", None);
        }
    }
    check_reach(file, check);
    if file.runtime.require_gpu && file.runtime.device == Device::Cpu {
        let hint = "set `device` to \"cuda\" or \"tensorrt\"".to_owned();
        check.mistake("runtime.require_gpu", "a GPU is required, but the device is the CPU", hint);
    }
    if file.runtime.sha256.as_ref().is_some_and(|digest| !is_sha256(digest)) {
        check.mistake("runtime.sha256", "must be 64 hexadecimal digits", None);
    }
    check_models(file, check);
    check_keys(file, check);
    check_limits(&file.limits, check);
}

/// What others can reach must be encrypted and know its callers, or the operator must say that it need not.
fn check_reach(file: &RegionFile, check: &mut Check<'_>) {
    if file.listen.ip().is_loopback() {
        return;
    }
    match &file.tls {
        None if !file.allow_plaintext => check.mistake(
            "listen",
            "plaintext on an address that others can reach",
            "add a [tls] table, or say `allow_plaintext = true` if something else protects the connection".to_owned(),
        ),
        Some(tls) if tls.client_ca.is_none() && !tls.allow_any_client => check.mistake(
            "tls.client_ca",
            "whoever reaches the address would be served",
            "name the authority that the edges' certificates come from, or say `allow_any_client = true` if something \
             else keeps others out"
                .to_owned(),
        ),
        _ => {}
    }
}

fn check_models(file: &RegionFile, check: &mut Check<'_>) {
    if file.models.is_empty() {
        let hint = "add a [[models]] table with the `path` of a model's folder".to_owned();
        check.mistake("models", "a region without models has nothing to do", hint);
    }
    let mut paths = BTreeSet::new();
    for (position, model) in file.models.iter().enumerate() {
        let at = |key: &str| join(&index("models", position), key);
        if !paths.insert(&model.path) {
            check.mistake(at("path"), "this folder is already listed", None);
        }
        within(check, at("queue_capacity"), model.queue_capacity as u64, 1, 100_000);
        within(check, at("sessions"), model.sessions as u64, 1, 256);
        within(check, at("intra_threads"), model.intra_threads as u64, 1, 1024);
    }
}

fn check_keys(file: &RegionFile, check: &mut Check<'_>) {
    let mut names = BTreeSet::new();
    for (position, key) in file.keys.iter().enumerate() {
        let path = join(&index("keys", position), "name");
        if !is_label(&key.name) {
            check.mistake(&path, "must be 1 to 64 letters, digits, `-`, `_` or `.`", None);
        }
        if !names.insert(&key.name) {
            check.mistake(&path, "another key has this name", None);
        }
    }
}

fn check_limits(limits: &LimitsTable, check: &mut Check<'_>) {
    let numbers = [
        ("connections", limits.connections as u64, 1, 1_000_000),
        ("streams", u64::from(limits.streams), 1, 10_000),
        ("header_bytes", limits.header_bytes as u64, 8192, 1 << 20),
        ("header_count", limits.header_count as u64, 16, 10_000),
        ("body_bytes", limits.body_bytes as u64, 1024, 4 << 30),
        ("buffered_bytes", limits.buffered_bytes as u64, 1024, 1 << 40),
        ("handshake_ms", limits.handshake_ms, 1, MAX_MS),
        ("header_read_ms", limits.header_read_ms, 1, MAX_MS),
        ("idle_ms", limits.idle_ms, 1, MAX_MS),
        ("write_stall_ms", limits.write_stall_ms, 1, MAX_MS),
        ("request_ms", limits.request_ms, 1, MAX_MS),
        ("drain_ms", limits.drain_ms, 0, MAX_MS),
    ];
    for (key, value, least, most) in numbers {
        within(check, join("limits", key), value, least, most);
    }
    if limits.buffered_bytes < limits.body_bytes {
        check.mistake("limits.buffered_bytes", "must not be less than `body_bytes`", None);
    }
}

fn within(check: &mut Check<'_>, path: String, value: u64, least: u64, most: u64) {
    if value < least || value > most {
        check.mistake(path, format_args!("must be from {least} to {most}"), None);
    }
}

/// Names stand in headers, metrics and logs, so they are kept plain.
fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn believe(file: RegionFile, folder: &Path) -> RegionConfig {
    let RegionFile { name, jurisdiction, listen, tls, runtime, models, keys, limits, .. } = file;
    let tls = tls.map(|tls| TlsFiles {
        cert: folder.join(tls.cert),
        key: folder.join(tls.key),
        client_ca: tls.client_ca.map(|path| folder.join(path)),
    });
    let model = |model: ModelTable| ModelSettings {
        dir: folder.join(model.path),
        device: runtime.device,
        require_gpu: runtime.require_gpu,
        sessions: model.sessions,
        intra_threads: model.intra_threads,
        queue_capacity: model.queue_capacity,
    };
    RegionConfig {
        name,
        jurisdiction,
        listen,
        tls,
        models: models.into_iter().map(model).collect(),
        runtime: RuntimeSettings { library: folder.join(runtime.library), sha256: runtime.sha256 },
        keys: keys.into_iter().map(|key| (key.name, folder.join(key.file))).collect(),
        listener: listener_limits(&limits),
        body_bytes: limits.body_bytes,
        buffered_bytes: limits.buffered_bytes,
        request: Duration::from_millis(limits.request_ms),
    }
}

fn listener_limits(limits: &LimitsTable) -> forebay_http::Limits {
    forebay_http::Limits {
        connections: limits.connections,
        handshake: Duration::from_millis(limits.handshake_ms),
        header_read: Duration::from_millis(limits.header_read_ms),
        idle: Duration::from_millis(limits.idle_ms),
        write_stall: Duration::from_millis(limits.write_stall_ms),
        headers_count: limits.header_count,
        headers_bytes: limits.header_bytes,
        h2_streams: limits.streams,
        drain: Duration::from_millis(limits.drain_ms),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MINIMAL: &str = r#"
        name = "eu-west"
        jurisdiction = "eu"
        listen = "127.0.0.1:0"
        [runtime]
        library = "ort.so"
        [[models]]
        path = "m"
    "#;

    fn mistakes(text: &str) -> String {
        RegionConfig::parse("region.toml", text, Path::new("/etc/forebay")).unwrap_err().to_string()
    }

    #[test]
    fn the_example_is_a_valid_file_and_shows_every_default() {
        let example = include_str!("../example.toml");
        let config = RegionConfig::parse("example.toml", example, Path::new("/etc/forebay")).unwrap();
        assert_eq!(config.models.len(), 1);
        // What a comment shows as a default must be one: with the comment marks gone, nothing changes.
        let mut in_optional_table = false;
        let shown = example.lines().filter_map(|line| {
            if line.starts_with("# [") {
                in_optional_table = true;
            } else if line.starts_with('[') {
                in_optional_table = false;
            }
            let key =
                line.strip_prefix("# ").filter(|text| text.split_once(" = ").is_some_and(|(key, _)| is_label(key)));
            (!in_optional_table).then(|| key.filter(|key| !key.starts_with("sha256")).unwrap_or(line))
        });
        let shown = shown.collect::<Vec<_>>().join("\n");
        assert_ne!(shown, example);
        let spelled_out = RegionConfig::parse("example.toml", &shown, Path::new("/etc/forebay")).unwrap();
        assert_eq!(format!("{spelled_out:?}"), format!("{config:?}"));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = RegionConfig::parse("region.toml", MINIMAL, Path::new("/etc/forebay")).unwrap();
        assert_eq!(config.runtime.library, Path::new("/etc/forebay/ort.so"));
        assert_eq!(config.models.first().unwrap().dir, Path::new("/etc/forebay/m"));
    }

    #[test]
    fn plaintext_needs_loopback_or_a_word() {
        let open = MINIMAL.replace("127.0.0.1:0", "0.0.0.0:9001");
        assert!(mistakes(&open).contains("plaintext"));
        let parse = |text: &str| RegionConfig::parse("region.toml", text, Path::new(""));
        parse(&format!("allow_plaintext = true\n{open}")).unwrap();
        parse(&format!("{open}\n[tls]\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"a\"")).unwrap();
    }

    #[test]
    fn tls_without_client_certificates_needs_loopback_or_a_word() {
        let tls = format!("{MINIMAL}\n[tls]\ncert = \"c\"\nkey = \"k\"");
        let parse = |text: &str| RegionConfig::parse("region.toml", text, Path::new(""));
        parse(&tls).unwrap();
        let open = tls.replace("127.0.0.1:0", "0.0.0.0:9001");
        assert!(mistakes(&open).contains("error: tls.client_ca: "));
        // That something protects the connection does not say that it knows the callers.
        assert!(mistakes(&format!("allow_plaintext = true\n{open}")).contains("error: tls.client_ca: "));
        parse(&format!("{open}\nallow_any_client = true")).unwrap();
    }

    #[test]
    fn there_is_room_for_the_largest_body() {
        let found = mistakes(&format!("{MINIMAL}\n[limits]\nbody_bytes = 4096\nbuffered_bytes = 2048"));
        assert!(found.contains("limits.buffered_bytes: must not be less"), "{found}");
    }

    #[test]
    fn all_mistakes_come_at_once() {
        let text = r#"
            name = "eu west"
            jurisdiction = "eu"
            listen = "10.0.0.1:9001"
            [runtime]
            library = "ort.so"
            sha256 = "abc"
            require_gpu = true
            [[keys]]
            name = "k"
            file = "a"
            [[keys]]
            name = "k"
            file = "b"
            [limits]
            body_bytes = 0
        "#;
        let found = mistakes(text);
        let expected =
            ["name", "listen", "runtime.sha256", "runtime.require_gpu", "models", "keys[1].name", "limits.body_bytes"];
        for path in expected {
            assert!(found.contains(&format!("error: {path}: ")), "{path} is not in:\n{found}");
        }
        assert!(found.contains("7 mistakes"), "{found}");
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(mistakes(&format!("{MINIMAL}\nqueue_capcity = 3")).contains("queue_capacity"));
    }
}
