//! The checksum of a record, and the one routine that seals a record with it.
//!
//! CRC32C over the record from byte 8 to the end of its padding, and then over bytes 4..8, the checksum of the record before. That field
//! comes last so that records do not wait for each other: all of a record but one last step can be summed while the sum before it is
//! still being worked out.
//!
//! The appender seals by [`seal`]. Where the processor has the instructions, the payload is summed in one of three ways, by its length:
//! - up to 64 bytes: one chain of `crc32`, three cycles a word;
//! - below 384 bytes: three chains side by side, joined by shifting the first two over what follows them;
//! - from there on: `crc_fast`, which folds wide vectors, and the header's sum shifted over the payload and added.
//!
//! Shifting is what makes a CRC divisible: it is linear, so the sum of two pieces is the sum of each, the first multiplied by
//! x^(8 * bytes of the second) modulo the polynomial. Elsewhere (and under an interpreter) the portable form does the same without tricks; a
//! test holds the two equal for every length.

use crate::limits::HEADER_BYTES;
use crate::planted::{self, Bug};

/// Where the length lies, for a defect to plant.
const LENGTH_AT: usize = 52;
/// Where the checksum of the record before lies, which is covered last.
pub(crate) const CHAIN_AT: usize = 4;
/// What is covered first begins here and goes on to the end of the padding.
pub(crate) const SUMMED_FROM: usize = 8;
/// Words of a header.
pub(crate) const HEADER_WORDS: usize = HEADER_BYTES / 8;

const _: () = assert!(CHAIN_AT + 4 == SUMMED_FROM);
const _: () = assert!(SUMMED_FROM == 8, "the first word of the header is the checksum and the chain");

/// What the checksum of `record` (header, payload and padding) must be.
#[inline]
pub(crate) fn checksum_of(record: &[u8]) -> u32 {
    if planted::is(Bug::ChecksumWithoutLength) {
        let before = crc32c::crc32c_append(crc32c::crc32c(&record[SUMMED_FROM..LENGTH_AT]), &[0; 4]);
        let all = crc32c::crc32c_append(before, &record[LENGTH_AT + 4..]);
        return crc32c::crc32c_append(all, &record[CHAIN_AT..SUMMED_FROM]);
    }
    if planted::is(Bug::ChecksumOfPayloadAlone) {
        return crc32c::crc32c(&record[HEADER_BYTES..]);
    }
    crc32c::crc32c_append(crc_fast::crc32_iscsi(&record[SUMMED_FROM..]), &record[CHAIN_AT..SUMMED_FROM])
}

/// Stores into the first four bytes of `record` the checksum of all that follows them, and returns it. Header, payload and padding are there
/// already.
#[inline]
pub(crate) fn seal(record: &mut [u8]) -> u32 {
    assert!(record.len() >= HEADER_BYTES);
    assert!(record.len().is_multiple_of(8));
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("sse4.2") && is_x86_feature_detected!("pclmulqdq") {
        // SAFETY: the processor has just been asked.
        return unsafe { folded::seal(record) };
    }
    seal_portable(record)
}

