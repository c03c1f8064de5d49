//! What a message says of the order behind a fill: never used by the book, and said again where FIX 4.2 wants it in an answer.

use super::encode::decimal;
use super::message::{Message, Tag};
use super::value;

/// The order behind a FIX 4.2 ExecutionReport, as its sender told it. Fields that it did not give, or gave malformed, have the values that
/// say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order<'a> {
    /// OrderID (37); `NONE` where absent.
    pub order_id: &'a str,
    /// OrdStatus (39); `2` where absent.
    pub ord_status: u8,
    /// ExecType (150); `2` where absent.
    pub exec_type: u8,
    /// Side (54); `7`, undisclosed, where absent.
    pub side: u8,
    /// LeavesQty (151) at 10^-8.
    pub leaves_e8: i64,
    /// CumQty (14) at 10^-8.
    pub cum_e8: i64,
    /// AvgPx (6) at 10^-8.
    pub avg_e8: i64,
}

/// The longest OrderID that is said again, in bytes.
pub const ORDER_ID_BYTES_MAX: usize = 64;

impl<'a> Order<'a> {
    /// Reads what is there.
    pub fn read(message: &Message<'a>) -> Order<'a> {
        let char_of = |tag, absent| match message.get(tag) {
            Some([one @ (b'0'..=b'9' | b'A'..=b'Z')]) => *one,
            _ => absent,
        };
        let amount = |tag| message.get(tag).and_then(|text| value::decimal_e8(text).ok()).unwrap_or(0);
        let order_id = message.get(Tag::OrderId).and_then(|id| value::text(id, ORDER_ID_BYTES_MAX).ok());
        Order {
            order_id: order_id.unwrap_or("NONE"),
            ord_status: char_of(Tag::OrdStatus, b'2'),
            exec_type: char_of(Tag::ExecType, b'2'),
            side: char_of(Tag::Side, b'7'),
            leaves_e8: amount(Tag::LeavesQty),
            cum_e8: amount(Tag::CumQty),
            avg_e8: amount(Tag::AvgPx),
        }
    }

    /// 39, 54, 151, 14 and 6 as FIX 4.2 requires them in an ExecutionReport.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[b'3', b'9', b'=', self.ord_status, 1, b'5', b'4', b'=', self.side, 1]);
        for (tag, amount_e8) in [(&b"151="[..], self.leaves_e8), (b"14=", self.cum_e8), (b"6=", self.avg_e8)] {
            out.extend_from_slice(tag);
            decimal(out, amount_e8);
            out.push(1);
        }
    }
}
