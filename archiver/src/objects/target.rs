//! What the log asks of a place for its archived segments, in an object store's words: each write says what it may replace.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use lotbook_wal::{ArchiveTarget, DiskError, DiskFile, DiskResult, Version};
use object_store::aws::{AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::path::Path as ObjectPath;
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::file::ObjectFile;
use super::http::Connector;
use super::terms::{ObjectsError, S3Terms};

/// Largest object: it goes in one request, so that it comes to be whole or not at all and only where nothing has its name.
const OBJECT_BYTES_MAX: u64 = 1 << 30;
/// Tries of one request beyond the first.
const RETRIES_MAX: usize = 3;
/// Damaged objects of one name that are kept.
const ASIDE_MAX: u32 = 1_000;

/// A bucket of an object store, or a part of one.
#[derive(Debug)]
pub struct ObjectTarget {
    caller: Arc<Caller>,
    prefix: ObjectPath,
    place: String,
}

/// Has calls done on the runtime of the target, and waits for them.
pub(super) struct Caller {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Taken when the target goes.
    runtime: Option<Runtime>,
    patience: Duration,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Caller({})", self.store)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // Not waited for: who drops it may be a task of another runtime, where nobody may block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Caller {
    /// Blocks until it is done, or for as long as the terms say. May be called from anywhere, tasks of other runtimes included.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        call: &'static str,
        path: &Path,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> DiskResult<T> {
        let Some(runtime) = &self.runtime else { unreachable!("taken in drop alone") };
        let (tell, told) = sync_channel(1);
        let patience = self.patience;
        runtime.spawn(async move {
            // Nobody listens any more where the process ends.
            let _ = tell.send(tokio::time::timeout(patience, work).await);
        });
        let failed = |source| DiskError::new(call, path, 0, source);
        match told.recv() {
            Ok(Ok(Ok(done))) => Ok(done),
            Ok(Ok(Err(error))) => Err(failed(io::Error::new(kind_of(&error), error))),
            Ok(Err(_)) => Err(failed(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))),
            Err(_) => Err(failed(io::Error::other("the client's thread panicked"))),
        }
    }
}

fn kind_of(error: &Error) -> io::ErrorKind {
    match error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => io::ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    }
}

impl ObjectTarget {
    /// A bucket by those terms. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`ObjectsError`].
    pub fn s3(terms: &S3Terms) -> Result<Self, ObjectsError> {
        let plain = match terms.endpoint.as_deref() {
            Some(endpoint) if endpoint.starts_with("http://") => true,
            Some(endpoint) if !endpoint.starts_with("https://") => {
                return Err(ObjectsError::Endpoint { endpoint: endpoint.to_owned() });
            }
            _ => false,
        };
        let certificates = if plain { None } else { Some(terms.certificates()?) };
        let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: terms.patience, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&terms.bucket)
            .with_region(&terms.region)
            .with_access_key_id(&terms.keys.access_key_id)
            .with_secret_access_key(&terms.keys.secret_access_key)
            .with_allow_http(plain)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(retry)
            .with_http_connector(Connector::new(certificates.as_deref())?);
        if let Some(token) = &terms.keys.session_token {
            builder = builder.with_token(token);
        }
        if let Some(endpoint) = &terms.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder.build().map_err(|e| ObjectsError::Client(e.to_string()))?;
        Self::on(Arc::new(store), &terms.prefix, terms.place(), terms.patience)
    }

    /// On any store.
    fn on(store: Arc<dyn ObjectStore>, prefix: &str, place: String, patience: Duration) -> Result<Self, ObjectsError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("objects")
            .enable_all()
            .build()
            .map_err(|e| ObjectsError::Client(e.to_string()))?;
        let caller = Arc::new(Caller { store, runtime: Some(runtime), patience });
        Ok(Self { caller, prefix: ObjectPath::from(prefix), place })
    }

    fn location(&self, name: &str) -> ObjectPath {
        name.split('/').filter(|part| !part.is_empty()).fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.place).join(name)
    }

    fn put_bytes(&self, call: &'static str, name: &str, bytes: Bytes, mode: PutMode) -> DiskResult<Version> {
        let (store, location) = (Arc::clone(&self.caller.store), self.location(name));
        let options = PutOptions::from(mode);
        let put = async move { store.put_opts(&location, PutPayload::from(bytes), options).await };
        let done = self.caller.wait(call, &self.path(name), put)?;
        done.e_tag.map(Version).ok_or_else(|| self.strange(call, name, "the store gives no entity tags"))
    }

    fn strange(&self, call: &'static str, name: &str, what: &'static str) -> DiskError {
        DiskError::new(call, &self.path(name), 0, io::Error::new(io::ErrorKind::InvalidData, what))
    }

    fn names(&self, folder: &str) -> DiskResult<(Vec<String>, Vec<String>)> {
        let (store, location) = (Arc::clone(&self.caller.store), self.location(folder));
        let listing = async move {
            // Of a folder, however many pages that is.
            let prefix = (!location.as_ref().is_empty()).then_some(&location);
            store.list_with_delimiter(prefix).await
        };
        let listed = self.caller.wait("list", &self.path(folder), listing)?;
        let last = |path: &ObjectPath| path.filename().map(str::to_owned);
        let objects = listed.objects.iter().filter_map(|object| last(&object.location)).collect();
        Ok((objects, listed.common_prefixes.iter().filter_map(last).collect()))
    }
}

