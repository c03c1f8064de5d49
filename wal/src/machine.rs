//! What the log asks the machine beside storage: which boot this is, what time it is, a number nobody else has.

use std::time::{SystemTime, UNIX_EPOCH};

/// The machine's boot id; zeros where it cannot be read.
pub(crate) fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let mut id = [0u8; 16];
    for (i, byte) in id.iter_mut().enumerate() {
        *byte = digits.get(i * 2..i * 2 + 2).and_then(|d| u8::from_str_radix(d, 16).ok()).unwrap_or(0);
    }
    id
}

/// Nanoseconds since 1970.
pub(crate) fn wall_clock_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

/// Never zero, never twice.
pub(crate) fn random_id() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut bytes = [0u8; 8];
    let from_system =
        std::fs::File::open("/dev/urandom").and_then(|mut f| std::io::Read::read_exact(&mut f, &mut bytes)).is_ok();
    let id = if from_system {
        u64::from_le_bytes(bytes)
    } else {
        let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
        hasher.write_u64(wall_clock_ns());
        hasher.finish()
    };
    id.max(1)
}

/// The name that the system gives this host; `?` where it gives none.
pub(crate) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "?".into(), |name| name.trim_end().into())
}
