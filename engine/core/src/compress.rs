//! Lots in few bytes, for images: columns, each by the difference from what the lot before makes likely.
//!
//! ```text
//! block     lots varint | columns in the order below, each of all lots
//! acquired  varint: zigzag of the days since the lot before (the first: since 1970)
//! price     varint: zigzag of the difference from the lot before
//! quantity  varint: quantity, which is positive
//! cost      varint: zigzag of cost - price x quantity, which mostly is zero
//! base      varint: zigzag of base cost - cost
//! sub       varint: zigzag of the difference from the lot before, as a 32-bit number that wraps
//! origin    16 bytes: a hash has no shorter form
//! varint    seven bits a byte, the lowest first, the high bit on all but the last; the shortest form only
//! ```
//! Lots of equal count and content have one form: what is not that form is refused.

use alloc::vec::Vec;

use crate::amount::Money;
use crate::date::Date;
use crate::id::TradeHash;
use crate::lots::Lot;

/// Bytes that are no lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLots;

impl core::error::Error for BadLots {}

impl core::fmt::Display for BadLots {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("not compressed lots")
    }
}

fn zigzag(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)) as u128
}

fn unzigzag(value: u128) -> i128 {
    (value >> 1) as i128 ^ -((value & 1) as i128)
}

fn put(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What price and quantity make likely: two `i64` always fit.
fn likely_cost(price_e8: i64, quantity_e8: i64) -> Money {
    Money::from(price_e8) * Money::from(quantity_e8)
}

/// Appends lots to `out`.
pub fn compress(lots: impl ExactSizeIterator<Item = Lot> + Clone, out: &mut Vec<u8>) {
    let nothing = Lot {
        origin: TradeHash::NONE,
        quantity_e8: 0,
        cost_e16: 0,
        base_cost_e16: 0,
        price_e8: 0,
        acquired: Date(0),
        sub_account: u32::MAX,
    };
    let column = |out: &mut Vec<u8>, number: &dyn Fn(&Lot, &Lot) -> u128| {
        let mut before = nothing;
        for lot in lots.clone() {
            put(out, number(&lot, &before));
            before = lot;
        }
    };
    put(out, lots.len() as u128);
    column(out, &|lot, before| zigzag(i128::from(lot.acquired.0) - i128::from(before.acquired.0)));
    column(out, &|lot, before| zigzag(i128::from(lot.price_e8) - i128::from(before.price_e8)));
    column(out, &|lot, _| lot.quantity_e8 as u64 as u128);
    // Costs lie within the archive's range: no difference of two leaves 128 bits by wrapping both ways alike.
    column(out, &|lot, _| zigzag(lot.cost_e16.wrapping_sub(likely_cost(lot.price_e8, lot.quantity_e8))));
    column(out, &|lot, _| zigzag(lot.base_cost_e16.wrapping_sub(lot.cost_e16)));
    column(out, &|lot, before| zigzag(i128::from(lot.sub_account.wrapping_sub(before.sub_account) as i32)));
    for lot in lots {
        out.extend_from_slice(&lot.origin.0.to_le_bytes());
    }
}

struct Source<'a> {
    bytes: &'a [u8],
}

impl<'a> Source<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], BadLots> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or(BadLots)?;
        self.bytes = rest;
        Ok(head)
    }

    fn varint(&mut self) -> Result<u128, BadLots> {
        let mut value = 0u128;
        for shift in (0..128).step_by(7) {
            let &byte = self.take(1)?.first().ok_or(BadLots)?;
            let part = u128::from(byte & 0x7f);
            if part << shift >> shift != part {
                return Err(BadLots);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                // The shortest form does not end in a zero.
                return if byte == 0 && shift > 0 { Err(BadLots) } else { Ok(value) };
            }
        }
        Err(BadLots)
    }

    fn signed(&mut self) -> Result<i128, BadLots> {
        self.varint().map(unzigzag)
    }
}

