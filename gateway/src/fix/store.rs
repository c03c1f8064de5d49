//! Answers already sent, kept so that a ResendRequest can be served.

use std::ops::Range;

/// One answer as it was first sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Its MsgSeqNum.
    pub seq: u64,
    /// Its MsgType.
    pub msg_type: &'a [u8],
    /// Its SendingTime, which becomes OrigSendingTime (122).
    pub sent_utc_ns: i64,
    /// The fields behind the header, each with its SOH.
    pub body: &'a [u8],
}

/// Where a session keeps what it sent, and finds it again.
///
/// A store may forget: what it does not give back is gap-filled, so a forgetful store is correct and merely less helpful. Only answers are put
/// (trade acknowledgements, business rejects, session rejects); other session messages are always gap-filled.
pub trait OutboundStore {
    /// Keeps an answer. Numbers come in rising order until [`OutboundStore::clear`].
    fn put(&mut self, stored: Stored<'_>);

    /// The stored answer with the least number in `seqs`.
    fn first_in(&self, seqs: Range<u64>) -> Option<Stored<'_>>;

    /// Forgets everything: numbering starts again at 1.
    fn clear(&mut self);
}

/// Keeps nothing: every resend is a gap fill.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStore;

impl OutboundStore for NoStore {
    fn put(&mut self, _stored: Stored<'_>) {}

    fn first_in(&self, _seqs: Range<u64>) -> Option<Stored<'_>> {
        None
    }

    fn clear(&mut self) {}
}

const TYPE_BYTES_MAX: usize = 2;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    seq: u64,
    sent_utc_ns: i64,
    /// Where the body starts in the stream of all bytes ever put, padding included.
    position: u64,
    body_bytes: u32,
    msg_type: [u8; TYPE_BYTES_MAX],
    type_bytes: u8,
}

/// The last answers, in two rings of fixed size: slots, and the bytes of the bodies.
///
/// Whichever ring is full first forgets its oldest. Both are allocated once, so putting never allocates; `body_bytes` is also the most that one
/// ResendRequest can make a session write, a few hundred bytes of header a message aside.
#[derive(Debug, Clone)]
pub struct RingStore {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    /// The slots in use are those of `first..first + len`, each at its count modulo the ring's size.
    first: u64,
    len: u64,
    /// Bytes ever put, padding included.
    written: u64,
}

impl RingStore {
    /// A store for `messages` answers and `body_bytes` bytes of bodies; each at least one.
    pub fn new(messages: usize, body_bytes: usize) -> RingStore {
        assert!(messages > 0);
        assert!(body_bytes > 0);
        RingStore { slots: vec![Slot::default(); messages], bytes: vec![0; body_bytes], first: 0, len: 0, written: 0 }
    }

    /// How many answers are kept now.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn slot(&self, count: u64) -> &Slot {
        &self.slots[(count % self.slots.len() as u64) as usize]
    }

    fn drop_first(&mut self) {
        self.first += 1;
        self.len -= 1;
    }
}

impl OutboundStore for RingStore {
    fn put(&mut self, stored: Stored<'_>) {
        let capacity = self.bytes.len() as u64;
        let body_bytes = stored.body.len() as u64;
        if self.len > 0 {
            assert!(stored.seq > self.slot(self.first + self.len - 1).seq);
        }
        if body_bytes > capacity || stored.msg_type.len() > TYPE_BYTES_MAX {
            return;
        }
        // A body is never split: where it does not fit before the end of the ring, the rest is padding.
        let to_end = capacity - self.written % capacity;
        let position = if body_bytes <= to_end { self.written } else { self.written + to_end };
        self.written = position + body_bytes;
        while self.len > 0 && self.slot(self.first).position + capacity < self.written {
            self.drop_first();
        }
        if self.len == self.slots.len() as u64 {
            self.drop_first();
        }
        let start = (position % capacity) as usize;
        self.bytes[start..start + stored.body.len()].copy_from_slice(stored.body);
        let mut msg_type = [0; TYPE_BYTES_MAX];
        msg_type[..stored.msg_type.len()].copy_from_slice(stored.msg_type);
        let at = ((self.first + self.len) % self.slots.len() as u64) as usize;
        self.slots[at] = Slot {
            seq: stored.seq,
            sent_utc_ns: stored.sent_utc_ns,
            position,
            body_bytes: body_bytes as u32,
            msg_type,
            type_bytes: stored.msg_type.len() as u8,
        };
        self.len += 1;
    }

