//! A history gives the same digest in every build: what a debug build books, a release build books.
//!
//! The number stands here. `cargo test` holds the debug build to it, `cargo test --release -p lotbook-tests --test all builds::` the
//! release build. A change of what digests are made of, or of the history, writes it anew; nothing else may.

use lotbook_core::command::{Side, TradeInput};
use lotbook_core::rules::LotMethod;
use lotbook_tests::rig::{PATIENCE, Rig, T, config};

use crate::support::E8;

/// Economic digests by method: FIFO, LIFO, HIFO, LOFO, average cost, minimum tax.
const WANTED: [u64; 6] = [
    0xd68d_9d9d_4993_d935,
    0x5605_29b2_74e5_6fb3,
    0x85fe_dd59_b975_3282,
    0xd951_48f3_b1d2_5d7b,
    0x0070_32bf_755d_daff,
    0x9f05_4b89_09b0_7acb,
];
const TRADES: u64 = 4_000;

/// Trades of a few positions, some late, some oversold into shorts, quantities and prices with decimals.
fn history(rig: &Rig) -> Vec<TradeInput> {
    let mut state = 1u64;
    let trade = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n);
        let pick = |shift: u32, below: u64| (state >> shift) % below;
        let (account, instrument) = (format!("A{}", pick(33, 8)), format!("I{}", pick(40, 4)));
        rig.input(&T {
            id: &format!("t{n}"),
            account: &account,
            instrument: &instrument,
            side: if pick(50, 2) == 0 { Side::Buy } else { Side::Sell },
            quantity_e8: 1 + pick(3, 100 * E8 as u64) as i64,
            price_e8: 1 + pick(7, 90 * E8 as u64) as i64,
            date: if pick(20, 40) == 0 { 95 } else { 100 },
            executed_at_ns: n as i64,
            order: n,
        })
    };
    (0..TRADES).map(trade).collect()
}

#[test]
fn digests_are_the_same_in_every_build() {
    let found = LotMethod::ALL.map(|method| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut rig = Rig::start(&config(dir.path()));
        rig.rules(method, true, 0);
        let trades = history(&rig);
        assert_eq!(rig.ask_all(trades).len() as u64, TRADES);
        assert!(rig.host.wait_reconciled(PATIENCE), "{:?}", rig.host.error());
        let digest = rig.host.model().economic_digest();
        rig.host.stop().expect("a clean stop");
        digest
    });
    assert_eq!(found.map(|digest| format!("{digest:#018x}")), WANTED.map(|digest| format!("{digest:#018x}")));
}
