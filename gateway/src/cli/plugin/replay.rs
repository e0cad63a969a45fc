//! `forebay plugin replay`: recorded decisions made again from what was recorded and nothing else.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use clap::Args;
use forebay_policy::Plugin;
use forebay_policy::replay::{Record, RecordedRead, Replayed, replay};

use super::component::{Candidate, Which};
use crate::cli::{Failure, block_on, say};

/// The longest record. The node makes none that is longer.
const LINE_MAX_BYTES: u64 = 1024 * 1024;

/// What to replay, and with what.
#[derive(Args)]
pub(crate) struct Options {
    /// Records, one on each line, as `forebay plugin record` prints them.
    file: PathBuf,
    #[command(flatten)]
    which: Which,
}

/// Replays every record of the file.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let candidate = options.which.candidate()?;
    let wrong = |reason: String| Failure::Usage(format!("{}: {reason}", options.file.display()));
    let file = File::open(&options.file).map_err(|error| wrong(error.to_string()))?;
    let engine = Candidate::engine()?;
    let plugin = candidate.load(&engine).map_err(|error| Failure::Failed(error.to_string()))?;
    let (same, other) = block_on(async { all(&plugin, BufReader::new(file)).await.map_err(wrong) })?;
    say(&format!("{same} decided the same, {other} otherwise"));
    match (same, other) {
        (0, 0) => Err(wrong("there are no records in it".to_owned())),
        (_, 0) => Ok(()),
        _ => Err(Failure::Failed(format!("{other} decisions came out otherwise"))),
    }
}

/// Replays all, and counts those that came out the same and those that did not.
async fn all(plugin: &Plugin, mut records: impl BufRead) -> Result<(u64, u64), String> {
    let (mut same, mut other) = (0, 0);
    for number in 1_u64.. {
        let at = |reason: String| format!("line {number}: {reason}");
        let Some(line) = line(&mut records).map_err(at)? else { break };
        if line.trim().is_empty() {
            continue;
        }
        let record = Record::from_line(&line).map_err(|error| at(error.to_string()))?;
        let replayed = replay(plugin, &record).await.map_err(|error| at(error.to_string()))?;
        match in_words(replayed) {
            None => same += 1,
            Some(difference) => {
                other += 1;
                say(&at(difference));
            }
        }
    }
    Ok((same, other))
}

fn line(from: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut line = String::new();
    let read = from.take(LINE_MAX_BYTES).read_line(&mut line).map_err(|error| error.to_string())?;
    if read as u64 == LINE_MAX_BYTES && !line.ends_with('\n') {
        return Err(format!("is longer than {LINE_MAX_BYTES} bytes"));
    }
    Ok((read > 0).then_some(line))
}

fn in_words(replayed: Replayed) -> Option<String> {
    match replayed {
        Replayed::Same => None,
        Replayed::Different { verdict, edits } => Some(format!("decided otherwise: {verdict:?}, edits {edits:?}")),
        Replayed::ReadDiffers { index, recorded, now } => {
            let mut text = format!("read {index} differs: ");
            let _ = write!(text, "then {}, now {}", named(recorded.as_ref()), named(now.as_ref()));
            Some(text)
        }
        Replayed::Failed(failure) => Some(format!("came to no decision: {failure}")),
        Replayed::OtherDigest { recorded, plugin } => Some(format!(
            "is of another component or configuration: its digest is {recorded}, the plugin's is {plugin}"
        )),
    }
}

/// A read without what it found.
fn named(read: Option<&RecordedRead>) -> String {
    match read {
        None => "nothing more".to_owned(),
        Some(read) if read.name.is_empty() => read.read.clone(),
        Some(read) => format!("{} `{}`", read.read, read.name),
    }
}
