//! What another hand than the log's does to the files of a simulated disk: looks at them, damages them, puts others in their place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::disk::{SimDisk, file_of};
use super::file::{File, Image};
use super::names::Node;

/// What another hand than the log's does to the files. Nothing of it is counted, and all of it is durable.
#[derive(Debug)]
pub struct Hand<'a> {
    pub(super) disk: &'a SimDisk,
}

impl Hand<'_> {
    /// Paths of all files, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        self.disk.state().names.files().map(|(path, _)| path.to_path_buf()).collect()
    }

    /// The bytes of a file as the system sees them.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let mut state = self.disk.state();
        let id = state.names.file(path)?;
        let (file, _) = file_of(&mut state, id);
        Some(match &file.memory {
            Some(memory) => {
                let mut bytes = vec![0; memory.len];
                memory.read(0, &mut bytes);
                bytes
            }
            None => file.seen.bytes(),
        })
    }

    /// Puts a file there, or other bytes in its place.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut image = Image::default();
        image.write(0, bytes);
        let mut state = self.disk.state();
        let id = state.new_file(File { seen: image.clone(), durable: image, ..File::default() });
        state.names.link(path, Node::File(id));
        state.names.settle();
    }

    /// Overwrites some bytes.
    pub fn poke(&self, path: &Path, offset: u64, bytes: &[u8]) {
        let mut state = self.disk.state();
        let Some(id) = state.names.file(path) else { return };
        let (file, _) = file_of(&mut state, id);
        match &file.memory {
            Some(memory) => memory.write(offset, bytes),
            None => {
                file.seen.write(offset, bytes);
                file.durable.write(offset, bytes);
            }
        }
    }

    /// Takes a file away.
    pub fn remove(&self, path: &Path) {
        let mut state = self.disk.state();
        state.names.unlink(path);
        state.names.settle();
    }

    /// Everything there is, to compare with later: [`Hand::same`].
    pub fn picture(&self) -> Picture {
        let state = self.disk.state();
        let image = |id: u64| state.files[&id].seen.clone();
        let on_disk = |path: &Path| !state.in_memory(path);
        let files = state.names.files().filter(|(path, _)| on_disk(path));
        Picture(files.map(|(path, id)| (path.to_path_buf(), image(id))).collect())
    }

    /// True when no file on the disk has changed since, and none has come or gone.
    pub fn same(&self, picture: &Picture) -> bool {
        let now = self.picture();
        let names = |p: &Picture| p.0.keys().cloned().collect::<Vec<_>>();
        names(&now) == names(picture) && now.0.iter().all(|(path, image)| image.same(&picture.0[path]))
    }
}

/// What [`Hand::picture`] took.
#[derive(Debug)]
pub struct Picture(BTreeMap<PathBuf, Image>);
