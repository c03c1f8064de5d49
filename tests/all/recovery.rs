//! A host that stopped, or was killed, comes back with exactly what it acknowledged.

use lotbook_core::command::{Side, TradeInput};
use lotbook_core::event::Class;
use lotbook_core::rules::LotMethod;
use lotbook_engine::Status;
use lotbook_tests::rig::{PATIENCE, Rig, T, config};

const E8: i64 = 100_000_000;

fn mixed(rig: &Rig, from: u64, count: u64) -> Vec<TradeInput> {
    let mut state = from + 1;
    (from..from + count)
        .map(|n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n);
            let pick = |shift: u32, below: u64| (state >> shift) % below;
            let id = format!("t{n}");
            let account = format!("A{}", pick(33, 20));
            let instrument = format!("I{}", pick(40, 10));
            let date = if pick(20, 50) == 0 { 95 } else { 100 };
            rig.input(&T {
                id: &id,
                account: &account,
                instrument: &instrument,
                side: if pick(50, 2) == 0 { Side::Buy } else { Side::Sell },
                quantity_e8: (1 + pick(10, 100) as i64) * E8,
                price_e8: (50 + pick(15, 20) as i64) * E8,
                date,
                executed_at_ns: n as i64,
                order: n,
            })
        })
        .collect()
}

#[test]
fn clean_stops_and_crashes_keep_every_answer() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = config(dir.path());
    let mut sent = 0;
    let mut last = None;
    for round in 0..6 {
        let mut rig = Rig::start(&config);
        if round == 0 {
            rig.rules(LotMethod::Fifo, true, 0);
        }
        assert!(rig.host.wait_reconciled(PATIENCE), "{:?}", rig.host.error());
        if let Some(wanted) = last {
            assert_eq!(rig.host.model().economic_digest(), wanted, "round {round}");
        }
        let again = mixed(&rig, 0, sent.min(100));
        for answer in rig.ask_all(again) {
            assert_eq!(answer.status, Status::Trade(Class::Duplicate));
            assert!(answer.first_sequence > 0);
        }
        let trades = mixed(&rig, sent, 5_000);
        sent += 5_000;
        let answers = rig.ask_all(trades);
        assert!(answers.iter().all(|a| matches!(a.status, Status::Trade(c) if c.is_accepted())), "round {round}");
        assert!(answers.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
        assert!(rig.host.wait_reconciled(PATIENCE), "{:?} {:?}", rig.host.error(), rig.host.dead_letters());
        last = Some(rig.host.model().economic_digest());
        if round % 2 == 0 {
            drop(rig.door);
            rig.host.stop().expect("a clean stop");
        } else {
            rig.host.crash();
        }
    }
}
