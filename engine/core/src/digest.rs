//! Digests: sums of incrementally kept position digests, so that order of arrival leaves no trace.
//!
//! *Economic* covers lots, quantities, realized amounts and fees; *full* adds versions, statuses and
//! what is kept apart. Neither hashes addresses, log sequences or interned numbers: names enter by
//! the hash of their text. They find divergence, not forgery; forgery is the archive's concern.

use crate::amount::Money;
use crate::command::NameClass;
use crate::id::NO_NAME;
use crate::lots::Lot;
use crate::names::Names;
use crate::position::Position;

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd1b5_4a32_d192_ed03;

/// Folds `value` into `hash`: a 64 x 64 -> 128 multiplication, halves xored.
#[inline]
#[must_use]
pub fn mix(hash: u64, value: u64) -> u64 {
    let product = u128::from(hash ^ value ^ K1) * u128::from(K0 ^ value.rotate_left(32));
    (product as u64) ^ ((product >> 64) as u64)
}

/// Keys of [`pair`], one for each place: digits of the golden ratio's multiples, odd.
const KEYS: [u64; 8] = [
    0x9e37_79b9_7f4a_7c15,
    0x3c6e_f372_fe94_f82b,
    0xdaa6_6d2c_7ddf_743f,
    0x78dd_e6e5_fd29_f055,
    0x1715_609f_7c74_6c69,
    0xb54c_da58_fbbe_e87f,
    0x5384_5412_7b09_6493,
    0xf1bb_cdcb_fa53_e0a9,
];

/// Multiplies two values, each with the key of its place. Pairs of one thing are added up: their multiplications do not wait for each
/// other, as those of a chain of [`mix`] do.
#[inline]
fn pair(place: usize, left: u64, right: u64) -> u64 {
    let product = u128::from(left ^ KEYS[2 * place]) * u128::from(right ^ KEYS[2 * place + 1]);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
fn wide(place: usize, value: Money) -> u64 {
    pair(place, value as u64, (value >> 64) as u64)
}

#[inline]
fn mix_wide(hash: u64, value: u128) -> u64 {
    mix(mix(hash, value as u64), (value >> 64) as u64)
}

/// Digest of a byte string.
#[must_use]
pub fn bytes(text: &[u8]) -> u64 {
    let mut hash = mix(K0, text.len() as u64);
    for chunk in text.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash, u64::from_le_bytes(word));
    }
    hash
}

/// One of the sixteen partitions, from the hash of a position's names.
#[inline]
#[must_use]
pub fn partition(key_hash: u64) -> u16 {
    (key_hash >> 60) as u16
}

/// Digest of what stays the same in an open lot of the position with this key hash, and of its price. `names`: where
/// sub-accounts are defined.
#[inline]
#[must_use]
pub fn lot_tag(key_hash: u64, names: &Names, lot: &Lot) -> u64 {
    let hash = mix_wide(key_hash, lot.origin.0);
    let hash = mix(hash, (lot.price_e8 as u64).rotate_left(17) ^ u64::from(lot.acquired.0 as u32));
    if lot.sub_account == NO_NAME {
        return hash;
    }
    let named = names.hash(NameClass::SubAccount, lot.sub_account);
    mix(hash, named.unwrap_or(u64::from(lot.sub_account)))
}

/// Digest of the quantity of the lot with this tag.
#[inline]
#[must_use]
pub fn lot_quantity(tag: u64, quantity_e8: i64) -> u64 {
    pair(0, tag, quantity_e8 as u64)
}

/// Digest of the costs of the lot with this tag.
#[inline]
#[must_use]
pub fn lot_cost(tag: u64, cost_e16: Money, base_cost_e16: Money) -> u64 {
    let hash = mix(tag, wide(0, cost_e16));
    if base_cost_e16 == cost_e16 { hash } else { mix_wide(hash, base_cost_e16 as u128) }
}

/// Economic digest of a position.
#[inline]
#[must_use]
pub fn economic(position: &Position) -> u64 {
    let hash = pair(0, position.key_hash, position.quantity_e8 as u64)
        .wrapping_add(wide(1, position.realized_e16))
        .wrapping_add(wide(2, position.fees_e16));
    // Two numbers that most positions need not mix: they follow from the plain ones.
    let hash = if position.realized_base_e16 == position.realized_e16 {
        hash
    } else {
        mix_wide(hash, position.realized_base_e16 as u128)
    };
    let hash = if position.realized_long_e16 == 0 { hash } else { mix_wide(hash, !position.realized_long_e16 as u128) };
    let (quantities, costs) = position.block.digests();
    // Averaged costs follow from their sums; nobody works them all out for a digest.
    let costs = if position.block.is_averaged() {
        mix_wide(mix_wide(costs, position.cost_e16 as u128), position.base_cost_e16 as u128)
    } else {
        costs
    };
    mix(position.key_hash, hash.wrapping_add(quantities).wrapping_add(pair(3, quantities, costs)))
}

/// Full digest of a position with this economic digest.
#[inline]
#[must_use]
pub fn full(position: &Position, economic: u64) -> u64 {
    let frontier = &position.frontier;
    let counts = u64::from(position.provisional) << 32 | u64::from(position.breaks);
    let day = u64::from(frontier.date.0 as u32) | (frontier.part as u64) << 32;
    let hash = pair(0, position.version, frontier.executed_at_ns as u64)
        .wrapping_add(pair(1, position.forward_quantity_e8 as u64, frontier.source_order))
        .wrapping_add(pair(2, counts, day))
        .wrapping_add(pair(3, u64::from(position.seen), economic));
    let hash = mix(economic, hash);
    if position.breaks == 0 { hash } else { mix(mix(hash, position.break_set), u64::from(position.resolved)) }
}
