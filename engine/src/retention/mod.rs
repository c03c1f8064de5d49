//! Retention of a host's logs: what the host itself holds in them, what is out of reach, and who is told when space runs short.
//!
//! Every log has a keeper, a thread of its own (not the log thread) that archives sealed segments and drops what the ladder allows. Here
//! is what it must know of the host, and what an operator must know of it:
//!
//! - [`holders`]: cursors that keep on this disk what a start needs;
//! - [`reach`]: archived segments that nothing within reach has, and the refusal to start without those that are needed;
//! - [`watch`]: the thread that moves the cursors, tells of short space, and has positions tried again once their history is back.

pub(crate) mod holders;
pub(crate) mod reach;
pub(crate) mod watch;

pub use holders::hold;

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Name of the cursor in the shard's log: recovery needs what comes after it.
pub const CHECKPOINT_CURSOR: &str = "checkpoint";
/// Name of the cursor in the side log: recovery needs the bodies after it.
pub const BODIES_CURSOR: &str = "bodies";

/// What wants an operator and is in no log's own report, by topic.
#[derive(Debug, Default)]
pub struct Outlook {
    warnings: Mutex<BTreeMap<String, String>>,
}

impl Outlook {
    /// All of it, in words.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().values().cloned().collect()
    }

    /// Sets or ends what is said of a topic; says it once in the operator's own log too.
    pub(crate) fn say(&self, topic: &str, words: Option<String>) {
        let mut warnings = self.warnings.lock();
        match words {
            Some(words) if warnings.get(topic) != Some(&words) => {
                tracing::warn!(topic, words, "retention");
                warnings.insert(topic.to_owned(), words);
            }
            Some(_) => {}
            None => {
                if warnings.remove(topic).is_some() {
                    tracing::info!(topic, "retention: over");
                }
            }
        }
    }
}
