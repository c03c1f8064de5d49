//! Every bound of the engine's threads, with the relations between them.

/// Doors that a host can open: gateway threads, file readers, the directory's own.
pub const DOORS_MAX: usize = 16;
/// Requests in flight of one door. Answers in flight are bounded by the same number, so that the
/// shard never finds an answer ring full.
pub const DOOR_SLOTS: usize = 8 * 1024;
/// Requests that the shard takes from one door before it looks at the next.
pub const DOOR_BATCH: usize = 64;
/// Workers of the coldpath that may run.
pub const COLD_WORKERS_MAX: usize = 16;
/// Desks at the shard: one for each worker, and for as many that hang.
pub const COLD_DESKS: usize = 2 * COLD_WORKERS_MAX;
/// Blocks of the side log's mapped tail, 64 KiB each.
pub const SIDE_TAIL_BLOCKS: u32 = 64;
/// Positions that a worker takes at once where many wait: their bodies wait for the disk together.
pub const COLD_GROUP: usize = 64;
/// Newest trades of a position among which the trades that opened its lots are looked for by their ids, where the lots were not published.
pub const NAMED_OF_NEWEST: usize = 1 << 16;
/// Bytes of the bodies that wait for the disk together, about: from here on the group is published as it is.
pub const COLD_GROUP_BYTES: usize = 1 << 20;
/// Trades that the shard books again behind one correction: the ceiling of what a correction costs the hot thread beside the swap
/// of its lots.
pub const CATCH_UP_MOST: usize = 512;
/// Bytes that a rebooked trade's record is taken for when room for all of them is asked for.
pub const REBOOKED_BYTES: usize = 2_048;
/// PROVISIONAL positions from which on an operator is to look, ...
pub const COLD_ALERT: usize = 5_000;
/// ... and from which on more workers are wanted.
pub const COLD_CRITICAL: usize = 10_000;
/// The part of the service level, as its divisor, from which on a position that waits comes before the order: the rest is for its turn.
pub const AGEING_SHARE: u64 = 2;
/// Dead letters from which on it is an alarm.
pub const DEAD_LETTERS_ALERT: usize = 100;
/// Longest wait before a try is made again, microseconds.
pub const COLD_RETRY_MAX_US: u64 = 30_000_000;
/// Milliseconds between two looks at hung workers and at the service level.
pub const COLD_WATCH_MS: u64 = 100;
/// Forward-dated trades that mature between two batches.
pub const MATURITY_SLICE: usize = 32;
/// Held amendments that are looked at between two batches: for their time, and for a target that came.
pub const HELD_SLICE: usize = 32;
/// Events that positions take of changes of history between two batches.
pub const TAKE_SLICE: u32 = 32;
/// Positions that are looked at for a change between two batches: most are not concerned, and cost a look.
pub const VISIT_SLICE: u32 = 512;
/// Records between two digests in the log.
pub const DIGEST_EVERY: u64 = 65_536;
/// Longest time that the follower lets a changed position wait for its publication, while behind.
pub const PUBLISH_BEHIND_MS: u64 = 100;
/// Records that the follower applies before it looks at its duties.
pub const FOLLOWER_BATCH: usize = 1024;
/// Bytes of a side-log record's payload; longer bodies are several records.
pub const BODY_RECORD_BYTES: usize = 32 * 1024;
/// Shards of a house. A partition is the least that a shard can have.
pub const SHARDS_MAX: u16 = PARTITIONS;
/// Logical partitions of positions, by the hash of account and instrument.
pub const PARTITIONS: u16 = 16;
/// Requests in flight from one thread of the house to one shard.
pub const LANE_SLOTS: usize = 256;
/// Legs on their way to other shards that are shown at once: what a courier carries in one turn.
pub const OUTBOX_SHOWN_MAX: usize = 128;
/// Tries to reconcile one position before another one gets its turn.
pub const RECONCILE_TRIES: u32 = 5;
/// Bytes, about, of the streams that the coldpath keeps between tries with what their replays left for the next: those of recently
/// served positions.
pub const STREAMS_KEPT_BYTES: usize = 512 << 20;
/// Bytes of those that a checkpoint keeps, the ones used last first: a start reads them twice.
pub const STREAMS_IN_CHECKPOINT_BYTES: usize = 32 << 20;
/// Bytes of a position's events that an answer about the past holds on its way back; the others it reads twice.
pub const PAST_HELD_BYTES: usize = 32 << 20;
/// Events of a position from one waymark to the next: sixteen bytes in memory and in checkpoints each.
pub const WAYMARK_EVERY: u32 = 32;
/// Stretches between waymarks that are read side by side.
pub const WALK_LANES: usize = 16;
/// Checkpoints kept. The log is needed from the older one on.
pub const CHECKPOINTS_KEPT: usize = 2;

const _: () = assert!(COLD_DESKS <= 64, "a bit of the bell each");
const _: () = assert!(COLD_ALERT < COLD_CRITICAL);
const _: () = assert!(DOOR_BATCH < DOOR_SLOTS);
const _: () = assert!(OUTBOX_SHOWN_MAX < LANE_SLOTS);
// Else one stretch drives out the chunk that another one goes on in.
const _: () = assert!(WALK_LANES <= lotbook_wal::limits::NEAR_CHUNKS);
const _: () = assert!(STREAMS_IN_CHECKPOINT_BYTES <= STREAMS_KEPT_BYTES);
const _: () = assert!(PARTITIONS as u32 == u16::BITS);
const _: () = assert!(BODY_RECORD_BYTES <= lotbook_wal::MAX_PAYLOAD_BYTES);
const _: () = assert!(lotbook_core::codec::PAYLOAD_BYTES_MAX <= lotbook_wal::MAX_PAYLOAD_BYTES);
