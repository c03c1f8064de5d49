//! The archive in Postgres: every record of the log as a row, exactly once, at the archive's own pace.
//!
//! [`sink`] follows the log on a thread of its own; [`row`] makes a record a row, in the [`binary`] format of `COPY`; [`migrate`] brings
//! the schema up; [`trades`] projects the rows that are trades, with [`reference`] data; [`verify`] compares log and database, every row and every column; [`rebuild`] makes it anew. Rows and cursor are committed in one
//! transaction, so whatever happens to either side, the cursor in the database says what is there.

pub mod binary;
pub mod error;
pub mod link;
pub mod migrate;
pub mod rebuild;
pub mod reference;
pub mod row;
pub mod sink;
pub mod trades;
pub mod verify;

mod batch;
mod turns;

pub use error::{FromLogError, Mend, PgError};
pub use link::{Archived, Link, Target};
