//! A seat: what a host needs to know to be one of several shards.

use std::sync::Arc;

use super::ids::HouseIds;
use crate::lanes::LaneEnd;

/// A shard's place in its house.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Its number, from 0 on.
    pub shard: u16,
    /// Its partitions, a bit each.
    pub partitions: u16,
    /// Its ends of the lanes to the house's threads.
    pub lanes: Vec<LaneEnd>,
    /// Told what ids the shard has, before anybody is served.
    pub ids: Arc<HouseIds>,
}
