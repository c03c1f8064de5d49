//! `[gate]`: what inputs must keep beside the rules of the book.

use lotbook_core::gate::GateTerms;

/// The section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Days after the business date that an effective date may be; 0: any number.
    pub days_ahead_max: u32,
    /// Days before the business date that an effective date may be; 0: any number.
    pub days_back_max: u32,
}

impl Default for Gate {
    fn default() -> Self {
        let GateTerms { days_ahead_max, days_back_max } = GateTerms::DEFAULT;
        Self { days_ahead_max, days_back_max }
    }
}

impl Gate {
    /// In the shard's words.
    #[must_use]
    pub fn terms(&self) -> GateTerms {
        GateTerms { days_ahead_max: self.days_ahead_max, days_back_max: self.days_back_max }
    }
}
