//! Messages for the tests of this door, written with `|` for SOH.

use super::frame::{self, Frame, Framed, check_sum};
use super::message::Message;

/// Replaces `|` by SOH.
pub(crate) fn pipes(text: &str) -> Vec<u8> {
    text.bytes().map(|byte| if byte == b'|' { frame::SOH } else { byte }).collect()
}

/// Puts BeginString, BodyLength and CheckSum around a body.
pub(crate) fn framed(begin_string: &str, body: &str) -> Vec<u8> {
    let body = pipes(body);
    let mut bytes = format!("8={begin_string}\u{1}9={}\u{1}", body.len()).into_bytes();
    bytes.extend_from_slice(&body);
    let sum = check_sum(&bytes);
    bytes.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
    bytes
}

/// Frames and parses a whole message; panics where it is none.
pub(crate) fn parsed(bytes: &[u8]) -> Message<'_> {
    match frame::next(bytes) {
        Framed::Frame(found) => {
            assert_eq!(found.len(), bytes.len());
            Message::parse(bytes, &found)
        }
        other => panic!("{other:?} in {}", shown(bytes)),
    }
}

/// The frames of a write buffer, one message each.
pub(crate) fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let Framed::Frame(frame) = frame::next(bytes) else {
            panic!("not a message: {}", shown(bytes));
        };
        let _: Frame = frame;
        found.push(bytes[..frame.len()].to_vec());
        bytes = &bytes[frame.len()..];
    }
    found
}

/// Bytes as text, `|` for SOH.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\u{1}', "|")
}
