//! Mistakes as an operator reads them.

use std::fmt::{Display, Formatter};

use crate::source::{Position, Source};

/// At most this many mistakes are looked for in one file.
pub const MAX_MISTAKES: usize = 64;

/// One thing that is wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key path, such as `routes[2].cache.ttl_s`; empty if the mistake is about the file as a whole.
    pub path: String,
    /// Line, from 1; None if the mistake stands nowhere in the file.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong, without the value.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Mistake {
    pub(crate) fn new(path: String, position: Option<Position>, message: String, hint: Option<String>) -> Self {
        let (line, column) = (position.map(|at| at.line), position.map(|at| at.column));
        Self { path, line, column, message, hint }
    }

    pub(crate) fn at_path(source: &Source, path: &str, message: String, hint: Option<String>) -> Self {
        Self::new(path.to_owned(), source.nearest(path), message, hint)
    }
}

/// All mistakes of a file, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    file: String,
    list: Vec<Mistake>,
}

impl Mistakes {
    pub(crate) fn new(file: &str, mut list: Vec<Mistake>) -> Self {
        list.sort_by(|left, right| place(left).cmp(&place(right)));
        Self { file: file.to_owned(), list }
    }

    /// A mistake about the file as a whole.
    pub(crate) fn of_file(file: &str, message: String, hint: Option<String>) -> Self {
        Self::new(file, vec![Mistake::new(String::new(), None, message, hint)])
    }

    /// The file that the mistakes are in.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The mistakes in the order of the file's lines; those without a line come first.
    #[must_use]
    pub fn as_slice(&self) -> &[Mistake] {
        &self.list
    }
}

fn place(mistake: &Mistake) -> (Option<usize>, Option<usize>, &str) {
    (mistake.line, mistake.column, &mistake.path)
}

impl std::error::Error for Mistakes {}

impl Display for Mistakes {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        for mistake in &self.list {
            write_mistake(out, &self.file, mistake)?;
        }
        let count = self.list.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(out, "{count} {noun} in {}", self.file)?;
        if count >= MAX_MISTAKES {
            out.write_str("; there may be more")?;
        }
        Ok(())
    }
}

fn write_mistake(out: &mut Formatter<'_>, file: &str, mistake: &Mistake) -> std::fmt::Result {
    match mistake.path.as_str() {
        "" => writeln!(out, "error: {}", mistake.message)?,
        path => writeln!(out, "error: {path}: {}", mistake.message)?,
    }
    match (mistake.line, mistake.column) {
        (Some(line), Some(column)) => writeln!(out, "  --> {file}:{line}:{column}")?,
        _ => writeln!(out, "  --> {file}")?,
    }
    if let Some(hint) = &mistake.hint {
        writeln!(out, "  hint: {hint}")?;
    }
    writeln!(out)
}
