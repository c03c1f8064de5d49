//! What differs between versions on the session layer, a conversation each.

use super::*;

/// The whole text of what was written since.
fn shown_of(line: &mut Line) -> String {
    let bytes = std::mem::take(&mut line.out);
    messages(&bytes).iter().map(|message| shown(message)).collect()
}

#[test]
fn each_version_is_answered_in_its_own_words() {
    for version in Version::ALL {
        let mut line = Line::speaking(version, 1, 1);
        line.take(1, "35=A", &format!("98=0|108=30|{}", appl_ver_id(version)));
        let logon = shown_of(&mut line);
        assert!(logon.starts_with(&format!("8={}|9=", version.begin_string())), "{logon}");
        assert_eq!(logon.contains("|1137=9|"), version == Version::Fix50Sp2, "{logon}");
        // A field twice: FIX 4.2 has no SessionRejectReason for it.
        line.take(2, "35=0", "58=a|58=b|");
        let reject = shown_of(&mut line);
        assert!(reject.contains("|45=2|371=58|372=0|"), "{reject}");
        assert_eq!(reject.contains("|373=13|"), version != Version::Fix42, "{reject}");
        assert!(reject.contains("|58=code=FIELD_REPEATED "), "{reject}");
        // A TradeCaptureReport is no message of FIX 4.2.
        let step = line.take(3, "35=AE", "571=R|55=AAPL|32=1|31=1|552=1|54=1|1=A1|");
        let sent = shown_of(&mut line);
        match version {
            Version::Fix42 => {
                let fault = Fault { tag: 35, reason: RejectReason::InvalidMsgType };
                assert_eq!(step.persist, consumed(3, Consumed::Refused(fault)));
                assert!(sent.contains("|35=3|") && sent.contains("|371=35|372=AE|373=11|"), "{sent}");
            }
            _ => assert_eq!((step.deliver, sent.as_str()), (Some(3), "")),
        }
        assert_eq!(line.take(4, "35=8", &trade("T")).deliver, Some(4));
        // An order is none that is taken; in every version it is a type of message.
        line.take(5, "35=D", "11=X|");
        assert_eq!(line.sent_types(), "j");
        // Types that users agree upon.
        line.take(6, "35=U1", "11=X|");
        assert_eq!(line.sent_types(), "j");
    }
}

#[test]
fn a_session_speaks_one_version() {
    for version in Version::ALL {
        for other in Version::ALL.into_iter().filter(|other| *other != version) {
            let bytes = framed(other.begin_string(), "35=0|49=CLIENT|56=LOTBOOK|34=2|52=20200305-14:30:00.000|");
            let mut line = Line::active_in(version, 1, 1);
            let step = line.session.on_message(&parsed(&bytes), line.now, &mut line.out);
            assert_eq!(step.disconnect, Some(Disconnect::WrongBeginString));
            assert_eq!(line.sent(), [format!("5 2 58=BeginString must be {}", version.begin_string())]);
            let mut line = Line::speaking(version, 1, 1);
            let step = line.session.on_message(&parsed(&bytes), line.now, &mut line.out);
            assert_eq!((step.disconnect, line.out.len()), (Some(Disconnect::Stranger), 0));
        }
    }
}

#[test]
fn only_one_application_version_is_spoken_over_fixt() {
    for (logon, refused) in [("1137=9|", false), ("1137=6|", true), ("1137=|", true), ("", true)] {
        let mut line = Line::speaking(Version::Fix50Sp2, 1, 1);
        let step = line.take(1, "35=A", &format!("98=0|108=30|{logon}"));
        assert_eq!(step.disconnect, refused.then_some(Disconnect::LogonRefused), "{logon}");
        if refused {
            assert_eq!(line.sent(), ["5 1 58=DefaultApplVerID must be 9 (FIX50SP2)"], "{logon}");
        }
    }
    let mut line = Line::active_in(Version::Fix50Sp2, 1, 1);
    assert_eq!(line.take(2, "35=8|1128=9", &trade("T")).deliver, Some(2));
    let step = line.take(3, "35=8|1128=6", &trade("U"));
    assert_eq!(step.persist, consumed(3, Consumed::Refused(Fault { tag: 1128, reason: RejectReason::ApplVersion })));
    let sent = line.sent();
    assert!(sent[0].starts_with("3 2 45=3|371=1128|372=8|373=18|58=code=APPL_VERSION "), "{sent:?}");
    // Elsewhere the tag is one of many that are not read.
    let mut line = Line::active(1, 1);
    assert_eq!(line.take(2, "35=8|1128=6", &trade("T")).deliver, Some(2));
}
