//! Chunks that a reader of single records has met lately: what stands near a record that was read is often asked for next.
//!
//! Along the back-links of one position that is often traded records lie side by side. Along those of many positions, one after the
//! other, they lie in the same few places, one for each time at which all of them were traded. So a chunk is read whole when it is
//! met again among the last few that were read from, and a few such chunks are kept.

use crate::aligned::AlignedBuffer;
use crate::limits::{CHUNK_BYTES, NEAR_CHUNKS, NEAR_MET};

/// A log's id and epoch. What was kept of one opening is not taken for the next one's, which may have cut the log, or not find its archive.
type Opening = (u64, u32);

/// A whole chunk as it lies on the disk. It never changes, for it was durable as a whole when it was read.
#[derive(Debug)]
struct Near {
    opening: Opening,
    chunk: u64,
    bytes: AlignedBuffer,
}

/// See the module's text. Memory is taken as chunks are kept, and reused.
#[derive(Debug, Default)]
pub(crate) struct NearChunks {
    /// The one used last is the last.
    kept: Vec<Near>,
    /// Opening and chunk of the last reads, each once, the newest last.
    met: Vec<(Opening, u64)>,
}

impl NearChunks {
    /// The bytes of a chunk, if they are kept.
    pub(crate) fn find(&mut self, opening: Opening, chunk: u64) -> Option<&[u8]> {
        let at = self.kept.iter().rposition(|near| (near.opening, near.chunk) == (opening, chunk))?;
        let last = self.kept.len() - 1;
        // By one place: who is asked for again and again comes to the end, at the price of one swap.
        if at < last {
            self.kept[at..].rotate_left(1);
        }
        Some(&self.kept[last].bytes[..CHUNK_BYTES])
    }

    /// Notes a read from a chunk; says whether it is among the last that were read from.
    pub(crate) fn meets(&mut self, opening: Opening, chunk: u64) -> bool {
        let at = self.met.iter().rposition(|met| *met == (opening, chunk));
        match at {
            Some(at) => self.met[at..].rotate_left(1),
            None => {
                if self.met.len() == NEAR_MET {
                    self.met.remove(0);
                }
                self.met.push((opening, chunk));
            }
        }
        at.is_some()
    }

    /// Keeps a chunk, in place of the one that was not used for longest, once `fill` has read it whole.
    ///
    /// # Errors
    /// Those of `fill`, which says whether it has: nothing is kept then.
    pub(crate) fn keep<E>(
        &mut self,
        opening: Opening,
        chunk: u64,
        fill: impl FnOnce(&mut [u8]) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let mut bytes =
            if self.kept.len() == NEAR_CHUNKS { self.kept.remove(0).bytes } else { AlignedBuffer::new(CHUNK_BYTES) };
        let is_whole = fill(&mut bytes[..CHUNK_BYTES])?;
        if is_whole {
            self.kept.push(Near { opening, chunk, bytes });
        }
        Ok(is_whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(near: &mut NearChunks, chunk: u64) {
        let filled = near.keep((1, 1), chunk, |bytes| {
            bytes.fill(chunk as u8);
            Ok::<_, ()>(true)
        });
        assert_eq!(filled, Ok(true));
    }

    #[test]
    fn the_chunk_that_was_not_used_for_longest_goes() {
        let mut near = NearChunks::default();
        (0..NEAR_CHUNKS as u64).for_each(|chunk| keep(&mut near, chunk));
        assert_eq!(near.find((1, 1), 0).map(|bytes| bytes[9]), Some(0));
        keep(&mut near, 100);
        assert!(near.find((1, 1), 1).is_none(), "0 was used since");
        assert_eq!(near.find((1, 1), 0).map(|bytes| bytes[9]), Some(0));
        assert_eq!(near.find((1, 1), 100).map(|bytes| bytes[9]), Some(100));
        assert!(near.find((2, 1), 100).is_none(), "of another log");
        assert!(near.find((1, 2), 100).is_none(), "of another opening");
    }

    #[test]
    fn what_is_not_whole_is_not_kept() {
        let mut near = NearChunks::default();
        assert_eq!(near.keep((1, 1), 7, |_| Ok::<_, ()>(false)), Ok(false));
        assert_eq!(near.keep((1, 1), 7, |_| Err("torn")), Err("torn"));
        assert!(near.find((1, 1), 7).is_none());
    }

    #[test]
    fn a_chunk_is_met_again_within_a_few_reads() {
        let mut near = NearChunks::default();
        for chunk in 0..NEAR_MET as u64 {
            assert!(!near.meets((1, 1), chunk));
        }
        assert!(near.meets((1, 1), 0));
        assert!(!near.meets((2, 1), 0), "of another log");
        assert!(near.find((1, 2), 100).is_none(), "of another opening");
        assert!(!near.meets((1, 1), 1), "too long ago");
        assert!(near.meets((1, 1), 0));
    }
}
