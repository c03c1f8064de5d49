//! One FIX session: numbers, gaps, heartbeats, resends.
//!
//! A session is the pair (our CompID, their CompID). It outlives connections, and with [`Resume`] it outlives the process. It does no I/O and
//! reads no clock: messages and the time come in, bytes for the socket and a small [`Step`] go out. What is done with a message is decided by
//! the rows of [`table`], and by nothing else.
//!
//! # How a host calls it
//!
//! One thread owns many sessions; each connection has a read buffer and a write buffer (`out`), both the host's own. No frame is copied.
//!
//! ```text
//! accept:        read until frame::next gives a Frame; session::identity(&message) names the session;
//!                session.connect(now), then go on as below with that same first message
//! readable:      loop { match frame::next(&read[start..]) {
//!                    NeedMore  -> break (compact the buffer, read again)
//!                    Garbled   -> step = session.on_garbled(why, now, out); start += skip_to
//!                    Frame     -> message = Message::parse(&read[start..], &frame)
//!                                 step = session.on_message(&message, now, out); start += frame.len() }
//!                  1. step.persist  -> record it (Restarted: durably, before `out` reaches the socket)
//!                  2. step.deliver  -> FixTrade::from_message(&message): to the engine, the number inside the event;
//!                                      or a Refusal: record it, then session.refuse(&message, &refusal, now, out)
//!                  3. step.disconnect -> flush `out`, shut down writing, read and discard until the peer closes or a second has passed
//!                     (closing with unread bytes would reset the connection and could destroy our last words), close,
//!                     session.disconnected() }
//! answer:        session.answer(&ack, now, out), once the ack policy is met; also while no connection is there
//! timer:         step = session.tick(now, out) at session.next_deadline_ns() or sooner, and as above
//! before each:   while session.numbers_left() < OUT_NUMBERS_PER_CALL_MAX + answers at hand:
//!                    record a block durably, session.reserve_through(its last number)
//! shutdown:      session.logout("...", now, out), then until step.disconnect as above
//! ```
//!
//! # What a crash leaves
//!
//! Inbound: every consumed number is either inside an engine event (delivered trades) or in a record that [`Persist`] asked for. After a crash the
//! host takes the end of the contiguous prefix over both as [`Resume::next_in`]; what lies beyond is requested again, and idempotency
//! answers it as duplicate. Outbound: numbers are set aside in blocks before they are used, so after a crash the first number jumps to the
//! next block, the initiator asks for the gap, and it is filled.
//!
//! # Messages beyond a gap
//!
//! They are dropped and not queued: the ResendRequest asks to the end (EndSeqNo 0), so the peer sends them again, in order. Nothing needs to
//! be bounded, and no order of arrival needs to be remembered. The price, a few messages sent twice, is paid after a lost connection only.

mod clock;
mod inbound;
pub mod table;

#[cfg(test)]
mod tests;

use super::encode::{Encoder, Outbound, TradeAck};
use super::limits::{COMP_ID_BYTES_MAX, OUT_BLOCK_DEFAULT, RESEND_TRIES_MAX, SEQ_MAX};
use super::message::{Fault, Message, RejectReason, Tag};
use super::store::{OutboundStore, Stored};
use super::trade::{Refusal, RefusalAnswer, trade_id_of};
use super::value;
use super::version::Version;
use table::Phase;

/// The time, as the host passes it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// A clock that never jumps, for intervals. Nanoseconds from any start.
    pub mono_ns: u64,
    /// The wall clock, for SendingTime. Nanoseconds since the epoch.
    pub utc_ns: i64,
}

/// What a session is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// Our CompID.
    pub our_comp_id: String,
    /// The peer's CompID.
    pub their_comp_id: String,
    /// What both speak.
    pub version: Version,
    /// How far SendingTime may be from now, in either direction; `None`: not checked. Default 120 s.
    pub sending_time_tolerance_ns: Option<u64>,
    /// How long a connection may take until its Logon. Default 10 s.
    pub logon_timeout_ns: u64,
    /// How long a Logout of ours waits for its answer. Default 2 s.
    pub logout_timeout_ns: u64,
    /// How long a resend may stand still before it is asked for again. Default 10 s.
    pub resend_timeout_ns: u64,
    /// How many outbound numbers are reserved when the peer restarts both directions at 1. Default [`OUT_BLOCK_DEFAULT`].
    pub out_block: u64,
}

