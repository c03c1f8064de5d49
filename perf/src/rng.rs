//! A small seeded generator (xoshiro256**, seeded by splitmix64). Integers only, so that the same seed gives the same flow on every machine.

/// A deterministic stream of random integers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A stream from `seed`; `stream` separates independent uses of one seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut mix = seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let state = core::array::from_fn(|_| splitmix64(&mut mix));
        Self { state }
    }

    /// Sixty-four random bits.
    pub fn bits(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let out = s1.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        out
    }

    /// A number in `0..bound` (multiply-shift: the bias is below 2^-32 for the bounds used here). `bound` must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0);
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high);
        low + self.below((high - low) as u64 + 1) as i64
    }

    /// True in `share` of a thousand draws.
    pub fn permille(&mut self, share: u32) -> bool {
        self.below(1000) < u64::from(share)
    }
}

/// One step of splitmix64; also used to spread small numbers over 64 bits.
pub fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_stream_and_bounds_hold() {
        let mut a = Rng::new(7, 1);
        let mut b = Rng::new(7, 1);
        let mut other = Rng::new(7, 2);
        let mut differs = false;
        for _ in 0..1000 {
            let x = a.bits();
            assert_eq!(x, b.bits());
            differs |= x != other.bits();
        }
        assert!(differs);
        for bound in [1, 2, 3, 1000, u64::MAX] {
            assert!(a.below(bound) < bound);
        }
        for _ in 0..1000 {
            assert!((-3..=3).contains(&a.between(-3, 3)));
        }
    }
}
