//! `[archive.objects]`: a store that speaks S3, for sealed segments, instead of a directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lotbook_archiver::objects::{Keys, ObjectTarget, ObjectsError, S3Terms};
use lotbook_wal::{ArchiveTarget, DirectoryTarget, RealDisk};

use super::Config;

/// The section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects {
    /// Bucket and prefix; `None`: there is no such store.
    pub url: Option<String>,
    /// The server; `None`: Amazon's of the region.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// File with the keys; `None`: the environment.
    pub credentials_file: Option<PathBuf>,
    /// Certificates that are trusted; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// For one call, its retries included.
    pub timeout_ms: u64,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            url: None,
            endpoint: None,
            region: "us-east-1".into(),
            credentials_file: None,
            ca_file: None,
            timeout_ms: 60_000,
        }
    }
}

impl Objects {
    /// The store; `None` where there is none. Reads keys and certificates, and asks nothing of the store.
    ///
    /// # Errors
    /// [`ObjectsError`].
    pub fn target(&self) -> Result<Option<Arc<dyn ArchiveTarget>>, ObjectsError> {
        let Some(url) = &self.url else { return Ok(None) };
        let (bucket, prefix) = S3Terms::split(url)?;
        let keys = self.credentials_file.as_deref().map_or_else(Keys::of_environment, Keys::of_file)?;
        let terms = S3Terms {
            bucket,
            prefix,
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            keys,
            ca_file: self.ca_file.clone(),
            patience: Duration::from_millis(self.timeout_ms),
        };
        Ok(Some(Arc::new(ObjectTarget::s3(&terms)?)))
    }
}

impl Config {
    /// Where sealed segments are shipped to: `archive_dir` where one is given, else what the configuration says.
    ///
    /// # Errors
    /// [`ObjectsError`].
    pub fn archive_target(&self, archive_dir: Option<PathBuf>) -> Result<Option<Arc<dyn ArchiveTarget>>, ObjectsError> {
        let of_dir =
            |dir| -> Arc<dyn ArchiveTarget> { Arc::new(DirectoryTarget::new(Arc::new(RealDisk::read_only()), dir)) };
        if let Some(dir) = archive_dir {
            return Ok(Some(of_dir(dir)));
        }
        Ok(self.objects.target()?.or_else(|| self.retention.archive_dir.clone().map(of_dir)))
    }
}
