//! Data directories brought back from what was shipped of their logs: from a directory, and with `LOTBOOK_LONG=1` from a store that speaks S3.
//!
//! The server is SeaweedFS, which `scripts/test --long` installs; the short form does the same with a directory.

mod desk;
mod restored;
mod server;