impl SessionConfig {
    /// The defaults for a pair of CompIDs, speaking FIX 4.4.
    pub fn new(our_comp_id: &str, their_comp_id: &str) -> SessionConfig {
        const SECOND_NS: u64 = value::SECOND_NS as u64;
        SessionConfig {
            our_comp_id: our_comp_id.to_owned(),
            their_comp_id: their_comp_id.to_owned(),
            version: Version::default(),
            sending_time_tolerance_ns: Some(120 * SECOND_NS),
            logon_timeout_ns: 10 * SECOND_NS,
            logout_timeout_ns: 2 * SECOND_NS,
            resend_timeout_ns: 10 * SECOND_NS,
            out_block: OUT_BLOCK_DEFAULT,
        }
    }
}

/// Where a session goes on, as the host recovered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The number expected from the peer: one past the contiguous prefix of what the records hold.
    pub next_in: u64,
    /// Our next number: one past everything that may have been used.
    pub next_out: u64,
    /// The last outbound number that a durable record sets aside; `next_out - 1` where none is.
    pub out_reserved_through: u64,
}

impl Resume {
    /// A session that has never been: both directions start at 1, nothing is reserved.
    pub const FRESH: Resume = Resume { next_in: 1, next_out: 1, out_reserved_through: 0 };
}

/// What the host does after a call, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// The row of [`table::ROWS`] that decided; `None` where the message did not get that far.
    pub row: Option<char>,
    /// Record this; see there what must be durable before `out` leaves.
    pub persist: Option<Persist>,
    /// The message is a trade for the application; its number, consumed. The host makes it durable inside the trade's event or the record of
    /// its refusal.
    pub deliver: Option<u64>,
    /// Flush `out`, close the connection, call [`Session::disconnected`].
    pub disconnect: Option<Disconnect>,
}

/// What must be durable so that the session resumes rightly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persist {
    /// Inbound numbers `first_seq..=last_seq` are done with, and no engine event will hold them.
    ///
    /// May be recorded at leisure: a number whose record a crash took is asked for again, and the peer fills it or sends it anew. Each lost record
    /// costs the resend of what followed it.
    Consumed {
        /// The first number.
        first_seq: u64,
        /// The last number.
        last_seq: u64,
        /// Why.
        what: Consumed,
    },
    /// Both directions were restarted at 1. The Logon took inbound 1; outbound numbers through `out_reserved_through` are set aside anew.
    /// Everything recorded before about numbers of this session is void. Must be durable before `out` leaves.
    Restarted {
        /// The last outbound number set aside.
        out_reserved_through: u64,
    },
}

/// Why an inbound number is consumed without a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumed {
    /// A session message, acted on.
    Admin,
    /// The peer's SequenceReset: those numbers will never come.
    Skipped,
    /// A message refused for its form; the tag (0: unreadable) and the reason.
    Refused(Fault),
    /// An application message of a type that Lotbook does not take.
    UnsupportedType,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnect {
    /// The peer logged out.
    PeerLogout,
    /// The peer answered our Logout.
    LoggedOut,
    /// Our Logout was not answered in time.
    LogoutTimeout,
    /// No Logon in time.
    LogonTimeout,
    /// The first message was no Logon, or of another version or session.
    Stranger,
    /// The Logon asked for what is not offered.
    LogonRefused,
    /// A second Logon on one connection.
    SecondLogon,
    /// MsgSeqNum below the expected one, without PossDupFlag.
    SeqTooLow,
    /// MsgSeqNum missing or malformed.
    SeqMissing,
    /// BeginString changed.
    WrongBeginString,
    /// A CompID changed.
    WrongCompId,
    /// SendingTime too far from now, or before OrigSendingTime.
    SendingTime,
    /// Nothing came for too long, a TestRequest notwithstanding.
    Silence,
    /// The peer does not resend what is missing.
    ResendUnanswered,
    /// Bytes that are no messages, again and again.
    Garbled,
    /// A message longer than the limit.
    Oversize,
    /// The operator ended it before the Logon.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitLogon,
    Active,
    /// The gap is closed once numbers through this one have been consumed.
    AwaitResend {
        through_seq: u64,
    },
    LogoutSent,
    Disconnected,
}