/// Reads lots and gives how many bytes they took.
///
/// # Errors
/// [`BadLots`] for anything that [`compress`] would not have written.
pub fn decompress(bytes: &[u8]) -> Result<(Vec<Lot>, usize), BadLots> {
    let mut from = Source { bytes };
    let count = usize::try_from(from.varint()?).map_err(|_| BadLots)?;
    // Every lot takes six numbers and its origin, so a wrong count asks for no memory.
    if count > bytes.len() / 22 {
        return Err(BadLots);
    }
    let mut lots: Vec<Lot> = Vec::with_capacity(count);
    let mut before = 0i128;
    for _ in 0..count {
        before = before.checked_add(from.signed()?).ok_or(BadLots)?;
        let acquired = Date(i32::try_from(before).map_err(|_| BadLots)?);
        lots.push(Lot {
            origin: TradeHash::NONE,
            quantity_e8: 0,
            cost_e16: 0,
            base_cost_e16: 0,
            price_e8: 0,
            acquired,
            sub_account: 0,
        });
    }
    before = 0;
    for lot in &mut lots {
        before = before.checked_add(from.signed()?).ok_or(BadLots)?;
        lot.price_e8 = i64::try_from(before).map_err(|_| BadLots)?;
    }
    for lot in &mut lots {
        lot.quantity_e8 = i64::try_from(from.varint()?).ok().filter(|&quantity| quantity > 0).ok_or(BadLots)?;
    }
    for lot in &mut lots {
        lot.cost_e16 = likely_cost(lot.price_e8, lot.quantity_e8).wrapping_add(from.signed()?);
    }
    for lot in &mut lots {
        lot.base_cost_e16 = lot.cost_e16.wrapping_add(from.signed()?);
    }
    let mut sub_account = u32::MAX;
    for lot in &mut lots {
        let step = i32::try_from(from.signed()?).map_err(|_| BadLots)?;
        sub_account = sub_account.wrapping_add(step as u32);
        lot.sub_account = sub_account;
    }
    for lot in &mut lots {
        lot.origin = TradeHash(from.take(16)?.try_into().map(u128::from_le_bytes).map_err(|_| BadLots)?);
    }
    Ok((lots, bytes.len() - from.bytes.len()))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;
    use crate::amount::{MONEY_E16_MAX, format_e8, format_e16};
    use crate::id::NO_NAME;

    fn draw(state: &mut u64, below: u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % below
    }

    /// As a desk has them: cents, hundreds, dates that go up, a few with fees in the basis or another currency.
    fn ordinary(count: u64, seed: u64) -> Vec<Lot> {
        let mut state = seed;
        let mut price = 150_000;
        let mut lots = Vec::new();
        for number in 0..count {
            price += draw(&mut state, 41) as i64 - 20;
            let (price_e8, quantity_e8) = (price * 100_000, (1 + draw(&mut state, 20) as i64) * 10_000_000_000);
            let fees = if draw(&mut state, 4) == 0 { 1_234_500_000_000_000 } else { 0 };
            let cost_e16 = likely_cost(price_e8, quantity_e8) + fees;
            let base_cost_e16 = if draw(&mut state, 4) == 0 { cost_e16 / 10 * 11 } else { cost_e16 };
            lots.push(Lot {
                origin: TradeHash::new(b"desk", format!("T-{seed}-{number}").as_bytes()),
                quantity_e8,
                cost_e16,
                base_cost_e16,
                price_e8,
                acquired: Date(18_000 + (number / 7) as i32),
                sub_account: if draw(&mut state, 5) == 0 { draw(&mut state, 4) as u32 } else { NO_NAME },
            });
        }
        lots
    }

    fn compressed(lots: &[Lot]) -> Vec<u8> {
        let mut bytes = Vec::new();
        compress(lots.iter().copied(), &mut bytes);
        bytes
    }

    #[test]
    fn round_trips() {
        for (count, seed) in [(0, 1), (1, 2), (2, 3), (100, 4), (3_000, 5)] {
            let lots = ordinary(count, seed);
            let mut bytes = compressed(&lots);
            let len = bytes.len();
            assert_eq!(decompress(&bytes), Ok((lots.clone(), len)));
            // What follows is somebody else's.
            bytes.push(7);
            assert_eq!(decompress(&bytes), Ok((lots, len)));
        }
    }

    #[test]
    fn the_edges_of_every_range_round_trip() {
        let mut lots = Vec::new();
        for (n, price_e8) in [0, 1, -1, i64::MAX, i64::MIN].into_iter().enumerate() {
            for cost_e16 in [0, -1, MONEY_E16_MAX, -MONEY_E16_MAX] {
                for base_cost_e16 in [0, MONEY_E16_MAX, -MONEY_E16_MAX] {
                    lots.push(Lot {
                        origin: TradeHash(u128::MAX - n as u128),
                        quantity_e8: if n % 2 == 0 { i64::MAX } else { 1 },
                        cost_e16,
                        base_cost_e16,
                        price_e8,
                        acquired: Date([i32::MIN, i32::MAX, 0][lots.len() % 3]),
                        sub_account: [0, u32::MAX, 1 << 31][lots.len() % 3],
                    });
                }
            }
        }
        let bytes = compressed(&lots);
        assert_eq!(decompress(&bytes), Ok((lots, bytes.len())));
    }

    /// Whatever is read is written alike: no two forms of one content, and no panic on any damage.
    #[test]
    fn damage_is_refused_or_is_other_lots() {
        let lots = ordinary(40, 9);
        let bytes = compressed(&lots);
        for cut in 0..bytes.len() {
            assert_eq!(decompress(&bytes[..cut]), Err(BadLots), "cut at {cut}");
        }
        let mut refused = 0;
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            match decompress(&damaged) {
                Ok((other, len)) => {
                    assert_ne!(other, lots, "bit {bit}");
                    assert_eq!(compressed(&other), damaged[..len], "bit {bit}");
                }
                Err(BadLots) => refused += 1,
            }
        }
        assert!(refused > 0);
    }

    fn json(lot: &Lot) -> String {
        format!(
            "{{\"origin\":\"{:032x}\",\"quantity\":\"{}\",\"price\":\"{}\",\"cost\":\"{}\",\"base_cost\":\"{}\",\"acquired\":\"{}\",\"sub_account\":{}}},",
            lot.origin.0,
            format_e8(lot.quantity_e8),
            format_e8(lot.price_e8),
            format_e16(lot.cost_e16),
            format_e16(lot.base_cost_e16),
            lot.acquired,
            lot.sub_account,
        )
    }

    #[test]
    fn saves_most_of_plain_json() {
        let lots = ordinary(10_000, 3);
        let plain: usize = lots.iter().map(|lot| json(lot).len()).sum();
        let small = compressed(&lots).len();
        let fixed = lots.len() * 72;
        assert!(small * 10 < plain * 4, "{small} of {plain} bytes as JSON, {fixed} as plain columns");
        assert!(small * 10 < fixed * 7, "{small} of {plain} bytes as JSON, {fixed} as plain columns");
    }
}
