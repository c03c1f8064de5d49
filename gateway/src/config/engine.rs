//! From the file's words to the engine's.

use lotbook_engine::EngineConfig;
use lotbook_engine::wait::WaitKind;

use super::{Config, Wait};

/// The engine counts the mapped tail in blocks of 64 KiB.
const TAIL_BLOCKS_PER_MIB: u32 = 16;

impl Config {
    /// What the engine is told; what no key says keeps the engine's default.
    #[must_use]
    pub fn engine_config(&self) -> EngineConfig {
        EngineConfig {
            tail_dir: self.data.tail_dir.clone(),
            segment_bytes: u64::from(self.data.segment_mib) << 20,
            tail_blocks: self.data.tail_mib * TAIL_BLOCKS_PER_MIB,
            flushes_in_flight: self.data.flushes_in_flight as usize,
            shard_core: self.engine.core.map(usize::from),
            log_core: self.engine.log_core.map(usize::from),
            wait: match self.engine.wait {
                Wait::Auto => WaitKind::Auto,
                Wait::Spin => WaitKind::Spin,
                Wait::Park => WaitKind::Park,
            },
            huge_pages: self.engine.huge_pages,
            limits: self.engine.limits,
            gate: self.gate.terms(),
            trade_ids_max: self.engine.trade_ids_max,
            checkpoint_records: self.checkpoint.every_records,
            retention: self.retention.of_log(),
            cold: self.coldpath.of_engine(),
            ..EngineConfig::new(&self.data.dir)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented defaults are the engine's own: one truth in two places, compared here.
    #[test]
    fn defaults_are_the_engines() {
        let ours = Config::default().engine_config();
        let theirs = EngineConfig::new(&ours.data_dir);
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn words_become_numbers() {
        let text = "[data]\nsegment_mib = 2\ntail_mib = 1\n[engine]\ncore = 3\nwait = \"spin\"\n";
        let engine = Config::parse("lotbook.toml", text).expect("reads").engine_config();
        assert_eq!((engine.segment_bytes, engine.tail_blocks), (2 << 20, 16));
        assert_eq!((engine.shard_core, engine.log_core, engine.wait), (Some(3), None, WaitKind::Spin));
    }
}
