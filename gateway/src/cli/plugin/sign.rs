//! `forebay plugin keygen` and `sign`: a publisher's key, and what is said with it of a component.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use forebay_policy::signature::{SigningKey, Statement, VerifyingKey, component_sha256, hex, manifest, names};
use semver::Version;

use super::{Failure, say};
use crate::policy::store::signature_path;

/// A new key.
#[derive(Args)]
pub(crate) struct KeyOptions {
    /// File for the private key, readable by you alone; the public key goes to FILE.pub. Neither may exist.
    file: PathBuf,
}

/// A signature. Its `--version` is the plugin's.
#[derive(Args)]
#[command(disable_version_flag = true)]
pub(crate) struct SignOptions {
    /// The component.
    component: PathBuf,
    /// PEM file of the publisher's Ed25519 private key (PKCS#8).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Name of the plugin or function: what `name` (or `signed_name`) in its `[[plugins]]` or `[[functions]]` entry says.
    #[arg(long)]
    name: String,
    /// Version (Semantic Versioning). A node that served a higher one refuses it.
    #[arg(long)]
    version: Version,
    /// Signature file; absent: COMPONENT.sig, where a node looks for it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes a new key.
pub(super) fn keygen(options: &KeyOptions) -> Result<(), Failure> {
    let (key, pem) = SigningKey::generate().map_err(|error| Failure::Failed(error.to_string()))?;
    let mut public = options.file.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    write_new(&options.file, pem.as_bytes(), 0o600)?;
    let verifying = key.verifying_key();
    write_new(&public, verifying.to_pem().as_bytes(), 0o644)?;
    say(&format!("{}: a new key, for your eyes alone", options.file.display()));
    say(&format!("{}: key {}; name it in `policy.signers` of your gateways", public.display(), verifying.id()));
    Ok(())
}

/// Signs a component.
pub(super) fn sign(options: &SignOptions) -> Result<(), Failure> {
    let key = SigningKey::from_pem(&read(&options.key)?).map_err(|error| usage(&options.key, error))?;
    let wasm = read(&options.component)?;
    let imports = imports(&wasm).map_err(|error| usage(&options.component, error))?;
    let statement = Statement {
        sha256: component_sha256(&wasm),
        name: options.name.clone(),
        version: options.version.clone(),
        imports,
    };
    let signed = key.sign(statement).map_err(|error| Failure::Usage(error.to_string()))?;
    let out = options.out.clone().unwrap_or_else(|| signature_path(&options.component));
    let text = signed.to_json().map_err(|error| Failure::Failed(error.to_string()))?;
    std::fs::write(&out, text).map_err(|error| Failure::Failed(format!("{}: {error}", out.display())))?;
    let signed = &signed.statement;
    let imports: Vec<&str> = signed.imports.iter().map(String::as_str).collect();
    say(&format!(
        "{}: `{}` {} with key {}\nsha256 {}\nimports [{}]",
        out.display(),
        signed.name,
        signed.version,
        VerifyingKey::id(&key.verifying_key()),
        hex(&signed.sha256),
        imports.join(", ")
    ));
    Ok(())
}

/// What a component imports, by the names that a gateway will compare: a plugin's, or those of a component for `wasi:http`.
fn imports(wasm: &[u8]) -> Result<BTreeSet<String>, String> {
    match forebay_wasi_http::manifest(wasm).map_err(|error| error.to_string())? {
        Some(imports) => Ok(imports),
        None => manifest(wasm).map(|imports| names(&imports)).map_err(|error| error.to_string()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| usage(path, error))
}

fn write_new(path: &Path, contents: &[u8], mode: u32) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    let written = options.write(true).create_new(true).mode(mode).open(path);
    let written = written.and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}

fn usage(path: &Path, reason: impl std::fmt::Display) -> Failure {
    Failure::Usage(format!("{}: {reason}", path.display()))
}
