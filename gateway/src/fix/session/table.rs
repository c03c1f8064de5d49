//! The sequence rules as a table: state x message x relation of its number to the expected one -> exactly one row.
//!
//! The rows are checked when this is compiled: every combination matches one row, and only one.

/// The session's state, as far as the table looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Connected; the first message must be a Logon.
    AwaitLogon,
    /// Logged on, nothing missing.
    Active,
    /// Logged on; a gap was found, and its resend has been asked for.
    AwaitResend,
    /// A Logout was sent, and its answer is awaited.
    LogoutSent,
    /// No connection, or one that is about to be closed.
    Disconnected,
}

/// What the message is, as far as the table looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Logon without ResetSeqNumFlag.
    Logon,
    /// Logon with ResetSeqNumFlag.
    LogonReset,
    /// Heartbeat.
    Heartbeat,
    /// TestRequest.
    TestRequest,
    /// ResendRequest.
    ResendRequest,
    /// Reject and BusinessMessageReject: the peer refused something of ours. Never answered, lest two hosts refuse each other's refusals for ever.
    Reject,
    /// SequenceReset with GapFillFlag.
    GapFill,
    /// SequenceReset without.
    Reset,
    /// Logout.
    Logout,
    /// ExecutionReport and TradeCaptureReport.
    Trade,
    /// Any other type.
    Other,
}

/// The message's number beside the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Relation {
    /// Below, and not marked as a possible duplicate: a serious error by FIX.
    Low,
    /// Below, with PossDupFlag.
    LowPossDup,
    /// Equal.
    Expected,
    /// Above: something is missing.
    High,
}

/// What is done with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing at all.
    Ignore,
    /// Disconnect without a word: no identity is known yet, and strangers are told nothing.
    Cut,
    /// Answer the Logon.
    LogOn,
    /// Answer the Logon, then ask for what is missing.
    LogOnAndRequest,
    /// Start both directions at 1 and answer the Logon.
    Restart,
    /// Logout naming expected and received number, disconnect.
    TooLow,
    /// Logout, disconnect.
    SecondLogon,
    /// Ignore, after a look at OrigSendingTime.
    Duplicate,
    /// Consume its number; that is all.
    Consume,
    /// Consume, and answer with a Heartbeat.
    AnswerTest,
    /// Answer with a Heartbeat though something is missing: the peer may be about to cut the connection.
    AnswerTestEarly,
    /// The same, and ask for what is missing.
    AnswerTestEarlyAndRequest,
    /// Consume, and resend.
    Resend,
    /// Resend though something is missing: were both sides to wait for the other's resend, both would wait for ever.
    ResendEarly,
    /// The same, and ask for what is missing.
    ResendEarlyAndRequest,
    /// Consume all numbers below NewSeqNo.
    FillGap,
    /// The next number is NewSeqNo, whatever this one's is.
    Jump,
    /// Consume, and hand over to the application.
    Deliver,
    /// Consume, and refuse the type.
    RefuseType,
    /// Drop it, and ask for everything from the expected number on; it comes again with the rest.
    Request,
    /// Drop it: it comes again with what has been asked for.
    Drop,
    /// Consume, answer the Logout, disconnect.
    LogOut,
    /// Answer the Logout, disconnect; what is missing is asked for at the next Logon.
    LogOutEarly,
    /// Consume the awaited Logout, disconnect.
    LoggedOut,
    /// Disconnect: the awaited Logout, out of sequence.
    LoggedOutEarly,
}