/// The version, sender and target of a connection's first message, before there is a session: (version, theirs, ours).
///
/// # Errors
/// A version that is not spoken, or no CompIDs.
pub fn identity<'a>(message: &Message<'a>) -> Result<(Version, &'a str, &'a str), Fault> {
    let comp_id = |bytes| value::text(bytes, COMP_ID_BYTES_MAX);
    let version = message.version().ok_or(fault(Tag::BeginString, RejectReason::ValueIncorrect))?;
    Ok((version, message.required(Tag::SenderCompId, comp_id)?, message.required(Tag::TargetCompId, comp_id)?))
}

/// One session.
#[derive(Debug)]
pub struct Session<S> {
    config: SessionConfig,
    store: S,
    encoder: Encoder,
    state: State,
    next_in: u64,
    next_out: u64,
    out_reserved_through: u64,
    heartbeat_ns: u64,
    /// When the state was entered, for the timeouts of AwaitLogon and LogoutSent.
    since_ns: u64,
    sent_at_ns: u64,
    heard_at_ns: u64,
    test_sent: bool,
    /// When the missing messages were last asked for, or last made progress.
    resend_asked_at_ns: u64,
    resend_tries: u32,
    garbled_run: u32,
}

impl<S: OutboundStore> Session<S> {
    /// A session without a connection.
    pub fn new(config: SessionConfig, store: S, resume: Resume) -> Session<S> {
        assert!((1..=SEQ_MAX).contains(&resume.next_in));
        assert!((1..=SEQ_MAX).contains(&resume.next_out));
        assert!(resume.out_reserved_through + 1 >= resume.next_out);
        let encoder = Encoder::new(config.version, &config.our_comp_id, &config.their_comp_id);
        Session {
            config,
            store,
            encoder,
            state: State::Disconnected,
            next_in: resume.next_in,
            next_out: resume.next_out,
            out_reserved_through: resume.out_reserved_through,
            heartbeat_ns: 0,
            since_ns: 0,
            sent_at_ns: 0,
            heard_at_ns: 0,
            test_sent: false,
            resend_asked_at_ns: 0,
            resend_tries: 0,
            garbled_run: 0,
        }
    }

    /// A connection was accepted for this session. It must have none: the host refuses a second one, for two would share the numbers.
    pub fn connect(&mut self, now: Now) {
        assert!(!self.is_connected());
        self.enter(State::AwaitLogon, now);
        self.heard_at_ns = now.mono_ns;
        self.sent_at_ns = now.mono_ns;
        self.test_sent = false;
        self.garbled_run = 0;
    }

    /// Both directions begin at 1, while no connection is there: the next Logon is expected with number 1. Must be durable before it is answered.
    pub fn begin_anew(&mut self) -> Persist {
        assert!(!self.is_connected());
        self.next_in = 1;
        self.next_out = 1;
        self.out_reserved_through = self.config.out_block;
        self.store.clear();
        Persist::Restarted { out_reserved_through: self.out_reserved_through }
    }

    /// The connection is gone, by whomever. Numbers and stored answers stay.
    pub fn disconnected(&mut self) {
        self.state = State::Disconnected;
    }

    /// Sends the answer to a trade. Without a logged-on connection it takes its number and is stored, and the peer asks for it after its next
    /// Logon. Returns its MsgSeqNum.
    pub fn answer(&mut self, ack: &TradeAck<'_>, now: Now, out: &mut Vec<u8>) -> u64 {
        self.send_answer(&Outbound::TradeAck(ack), now, out)
    }

