//! A stream of FIX bytes: frames, fields, trades.

use lotbook_gateway::fix::frame::{self, Framed};
use lotbook_gateway::fix::limits::FRAME_BYTES_MAX;
use lotbook_gateway::fix::message::Message;
use lotbook_gateway::fix::trade::FixTrade;

/// Reads a stream as a connection does.
///
/// # Panics
/// The reader stands still, goes beyond the buffer, or says something else of less of the same.
pub fn run(bytes: &[u8]) {
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match frame::next(rest) {
            Framed::NeedMore { bytes_min } => {
                assert!(bytes_min > rest.len(), "{bytes_min} bytes are there");
                assert!(bytes_min <= FRAME_BYTES_MAX + 1, "{bytes_min} bytes never come");
                return;
            }
            Framed::Garbled { skip_to, .. } => {
                assert!((1..=rest.len()).contains(&skip_to), "{skip_to} of {}", rest.len());
                at += skip_to;
            }
            Framed::Frame(frame) => {
                assert!(frame.len() <= rest.len());
                let whole = &rest[..frame.len()];
                assert_eq!(frame::next(whole), Framed::Frame(frame), "what follows a message changes it");
                for len in [1, frame.len() / 2, frame.len() - 1] {
                    let less = frame::next(&whole[..len]);
                    assert!(matches!(less, Framed::NeedMore { bytes_min } if bytes_min > len), "{less:?} of {len}");
                }
                read(&Message::parse(whole, &frame));
                at += frame.len();
            }
        }
    }
}

fn read(message: &Message<'_>) {
    let bytes = message.bytes().len();
    assert!(message.fields().count() <= bytes);
    if message.fault().is_some() {
        return;
    }
    match FixTrade::from_message(message) {
        Ok(trade) => drop(format!("{trade:?}")),
        Err(refusal) => assert!(!format!("{refusal:?}").is_empty()),
    }
}
