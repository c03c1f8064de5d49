//! What is sent and due, step by step, with the digest worked out anew.

use alloc::vec;

use super::*;
use crate::date::Date;

fn names() -> Names {
    let mut names = Names::new(16);
    for text in [b"A1", b"A2"] {
        names.define(NameClass::Account, text);
    }
    for text in [b"I1", b"I2"] {
        names.define(NameClass::Instrument, text);
    }
    names
}

fn leaving(day: i32, number: u32, quantity_e8: i64) -> Leaving {
    let lot = Lot {
        origin: TradeHash(7),
        quantity_e8,
        cost_e16: 5,
        base_cost_e16: 6,
        price_e8: NO_PRICE,
        acquired: Date(1),
        sub_account: NO_NAME,
    };
    let key =
        ChronoKey { date: Date(day), hash: TradeHash(u128::from(day.unsigned_abs()) << 80 | 9), ..ChronoKey::MIN };
    Leaving { key, to_account: NO_NAME, to_instrument: 1, number, is_long: true, lot, trade: None }
}

fn leg(day: i32, number: u32, quantity_e8: i64) -> Leg {
    leaving(day, number, quantity_e8).from(&Position::new(0, 0, 99), 3)
}

fn same_after_an_image(legs: &Legs, names: &Names) {
    let mut out = Writer::default();
    legs.write(&mut out);
    let bytes = out.into_bytes();
    let mut read = Reader::new(&bytes);
    let again = Legs::read(&mut read, names).expect("an image");
    assert!(read.is_empty());
    assert_eq!((again.digest, &again.due, &again.sent), (legs.digest, &legs.due, &legs.sent));
    assert_eq!((again.sent_len, legs.sent_len), (legs.sent_len, legs.sent.values().flatten().count()));
    assert_eq!((&again.sources, &again.targets), (&legs.sources, &legs.targets));
    assert_eq!(again.channels.digest(), legs.channels.digest());
    assert!(again.channels.out().eq(legs.channels.out()));
    for cut in 0..bytes.len() {
        let cut = Legs::read(&mut Reader::new(&bytes[..cut]), names);
        assert!(cut.is_err(), "what is cut short is no image");
    }
}

#[test]
fn what_an_item_sends_keeps_its_order() {
    let keys: Vec<ChronoKey> = (0..40).map(|number| leg(5, number, 1).key).collect();
    assert!(keys.is_sorted());
    let of = |source_key| leaving(5, 0, 1).from(&Position::new(0, 0, source_key), 3).key.hash;
    assert_ne!(of(1), of(2), "two sources of one cause");
}

#[test]
fn differences_are_sent() {
    let names = names();
    let mut legs = Legs::default();
    for sent in [leg(5, 0, 10), leg(5, 1, 20), leg(9, 0, 30)] {
        legs.send(sent, &names);
        same_after_an_image(&legs, &names);
    }
    assert!(legs.due_to(0, 0).is_none(), "they go to another instrument");
    for _ in 0..3 {
        let due = *legs.due_to(0, 1).expect("due");
        assert_eq!(due.sending, Sending::New);
        assert!(!legs.arrive(&Due { sending: Sending::Instead, ..due }, 8, &names), "not what was sent");
        assert!(legs.arrive(&due, 8, &names));
        same_after_an_image(&legs, &names);
    }
    assert_eq!((legs.sources_of(8), legs.targets_of(3)), (&[3][..], &[8][..]));
    let elsewhere = Leg { instrument: 0, account: 1, ..leg(9, 0, 30) };
    legs.resend(3, vec![leg(4, 0, 1), leg(5, 0, 10), leg(5, 1, 21), elsewhere], &names);
    let due: Vec<(Sending, i32, i64, NameId)> =
        legs.due().map(|d| (d.sending, d.leg.key.date.0, d.leg.lot.quantity_e8, d.leg.account)).collect();
    let want = [
        (Sending::Withdrawn, 9, 30, 0),
        (Sending::New, 4, 1, 0),
        (Sending::Instead, 5, 21, 0),
        (Sending::New, 9, 30, 1),
    ];
    assert_eq!(due, want);
    same_after_an_image(&legs, &names);
    legs.resend(3, vec![], &names);
    assert_eq!(legs.due().skip(4).map(|d| d.sending).collect::<Vec<_>>(), [Sending::Withdrawn; 4]);
    let all: Vec<Due> = legs.due().copied().collect();
    for due in all {
        assert!(legs.arrive(&due, 8, &names));
    }
    assert_eq!(legs.digest(), 0, "nothing was sent, and nothing is due");
}

/// A correct moved a transfer to an earlier place: its lot came again under its identity, and then the old one of that
/// identity was withdrawn, so that the target had none.
#[test]
fn what_moves_in_history_is_withdrawn_before_it_comes_again() {
    let names = names();
    let mut legs = Legs::default();
    legs.send(leg(9, 0, 10), &names);
    let due = legs.first_due().expect("due");
    assert!(legs.arrive(&due, 8, &names));
    let earlier = Leg { key: ChronoKey { date: Date(5), ..due.leg.key }, ..due.leg };
    legs.resend(3, vec![earlier], &names);
    let told: Vec<(Sending, i32)> = legs.due().map(|due| (due.sending, due.leg.key.date.0)).collect();
    assert_eq!(told, [(Sending::Withdrawn, 9), (Sending::New, 5)]);
    same_after_an_image(&legs, &names);
}