    /// Sends the refusal of a delivered message. Returns its MsgSeqNum.
    pub fn refuse(&mut self, message: &Message<'_>, refusal: &Refusal, now: Now, out: &mut Vec<u8>) -> u64 {
        let ref_seq = message.required(Tag::MsgSeqNum, value::sequence).unwrap_or(0);
        let ref_msg_type = message.get(Tag::MsgType).unwrap_or_default();
        let Refusal { answer, tag, code, text } = *refusal;
        let what = match answer {
            RefusalAnswer::Session(reason) => {
                Outbound::Reject { ref_seq, ref_msg_type, fault: Fault { tag, reason }, code, text }
            }
            RefusalAnswer::Business(reason) => {
                let trade_id = trade_id_of(message);
                Outbound::BusinessReject { ref_seq, ref_msg_type, trade_id, reason, code, text }
            }
        };
        self.send_answer(&what, now, out)
    }

    /// Tells that a delivered trade was not taken in, or that its fate is unknown: BusinessMessageReject, reason 4. The
    /// peer sends it again later; what was recorded all the same is then a duplicate. Returns its MsgSeqNum.
    pub fn not_available(
        &mut self,
        (ref_seq, ref_msg_type, trade_id): (u64, &[u8], &str),
        code: &'static str,
        now: Now,
        out: &mut Vec<u8>,
    ) -> u64 {
        let reason = super::encode::BusinessReason::ApplicationNotAvailable;
        let (trade_id, text) = (Some(trade_id), "send again later with PossResend");
        let what = Outbound::BusinessReject { ref_seq, ref_msg_type, trade_id, reason, code, text };
        self.send_answer(&what, now, out)
    }

    /// Asks the peer to end the session. The step disconnects at once where nobody is logged on; else when the peer's Logout comes, or at its
    /// timeout.
    pub fn logout(&mut self, text: &str, now: Now, out: &mut Vec<u8>) -> Step {
        match self.phase() {
            Phase::Active | Phase::AwaitResend => {
                self.send(&Outbound::Logout { text }, now, out);
                self.enter(State::LogoutSent, now);
                Step::default()
            }
            Phase::AwaitLogon => self.end(Disconnect::Closed),
            Phase::LogoutSent | Phase::Disconnected => Step::default(),
        }
    }

    /// The number expected from the peer.
    pub fn next_in(&self) -> u64 {
        self.next_in
    }

    /// Our next number.
    pub fn next_out(&self) -> u64 {
        self.next_out
    }

    /// How many outbound numbers are left of those set aside.
    pub fn numbers_left(&self) -> u64 {
        self.out_reserved_through + 1 - self.next_out
    }

    /// A durable record sets outbound numbers aside through this one.
    pub fn reserve_through(&mut self, seq: u64) {
        assert!(seq >= self.out_reserved_through);
        self.out_reserved_through = seq;
    }