    fn first_in(&self, seqs: Range<u64>) -> Option<Stored<'_>> {
        // Numbers rise along the ring: a binary search for the first that is not below the range.
        let (mut low, mut high) = (self.first, self.first + self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.slot(middle).seq < seqs.start {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        if low == self.first + self.len {
            return None;
        }
        let slot = self.slot(low);
        if !seqs.contains(&slot.seq) {
            return None;
        }
        let start = (slot.position % self.bytes.len() as u64) as usize;
        Some(Stored {
            seq: slot.seq,
            msg_type: &slot.msg_type[..usize::from(slot.type_bytes)],
            sent_utc_ns: slot.sent_utc_ns,
            body: &self.bytes[start..start + slot.body_bytes as usize],
        })
    }

    fn clear(&mut self) {
        self.first = 0;
        self.len = 0;
        self.written = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(store: &mut RingStore, seq: u64, body: &[u8]) {
        store.put(Stored { seq, msg_type: b"AR", sent_utc_ns: seq as i64, body });
    }

    fn seqs(store: &RingStore) -> Vec<u64> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(stored) = store.first_in(from..u64::MAX) {
            found.push(stored.seq);
            from = stored.seq + 1;
        }
        found
    }

    #[test]
    fn the_oldest_goes_first_whichever_ring_is_full() {
        let mut store = RingStore::new(3, 100);
        for seq in [1, 2, 5, 9] {
            put(&mut store, seq, b"0123456789");
        }
        assert_eq!(seqs(&store), [2, 5, 9]);
        let mut store = RingStore::new(100, 25);
        for seq in [1, 2, 5, 9] {
            put(&mut store, seq, b"0123456789");
        }
        assert_eq!(seqs(&store), [5, 9]);
    }

    #[test]
    fn a_range_is_half_open_and_may_be_empty() {
        let mut store = RingStore::new(8, 100);
        put(&mut store, 4, b"four");
        put(&mut store, 7, b"seven");
        assert_eq!(store.first_in(1..4), None);
        assert_eq!(store.first_in(1..5).unwrap().body, b"four");
        assert_eq!(store.first_in(5..7), None);
        let seven = Stored { seq: 7, msg_type: b"AR", sent_utc_ns: 7, body: b"seven" };
        assert_eq!(store.first_in(5..8), Some(seven));
        assert_eq!(store.first_in(8..9), None);
        store.clear();
        assert_eq!(store.first_in(0..100), None);
        put(&mut store, 1, b"again");
        assert_eq!(seqs(&store), [1]);
    }

    #[test]
    fn what_cannot_fit_is_not_kept() {
        let mut store = RingStore::new(8, 4);
        put(&mut store, 1, b"1234");
        put(&mut store, 2, b"12345");
        assert_eq!(seqs(&store), [1]);
    }

    proptest! {
        /// What comes back is what was put, and a suffix of it.
        #[test]
        fn bodies_come_back_whole(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..60),
            messages in 1_usize..20,
            body_bytes in 1_usize..200,
        ) {
            let mut store = RingStore::new(messages, body_bytes);
            let mut model = Vec::new();
            for (at, body) in bodies.iter().enumerate() {
                let seq = at as u64 * 2 + 1;
                put(&mut store, seq, body);
                if body.len() <= body_bytes {
                    model.push((seq, body));
                }
                let kept = seqs(&store);
                prop_assert!(kept.len() <= messages);
                prop_assert_eq!(kept.len(), store.len());
                let tail = &model[model.len() - kept.len()..];
                for ((expected, body), found) in tail.iter().zip(kept) {
                    prop_assert_eq!(*expected, found);
                    prop_assert_eq!(store.first_in(found..found + 1).unwrap().body, &body[..]);
                }
                // Forgetting has a reason: no slot is left, or too few bytes for one more body of up to 39, its padding included.
                let kept_bytes: usize = tail.iter().map(|(_, body)| body.len()).sum();
                prop_assert!(tail.len() == model.len() || tail.len() == messages || kept_bytes + 2 * 39 > body_bytes);
            }
        }
    }
}
