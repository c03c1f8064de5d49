//! Every bound of the generator, in one place, with the relations between them.

/// Most messages in one plan; a ledger index must fit 31 bits (the top bit marks a message sent again as PossResend).
pub const MESSAGES_MAX: u64 = 100_000_000;
/// Most accounts of a universe (the ledger keeps them in 16 bits).
pub const ACCOUNTS_MAX: u32 = 60_000;
/// Most instruments of a universe (the ledger keeps them in 16 bits).
pub const INSTRUMENTS_MAX: u32 = 60_000;
/// Longest beginning of the accounts' names.
pub const ACCOUNT_PREFIX_BYTES_MAX: usize = 40;
/// Most senders of one run.
pub const SESSIONS_MAX: u32 = 64;
/// Bytes a session may hold unsent before the driver stops adding to it. The messages stay due, so their latency goes on counting.
pub const OUT_PENDING_BYTES_MAX: usize = 8 << 20;
/// Bytes read from one session in one tick, so that one busy session cannot starve the others' sends.
pub const READ_BYTES_A_TICK: usize = 256 << 10;
/// Longest FIX message that is accepted from a host.
pub const FRAME_BYTES_MAX: usize = 64 << 10;
/// Most lines of a request to an HTTP door; the door's own bound.
pub const HTTP_LINES_MAX: usize = 1_000;
/// Most ticks a second of a price feed.
pub const TICKS_A_SECOND_MAX: u64 = 1_000_000;
/// The last millisecond of a day.
pub const MS_OF_DAY_MAX: u64 = 86_399_999;
/// Longest head of an HTTP answer.
pub const HTTP_HEAD_BYTES_MAX: usize = 64 << 10;
/// Longest body of an HTTP answer: a page of a thousand positions with their lots.
pub const HTTP_BODY_BYTES_MAX: usize = 1 << 30;
/// Shortest wait of the driver between two ticks: it shares its cores with the host, so it coalesces rather than spins.
pub const TICK_NS: u64 = 100_000;
/// Length of one line of the interval log.
pub const INTERVAL_NS: u64 = 250_000_000;
/// How long a logon may take.
pub const LOGON_TIMEOUT_MS: u64 = 10_000;
/// How long the driver waits after the last send for outstanding answers, unless the plan says otherwise.
pub const DRAIN_TIMEOUT_MS: u64 = 30_000;
/// Longest latency the histograms tell apart; longer ones are recorded as this.
pub const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Examples kept of each kind of difference.
pub const EXAMPLES_MAX: usize = 20;
/// Bytes of a trade id made by this crate: six hex digits, a dash, nine decimal digits.
pub const TRADE_ID_BYTES: usize = 16;

const _: () = assert!(MESSAGES_MAX < 1 << 31);
const _: () = assert!(MESSAGES_MAX <= 1_000_000_000);
const _: () = assert!(ACCOUNTS_MAX < u16::MAX as u32);
const _: () = assert!(INSTRUMENTS_MAX < u16::MAX as u32);
const _: () = assert!(SESSIONS_MAX <= u8::MAX as u32);
const _: () = assert!(FRAME_BYTES_MAX < READ_BYTES_A_TICK);
