//! Files of `/proc` and `/sys`, below a root of their own in tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A root with `proc` and `sys` in it.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// This machine's.
    #[must_use]
    pub fn of_system() -> Self {
        Self::below("/")
    }

    /// Another one's, or a made-up one's.
    #[must_use]
    pub fn below(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().to_path_buf() }
    }

    /// A file's text without the white space around it; `None` where it is not there or cannot be read.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok().map(|text| text.trim().to_owned())
    }

    /// A number in a file.
    #[must_use]
    pub fn number(&self, path: &str) -> Option<i64> {
        self.text(path)?.parse().ok()
    }

    /// The word in brackets of a choice such as `always [madvise] never`.
    #[must_use]
    pub fn chosen(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        let (_, rest) = text.split_once('[')?;
        Some(rest.split_once(']')?.0.to_owned())
    }

    /// Cores in a list such as `0-3,8`; `None` where the file is not there.
    #[must_use]
    pub fn cores(&self, path: &str) -> Option<Vec<usize>> {
        Some(parse_list(&self.text(path)?))
    }

    /// Names in a directory, sorted.
    #[must_use]
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Where a link of a device leads.
    pub(super) fn resolved(&self, path: &str) -> Option<PathBuf> {
        fs::canonicalize(self.root.join(path)).ok()
    }
}

/// Numbers of a list such as `0-3,8`; what is no number is passed over.
pub(super) fn parse_list(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
            // A machine has no more; a file that says so is not believed.
            found.extend(first..=last.min(first + 65_535));
        }
    }
    found
}
