//! The office over closes, kills and full rooms.

use super::*;

const DAY: i64 = DAY_NS;

fn refused<'a>(raw: &'a [u8], at_ns: i64) -> Refused<'a> {
    Refused {
        code: "BAD_QUANTITY",
        error: "the quantity is not above zero",
        field: Some("quantity"),
        source: "http",
        source_offset: 1,
        form: Form::Line,
        namespace: Some("HTTP"),
        trade_id: Some("t1"),
        account: Some("A1"),
        instrument: Some("AAPL"),
        correlation_id: Some("c-1"),
        at_ns,
        sequence: 7,
        raw,
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn open(&self, terms: OfficeTerms) -> Office {
        Office::open(self.0.path(), Some(self.0.path()), &Retention::default(), terms).expect("opens")
    }
}

/// Everything in memory, for comparing before and after.
fn all(office: &Office) -> (Vec<(u64, Kept)>, Tally) {
    (office.list(0, usize::MAX, |_| true).0, office.tally())
}

#[test]
fn what_was_done_survives_a_kill() {
    let place = Place::new();
    let office = place.open(OfficeTerms::default());
    let raw: Vec<u8> = (0..=255).collect();
    let first = office.put(&refused(&raw, 1)).expect("filed");
    let second =
        office.put(&Refused { form: Form::Fix, correlation_id: None, ..refused(b"8=FIX\x01", 2) }).expect("filed");
    let third = office.put(&refused(b"{}", 3)).expect("filed");
    assert!(office.is_durable(third.sequence, Duration::from_secs(60)));
    // The same again is one more try, not one more letter; other bytes, or another reason, are.
    assert_eq!(office.put(&refused(b"{}", 4)).expect("filed").letter, third.letter);
    let other = office.put(&Refused { code: "OVERSELL", ..refused(b"{}", 5) }).expect("filed");
    assert_ne!(other.letter, third.letter);

    let (kept, _) = office.send(first.letter, ("ann", "typed wrongly"), Some("{\"a\":1}"), 6).expect("sent");
    assert_eq!((kept.raw.as_slice(), kept.tries), (raw.as_slice(), 2));
    assert_eq!(office.send(first.letter, ("bob", ""), None, 7).map(|_| ()), Err(DeedError::Busy));
    assert_eq!(office.discard(first.letter, ("bob", ""), 7), Err(DeedError::Busy));
    office.sent(first.letter, Some(Deed::Taken { at_ns: 8, outcome: "applied".into(), sequence: 99 }));
    assert_eq!(office.discard(first.letter, ("bob", ""), 9), Err(DeedError::NotOpen));
    office.send(second.letter, ("ann", ""), None, 10).expect("sent");
    office.sent(second.letter, Some(Deed::Refused { at_ns: 11, code: "OVERSELL".into(), error: "no".into() }));
    office.discard(third.letter, ("bob", "a test"), 12).expect("discarded");
    assert_eq!(office.discard(1 << 40, ("bob", ""), 12), Err(DeedError::Unknown));
    // Sent, and the host is killed before anybody knows what became of it: it waits.
    office.send(other.letter, ("ann", ""), None, 13).expect("sent");

    let before = all(&office);
    office.abandon();
    assert_eq!(office.put(&refused(b"x", 14)), Err(PutError::Log));
    drop(office);
    let office = place.open(OfficeTerms::default());
    let (mut letters, tally) = before;
    for (_, kept) in &mut letters {
        kept.is_busy = false;
    }
    assert_eq!(all(&office), (letters, tally));
    assert_eq!((tally.open, tally.kept, tally.put), (2, 4, 5));
    let states = [first, second, third, other].map(|filed| office.get(filed.letter).expect("kept").state);
    assert_eq!(states, [State::Resubmitted, State::Open, State::Discarded, State::Open]);
    let second = office.get(second.letter).expect("kept");
    assert_eq!((second.letter.class, second.letter.code.as_str(), second.tries), (Class::Processing, "OVERSELL", 2));
    assert!(second.letter.correlation_id.ends_with("@lotbook"));
    office.close().expect("closes");
}

#[test]
fn what_waits_gives_way_only_when_it_is_old() {
    let place = Place::new();
    let terms = OfficeTerms { letters_max: 3, bytes_max: 1 << 20, retention_days: 2 };
    let office = place.open(terms);
    let put = |text: &str, at_ns| office.put(&refused(text.as_bytes(), at_ns)).map(|filed| filed.letter);
    let numbers = ["a", "b", "c"].map(|text| put(text, DAY).expect("filed"));
    // Full of what waits and is young: nothing is taken, and nothing is lost.
    assert_eq!(put("d", 3 * DAY), Err(PutError::Full));
    // One that has ended makes room at once.
    office.discard(numbers[1], ("ann", ""), 3 * DAY).expect("discarded");
    let d = put("d", 3 * DAY).expect("filed");
    assert_eq!(put("e", 3 * DAY), Err(PutError::Full));
    // The oldest is older than it must be kept.
    let e = put("e", 3 * DAY + 1).expect("filed");
    let kept: Vec<u64> = all(&office).0.iter().map(|(number, _)| *number).collect();
    assert_eq!(kept, [numbers[2], d, e]);
    assert_eq!(office.tally().gave_way, 1);
    let before = all(&office);
    office.close().expect("closes");
    drop(office);
    assert_eq!(all(&place.open(terms)), before);
}

#[test]
fn bytes_have_a_bound_too() {
    let place = Place::new();
    let terms = OfficeTerms { letters_max: 100, bytes_max: 4 * LETTER_BYTES, retention_days: 30 };
    let office = place.open(terms);
    let long = vec![b'x'; 3 * LETTER_BYTES];
    office.put(&refused(&long, 1)).expect("filed");
    assert_eq!(office.put(&refused(b"y", 1)), Err(PutError::Full));
    // Longer than is kept: what is kept says so.
    let office = Place::new().open(OfficeTerms::default());
    let long = vec![0xff; RAW_BYTES_MAX + 1];
    let filed = office.put(&Refused { error: &"\u{1}".repeat(5_000), ..refused(&long, 1) }).expect("filed");
    let kept = office.get(filed.letter).expect("kept");
    assert_eq!(
        (kept.raw.len(), kept.letter.raw_bytes, kept.letter.is_cut),
        (RAW_BYTES_MAX, RAW_BYTES_MAX as u64 + 1, true)
    );
    assert_eq!(kept.letter.error.len(), ERROR_BYTES_MAX);
}
