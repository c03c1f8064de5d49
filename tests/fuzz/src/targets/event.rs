//! A record of the log: kind, then payload.

use std::cell::RefCell;

use lotbook_core::codec::{Decoder, PAYLOAD_BYTES_MAX, SCHEMA_VERSION, encode, kind, kind_of, payload_bytes};

use crate::bytes::Bytes;

/// A payload as the log hands it out: it begins at a multiple of sixteen.
#[repr(align(16))]
struct Aligned([u8; PAYLOAD_BYTES_MAX]);

thread_local! {
    static ROOM: RefCell<Box<[Aligned; 2]>> = RefCell::new(Box::new([const { Aligned([0; PAYLOAD_BYTES_MAX]) }; 2]));
}

/// Decodes a payload, encodes what it says, and decodes that.
///
/// # Panics
/// It says something else then, or has another size than was said.
pub fn run(bytes: &[u8]) {
    let mut input = Bytes(bytes);
    let kind = input.pick(&kind::ALL).0;
    let len = input.0.len().min(PAYLOAD_BYTES_MAX);
    ROOM.with_borrow_mut(|room| {
        let [first, second] = &mut **room;
        first.0[..len].copy_from_slice(&input.0[..len]);
        let (mut decoder, mut again) = (Decoder::new(), Decoder::new());
        let Ok(event) = decoder.decode(kind, SCHEMA_VERSION, &first.0[..len]) else { return };
        assert_eq!(kind_of(&event), kind);
        let bytes = payload_bytes(&event);
        assert!(bytes <= PAYLOAD_BYTES_MAX, "{bytes} bytes");
        let payload = &mut second.0[..bytes];
        encode(&event, payload);
        assert_eq!(again.decode(kind, SCHEMA_VERSION, payload).as_ref(), Ok(&event));
    });
}
