//! The table of keys: name, meaning, what is allowed, how it is set and shown.

use std::fmt;
use std::path::PathBuf;

use lotbook_core::date::Date;
use lotbook_core::rules::LotMethod;

use lotbook_engine::limits::COLD_WORKERS_MAX;

use super::coldpath::ORDERS;
use super::{Ack, BusinessDate, Config, LISTEN_FORM, Wait};
use crate::input::text::check_id;

/// A value of the file, of a type that keys take.
pub(super) enum Value {
    Integer(u64),
    Text(String),
    Bool(bool),
}

impl Value {
    fn integer(&self) -> u64 {
        match self {
            Self::Integer(value) => *value,
            _ => unreachable!("admitted as an integer"),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Text(value) => value,
            _ => unreachable!("admitted as a text"),
        }
    }
}

/// What a key takes; its words are those of messages and documentation.
pub(super) enum Allowed {
    Integer {
        min: u64,
        max: u64,
    },
    OneOf(&'static [&'static str]),
    Bool,
    Path,
    /// A core's number or this word.
    Core(&'static str),
    Listen,
    Id,
    Date,
    /// Any text, in these words.
    Text(&'static str),
}

/// Longest text of a key that takes any.
const TEXT_BYTES_MAX: usize = 255;
/// Highest core number.
const CORE_MAX: u64 = 1023;

impl Allowed {
    /// The value if it has the right type and range.
    pub(super) fn admit(&self, value: Value) -> Option<Value> {
        let is_admitted = match (self, &value) {
            (Self::Integer { min, max }, Value::Integer(n)) => (min..=max).contains(&n),
            (Self::OneOf(names), Value::Text(text)) => names.contains(&text.as_str()),
            (Self::Bool, Value::Bool(_)) | (Self::Listen, Value::Text(_)) => true,
            (Self::Path, Value::Text(text)) => !text.is_empty() && !text.contains('\0'),
            (Self::Core(word), Value::Text(text)) => text == word,
            (Self::Core(_), Value::Integer(core)) => *core <= CORE_MAX,
            (Self::Id, Value::Text(text)) => check_id(text.as_bytes()).is_ok(),
            (Self::Text(_), Value::Text(text)) => text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control),
            (Self::Date, Value::Text(text)) => text == "today" || Date::parse(text).is_some(),
            _ => false,
        };
        is_admitted.then_some(value)
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer { min, max } => write!(f, "must be a whole number from {min} to {max}"),
            Self::OneOf(names) => {
                let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                write!(f, "must be one of {}", quoted.join(", "))
            }
            Self::Bool => write!(f, "must be true or false"),
            Self::Path => write!(f, "must be a path, in quotes"),
            Self::Core(word) => write!(f, "must be \"{word}\" or a core's number from 0 to {CORE_MAX}"),
            Self::Listen => f.write_str(LISTEN_FORM),
            Self::Id => write!(f, "must be 1 to 64 characters of printable ASCII, in quotes"),
            Self::Text(words) => f.write_str(words),
            Self::Date => write!(f, "must be \"today\" or a date such as \"2026-03-05\""),
        }
    }
}

/// One key of a `T`.
pub(super) struct Key<T: 'static> {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    pub(super) allowed: Allowed,
    /// Words for a default that is no value; empty where the value itself says it.
    pub(super) default_words: &'static str,
    /// Takes an admitted value; an error says what is allowed.
    pub(super) set: fn(&mut T, Value) -> Result<(), String>,
    /// The value as TOML.
    pub(super) show: fn(&T) -> String,
}

/// One `[section]`.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) keys: &'static [Key<Config>],
}

macro_rules! key {
    ($name:literal, $meaning:literal, $allowed:expr, $set:expr, $show:expr) => {
        Key {
            name: $name,
            meaning: $meaning,
            allowed: $allowed,
            default_words: "",
            set: |target, value| {
                let set: fn(&mut Config, Value) = $set;
                set(target, value);
                Ok(())
            },
            show: $show,
        }
    };
}

