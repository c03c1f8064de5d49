//! A house of several shards against one shard: the same histories, with kills anywhere, end in the same book.

mod desk;
mod histories;
mod lines;
mod rules;