fn seal_portable(record: &mut [u8]) -> u32 {
    let checksum = checksum_of(record);
    record[..CHAIN_AT].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

#[cfg(target_arch = "x86_64")]
mod folded {
    use std::arch::x86_64::{_mm_clmulepi64_si128, _mm_crc32_u32, _mm_crc32_u64, _mm_cvtsi32_si128, _mm_cvtsi128_si64};

    use super::HEADER_WORDS;
    use crate::limits::{CHUNK_BYTES, HEADER_BYTES};

    /// From this many words of payload on, three chains are faster than one.
    const THREE_CHAINS_FROM: usize = 12;
    /// From this many words of payload on, wide folding is faster than three chains.
    const WIDE_FROM: usize = 48;

    /// The polynomial of CRC32C, bits reversed.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    const SHIFTS: usize = CHUNK_BYTES / 8 + 1;
    /// `SHIFT[n]` is x^(64 n - 33) modulo the polynomial, bits reversed. A product of two reversed 32-bit numbers comes out one bit short, and
    /// the `crc32` instruction that reduces it multiplies by x^32: hence the 33.
    static SHIFT: [u32; SHIFTS] = shifts();

    const fn shifts() -> [u32; SHIFTS] {
        let mut by_byte = [0u32; 256];
        let mut i = 0;
        while i < 256 {
            let (mut value, mut bit) = (i as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
                bit += 1;
            }
            by_byte[i] = value;
            i += 1;
        }
        let mut shift = [0u32; SHIFTS];
        // x^31 is the lowest bit of the reversed form.
        shift[1] = 1;
        let mut n = 2;
        while n < SHIFTS {
            let (mut value, mut byte) = (shift[n - 1], 0);
            while byte < 8 {
                value = (value >> 8) ^ by_byte[(value & 0xff) as usize];
                byte += 1;
            }
            shift[n] = value;
            n += 1;
        }
        shift
    }

    /// What `state` becomes over `words` words of zeros, still to be reduced by one `crc32` step of eight bytes.
    #[inline]
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn shifted(state: u32, words: usize) -> u64 {
        let factor = _mm_cvtsi32_si128(SHIFT[words].cast_signed());
        let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi32_si128(state.cast_signed()), factor);
        _mm_cvtsi128_si64(product).cast_unsigned()
    }

    /// See [`super::seal`], which has checked that `record` is whole words and holds a header.
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    pub(super) fn seal(record: &mut [u8]) -> u32 {
        let (words, rest) = record.as_chunks_mut::<8>();
        debug_assert!(rest.is_empty());
        let (header, payload) = words.split_at_mut(HEADER_WORDS);
        let header: &mut [[u8; 8]; HEADER_WORDS] = header.try_into().expect("split there");
        let mut state = u64::from(u32::MAX);
        for word in &header[1..] {
            state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
        }
        let state = match payload.len() {
            0..THREE_CHAINS_FROM => one_chain(state, payload),
            THREE_CHAINS_FROM..WIDE_FROM => three_chains(state, payload),
            words => wide(state, payload, words),
        };
        let chained = (u64::from_le_bytes(header[0]) >> 32) as u32;
        let checksum = !_mm_crc32_u32(state as u32, chained);
        header[0] = (u64::from(checksum) | u64::from(chained) << 32).to_le_bytes();
        checksum
    }

    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn one_chain(state: u64, words: &[[u8; 8]]) -> u64 {
        let mut state = state;
        for word in words {
            state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
        }
        state
    }

    /// The first chain goes on from the header, which is seven words, so it gets the shortest part.
    #[inline]
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn three_chains(state: u64, words: &[[u8; 8]]) -> u64 {
        let part = (words.len() + HEADER_WORDS - 2) / 3;
        let (first, rest) = words.split_at(words.len() - 2 * part);
        let (second, third) = rest.split_at(part);
        let (mut a, mut b, mut c) = (state, 0, 0);
        let last = part - 1;
        let third = &third[..part];
        for i in 0..first.len() {
            a = _mm_crc32_u64(a, u64::from_le_bytes(first[i]));
            b = _mm_crc32_u64(b, u64::from_le_bytes(second[i]));
            c = _mm_crc32_u64(c, u64::from_le_bytes(third[i]));
        }
        for i in first.len()..last {
            b = _mm_crc32_u64(b, u64::from_le_bytes(second[i]));
            c = _mm_crc32_u64(c, u64::from_le_bytes(third[i]));
        }
        b = _mm_crc32_u64(b, u64::from_le_bytes(second[last]));
        // The step that sums the last word reduces both products as well.
        let before = shifted(a as u32, 2 * part) ^ shifted(b as u32, part);
        _mm_crc32_u64(c, u64::from_le_bytes(third[last]) ^ before)
    }

    /// `crc_fast` sums the payload as if nothing were before it; the header's difference from that is added, shifted. Not inlined: it is
    /// large, and short records should not pay for its frame.
    #[inline(never)]
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn wide(state: u64, payload: &[[u8; 8]], words: usize) -> u64 {
        let alone = !crc_fast::crc32_iscsi(payload.as_flattened());
        let header = _mm_crc32_u64(0, shifted(!(state as u32), words));
        u64::from(alone) ^ header
    }

    const _: () = assert!(SHIFTS > (CHUNK_BYTES - HEADER_BYTES) / 8);
    // Below that the first chain would have less than no words left.
    const _: () = assert!(2 * ((THREE_CHAINS_FROM + HEADER_WORDS - 2) / 3) <= THREE_CHAINS_FROM);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CHUNK_BYTES;

    /// Words that differ everywhere.
    fn noise(words: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (0..words).flat_map(|_| next()).collect()
    }

    #[test]
    fn every_length_is_sealed_as_the_format_says() {
        let lengths = (HEADER_WORDS..=600).chain([1_024, 4_095, CHUNK_BYTES / 8 - 1, CHUNK_BYTES / 8]);
        for words in lengths {
            let mut record = noise(words);
            let mut other = record.clone();
            let checksum = seal(&mut record);
            assert_eq!(checksum, seal_portable(&mut other), "{words} words");
            assert_eq!(record, other, "{words} words");
            // By the book, with another routine, a byte at a time.
            let by_hand = record[8..].iter().chain(&record[4..8]).fold(0, |sum, b| crc32c::crc32c_append(sum, &[*b]));
            assert_eq!(checksum, by_hand, "{words} words");
            assert_eq!(checksum, checksum_of(&record), "{words} words");
        }
    }

    #[test]
    fn the_check_value_of_the_published_parameters() {
        // CRC-32/ISCSI in the catalogue of parametrised CRC algorithms.
        assert_eq!(crc_fast::crc32_iscsi(b"123456789"), 0xe306_9283);
    }
}
