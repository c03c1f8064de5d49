//! What a log asked of its disk, in order, and what a power cut may leave of it.
//!
//! The promises of a disk are taken at their least. A write is safe when it had completed before a sync of its file began and that sync
//! has returned; any other may be there, be missing, or be torn at sectors of 512 bytes, in any combination. A name that was made, moved
//! or removed is safe after a sync of the directory; until then each such step has happened or has not, on its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::ThreadId;

use crate::support::Random;
use crate::support::shim::{Call, Gate, Op, Say};

const SECTOR: usize = 512;

/// A file, whatever its name.
type File = usize;

#[derive(Debug)]
enum Event {
    Create {
        file: File,
        name: String,
    },
    Preallocate {
        file: File,
        bytes: u64,
    },
    Write {
        file: File,
        offset: u64,
        bytes: Vec<u8>,
    },
    Sync {
        file: File,
    },
    Rename {
        file: File,
        from: String,
        to: String,
    },
    Unlink {
        name: String,
    },
    SyncDir,
    /// The call of that event has returned.
    Done {
        of: usize,
    },
    /// Everything up to here was answered as durable.
    Answered {
        sequence: u64,
    },
}

/// Records what passes the disk's seam.
#[derive(Debug)]
pub(crate) struct Trace {
    dir: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Event>,
    names: BTreeMap<String, File>,
    files: usize,
    /// Calls that have not returned: what tells them apart, and their event. Flushes under way sync the same file at the same time.
    open: Vec<((ThreadId, Call, PathBuf, u64), usize)>,
}

impl Trace {
    /// Of the files in `dir`, which is empty.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), inner: Mutex::default() }
    }

    fn name(&self, path: &Path) -> Option<String> {
        (path.parent() == Some(&self.dir)).then(|| path.file_name().unwrap().to_str().unwrap().to_owned())
    }

    /// Notes an answer: `sequence` is loaded inside, so that no event slips in between.
    pub(crate) fn answer(&self, sequence: impl FnOnce() -> u64) {
        let sequence = sequence();
        self.inner.lock().unwrap().events.push(Event::Answered { sequence });
    }

    /// Events so far.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().unwrap().events.len()
    }

    /// Just after each answer.
    pub(crate) fn answers(&self) -> Vec<usize> {
        let inner = self.inner.lock().unwrap();
        let answers = inner.events.iter().enumerate().filter(|(_, e)| matches!(e, Event::Answered { .. }));
        answers.map(|(i, _)| i + 1).collect()
    }

    /// The files that a power cut after `cut` events leaves, and the last sequence answered as durable before it.
    pub(crate) fn cut(&self, cut: usize, random: &mut Random) -> (BTreeMap<String, Vec<u8>>, u64) {
        let inner = self.inner.lock().unwrap();
        Image::new(&inner.events[..cut]).build(random)
    }
}

/// A thread makes one call at a time.
fn key(op: &Op<'_>) -> (ThreadId, Call, PathBuf, u64) {
    (std::thread::current().id(), op.call, op.path.to_path_buf(), op.offset)
}

impl Gate for Trace {
    fn before(&self, op: &Op<'_>) -> Say {
        let mut inner = self.inner.lock().unwrap();
        let inner = &mut *inner;
        let event = if op.call == Call::SyncDir {
            if op.path != self.dir {
                return Say::Go;
            }
            Event::SyncDir
        } else {
            let Some(name) = self.name(op.path) else { return Say::Go };
            let file = |names: &BTreeMap<String, File>| names.get(&name).copied();
            match op.call {
                Call::Create => {
                    let file = inner.files;
                    inner.files += 1;
                    inner.names.insert(name.clone(), file);
                    Event::Create { file, name }
                }
                Call::Unlink => {
                    inner.names.remove(&name);
                    Event::Unlink { name }
                }
                Call::Rename => {
                    let file = inner.names.remove(&name).unwrap();
                    let to = self.name(op.to.unwrap()).unwrap();
                    inner.names.insert(to.clone(), file);
                    Event::Rename { file, from: name, to }
                }
                Call::Preallocate => Event::Preallocate { file: file(&inner.names).unwrap(), bytes: op.offset },
                Call::Write => {
                    let file = file(&inner.names).unwrap();
                    Event::Write { file, offset: op.offset, bytes: op.bytes.to_vec() }
                }
                Call::Sync => Event::Sync { file: file(&inner.names).unwrap() },
                Call::Open | Call::SyncDir => return Say::Go,
            }
        };
        inner.open.push((key(op), inner.events.len()));
        inner.events.push(event);
        Say::Go
    }