fn is_taken(error: &DiskError) -> bool {
    error.source.kind() == io::ErrorKind::AlreadyExists
}

impl ArchiveTarget for ObjectTarget {
    fn put(&self, name: &str, source: &dyn DiskFile) -> DiskResult<()> {
        let length = source.len()?;
        if length > OBJECT_BYTES_MAX {
            return Err(self.strange(
                "put",
                name,
                "larger than any object that goes in one request: use smaller segments",
            ));
        }
        let mut bytes = vec![0u8; length as usize];
        if source.read_at(0, &mut bytes)? != bytes.len() {
            return Err(self.strange("put", name, "it became shorter while it was read"));
        }
        self.put_bytes("put", name, Bytes::from(bytes), PutMode::Create).map(|_| ())
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let (store, location, path) = (Arc::clone(&self.caller.store), self.location(name), self.path(name));
        let at = location.clone();
        let meta = self.caller.wait("head", &path, async move { store.head(&at).await })?;
        let caller = Arc::clone(&self.caller);
        Ok(Arc::new(ObjectFile { caller, location, path, bytes: meta.size, window: Mutex::default() }))
    }

    fn list(&self, log: &str) -> DiskResult<Vec<String>> {
        Ok(self.names(log)?.0)
    }

    fn logs(&self) -> DiskResult<Vec<String>> {
        Ok(self.names("")?.1)
    }

    fn load(&self, name: &str) -> DiskResult<Option<(Vec<u8>, Version)>> {
        let (store, location) = (Arc::clone(&self.caller.store), self.location(name));
        let getting = async move {
            let got = match store.get(&location).await {
                Err(Error::NotFound { .. }) => return Ok(None),
                other => other?,
            };
            let tag = got.meta.e_tag.clone();
            let chunks: Vec<Bytes> = got.into_stream().try_collect().await?;
            Ok(Some((chunks.concat(), tag)))
        };
        let Some((bytes, tag)) = self.caller.wait("get", &self.path(name), getting)? else { return Ok(None) };
        let tag = tag.ok_or_else(|| self.strange("get", name, "the store gives no entity tags"))?;
        Ok(Some((bytes, Version(tag))))
    }

    fn store(&self, name: &str, bytes: &[u8], over: Option<&Version>) -> DiskResult<Version> {
        let mode = match over {
            Some(Version(tag)) => PutMode::Update(UpdateVersion { e_tag: Some(tag.clone()), version: None }),
            None => PutMode::Create,
        };
        match self.put_bytes("put", name, Bytes::copy_from_slice(bytes), mode) {
            // The answer to a request that did its work may have been lost, and the next try then finds it done.
            Err(error) if is_taken(&error) => match self.load(name)? {
                Some((found, version)) if found == bytes => Ok(version),
                _ => Err(error),
            },
            other => other,
        }
    }

