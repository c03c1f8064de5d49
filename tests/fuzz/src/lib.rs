//! Bytes from strangers: what every reader of the product is held to, whatever comes in.
//!
//! A target is a function of bytes that panics where something that must hold does not: `docs/fuzzing.md` says what, target by target.
//! `tests/short.rs` bends the seeds of `seeds/` a fixed number of times, so that CI sees the same inputs on every machine.
//!
//! No target may block, and what one keeps between calls does not grow.

pub mod bytes;
pub mod mutate;
pub mod targets;

/// A target: its name, which is that of its folder of seeds, and what takes the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name.
    pub name: &'static str,
    /// Takes an input.
    ///
    /// # Panics
    /// Something that must hold does not.
    pub run: fn(&[u8]),
    /// Inputs that the short form makes of the seeds.
    pub short_inputs: u32,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "frame", run: targets::frame::run, short_inputs: 2_000_000 },
    Target { name: "session", run: targets::session::run, short_inputs: 500_000 },
    Target { name: "lines", run: targets::lines::run, short_inputs: 100_000 },
    Target { name: "config", run: targets::config::run, short_inputs: 100_000 },
    Target { name: "event", run: targets::event::run, short_inputs: 2_000_000 },
];

/// The target of a name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
