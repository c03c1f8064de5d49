//! Every bound of the book, with the relations between them. Full is a typed refusal, never growth.

/// Longest trade id, in bytes. The archive's column and the inline storage have this width.
pub const TRADE_ID_BYTES_MAX: usize = 64;
/// Longest correlation id, in bytes: a UUID (36), '@' and a service id.
pub const CORRELATION_BYTES_MAX: usize = 64;
/// Longest name (account, instrument, contract, user, source, namespace), in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Most runs of allocations in one trade's event. FIFO and LIFO need two; HIFO one a lot.
pub const RUNS_PER_TRADE_MAX: usize = 1024;
/// Slots of the smallest block of lots that a position takes.
pub const LOT_BLOCK_SLOTS_MIN: usize = 4;
/// Slots of the largest block: a position with more lots keeps them in a tree.
pub const LOT_BLOCK_SLOTS_MAX: usize = 64;
/// Most open lots of one position.
pub const LOTS_PER_POSITION_MAX: usize = 1 << 20;
/// Lots of one position that may leave the average cost one by one before all its costs are written out.
pub const LOTS_OUT_OF_POOL_MAX: usize = 32;

/// Most trades that a look ahead takes in: as many as a core has reads under way at a time, some lines each.
pub const LOOK_AHEAD_MAX: usize = 16;

/// Most amendments of one trade, those of its amendments included: what a decision about the next one may look at.
pub const AMENDMENTS_PER_TRADE_MAX: usize = 256;
/// How often the business date may move while an amendment is held for a target that does not come.
pub const HELD_DATES_MAX: u32 = 30;
/// Longest reason that an operator gives, in bytes.
pub const NOTE_BYTES_MAX: usize = 200;
/// Largest term of a split. With it a split's products fit 128 bits, whatever the position holds.
pub const SPLIT_TERM_MAX: u32 = 1_000_000_000;
/// Changes of history that positions may be taking beside the actions that the book holds: contract changes and
/// amendments of actions.
pub const CHANGES_PENDING_SPARE: usize = 1024;
/// Items between two states that are kept of a replay, at least.
pub const KEPT_STATE_ITEMS_MIN: usize = 32;
/// A kept state lies behind the one before it by at most this share of what is behind it, where more than the least is: what is
/// booked again for nothing is that share of what must be.
pub const KEPT_STATE_SHARE: usize = 8;
/// Lots in all states that are kept of one history: those nearest to its end stay.
pub const KEPT_STATE_LOTS_MAX: usize = 1 << 18;
/// Items for which a replay's room stays when a smaller one comes.
pub const ROOM_ITEMS_KEPT: usize = 1 << 16;

/// Sizes of a book, fixed when it is made. Memory is reserved for all of it and touched when used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Positions, open or closed.
    pub positions_max: usize,
    /// Open lots of all positions, with the slack of their blocks.
    pub lots_max: usize,
    /// Interned names of each class.
    pub names_max: usize,
    /// Forward-dated trades that wait for their date.
    pub forwards_max: usize,
    /// Accepted amendments and amended trades.
    pub amendments_max: usize,
    /// Amendments that are held for a target that has not come.
    pub held_max: usize,
    /// Contract versions.
    pub contracts_max: usize,
    /// Corporate actions and resets.
    pub actions_max: usize,
    /// Lots that left a position for another one and are kept for its replays: with so many, nothing that would move more
    /// is accepted. What is accepted already may come to move more than this in a replay, and does.
    pub legs_max: usize,
}

impl Limits {
    /// For a host: a million positions, sixteen million lots.
    pub const HOST: Self = Self {
        positions_max: 1 << 20,
        lots_max: 1 << 24,
        names_max: 1 << 18,
        forwards_max: 1 << 16,
        amendments_max: 1 << 18,
        held_max: 1 << 12,
        contracts_max: 1 << 16,
        actions_max: 1 << 16,
        legs_max: 1 << 20,
    };
    /// For tests and small tools.
    pub const SMALL: Self = Self {
        positions_max: 1 << 12,
        lots_max: 1 << 18,
        names_max: 1 << 12,
        forwards_max: 1 << 12,
        amendments_max: 1 << 12,
        held_max: 1 << 8,
        contracts_max: 1 << 10,
        actions_max: 1 << 10,
        legs_max: 1 << 12,
    };
}

const _: () = assert!(RUNS_PER_TRADE_MAX * core::mem::size_of::<crate::event::Run>() <= 40 * 1024);
const _: () = assert!(KEPT_STATE_ITEMS_MIN > 0 && KEPT_STATE_SHARE > 1);
const _: () = assert!(LOT_BLOCK_SLOTS_MIN.is_power_of_two());
const _: () = assert!(LOT_BLOCK_SLOTS_MIN <= LOT_BLOCK_SLOTS_MAX);
const _: () = assert!(LOT_BLOCK_SLOTS_MAX.is_power_of_two());
const _: () = assert!((SPLIT_TERM_MAX as i128) < i128::MAX / i64::MAX as i128);
const _: () = assert!(TRADE_ID_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(NOTE_BYTES_MAX <= u8::MAX as usize);
