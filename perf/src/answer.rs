//! What a host says to an application message: accepted, known before, refused.

use crate::text;
use crate::wire::{self, Incoming};

/// A host's answer to an application message.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// TradeCaptureReportAck (AR).
    Ack {
        /// 571.
        trade_id: &'a [u8],
        /// 939=0.
        accepted: bool,
        /// The outcome word of the text.
        outcome: &'a [u8],
        /// 527, the log sequence.
        sequence: u64,
        /// The sequence as the text says it; must be the same.
        sequence_in_text: Option<u64>,
        /// The first result's sequence, for a duplicate.
        first: Option<u64>,
        /// 818.
        correlation: &'a [u8],
        /// Reason code of a refusal.
        code: &'a [u8],
    },
    /// Reject (3).
    Reject {
        /// Ledger index of the refused message; none when it was none of ours.
        index: Option<u32>,
        /// 371.
        tag: Option<u64>,
        /// 373.
        reason: Option<u64>,
        /// 58.
        text: &'a [u8],
    },
    /// BusinessMessageReject (j).
    BusinessReject {
        /// Ledger index of the refused message; none when it was none of ours.
        index: Option<u32>,
        /// 380.
        reason: Option<u64>,
        /// 58.
        text: &'a [u8],
    },
}

impl<'a> Answer<'a> {
    /// The answer in a message, none when it is no answer. `index_of` tells the ledger index that went out under a number.
    pub fn read(message: &Incoming<'a>, index_of: impl Fn(u64) -> Option<u32>) -> Option<Self> {
        let index = || index_of(message.ref_seq?);
        Some(match message.msg_type {
            b"AR" => {
                let number = |name: &[u8]| wire::word(message.text, name).and_then(text::parse_u64);
                Answer::Ack {
                    trade_id: message.trade_id,
                    accepted: message.status == b"0",
                    outcome: wire::word(message.text, b"outcome").unwrap_or_default(),
                    sequence: text::parse_u64(message.secondary).unwrap_or(0),
                    sequence_in_text: number(b"seq"),
                    first: number(b"first"),
                    correlation: message.correlation,
                    code: wire::word(message.text, b"code").unwrap_or_default(),
                }
            }
            b"3" => Answer::Reject {
                index: index(),
                tag: message.ref_tag,
                reason: message.reject_reason,
                text: message.text,
            },
            b"j" => Answer::BusinessReject { index: index(), reason: message.business_reason, text: message.text },
            _ => return None,
        })
    }
}
