//! An ordinary ExecutionReport, and its way from bytes to a trade.

use std::hint::black_box;

use lotbook_gateway::fix::frame::{self, Framed, check_sum};
use lotbook_gateway::fix::message::Message;
use lotbook_gateway::fix::trade::FixTrade;

/// The body of an ExecutionReport of an ordinary size, `|` for SOH: 280 bytes with what stands around it.
const BODY: &str = "35=8|49=CLEARING1|56=LOTBOOK|34=123456|52=20200305-14:30:00.500|37=ORD-20200305-000123|17=EXEC-20200305-00012345|\
    527=0190163d-8694-739b-aea5-966c26f8ad91|150=F|39=2|1=ACCOUNT-17|55=AAPL|54=1|32=100|31=287.1234|12=1.25|13=3|15=USD|\
    60=20200305-14:29:59.123456|75=20200305|";

/// The message's bytes.
#[must_use]
pub fn execution_report() -> Vec<u8> {
    let body: Vec<u8> = BODY.bytes().map(|byte| if byte == b'|' { frame::SOH } else { byte }).collect();
    let mut bytes = format!("8=FIX.4.4\u{1}9={}\u{1}", body.len()).into_bytes();
    bytes.extend_from_slice(&body);
    let sum = check_sum(&bytes);
    bytes.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
    bytes
}

/// Finds the message, checks length and sum, splits it, and reads its trade; every field of it is touched.
///
/// # Panics
/// The bytes are no trade: a defect worth a panic in a bench.
#[inline]
pub fn parse(bytes: &[u8]) -> i64 {
    let Framed::Frame(found) = frame::next(black_box(bytes)) else { panic!("no message") };
    let message = Message::parse(bytes, &found);
    let trade = FixTrade::from_message(&message).unwrap_or_else(|refusal| panic!("{}", refusal.text));
    black_box(&trade).quantity_e8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_of_an_ordinary_size_and_is_read() {
        let bytes = execution_report();
        assert!((270..=290).contains(&bytes.len()), "{}", bytes.len());
        assert_eq!(parse(&bytes), 100 * 100_000_000);
    }
}
