//! The archive in Postgres, against a real server: whatever is killed or cut, every record is a row exactly once.

mod drive;
mod edges;
mod faults;
mod planted;
mod proxy;
mod refusals;
mod trades;