    fn set_aside(&self, name: &str) -> DiskResult<()> {
        let (folder, own) = name.rsplit_once('/').unwrap_or(("", name));
        let names = self.names(folder)?.0;
        let free = (1..ASIDE_MAX).map(|number| format!("{own}.damaged-{number}")).find(|aside| !names.contains(aside));
        let aside = free.ok_or_else(|| self.strange("set aside", name, "there are too many of its name"))?;
        let (store, from) = (Arc::clone(&self.caller.store), self.location(name));
        let to = self.location(&format!("{folder}/{aside}"));
        let moving = async move {
            store.copy(&from, &to).await?;
            store.delete(&from).await
        };
        self.caller.wait("set aside", &self.path(name), moving)
    }

    fn keeps_checksums(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        self.place.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lotbook_wal::{Access, Disk as _, RealDisk};
    use object_store::memory::InMemory;

    fn target() -> ObjectTarget {
        ObjectTarget::on(Arc::new(InMemory::new()), "a/b", "s3://x/a/b".into(), Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn nothing_is_replaced_that_is_not_known() {
        let target = target();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, vec![5; 3 << 20]).unwrap();
        let source = RealDisk::read_only().open(&path, Access::Read).unwrap();
        target.put("log/one", &*source).unwrap();
        assert!(is_taken(&target.put("log/one", &*source).unwrap_err()));
        assert_eq!(target.list("log").unwrap(), ["one"]);
        assert_eq!(target.logs().unwrap(), ["log"]);

        let first = target.store("log/s", b"1", None).unwrap();
        let second = target.store("log/s", b"2", Some(&first)).unwrap();
        assert!(is_taken(&target.store("log/s", b"3", Some(&first)).unwrap_err()));
        assert!(is_taken(&target.store("log/s", b"3", None).unwrap_err()));
        assert_eq!(target.load("log/s").unwrap().unwrap(), (b"2".to_vec(), second.clone()));
        // Its own write, whose answer was lost.
        assert_eq!(target.store("log/s", b"2", Some(&first)).unwrap(), second);
        assert_eq!(target.load("log/none").unwrap(), None);
        assert!(target.open("log/none").unwrap_err().is_missing());
    }

    #[test]
    fn objects_are_read_in_parts_from_anywhere() {
        let target = target();
        let bytes: Vec<u8> = (0..(5u32 << 18)).flat_map(|n| n.to_le_bytes()).collect();
        target.store("log/f", &bytes, None).unwrap();
        let file = target.open("log/f").unwrap();
        assert_eq!(file.len().unwrap(), bytes.len() as u64);
        for (at, length) in
            [(0, 10), (5, 100), (1 << 20, 3), ((1 << 20) - 1, 3), (0, bytes.len()), (bytes.len() - 5, 100)]
        {
            let mut buffer = vec![0u8; length];
            let read = file.read_at(at as u64, &mut buffer).unwrap();
            assert_eq!(buffer[..read], bytes[at..(at + length).min(bytes.len())], "{at} {length}");
        }
        assert_eq!(file.read_at(bytes.len() as u64, &mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_is_damaged_goes_aside() {
        let target = target();
        for round in 1..4 {
            target.store("log/f", b"x", None).unwrap();
            target.set_aside("log/f").unwrap();
            assert_eq!(target.load("log/f").unwrap(), None);
            assert!(target.load(&format!("log/f.damaged-{round}")).unwrap().is_some());
        }
    }

    #[test]
    fn it_may_be_used_and_dropped_inside_another_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let target = target();
            target.store("log/f", b"x", None).unwrap();
            assert_eq!(target.list("log").unwrap(), ["f"]);
        });
    }
}