    /// The table's view of the state.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::AwaitLogon => Phase::AwaitLogon,
            State::Active => Phase::Active,
            State::AwaitResend { .. } => Phase::AwaitResend,
            State::LogoutSent => Phase::LogoutSent,
            State::Disconnected => Phase::Disconnected,
        }
    }

    /// Whether a connection belongs to this session now.
    pub fn is_connected(&self) -> bool {
        self.state != State::Disconnected
    }

    /// Whether answers go straight to the connection.
    pub fn is_logged_on(&self) -> bool {
        matches!(self.state, State::Active | State::AwaitResend { .. })
    }

    /// What the session was told.
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// Where sent answers are kept.
    pub fn store(&self) -> &S {
        &self.store
    }

    fn enter(&mut self, state: State, now: Now) {
        self.state = state;
        self.since_ns = now.mono_ns;
    }

    fn end(&mut self, why: Disconnect) -> Step {
        self.state = State::Disconnected;
        Step { disconnect: Some(why), ..Step::default() }
    }

    /// Logout with a text, then the end: for errors, where no answer is waited for.
    fn end_with_logout(&mut self, text: &str, why: Disconnect, now: Now, out: &mut Vec<u8>) -> Step {
        if self.state != State::LogoutSent {
            self.send(&Outbound::Logout { text }, now, out);
        }
        self.end(why)
    }

    /// Takes the next outbound number. That it was set aside before is what makes a crash unable to use it twice.
    fn take_number(&mut self) -> u64 {
        let seq = self.next_out;
        assert!(seq <= self.out_reserved_through, "the host must reserve outbound numbers ahead of use");
        self.next_out += 1;
        seq
    }

    fn send(&mut self, what: &Outbound<'_>, now: Now, out: &mut Vec<u8>) -> u64 {
        let seq = self.take_number();
        let encoded = self.encoder.encode(out, seq, now.utc_ns, None, what);
        if what.is_answer() {
            let (msg_type, body) = (what.msg_type(), &out[encoded.body]);
            self.store.put(Stored { seq, msg_type, sent_utc_ns: now.utc_ns, body });
        }
        self.sent_at_ns = now.mono_ns;
        seq
    }

    fn send_answer(&mut self, what: &Outbound<'_>, now: Now, out: &mut Vec<u8>) -> u64 {
        let before = out.len();
        let seq = self.send(what, now, out);
        if !self.is_logged_on() {
            // Stored it is; on the wire it must not be.
            out.truncate(before);
        }
        seq
    }

    /// Refuses a message for its form.
    fn reject(&mut self, message: &Message<'_>, ref_seq: u64, fault: Fault, now: Now, out: &mut Vec<u8>) {
        let (code, text) = super::encode::fault_text(fault.reason);
        let ref_msg_type = message.get(Tag::MsgType).unwrap_or_default();
        self.send(&Outbound::Reject { ref_seq, ref_msg_type, fault, code, text }, now, out);
    }

    /// Sends `begin_seq..=end_seq` again: answers as stored, all else as gap fills. 0 is the end of all.
    ///
    /// All in one go: another message of ours in between would look to the peer like the next gap. What it can write is bounded by the store.
    fn resend(&mut self, begin_seq: u64, end_seq: u64, now: Now, out: &mut Vec<u8>) {
        let last_seq = self.next_out - 1;
        let end_seq = if end_seq == 0 { last_seq } else { end_seq.min(last_seq) };
        let mut seq = begin_seq;
        while let Some(stored) = self.store.first_in(seq..end_seq + 1) {
            if seq < stored.seq {
                fill_gap(&mut self.encoder, seq, stored.seq, now, out);
            }
            let again = Outbound::Stored { msg_type: stored.msg_type, body: stored.body };
            self.encoder.encode(out, stored.seq, now.utc_ns, Some(stored.sent_utc_ns), &again);
            seq = stored.seq + 1;
        }
        if seq <= end_seq {
            fill_gap(&mut self.encoder, seq, end_seq + 1, now, out);
        }
        self.sent_at_ns = now.mono_ns;
    }

    /// Asks for everything from the expected number on.
    fn request_resend(&mut self, now: Now, out: &mut Vec<u8>) {
        self.send(&Outbound::ResendRequest { begin_seq: self.next_in }, now, out);
        self.resend_asked_at_ns = now.mono_ns;
    }

    fn open_gap(&mut self, through_seq: u64, now: Now, out: &mut Vec<u8>) {
        self.request_resend(now, out);
        self.resend_tries = 1;
        self.enter(State::AwaitResend { through_seq }, now);
    }

    /// The next expected number is `next_in`; a gap that ends below it is closed.
    fn advance(&mut self, next_in: u64, now: Now) {
        self.next_in = next_in;
        if let State::AwaitResend { through_seq } = self.state {
            self.resend_asked_at_ns = now.mono_ns;
            self.resend_tries = 1;
            if next_in > through_seq {
                self.enter(State::Active, now);
            }
        }
    }

    /// Asks again for a resend that stands still, or gives up.
    fn retry_resend(&mut self, now: Now, out: &mut Vec<u8>) -> Step {
        if self.resend_tries >= RESEND_TRIES_MAX {
            let text = format!("no resend from {} on", self.next_in);
            return self.end_with_logout(&text, Disconnect::ResendUnanswered, now, out);
        }
        self.resend_tries += 1;
        self.request_resend(now, out);
        Step::default()
    }
}

fn fill_gap(encoder: &mut Encoder, seq: u64, new_seq: u64, now: Now, out: &mut Vec<u8>) {
    let what = Outbound::SequenceReset { new_seq, gap_fill: true };
    encoder.encode(out, seq, now.utc_ns, Some(now.utc_ns), &what);
}

/// A reason and a tag, for those who build faults.
fn fault(tag: Tag, reason: RejectReason) -> Fault {
    Fault { tag: tag.number(), reason }
}