    fn after(&self, op: &Op<'_>) {
        let mut inner = self.inner.lock().unwrap();
        let key = key(op);
        if let Some(at) = inner.open.iter().position(|(k, _)| *k == key) {
            let (_, of) = inner.open.remove(at);
            inner.events.push(Event::Done { of });
        }
    }
}

/// The events before a cut, with what is known of each.
struct Image<'a> {
    events: &'a [Event],
    /// Where each call returned; beyond the end when it had not.
    done: Vec<usize>,
}

impl<'a> Image<'a> {
    fn new(events: &'a [Event]) -> Self {
        let mut done = vec![usize::MAX; events.len()];
        for (i, event) in events.iter().enumerate() {
            if let Event::Done { of } = event {
                done[*of] = i;
            }
        }
        Self { events, done }
    }

    /// The last event that a returned sync of `what` covers: calls that had returned before it.
    fn safe_before(&self, what: impl Fn(&Event) -> bool) -> usize {
        let syncs = self.events.iter().enumerate().filter(|(i, e)| what(e) && self.done[*i] != usize::MAX);
        syncs.map(|(i, _)| i).max().unwrap_or(0)
    }

    fn build(&self, random: &mut Random) -> (BTreeMap<String, Vec<u8>>, u64) {
        let safe_names = self.safe_before(|e| matches!(e, Event::SyncDir));
        let mut safe_bytes: BTreeMap<File, usize> = BTreeMap::new();
        let mut names: BTreeMap<&str, File> = BTreeMap::new();
        let mut contents: BTreeMap<File, Vec<u8>> = BTreeMap::new();
        let mut answered = 0;
        for (i, event) in self.events.iter().enumerate() {
            let mut happened = |safe: usize| self.done[i] < safe || random.below(2) == 0;
            match event {
                Event::Create { file, name } => {
                    let safe = self.safe_before(|e| matches!(e, Event::Sync { file: f } if f == file));
                    safe_bytes.insert(*file, safe);
                    contents.insert(*file, Vec::new());
                    if happened(safe_names) {
                        names.insert(name, *file);
                    }
                }
                Event::Rename { file, from, to } => {
                    if happened(safe_names) {
                        names.remove(&**from);
                        names.insert(to, *file);
                    }
                }
                Event::Unlink { name } => {
                    if happened(safe_names) {
                        names.remove(&**name);
                    }
                }
                Event::Preallocate { file, bytes } => {
                    let content = contents.get_mut(file).unwrap();
                    if happened(safe_bytes[file]) && content.len() < *bytes as usize {
                        content.resize(*bytes as usize, 0);
                    }
                }
                Event::Write { file, offset, bytes } => {
                    let safe = self.done[i] < safe_bytes[file];
                    write(contents.get_mut(file).unwrap(), *offset as usize, bytes, safe, random);
                }
                Event::Answered { sequence } => answered = *sequence,
                Event::Sync { .. } | Event::SyncDir | Event::Done { .. } => {}
            }
        }
        let files = names.into_iter().map(|(name, file)| (name.to_owned(), contents[&file].clone())).collect();
        (files, answered)
    }
}

/// Puts a write into a file: all of it when it is safe, else what chance leaves of it.
fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8], safe: bool, random: &mut Random) {
    // All, nothing, or sector by sector.
    let mood = if safe { 0 } else { random.below(4) };
    if mood == 1 {
        return;
    }
    let torn = mood > 1;
    let end = offset + bytes.len();
    let mut at = offset;
    while at < end {
        let next = ((at / SECTOR + 1) * SECTOR).min(end);
        if !torn || random.below(2) == 0 {
            if content.len() < next {
                content.resize(next, 0);
            }
            content[at..next].copy_from_slice(&bytes[at - offset..next - offset]);
        }
        at = next;
    }
}
