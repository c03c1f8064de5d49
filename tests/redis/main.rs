//! The Redis sink against a real Redis: killed, flushed, frozen, refused; at the end it shows what HTTP says, field by field.
//!
//! `LOTBOOK_LONG=1` kills and flushes 50 times and freezes for 60 seconds.

mod desk;
mod losses;
mod refused;
mod server;
mod shown;
mod speed;

/// How often something befalls Redis.
fn times() -> usize {
    if is_long() { 50 } else { 5 }
}

fn is_long() -> bool {
    std::env::var_os("LOTBOOK_LONG").is_some_and(|value| value == "1")
}
