//! Wheels: fetched by pip under their pinned digest, opened as the zip files they are, never installed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::pins::{Member, Pins, Tree, Wheel, is_inside};
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
    for tree in &wheel.trees {
        unpack_tree(tree, &mut archive, folder)?;
        record.add_tree(tree);
    }
    Ok(wheel.members.len() + wheel.trees.len())
}

/// Unpacks a tree beside its place and puts it there when all of it was right.
fn unpack_tree(tree: &Tree, archive: &mut ZipArchive<File>, folder: &Path) -> Result<()> {
    let mut names = Vec::new();
    for name in archive.file_names() {
        let name = name?.into_owned();
        if name.starts_with(&tree.path) && !name.ends_with('/') {
            names.push(name);
        }
    }
    names.sort_unstable();
    let fresh = tempfile::tempdir_in(folder)?;
    let mut digest = Sha256::new();
    for name in &names {
        let path = name.strip_prefix(&tree.path).unwrap_or_default();
        if !is_inside(path) {
            bail!("`{name}` leads out of the folder");
        }
        let mut contents = Vec::new();
        archive.by_name(name)?.read_to_end(&mut contents)?;
        digest.update(format!("{path}\0{}\0", contents.len()));
        digest.update(&contents);
        let target = fresh.path().join(path);
        std::fs::create_dir_all(target.parent().context("a file without a folder")?)?;
        std::fs::write(target, contents)?;
    }
    let found = files::hex(&digest.finalize());
    if found != tree.sha256 {
        bail!("{} hashes to {found}, not to {}", tree.path, tree.sha256);
    }
    let target = folder.join(&tree.to);
    let _ = std::fs::remove_dir_all(&target);
    std::fs::create_dir_all(target.parent().context("a tree without a folder")?)?;
    std::fs::rename(fresh.path(), &target).with_context(|| format!("could not put {} in its place", target.display()))
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
        // A tree is put in its place whole, so being there under its digest is enough.
        Ok(wheel
            .trees
            .iter()
            .all(|tree| self.digests.get(&tree.to) == Some(&tree.sha256) && self.folder.join(&tree.to).is_dir()))
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

    fn add_tree(&mut self, tree: &Tree) {
        self.digests.insert(tree.to.clone(), tree.sha256.clone());
        self.changed = true;
    }

    fn write(&self) -> Result<()> {
        if self.changed {
            let text = serde_json::to_string_pretty(&self.digests)?;
            files::write_if_different(&self.folder.join(RECORD), text.as_bytes())?;
        }
        Ok(())
    }
}