/// A position showed PROVISIONAL for ever when what had come to it was withdrawn: nobody looked at it again when its
/// source was reconciled.
#[test]
fn who_ever_sent_something_has_a_target_for_good() {
    let names = names();
    let mut legs = Legs::default();
    legs.send(leg(9, 0, 10), &names);
    legs.resend(3, vec![], &names);
    for due in legs.due().copied().collect::<Vec<Due>>() {
        assert!(legs.arrive(&due, 8, &names));
    }
    assert!(legs.sent_by(3).is_empty());
    assert_eq!((legs.sources_of(8), legs.targets_of(3)), (&[3][..], &[8][..]));
    same_after_an_image(&legs, &names);
}

/// The partition of the position that these legs go to.
fn partition(names: &Names) -> u16 {
    let hash = |class, id| names.hash(class, id).expect("defined");
    digest::partition(digest::mix(hash(NameClass::Account, 0), hash(NameClass::Instrument, 1)))
}

/// What is sent to another shard goes out with a number, is taken there once, and is forgotten here when it is told to be there.
#[test]
fn legs_between_shards_are_taken_once() {
    let names = names();
    let (mut source, mut target) = (Legs::default(), Legs::default());
    source.set_home(ALL_PARTITIONS & !(1 << partition(&names)));
    for sent in [leg(5, 0, 10), leg(5, 1, 20), leg(9, 0, 30)] {
        source.send(sent, &names);
        same_after_an_image(&source, &names);
    }
    assert_eq!((source.due_len(), source.channels().out_len(), source.channels().last_sent()), (0, 3, 3));
    source.resend(3, vec![leg(5, 0, 10), leg(5, 1, 21)], &names);
    let out: Vec<(u64, Due)> = source.channels().out().map(|(number, due)| (number, *due)).collect();
    let want =
        [(1, Sending::New), (2, Sending::New), (3, Sending::New), (4, Sending::Withdrawn), (5, Sending::Instead)];
    assert_eq!(out.iter().map(|(number, due)| (*number, due.sending)).collect::<Vec<_>>(), want);
    // A courier that does everything twice, and begins again in the middle.
    for (number, due) in out.iter().chain(&out[2..]).chain(&out[1..4]) {
        let last = target.channels().last_received(7);
        let is_new = target.receive((7, *number), (1, 0), due, &names);
        assert_eq!(is_new, *number > last);
        same_after_an_image(&target, &names);
    }
    assert_eq!((target.due_len(), target.channels().last_received(7), target.channels().last_received(6)), (5, 5, 0));
    // Only those from another shard have a number of their own kind.
    let first = target.first_due().expect("due");
    assert_eq!(target.channels().foreign_source(first.leg.source), Some((1, 0)));
    assert_eq!(target.channels().foreign_source(3), None);
    assert_eq!(first.leg.lot, out[0].1.leg.lot);
    assert!(source.delivered(2, &names));
    same_after_an_image(&source, &names);
    assert_eq!(source.channels().out().next().map(|(number, _)| number), Some(3));
    assert!(!source.delivered(2, &names), "those are gone");
    assert!(source.delivered(5, &names));
    assert_eq!(source.channels().out_len(), 0);
    source.resend(3, vec![], &names);
    assert_eq!(source.channels().out().map(|(number, _)| number).collect::<Vec<_>>(), [6, 7]);
    assert!(source.delivered(7, &names));
    assert_eq!(source.digest(), 0, "nothing was sent, and nothing is on its way");
    for due in target.due().copied().collect::<Vec<_>>() {
        assert!(target.arrive(&due, 8, &names));
    }
    assert_eq!(target.digest(), 0);
    assert_eq!(
        target.sources_of(8).iter().map(|s| target.channels().foreign_source(*s)).collect::<Vec<_>>(),
        [Some((1, 0))]
    );
}

/// A correct moved a spin-off to a later date: the position took it there too, ahead, before it was replayed. The replay
/// withdrew what had left at the old place, and with it, by its identity, what had left at the new one.
#[test]
fn what_was_sent_from_two_places_comes_again_when_one_is_withdrawn() {
    let names = names();
    let mut legs = Legs::default();
    let first = leg(5, 0, 10);
    let again = Leg { key: ChronoKey { date: Date(9), ..first.key }, ..first };
    legs.send(first, &names);
    legs.send(again, &names);
    for due in legs.due().copied().collect::<Vec<Due>>() {
        assert!(legs.arrive(&due, 8, &names));
    }
    legs.resend(3, vec![again], &names);
    let told: Vec<(Sending, i32)> = legs.due().map(|due| (due.sending, due.leg.key.date.0)).collect();
    assert_eq!(told, [(Sending::Withdrawn, 5), (Sending::Instead, 9)]);
    same_after_an_image(&legs, &names);
}
