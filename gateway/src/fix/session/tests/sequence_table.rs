//! Every combination of state, message and number: which row, and what the row does.

use super::super::table::{KINDS, Kind, PHASES, Phase, RELATIONS, ROWS, Relation, row_for};
use super::*;

/// The table as a grid: a line a kind; in each phase four letters, for low, low with PossDup, expected, high.
const GRID: &str = "
                AwaitLogon  Active  AwaitResend  LogoutSent  Disconnected
Logon           eecd        higg    higg         EEEE        aaaa
LogonReset      ffff        ffff    ffff         EEEE        aaaa
Heartbeat       bbbb        hijq    hijt         EEEE        aaaa
TestRequest     bbbb        hikr    hiku         EEEE        aaaa
ResendRequest   bbbb        hils    hilv         DDBC        aaaa
Reject          bbbb        hijq    hijt         EEEE        aaaa
GapFill         bbbb        himq    himt         EEEE        aaaa
Reset           bbbb        xxxx    xxxx         yyyy        aaaa
Logout          bbbb        wipw    wipw         AAzA        aaaa
Trade           bbbb        hinq    hint         EEEE        aaaa
Other           bbbb        hioq    hiot         EEEE        aaaa
";

#[test]
fn the_grid() {
    let mut lines = GRID.trim_start_matches('\n').lines();
    let phases: Vec<String> = PHASES.iter().map(|phase| format!("{phase:?}")).collect();
    assert_eq!(lines.next().unwrap().split_whitespace().collect::<Vec<_>>(), phases);
    for (kind, line) in KINDS.iter().zip(lines.by_ref()) {
        let mut cells = line.split_whitespace();
        assert_eq!(cells.next().unwrap(), format!("{kind:?}"));
        for phase in PHASES {
            let letters: String = RELATIONS.iter().map(|relation| row_for(phase, *kind, *relation).id).collect();
            assert_eq!(cells.next().unwrap(), letters, "{kind:?} in {phase:?}");
        }
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn every_row_is_reached_and_no_letter_is_used_twice() {
    for (at, row) in ROWS.iter().enumerate() {
        assert!(GRID.contains(row.id));
        assert!(ROWS[..at].iter().all(|other| other.id != row.id), "{}", row.id);
    }
}

/// What a row does, seen from outside: how many inbound numbers it consumes, what it sends, how it ends.
struct Effect {
    row: char,
    consumes: u64,
    sends: &'static str,
    disconnect: Option<Disconnect>,
    delivers: bool,
}

const fn effect(row: char, consumes: u64, sends: &'static str) -> Effect {
    Effect { row, consumes, sends, disconnect: None, delivers: false }
}

const fn ends(row: char, consumes: u64, sends: &'static str, why: Disconnect) -> Effect {
    Effect { row, consumes, sends, disconnect: Some(why), delivers: false }
}

const EFFECTS: [Effect; 31] = [
    effect('a', 0, ""),
    ends('b', 0, "", Disconnect::Stranger),
    effect('c', 1, "A"),
    effect('d', 0, "A,2"),
    ends('e', 0, "5", Disconnect::SeqTooLow),
    // With a number other than 1; the right one has a test of its own.
    ends('f', 0, "5", Disconnect::LogonRefused),
    ends('g', 0, "5", Disconnect::SecondLogon),
    ends('h', 0, "5", Disconnect::SeqTooLow),
    effect('i', 0, ""),
    effect('j', 1, ""),
    effect('k', 1, "0"),
    effect('l', 1, "4"),
    effect('m', 2, ""),
    Effect { row: 'n', consumes: 1, sends: "", disconnect: None, delivers: true },
    effect('o', 1, "j"),
    ends('p', 1, "5", Disconnect::PeerLogout),
    effect('q', 0, "2"),
    effect('r', 0, "0,2"),
    effect('s', 0, "4,2"),
    effect('t', 0, ""),
    effect('u', 0, "0"),
    effect('v', 0, "4"),
    ends('w', 0, "5", Disconnect::PeerLogout),
    effect('x', 10, ""),
    effect('y', 10, ""),
    ends('z', 1, "", Disconnect::LoggedOut),
    ends('A', 0, "", Disconnect::LoggedOut),
    effect('B', 1, "4"),
    effect('C', 0, "4"),
    effect('D', 0, ""),
    effect('E', 0, ""),
];

/// A session that expects number 6, in the given phase.
fn in_phase(version: Version, phase: Phase) -> Line {
    let mut line = match phase {
        Phase::AwaitLogon => Line::speaking(version, 6, 20),
        Phase::Disconnected => {
            let mut line = Line::speaking(version, 6, 20);
            line.session.disconnected();
            line
        }
        _ => Line::active_in(version, 5, 20),
    };
    match phase {
        Phase::AwaitResend => {
            line.take(9, "35=0", "");
            assert_eq!(line.sent(), ["2 21 7=6|16=0"]);
        }
        Phase::LogoutSent => {
            line.session.logout("bye", line.now, &mut line.out);
            assert_eq!(line.sent(), ["5 21 58=bye"]);
        }
        _ => {}
    }
    assert_eq!(line.session.phase(), phase);
    assert_eq!(line.session.next_in(), 6);
    line
}

fn body_of(version: Version, kind: Kind, seq: u64) -> (&'static str, String) {
    match kind {
        Kind::Logon => ("35=A", format!("98=0|108=30|{}", appl_ver_id(version))),
        Kind::LogonReset => ("35=A", format!("98=0|108=30|141=Y|{}", appl_ver_id(version))),
        Kind::Heartbeat => ("35=0", "".into()),
        Kind::TestRequest => ("35=1", "112=ping|".into()),
        Kind::ResendRequest => ("35=2", "7=1|16=0|".into()),
        Kind::Reject => ("35=3", "45=1|".into()),
        Kind::GapFill => ("35=4", format!("123=Y|36={}|", seq + 2)),
        Kind::Reset => ("35=4", "36=16|".into()),
        Kind::Logout => ("35=5", "".into()),
        Kind::Trade => ("35=8", trade("T")),
        Kind::Other => ("35=D", "11=X|".into()),
    }
}

#[test]
fn every_combination_does_what_its_row_says() {
    let walked: usize = Version::ALL.into_iter().map(every_combination_of).sum();
    assert_eq!(walked, 3 * 5 * 11 * 4);
}

fn every_combination_of(version: Version) -> usize {
    let mut walked = 0;
    for phase in PHASES {
        for kind in KINDS {
            for relation in RELATIONS {
                let mut line = in_phase(version, phase);
                let out_before = line.session.next_out();
                let (seq, dup) = match relation {
                    Relation::Low => (4, ""),
                    Relation::LowPossDup => (4, "|43=Y|122=20200305-14:29:00.000"),
                    Relation::Expected => (6, ""),
                    Relation::High => (9, ""),
                };
                let (msg_type, fields) = body_of(version, kind, seq);
                let step = line.take(seq, &format!("{msg_type}{dup}"), &fields);

                let context = format!("{version:?} {phase:?} {kind:?} {relation:?}");
                let effect = EFFECTS.iter().find(|effect| Some(effect.row) == step.row).expect(&context);
                assert_eq!(effect.row, row_for(phase, kind, relation).id, "{context}");
                assert_eq!(line.session.next_in(), 6 + effect.consumes, "{context}");
                assert_eq!(step.disconnect, effect.disconnect, "{context}");
                assert_eq!(step.deliver, effect.delivers.then_some(6), "{context}");
                assert_eq!(line.sent_types(), effect.sends, "{context}");

                // What is consumed without being delivered is recorded, and nothing else is.
                let what = match effect.row {
                    'm' | 'x' | 'y' => Consumed::Skipped,
                    'o' => Consumed::UnsupportedType,
                    _ => Consumed::Admin,
                };
                let recorded = (effect.consumes > 0 && !effect.delivers).then_some(Persist::Consumed {
                    first_seq: 6,
                    last_seq: 5 + effect.consumes,
                    what,
                });
                assert_eq!(step.persist, recorded, "{context}");

                // Our own numbers: one a message, resends and gap fills none.
                let own = effect.sends.split(',').filter(|sent| !matches!(*sent, "" | "4")).count() as u64;
                assert_eq!(line.session.next_out(), out_before + own, "{context}");

                let after = match effect.row {
                    _ if effect.disconnect.is_some() => Phase::Disconnected,
                    'c' => Phase::Active,
                    'd' | 'q' | 'r' | 's' => Phase::AwaitResend,
                    // The gap ran through 9, and the next number is 16.
                    'x' => Phase::Active,
                    _ => phase,
                };
                assert_eq!(line.session.phase(), after, "{context}");
                walked += 1;
            }
        }
    }
    walked
}

#[test]
fn a_message_with_a_fault_is_not_acted_on_ahead_of_its_turn() {
    for phase in [Phase::Active, Phase::AwaitResend] {
        for kind in ["35=1", "35=2", "35=8", "35=0"] {
            let mut line = in_phase(Version::Fix44, phase);
            // An empty field: a fault of form whatever the type.
            let step = line.take(9, kind, "58=|");
            assert_eq!(step.persist, None);
            assert_eq!(line.session.next_in(), 6);
            assert_eq!(line.sent_types(), if phase == Phase::Active { "2" } else { "" }, "{kind}");
            assert_eq!(line.session.phase(), Phase::AwaitResend);
        }
    }
}
