//! All integration tests, one file a concern.

mod recovery;
