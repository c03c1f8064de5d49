//! The trail: who did what at the doors that the book does not record, as lines that lean on each other.
//!
//! `access.jsonl` in the data directory. A line is on the disk before what it tells is done; what comes of it stands in the log and in the
//! metrics. Each line has the SHA-256 of the one before it: a line that is changed, taken out or put in breaks the chain from there on.
//! Whoever can write the file can write it anew as a whole; ship it elsewhere to be safe from that.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::Principal;

/// Name of the file.
pub const TRAIL_FILE: &str = "access.jsonl";
/// Largest trail, in bytes. Full is a refusal; an operator moves the file away and starts the host anew.
pub const TRAIL_BYTES_MAX: u64 = 1 << 30;
/// Largest detail of a line, in bytes.
pub const DETAIL_BYTES_MAX: usize = 4096;

/// The trail of a host.
#[derive(Debug)]
pub struct Trail {
    path: PathBuf,
    end: Mutex<End>,
    /// The first line that does not follow from the one before.
    broken_at: Option<u64>,
}

#[derive(Debug)]
struct End {
    file: File,
    lines: u64,
    bytes: u64,
    previous: String,
}

/// What is written down.
#[derive(Clone, Copy, Debug)]
pub struct Deed<'a> {
    /// Who; `None` where there are no logins.
    pub who: Option<&'a Principal>,
    /// From where.
    pub source: &'a str,
    /// What is done, such as `POST /v1/coldpath`.
    pub action: &'a str,
    /// With what.
    pub detail: &'a Value,
}

impl Trail {
    /// Opens or makes the trail of a data directory, and reads it through. A last line that was torn by a crash is cut off: what it
    /// told was not done. Blocks.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(TRAIL_FILE);
        let is_new = !path.exists();
        let file = File::options().read(true).append(true).create(true).mode(0o600).open(&path)?;
        if is_new {
            File::open(dir)?.sync_all()?;
        }
        let (mut lines, mut bytes, mut previous, mut broken_at) = (0, 0, String::new(), None);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            lines += 1;
            bytes += line.len() as u64;
            let parsed: Value = serde_json::from_slice(&line).unwrap_or_default();
            if (parsed["line"] != lines || parsed["previous"] != previous) && broken_at.is_none() {
                broken_at = Some(lines);
            }
            previous = hash(&line);
            line.clear();
        }
        file.set_len(bytes)?;
        Ok(Self { path, end: Mutex::new(End { file, lines, bytes, previous }), broken_at })
    }

    /// The first line that does not follow from the one before it, as the start found it.
    #[must_use]
    pub fn broken_at(&self) -> Option<u64> {
        self.broken_at
    }

    /// Writes a line; it survives power loss when this returns. Gives its number, from 1. Blocks.
    ///
    /// # Errors
    /// The line is not written, or its fate is unknown: what it tells must not be done.
    pub fn write(&self, deed: &Deed<'_>) -> io::Result<u64> {
        let mut end = self.end.lock();
        let detail = if deed.detail.to_string().len() > DETAIL_BYTES_MAX { &json!("(long)") } else { deed.detail };
        let mut line = json!({
            "line": end.lines + 1,
            "at": Timestamp::now().to_string(),
            "user": deed.who.map(|who| &who.user),
            "role": deed.who.map(|who| who.role),
            "credential": deed.who.map(|who| &who.credential),
            "source": deed.source,
            "action": deed.action,
            "detail": detail,
            "previous": end.previous,
        })
        .to_string()
        .into_bytes();
        line.push(b'\n');
        let before = end.bytes;
        if before + line.len() as u64 > TRAIL_BYTES_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = end.file.write_all(&line).and_then(|()| end.file.sync_data());
        if let Err(error) = written {
            // Half a line must not be leaned on.
            let _ = end.file.set_len(before);
            return Err(error);
        }
        end.lines += 1;
        end.bytes += line.len() as u64;
        end.previous = hash(&line);
        Ok(end.lines)
    }

    /// Lines behind line `after`, at most `limit`, and whether there are more. Blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn page(&self, after: u64, limit: usize) -> io::Result<(Vec<Value>, bool)> {
        // Of what is whole now: lines are only added.
        let (lines, bytes) = {
            let end = self.end.lock();
            (end.lines, end.bytes)
        };
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(0))?;
        let first = usize::try_from(after).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for line in BufReader::new(file.take(bytes)).split(b'\n').skip(first).take(limit) {
            found.push(serde_json::from_slice(&line?).unwrap_or_else(|_| Value::Object(Map::new())));
        }
        let has_more = after.saturating_add(found.len() as u64) < lines;
        Ok((found, has_more))
    }
}

fn hash(line: &[u8]) -> String {
    digest(&SHA256, line).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;
    use std::os::unix::fs::MetadataExt as _;

    fn deed(action: &'static str, detail: &'static Value) -> Deed<'static> {
        Deed { who: None, source: "127.0.0.1", action, detail }
    }

    #[test]
    fn lines_lean_on_each_other_over_restarts() {
        let dir = tempfile::tempdir().expect("a directory");
        let ann = Principal { user: "ann".into(), role: Role::Operator, credential: "token:1".into() };
        let trail = Trail::open(dir.path()).expect("made");
        let detail = json!({"do": "pause"});
        for number in 1..=3 {
            let deed = Deed { who: Some(&ann), source: "::1", action: "POST /v1/coldpath", detail: &detail };
            assert_eq!(trail.write(&deed).expect("written"), number);
        }
        let (lines, more) = trail.page(1, 1).expect("read");
        assert_eq!((&lines[0]["line"], &lines[0]["user"], more), (&json!(2), &json!("ann"), true), "{lines:?}");
        assert_eq!(trail.page(3, 10).expect("read"), (vec![], false));
        drop(trail);
        let path = dir.path().join(TRAIL_FILE);
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        // A crash tore the last line.
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, [&whole[..], b"{\"line\":4,\"at"].concat()).expect("written");
        let trail = Trail::open(dir.path()).expect("opened");
        assert_eq!(trail.broken_at(), None);
        assert_eq!(trail.write(&deed("after", &Value::Null)).expect("written"), 4);
        assert_eq!(trail.page(0, 10).expect("read").0.len(), 4);
        drop(trail);
        assert_eq!(Trail::open(dir.path()).expect("opened").broken_at(), None);
        // Each byte of the second line changed, and the second line taken out.
        let whole = std::fs::read_to_string(&path).expect("read");
        let changed = whole.replacen("ann", "eve", 2).replacen("eve", "ann", 1);
        std::fs::write(&path, changed).expect("written");
        assert_eq!(Trail::open(dir.path()).expect("opened").broken_at(), Some(3));
        let lines: Vec<&str> = whole.lines().collect();
        std::fs::write(&path, format!("{}\n{}\n{}\n", lines[0], lines[2], lines[3])).expect("written");
        assert_eq!(Trail::open(dir.path()).expect("opened").broken_at(), Some(2));
    }
}
