//! Every bound of the FIX door, and the relations between them.
//!
//! Beyond a bound the answer is a typed refusal, never growth.

/// The longest message that is read, in bytes, from `8=` to the end of the checksum field.
///
/// A trade report takes about 300 bytes. Field offsets are kept in 16 bits, which this bound keeps valid.
pub const FRAME_BYTES_MAX: usize = 8192;

/// The longest BeginString value (`FIXT.1.1` is the longest that exists).
pub const BEGIN_STRING_BYTES_MAX: usize = 12;

/// The most digits of BodyLength, zero padding included (jspurefix pads to seven).
pub const BODY_LENGTH_DIGITS_MAX: usize = 9;

/// The longest trade id (ExecID, TradeReportID), in bytes. Ids travel inline in events.
pub const TRADE_ID_BYTES_MAX: usize = 64;

/// The longest correlation id, in bytes.
pub const CORRELATION_ID_BYTES_MAX: usize = 64;

/// The longest account, in bytes.
pub const ACCOUNT_BYTES_MAX: usize = 32;

/// The longest currency, in bytes.
pub const CURRENCY_BYTES_MAX: usize = 32;

/// The longest instrument, in bytes.
pub const INSTRUMENT_BYTES_MAX: usize = 32;

/// The longest CompID, in bytes.
pub const COMP_ID_BYTES_MAX: usize = 32;

/// The longest Text (58) that Lotbook sends, in bytes; longer text is cut.
pub const TEXT_BYTES_MAX: usize = 240;

/// The longest decimal string, in bytes: sign, twelve whole digits, point and padding.
pub const DECIMAL_BYTES_MAX: usize = 32;

/// The greatest MsgSeqNum. A session at 100,000 messages a second reaches it after 115 days without a reset.
pub const SEQ_MAX: u64 = 999_999_999_999;

/// The shortest HeartBtInt that is accepted, in seconds.
pub const HEARTBEAT_S_MIN: u64 = 1;

/// The longest HeartBtInt that is accepted, in seconds.
pub const HEARTBEAT_S_MAX: u64 = 300;

/// After this many hundredths of the heartbeat interval without a word from the peer, a TestRequest is sent.
pub const SILENCE_TEST_PERCENT: u64 = 120;

/// After this many hundredths of the heartbeat interval without a word from the peer, the connection is cut.
pub const SILENCE_CUT_PERCENT: u64 = 240;

/// Garbled stretches in a row, without one good message between, after which the connection is cut.
pub const GARBLED_RUN_MAX: u32 = 16;

/// How often the same gap is asked for before the session is logged out.
pub const RESEND_TRIES_MAX: u32 = 3;

/// The most outbound numbers that one call into a session can use for messages of its own.
///
/// The worst case is a TestRequest ahead of its turn: Heartbeat, then ResendRequest; or Reject, then Logout.
pub const OUT_NUMBERS_PER_CALL_MAX: u64 = 4;

/// Outbound numbers set aside by one durable record unless the host asks otherwise.
pub const OUT_BLOCK_DEFAULT: u64 = 10_000;

/// The first year of a date or time stamp.
pub const YEAR_MIN: u32 = 1900;

/// The last year of a date or time stamp: the last whole year whose nanoseconds fit 64 bits.
pub const YEAR_MAX: u32 = 2261;

const _: () = assert!(FRAME_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(SILENCE_TEST_PERCENT > 100);
const _: () = assert!(SILENCE_CUT_PERCENT > SILENCE_TEST_PERCENT);
const _: () = assert!(OUT_BLOCK_DEFAULT > OUT_NUMBERS_PER_CALL_MAX);
const _: () = assert!(TEXT_BYTES_MAX + 4 * TRADE_ID_BYTES_MAX < FRAME_BYTES_MAX);