impl Act {
    /// Whether the message's own fields are acted on, and so must be right first.
    pub(super) fn reads_fields(self) -> bool {
        !matches!(
            self,
            Act::Ignore
                | Act::Cut
                | Act::TooLow
                | Act::SecondLogon
                | Act::Duplicate
                | Act::Request
                | Act::Drop
                | Act::LogOut
                | Act::LogOutEarly
                | Act::LoggedOut
                | Act::LoggedOutEarly
        )
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// Its letter, for tests, logs and the documentation.
    pub id: char,
    phases: &'static [Phase],
    kinds: &'static [Kind],
    relations: &'static [Relation],
    /// What is done.
    pub act: Act,
}

/// How many phases there are.
pub const PHASES: [Phase; 5] =
    [Phase::AwaitLogon, Phase::Active, Phase::AwaitResend, Phase::LogoutSent, Phase::Disconnected];

/// How many kinds there are.
pub const KINDS: [Kind; 11] = [
    Kind::Logon,
    Kind::LogonReset,
    Kind::Heartbeat,
    Kind::TestRequest,
    Kind::ResendRequest,
    Kind::Reject,
    Kind::GapFill,
    Kind::Reset,
    Kind::Logout,
    Kind::Trade,
    Kind::Other,
];

/// How many relations there are.
pub const RELATIONS: [Relation; 4] = [Relation::Low, Relation::LowPossDup, Relation::Expected, Relation::High];

const ALL_KINDS: &[Kind] = &KINDS;
const ALL_RELATIONS: &[Relation] = &RELATIONS;
const LOGGED_ON: &[Phase] = &[Phase::Active, Phase::AwaitResend];
const NOT_LOGON: &[Kind] = &[
    Kind::Heartbeat,
    Kind::TestRequest,
    Kind::ResendRequest,
    Kind::Reject,
    Kind::GapFill,
    Kind::Reset,
    Kind::Logout,
    Kind::Trade,
    Kind::Other,
];
/// Kinds that a number too low ends the session for.
const STRICT: &[Kind] = &[
    Kind::Logon,
    Kind::Heartbeat,
    Kind::TestRequest,
    Kind::ResendRequest,
    Kind::Reject,
    Kind::GapFill,
    Kind::Trade,
    Kind::Other,
];
/// Kinds that a low number with PossDupFlag makes a plain repetition.
const REPEATABLE: &[Kind] = &[
    Kind::Logon,
    Kind::Heartbeat,
    Kind::TestRequest,
    Kind::ResendRequest,
    Kind::Reject,
    Kind::GapFill,
    Kind::Logout,
    Kind::Trade,
    Kind::Other,
];
/// Kinds that wait for their turn; the others are acted on ahead of it.
const PATIENT: &[Kind] = &[Kind::Heartbeat, Kind::Reject, Kind::GapFill, Kind::Trade, Kind::Other];
/// Kinds that are left alone once a Logout was sent: their numbers stay unconsumed, so they come again after the next Logon.
const LEFT: &[Kind] = &[
    Kind::Logon,
    Kind::LogonReset,
    Kind::Heartbeat,
    Kind::TestRequest,
    Kind::Reject,
    Kind::GapFill,
    Kind::Trade,
    Kind::Other,
];

const fn row(
    id: char,
    phases: &'static [Phase],
    kinds: &'static [Kind],
    relations: &'static [Relation],
    act: Act,
) -> Row {
    Row { id, phases, kinds, relations, act }
}

use Phase::{Active, AwaitLogon, AwaitResend, Disconnected, LogoutSent};
use Relation::{Expected, High, Low, LowPossDup};

/// The table.
#[rustfmt::skip]
pub const ROWS: [Row; 31] = [
    // After the end nothing is read.
    row('a', &[Disconnected], ALL_KINDS, ALL_RELATIONS, Act::Ignore),

    // FIX 4.4 vol. 2, "Logon": the first message is a Logon, or the connection ends.
    row('b', &[AwaitLogon], NOT_LOGON, ALL_RELATIONS, Act::Cut),
    row('c', &[AwaitLogon], &[Kind::Logon], &[Expected], Act::LogOn),
    row('d', &[AwaitLogon], &[Kind::Logon], &[High], Act::LogOnAndRequest),
    row('e', &[AwaitLogon], &[Kind::Logon], &[Low, LowPossDup], Act::TooLow),
    row('f', &[AwaitLogon, Active, AwaitResend], &[Kind::LogonReset], ALL_RELATIONS, Act::Restart),
    row('g', LOGGED_ON, &[Kind::Logon], &[Expected, High], Act::SecondLogon),

    // A number too low is the end of the session, or with PossDupFlag a repetition.
    row('h', LOGGED_ON, STRICT, &[Low], Act::TooLow),
    row('i', LOGGED_ON, REPEATABLE, &[LowPossDup], Act::Duplicate),

    // In turn.
    row('j', LOGGED_ON, &[Kind::Heartbeat, Kind::Reject], &[Expected], Act::Consume),
    row('k', LOGGED_ON, &[Kind::TestRequest], &[Expected], Act::AnswerTest),
    row('l', LOGGED_ON, &[Kind::ResendRequest], &[Expected], Act::Resend),
    row('m', LOGGED_ON, &[Kind::GapFill], &[Expected], Act::FillGap),
    row('n', LOGGED_ON, &[Kind::Trade], &[Expected], Act::Deliver),
    row('o', LOGGED_ON, &[Kind::Other], &[Expected], Act::RefuseType),
    row('p', LOGGED_ON, &[Kind::Logout], &[Expected], Act::LogOut),

    // A gap is found: ask once.
    row('q', &[Active], PATIENT, &[High], Act::Request),
    row('r', &[Active], &[Kind::TestRequest], &[High], Act::AnswerTestEarlyAndRequest),
    row('s', &[Active], &[Kind::ResendRequest], &[High], Act::ResendEarlyAndRequest),

    // A gap is known: it has been asked for.
    row('t', &[AwaitResend], PATIENT, &[High], Act::Drop),
    row('u', &[AwaitResend], &[Kind::TestRequest], &[High], Act::AnswerTestEarly),
    row('v', &[AwaitResend], &[Kind::ResendRequest], &[High], Act::ResendEarly),

    // A Logout is honoured whatever its number, repetitions aside.
    row('w', LOGGED_ON, &[Kind::Logout], &[Low, High], Act::LogOutEarly),

    // SequenceReset-Reset is for emergencies: its own number does not count.
    row('x', LOGGED_ON, &[Kind::Reset], ALL_RELATIONS, Act::Jump),
    row('y', &[LogoutSent], &[Kind::Reset], ALL_RELATIONS, Act::Jump),

    // Our Logout is out: resends are still served, nothing else is taken.
    row('z', &[LogoutSent], &[Kind::Logout], &[Expected], Act::LoggedOut),
    row('A', &[LogoutSent], &[Kind::Logout], &[Low, LowPossDup, High], Act::LoggedOutEarly),
    row('B', &[LogoutSent], &[Kind::ResendRequest], &[Expected], Act::Resend),
    row('C', &[LogoutSent], &[Kind::ResendRequest], &[High], Act::ResendEarly),
    row('D', &[LogoutSent], &[Kind::ResendRequest], &[Low, LowPossDup], Act::Ignore),
    row('E', &[LogoutSent], LEFT, ALL_RELATIONS, Act::Ignore),
];

const COMBINATIONS: usize = PHASES.len() * KINDS.len() * RELATIONS.len();

const fn combination(phase: Phase, kind: Kind, relation: Relation) -> usize {
    (phase as usize * KINDS.len() + kind as usize) * RELATIONS.len() + relation as usize
}

/// The row of each combination. Compiling this proves that each has exactly one.
static ROW_OF: [u8; COMBINATIONS] = {
    const NONE: u8 = u8::MAX;
    let mut row_of = [NONE; COMBINATIONS];
    let mut at = 0;
    while at < ROWS.len() {
        let Row { phases, kinds, relations, .. } = ROWS[at];
        let mut p = 0;
        while p < phases.len() {
            let mut k = 0;
            while k < kinds.len() {
                let mut r = 0;
                while r < relations.len() {
                    let index = combination(phases[p], kinds[k], relations[r]);
                    assert!(row_of[index] == NONE, "two rows match one combination");
                    row_of[index] = at as u8;
                    r += 1;
                }
                k += 1;
            }
            p += 1;
        }
        at += 1;
    }
    at = 0;
    while at < COMBINATIONS {
        assert!(row_of[at] != NONE, "no row matches a combination");
        at += 1;
    }
    row_of
};

/// The row that decides.
#[inline]
pub fn row_for(phase: Phase, kind: Kind, relation: Relation) -> &'static Row {
    &ROWS[usize::from(ROW_OF[combination(phase, kind, relation)])]
}