macro_rules! limit {
    ($name:literal, $meaning:literal, $max:expr, $($field:ident).+) => {
        key!(
            $name,
            $meaning,
            Allowed::Integer { min: 1, max: $max },
            |c, v| c.$($field).+ = usize::try_from(v.integer()).unwrap_or(usize::MAX),
            |c| c.$($field).+.to_string()
        )
    };
}

macro_rules! number {
    ($name:literal, $meaning:literal, $min:literal..=$max:expr, $($field:ident).+) => {
        key!(
            $name,
            $meaning,
            Allowed::Integer { min: $min, max: $max },
            |c, v| c.$($field).+ = v.integer().try_into().unwrap_or_default(),
            |c| c.$($field).+.to_string()
        )
    };
}

mod access;
mod dead_letters;
mod fix;
mod gate;
mod objects;
mod postgres;
mod redis;

pub(super) use self::fix::SESSION_KEYS;

fn text(value: impl fmt::Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

fn core(value: &Value) -> Option<u16> {
    match value {
        Value::Integer(core) => u16::try_from(*core).ok(),
        _ => None,
    }
}

fn show_core(core: Option<u16>, word: &str) -> String {
    core.map_or_else(|| text(word), |core| core.to_string())
}

fn ack(value: &Value) -> Ack {
    if value.text() == Ack::Applied.as_str() { Ack::Applied } else { Ack::Durable }
}

/// All sections in the order of the documentation.
pub(super) const SECTIONS: &[Section] = &[
    Section { name: "data", keys: DATA },
    Section { name: "engine", keys: ENGINE },
    Section { name: "engine.limits", keys: LIMITS },
    Section { name: "fix", keys: fix::FIX },
    Section { name: "http", keys: access::HTTP },
    Section { name: "tls", keys: access::TLS },
    Section { name: "auth", keys: access::AUTH },
    Section { name: "business", keys: BUSINESS },
    Section { name: "gate", keys: gate::GATE },
    Section { name: "dead_letters", keys: dead_letters::DEAD_LETTERS },
    Section { name: "checkpoint", keys: CHECKPOINT },
    Section { name: "retention", keys: RETENTION },
    Section { name: "coldpath", keys: COLDPATH },
    Section { name: "archive", keys: &[] },
    Section { name: "archive.redis", keys: redis::REDIS },
    Section { name: "archive.postgres", keys: postgres::POSTGRES },
    Section { name: "archive.objects", keys: objects::OBJECTS },
];

const DATA: &[Key<Config>] = &[
    key!(
        "dir",
        "Directory of log, checkpoints and side log; made where missing, one process at a time.",
        Allowed::Path,
        |c, v| c.data.dir = PathBuf::from(v.text()),
        |c| text(c.data.dir.display())
    ),
    key!(
        "tail_dir",
        "Directory of the mapped tail, on tmpfs; `auto` takes /dev/shm. Name one to answer `applied` in a container.",
        Allowed::Path,
        |c, v| c.data.tail_dir = (v.text() != "auto").then(|| PathBuf::from(v.text())),
        |c| c.data.tail_dir.as_ref().map_or_else(|| text("auto"), |dir| text(dir.display()))
    ),
    key!(
        "segment_mib",
        "Size of a log segment in MiB, preallocated.",
        Allowed::Integer { min: 1, max: 4096 },
        |c, v| c.data.segment_mib = u32::try_from(v.integer()).unwrap_or(u32::MAX),
        |c| c.data.segment_mib.to_string()
    ),
    key!(
        "tail_mib",
        "Size of the mapped tail in MiB: what may be accepted and not yet be on the disk.",
        Allowed::Integer { min: 1, max: 4096 },
        |c, v| c.data.tail_mib = u32::try_from(v.integer()).unwrap_or(u32::MAX),
        |c| c.data.tail_mib.to_string()
    ),
    key!(
        "flushes_in_flight",
        "Flushes of the log under way at a time, each on a thread of its own; 1 waits for each before the next.",
        Allowed::Integer { min: 1, max: 3 },
        |c, v| c.data.flushes_in_flight = u8::try_from(v.integer()).unwrap_or(u8::MAX),
        |c| c.data.flushes_in_flight.to_string()
    ),
];

const ENGINE: &[Key<Config>] = &[
    key!(
        "core",
        "Core of the shard thread; `auto` takes the last one.",
        Allowed::Core("auto"),
        |c, v| c.engine.core = core(&v),
        |c| show_core(c.engine.core, "auto")
    ),
    key!(
        "log_core",
        "Core of the log thread, another than `core`; `none` does not pin it.",
        Allowed::Core("none"),
        |c, v| c.engine.log_core = core(&v),
        |c| show_core(c.engine.log_core, "none")
    ),
    key!(
        "wait",
        "How pinned threads wait: `auto` spins only where cores are to spare.",
        Allowed::OneOf(&["auto", "spin", "park"]),
        |c, v| {
            c.engine.wait =
                [Wait::Spin, Wait::Park].into_iter().find(|wait| wait.as_str() == v.text()).unwrap_or(Wait::Auto);
        },
        |c| text(c.engine.wait.as_str())
    ),
    key!(
        "huge_pages",
        "Whether the book lies on huge pages, touched at the start: all memory that `limits` allow, twice.",
        Allowed::Bool,
        |c, v| c.engine.huge_pages = matches!(v, Value::Bool(true)),
        |c| c.engine.huge_pages.to_string()
    ),
];

const LIMITS: &[Key<Config>] = &[
    limit!("positions_max", "Positions, open or closed.", 1 << 26, engine.limits.positions_max),
    limit!("lots_max", "Open lots of all positions, with the slack of their blocks.", 1 << 30, engine.limits.lots_max),
    limit!(
        "names_max",
        "Names of each class: accounts, instruments, contracts, users.",
        1 << 24,
        engine.limits.names_max
    ),
    limit!("forwards_max", "Forward-dated trades that wait for their date.", 1 << 24, engine.limits.forwards_max),
    limit!("amendments_max", "Accepted amendments and amended trades.", 1 << 26, engine.limits.amendments_max),
    limit!("held_max", "Amendments that are held for a target that has not come.", 1 << 20, engine.limits.held_max),
    limit!("contracts_max", "Contract versions.", 1 << 24, engine.limits.contracts_max),
    limit!("actions_max", "Corporate actions and resets.", 1 << 20, engine.limits.actions_max),
    limit!(
        "legs_max",
        "Lots that left a position for another one and are kept for its replays.",
        1 << 26,
        engine.limits.legs_max
    ),
    limit!("trade_ids_max", "Trade ids in memory, for recognising duplicates.", 1 << 30, engine.trade_ids_max),
];

const BUSINESS: &[Key<Config>] = &[
    key!(
        "date",
        "Business date of a new log; an existing log goes on with its own. `today` is the UTC date.",
        Allowed::Date,
        |c, v| c.business.date = Date::parse(v.text()).map_or(BusinessDate::Today, BusinessDate::Fixed),
        |c| text(c.business.date)
    ),
    key!(
        "allow_short",
        "Whether positions may be short where no contract is in force.",
        Allowed::Bool,
        |c, v| c.business.allow_short = matches!(v, Value::Bool(true)),
        |c| c.business.allow_short.to_string()
    ),
    key!(
        "lot_method",
        "Lot method where no contract is in force.",
        Allowed::OneOf(&["FIFO", "LIFO", "HIFO"]),
        |c, v| c.business.lot_method = LotMethod::parse(v.text()).unwrap_or(LotMethod::Fifo),
        |c| text(c.business.lot_method.as_str())
    ),
];

const CHECKPOINT: &[Key<Config>] = &[key!(
    "every_records",
    "A checkpoint after so many log records; 0 makes one at a clean stop only.",
    Allowed::Integer { min: 0, max: 1_000_000_000 },
    |c, v| c.checkpoint.every_records = v.integer(),
    |c| c.checkpoint.every_records.to_string()
)];

const RETENTION: &[Key<Config>] = &[
    key!(
        "archive_dir",
        "Directory that sealed segments of all logs are shipped to, compressed, best on another disk; `off`: none, and nothing is deleted.",
        Allowed::Path,
        |c, v| c.retention.archive_dir = (v.text() != "off").then(|| PathBuf::from(v.text())),
        |c| c.retention.archive_dir.as_ref().map_or_else(|| text("off"), |dir| text(dir.display()))
    ),
    Key {
        name: "tail_copy_ms",
        meaning: "How often, in milliseconds, the records that are in no sealed segment yet are copied to where the segments are shipped, so that a \
                  lost disk loses no more than those since; once more at a stop. 0: never.",
        allowed: Allowed::Integer { min: 0, max: 3_600_000 },
        default_words: "",
        set: |c, v| match v.integer() {
            1..100 => Err("must be 0 or at least 100".to_owned()),
            every => {
                c.retention.tail_copy_ms = every;
                Ok(())
            }
        },
        show: |c| c.retention.tail_copy_ms.to_string(),
    },
    number!(
        "plain_segments",
        "Newest sealed segments that stay uncompressed while space allows; only where there is an archive, without one all do.",
        0..=65_536,
        retention.plain_segments
    ),
    number!(
        "local_hours",
        "Hours that a shipped segment stays here when nobody needs it; 0: until space runs short.",
        0..=87_600,
        retention.local_hours
    ),
    number!(
        "budget_mib",
        "MiB that the main log and the side log may each take here, at least four segments and the reserve; 0: what the file system has.",
        0..=1 << 30,
        retention.budget_mib
    ),
    number!(
        "low_segments",
        "Space is short below room for so many segments: then what can go goes (docs/wal-format.md has the ladder).",
        0..=65_536,
        retention.low_segments
    ),
    number!(
        "reserve_segments",
        "Admission closes below room for so many segments, and opens again by itself; below `low_segments` where that is not 0.",
        0..=65_535,
        retention.reserve_segments
    ),
    number!("zstd_level", "Level of compression.", 1..=19, retention.zstd_level),
    number!("check_ms", "Milliseconds between two looks at space and archive.", 1..=60_000, retention.check_ms),
];

const COLDPATH: &[Key<Config>] = &[
    number!(
        "workers",
        "Threads that reconcile late trades; `lotbook coldpath resize` changes it while the host runs.",
        1..=COLD_WORKERS_MAX as u64,
        coldpath.workers
    ),
    key!(
        "core",
        "Core of the first of them, the others take those after it; `none` does not pin them.",
        Allowed::Core("none"),
        |c, v| c.coldpath.core = core(&v),
        |c| show_core(c.coldpath.core, "none")
    ),
    key!(
        "order",
        "Which position comes first: whose newest late change came last, or which has waited longest. One that waits for half the service level comes before both.",
        Allowed::OneOf(&["newest_first", "oldest_first"]),
        |c, v| {
            let found = ORDERS.iter().find(|(word, _)| *word == v.text());
            c.coldpath.order = found.map_or(c.coldpath.order, |(_, order)| *order);
        },
        |c| text(c.coldpath.order_word())
    ),
    number!(
        "service_level_ms",
        "Milliseconds that a position is to be PROVISIONAL at most; longer is counted, and an operator is told.",
        1..=86_400_000,
        coldpath.service_level_ms
    ),
    number!(
        "hung_after_ms",
        "A worker that has one position for so many milliseconds is given up, and the position to another.",
        1_000..=86_400_000,
        coldpath.hung_after_ms
    ),
    number!(
        "retry_base_ms",
        "Milliseconds before a failed reconciliation is tried again, give or take a fifth; twice as long each further time, 30 seconds at most.",
        1..=30_000,
        coldpath.retry_base_ms
    ),
];
