//! Bends inputs: the same number makes the same input of the same seeds, on every machine.

use std::path::Path;

/// Longest input that is made, in bytes.
pub const INPUT_BYTES_MAX: usize = 4 << 10;

/// Pieces that mean something to one reader or another.
const WORDS: &[&[u8]] = &[
    b"8=FIX.4.4\x01",
    b"8=FIX.4.2\x01",
    b"8=FIXT.1.1\x01",
    b"9=",
    b"35=8\x01",
    b"35=A\x01",
    b"35=AE\x01",
    b"35=2\x01",
    b"35=4\x01",
    b"34=",
    b"43=Y\x01",
    b"97=Y\x01",
    b"123=Y\x01",
    b"141=Y\x01",
    b"150=F\x01",
    b"150=G\x01",
    b"552=1\x01",
    b"10=000\x01",
    b"\x01",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"null",
    b"true",
    b"\\u0000",
    b"\\",
    b"{\"type\":\"trade\"",
    b"\"quantity\":\"",
    b"\n",
    b"\r\n",
    b"\xef\xbb\xbf",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"-",
    b".",
    b"0.00000001",
    b"92233720368.54775807",
    b"-92233720368.54775808",
    b"9223372036854775807",
    b"18446744073709551616",
    b"1e308",
    b"NaN",
    b"2020-02-30",
    b"1900-01-01",
    b"2261-12-31",
    b"24:00:00",
    b"[[fix.session]]",
    b"[data]",
    b" = ",
    b"'''",
    b"\"\"\"",
];

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug)]
struct Rng(u64);

impl Rng {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not zero.
    fn below(&mut self, end: usize) -> usize {
        (self.draw() % end as u64) as usize
    }
}

/// The seeds of a folder, by their names; none where there is no folder.
#[must_use]
pub fn seeds(dir: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// Input number `number` of these seeds, which are not none: the first ones are the seeds as they are.
#[must_use]
pub fn input(seeds: &[Vec<u8>], number: u32) -> Vec<u8> {
    if let Some(seed) = seeds.get(number as usize) {
        return seed.clone();
    }
    let mut rng = Rng(u64::from(number));
    let mut bytes = seeds[rng.below(seeds.len())].clone();
    for _ in 0..=rng.below(8) {
        bend(&mut bytes, seeds, &mut rng);
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn bend(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.below(bytes.len() + 1);
    let end = at + rng.below(bytes.len() - at + 1);
    match rng.below(10) {
        0 => bytes.insert(at, rng.draw() as u8),
        1 if at < bytes.len() => bytes[at] = rng.draw() as u8,
        2 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        3 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(if rng.draw() & 1 == 0 { 1 } else { u8::MAX }),
        4 => drop(bytes.drain(at..end.min(at + 16))),
        5 => bytes.truncate(at),
        6 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        7 => {
            let other = &seeds[rng.below(seeds.len())];
            let from = rng.below(other.len() + 1);
            bytes.splice(at..end, other[from..].iter().copied());
        }
        _ => {
            let word = WORDS[rng.below(WORDS.len())];
            let over = if rng.draw() & 1 == 0 { at } else { (at + word.len()).min(bytes.len()) };
            bytes.splice(at..over, word.iter().copied());
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_input() {
        let seeds = vec![b"one".to_vec(), b"two".to_vec()];
        assert_eq!((input(&seeds, 0), input(&seeds, 1)), (seeds[0].clone(), seeds[1].clone()));
        let inputs: Vec<_> = (0..1_000).map(|number| input(&seeds, number)).collect();
        assert_eq!(inputs, (0..1_000).map(|number| input(&seeds, number)).collect::<Vec<_>>());
        let mut kinds = inputs.clone();
        kinds.sort();
        kinds.dedup();
        assert!(kinds.len() > 800, "{} of 1,000 differ", kinds.len());
        assert!(inputs.iter().all(|input| input.len() <= INPUT_BYTES_MAX));
        assert_eq!(input(&[Vec::new()], 7).len(), input(&[Vec::new()], 7).len());
    }
}
