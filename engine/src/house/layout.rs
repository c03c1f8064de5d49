//! Which shard has which partitions: written when a directory is made, and never another one.
//!
//! A directory of one shard is that shard's own: `log/`, `side/`, `checkpoints/`. One of several has a file `house` and a
//! directory a shard, `shard-00/` and so on, each of them laid out as that of one shard. The file is text: a line
//! `lotbook house 1`, then `shards N`, then `partitions` with the shard of each of the sixteen partitions.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::StartError;
use crate::limits::{PARTITIONS, SHARDS_MAX};

const FILE: &str = "house";
const FIRST_LINE: &str = "lotbook house 1";

/// The assignment of partitions to shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    shards: u16,
    shard_of: [u16; PARTITIONS as usize],
}

impl Layout {
    /// The one for a new directory: partitions in turn. `shards`: 1 to [`SHARDS_MAX`].
    #[must_use]
    pub fn new(shards: u16) -> Self {
        assert!(shards >= 1);
        assert!(shards <= SHARDS_MAX);
        Self { shards, shard_of: std::array::from_fn(|partition| partition as u16 % shards) }
    }

    /// How many shards.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The shard of a partition.
    #[must_use]
    pub fn shard_of(&self, partition: u16) -> u16 {
        self.shard_of[usize::from(partition)]
    }

    /// Partitions of a shard, a bit each.
    #[must_use]
    pub fn partitions_of(&self, shard: u16) -> u16 {
        (0..PARTITIONS).filter(|&partition| self.shard_of(partition) == shard).fold(0, |mask, at| mask | 1 << at)
    }

    /// The directory of a shard.
    #[must_use]
    pub fn dir(&self, data_dir: &Path, shard: u16) -> PathBuf {
        if self.shards == 1 { data_dir.into() } else { data_dir.join(format!("shard-{shard:02}")) }
    }

    fn text(&self) -> String {
        let of: Vec<String> = self.shard_of.iter().map(u16::to_string).collect();
        format!("{FIRST_LINE}\nshards {}\npartitions {}\n", self.shards, of.join(" "))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let shards = lines.next()?.strip_prefix("shards ")?.parse().ok()?;
        let mut shard_of = [0; PARTITIONS as usize];
        let mut words = lines.next()?.strip_prefix("partitions ")?.split(' ');
        for shard in &mut shard_of {
            *shard = words.next()?.parse().ok().filter(|shard| *shard < shards)?;
        }
        let is_whole = words.next().is_none() && lines.next().is_none() && (2..=SHARDS_MAX).contains(&shards);
        is_whole.then_some(Self { shards, shard_of })
    }
}

fn found(data_dir: &Path) -> Result<Option<Layout>, StartError> {
    let path = data_dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let what = || format!("the file {FILE} is not one that this release wrote");
            Layout::parse(&text).map(Some).ok_or_else(|| StartError::Layout { dir: data_dir.into(), what: what() })
        }
        // Below a file there is no directory; whoever makes it will say so.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(StartError::Io { what: "reading", path, source }),
    }
}

fn other_count(data_dir: &Path, made_for: u16, wanted: u16) -> StartError {
    let count = |shards| if shards == 1 { "one shard".to_owned() } else { format!("{shards} shards") };
    StartError::Layout {
        dir: data_dir.into(),
        what: format!(
            "made for {}, opened for {}: the number of shards is fixed when a directory is made",
            count(made_for),
            count(wanted)
        ),
    }
}

/// Refuses a directory of several shards to a host of one.
pub(crate) fn refuse_house(data_dir: &Path) -> Result<(), StartError> {
    match found(data_dir)? {
        None => Ok(()),
        Some(layout) => Err(other_count(data_dir, layout.shards, 1)),
    }
}

/// The assignment of a directory; a new one is written and made durable before any shard is.
///
/// # Errors
/// [`StartError::Layout`] where it was made for another number of shards; I/O.
pub(crate) fn open(data_dir: &Path, shards: u16) -> Result<Layout, StartError> {
    if let Some(layout) = found(data_dir)? {
        return if layout.shards == shards { Ok(layout) } else { Err(other_count(data_dir, layout.shards, shards)) };
    }
    let layout = Layout::new(shards);
    if shards == 1 {
        return Ok(layout);
    }
    if data_dir.join("log").exists() {
        return Err(other_count(data_dir, 1, shards));
    }
    let io = |what, path: &Path| {
        let path = path.to_path_buf();
        move |source| StartError::Io { what, path, source }
    };
    fs::create_dir_all(data_dir).map_err(io("creating", data_dir))?;
    let (path, beside) = (data_dir.join(FILE), data_dir.join("house.tmp"));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(layout.text().as_bytes())?;
        file.sync_all()
    });
    written.map_err(io("writing", &beside))?;
    fs::rename(&beside, &path).map_err(io("renaming", &path))?;
    File::open(data_dir).and_then(|dir| dir.sync_all()).map_err(io("syncing", data_dir))?;
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for shards in 2..=SHARDS_MAX {
            let layout = Layout::new(shards);
            assert_eq!(Layout::parse(&layout.text()), Some(layout));
            let all = (0..shards).fold(0, |mask, shard| {
                assert_eq!(mask & layout.partitions_of(shard), 0);
                assert_ne!(layout.partitions_of(shard), 0);
                mask | layout.partitions_of(shard)
            });
            assert_eq!(all, u16::MAX);
        }
        let text = Layout::new(4).text();
        for broken in
            ["", "lotbook house 2\n", &text[..40], &text.replace("shards 4", "shards 3"), &(text.clone() + "x")]
        {
            assert_eq!(Layout::parse(broken), None, "{broken}");
        }
    }
}
