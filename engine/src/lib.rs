//! The threads around the book.
//!
//! ```text
//! door -> ring -> shard -> log -> follower -> read model, checkpoints, coldpath
//!  ^               |  ^                                                   |
//!  +-- answers ----+  +------------------- proposals ---------------------+
//! ```
//!
//! The shard thread owns the book and the log's appender; nobody else writes to either. Everything
//! else follows the log at its own pace. What is absent: the shard thread takes no lock, makes no
//! system call and allocates nothing in steady state; it waits for its rings only.

mod amendments;
pub mod changed;
mod changes;
pub mod checkpoint;
pub mod clock;
pub mod coldpath;
pub mod config;
mod correcting;
mod counters;
pub mod directory;
pub mod door;
pub mod error;
pub mod fault;
pub mod follower;
pub mod host;
pub mod house;
pub mod idempotency;
mod lanes;
pub mod limits;
pub mod memory;
mod opening;
pub mod past;
pub mod phase;
#[cfg(feature = "sim")]
pub mod planted;
#[cfg(not(feature = "sim"))]
mod planted;
pub mod read_model;
pub mod recovery;
pub mod retention;
pub mod shard;
pub mod side_log;
#[cfg(feature = "sim")]
pub mod stepped;
mod taking;
pub(crate) mod views;
pub mod wait;
pub mod wash;
pub mod waymarks;

pub use config::EngineConfig;
pub use directory::{Directory, NameError};
pub use door::{Answer, Door, Request, Status};
pub use error::{HostError, StartError};
pub use host::Host;
pub use house::House;
pub use read_model::{PositionView, ReadModel};
