//! A FIX 4.4 initiator made for load: one non-blocking socket, one write and one read a tick, nothing persisted.
//!
//! The client remembers which ledger index went out under which number, four bytes a message; when the host asks for a resend, the bodies are
//! encoded again. After a lost connection `open` continues with the numbers as they stand, and the two sides find the holes by the rules of FIX:
//! the host asks for what it has not processed, the client for what it has not seen.
//!
//! What comes in, and what is done:
//!
//! | number | message | action |
//! |---|---|---|
//! | any | SequenceReset, 123 not Y | the next expected number is the new one |
//! | expected | SequenceReset, 123=Y | the same |
//! | expected | any other | handled, expected + 1 |
//! | above | an answer | handled (settling twice is harmless), and a resend is asked for once |
//! | above | Logon, ResendRequest, Logout | handled, and a resend is asked for once |
//! | above | any other | a resend is asked for once |
//! | below | PossDup | an answer is handled, all else is ignored |
//! | below | not PossDup | the session is broken |

use crate::answer::Answer;
use crate::limits;
use crate::message::Bodies;
use crate::text::WallClock;
use crate::wire::{self, Header, Incoming, WireError, push, push_number};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Who a session is and where it stands.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Our CompID.
    pub sender_comp_id: String,
    /// The host's CompID.
    pub target_comp_id: String,
    /// HeartBtInt.
    pub heartbeat_s: u32,
    /// The number of our next message.
    pub next_out: u64,
    /// The number expected from the host.
    pub next_in: u64,
    /// Log on with ResetSeqNumFlag, both sides from 1.
    pub reset: bool,
}

/// Why a session ended. Nothing is lost by it: the ledger knows what was answered.
#[derive(Debug, thiserror::Error)]
pub enum FixError {
    /// The socket failed.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The host closed the connection.
    #[error("the host closed the connection")]
    Closed,
    /// The host logged us out.
    #[error("the host logged out: {0}")]
    LoggedOut(String),
    /// The host's numbers went back.
    #[error("the host sent number {seen} without PossDup, {expected} was due")]
    SequenceTooLow {
        /// Due.
        expected: u64,
        /// Seen.
        seen: u64,
    },
    /// The bytes are no FIX.
    #[error("unreadable message from the host: {0}")]
    Wire(#[from] WireError),
    /// Nothing came for two heartbeat intervals.
    #[error("the host is silent")]
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    LogonSent,
    Active,
    LogoutSent,
}

/// Marks a number used by a session-level message.
const ADMIN: u32 = u32::MAX;
/// Marks a number used by a possible resend of an index.
const AGAIN: u32 = 1 << 31;

/// One session.
#[derive(Debug)]
pub struct FixClient {
    config: SessionConfig,
    state: State,
    stream: Option<TcpStream>,
    next_out: u64,
    next_in: u64,
    first_number: u64,
    /// What went out under number `first_number + i`.
    sent: Vec<u32>,
    out: Vec<u8>,
    out_written: usize,
    input: Vec<u8>,
    input_end: usize,
    /// Numbers still to be sent again, inclusive.
    resending: Option<(u64, u64)>,
    /// The number whose coming early showed a hole.
    gap_seen_at: Option<u64>,
    clock: WallClock,
    last_sent: Instant,
    last_received: Instant,
    test_sent: bool,
}

impl FixClient {
    /// A session, not connected yet.
    pub fn new(config: SessionConfig) -> Self {
        let now = Instant::now();
        Self {
            state: State::Idle,
            stream: None,
            next_out: config.next_out,
            next_in: config.next_in,
            first_number: config.next_out,
            sent: Vec::new(),
            out: Vec::new(),
            out_written: 0,
            input: vec![0; limits::READ_BYTES_A_TICK + limits::FRAME_BYTES_MAX],
            input_end: 0,
            resending: None,
            gap_seen_at: None,
            clock: WallClock::default(),
            last_sent: now,
            last_received: now,
            test_sent: false,
            config,
        }
    }

    /// Connects and sends the Logon; the session is active once the host has answered.
    pub fn open(&mut self, addr: SocketAddr) -> Result<(), FixError> {
        self.drop_connection();
        let stream = TcpStream::connect_timeout(&addr, Duration::from_millis(limits::LOGON_TIMEOUT_MS))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.stream = Some(stream);
        self.last_received = Instant::now();
        self.test_sent = false;
        if self.config.reset {
            self.next_out = 1;
            self.next_in = 1;
            self.first_number = 1;
            self.sent.clear();
            // Only the first logon starts anew; a later one continues.
            self.config.reset = false;
            self.logon(true);
        } else {
            self.logon(false);
        }
        self.state = State::LogonSent;
        self.flush()
    }

    /// Forgets the connection at once, unsent bytes included, as a crash would. Numbers stay.
    pub fn drop_connection(&mut self) {
        self.stream = None;
        self.state = State::Idle;
        self.out.clear();
        self.out_written = 0;
        self.input_end = 0;
        self.resending = None;
        self.gap_seen_at = None;
    }

    /// Logged on.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Not connected.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// The number of our next message.
    pub fn next_out(&self) -> u64 {
        self.next_out
    }

    /// The number expected from the host.
    pub fn next_in(&self) -> u64 {
        self.next_in
    }

    /// Our CompID.
    pub fn sender_comp_id(&self) -> &str {
        &self.config.sender_comp_id
    }

    /// The socket, to wait on.
    pub fn socket(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }

    /// Bytes encoded and not taken by the socket yet.
    pub fn pending_bytes(&self) -> usize {
        self.out.len() - self.out_written
    }

    /// Whether another message may be added now: logged on, nothing to resend first, and the buffer within its limit.
    pub fn can_take(&self) -> bool {
        self.is_active() && self.resending.is_none() && self.pending_bytes() < limits::OUT_PENDING_BYTES_MAX
    }

    /// Has numbers to send again still.
    pub fn is_resending(&self) -> bool {
        self.resending.is_some()
    }

    /// The ledger index that went out under `number`.
    pub fn index_of(&self, number: u64) -> Option<u32> {
        let at = usize::try_from(number.checked_sub(self.first_number)?).ok()?;
        self.sent.get(at).filter(|&&sent| sent != ADMIN).map(|sent| sent & !AGAIN)
    }

    /// Encodes message `index` under the next number, which is returned. The bytes go out with the next `flush`.
    pub fn send(&mut self, bodies: &impl Bodies, index: u32) -> u64 {
        self.send_marked(bodies, index)
    }

    /// Encodes message `index` again under a new number, as a possible resend: the host answers with what became of it.
    pub fn send_again(&mut self, bodies: &impl Bodies, index: u32) -> u64 {
        self.send_marked(bodies, index | AGAIN)
    }

    fn send_marked(&mut self, bodies: &impl Bodies, marked: u32) -> u64 {
        assert!(self.can_take(), "messages are added to a session that can take them");
        let number = self.next_out;
        self.encode(bodies, number, marked, false);
        self.sent.push(marked);
        self.next_out += 1;
        number
    }

    fn encode(&mut self, bodies: &impl Bodies, number: u64, marked: u32, poss_dup: bool) {
        let index = marked & !AGAIN;
        let header = Header {
            msg_type: bodies.msg_type(index),
            seq: number,
            sender: self.config.sender_comp_id.as_bytes(),
            target: self.config.target_comp_id.as_bytes(),
            sending_time: self.clock.text(),
            poss_dup,
            poss_resend: marked & AGAIN != 0 || bodies.poss_resend(index),
        };
        wire::write(&mut self.out, &header, |out| bodies.push_body(index, out));
    }

    fn admin(&mut self, msg_type: &[u8], body: impl FnOnce(&mut Vec<u8>)) {
        self.clock.refresh();
        let header = Header {
            msg_type,
            seq: self.next_out,
            sender: self.config.sender_comp_id.as_bytes(),
            target: self.config.target_comp_id.as_bytes(),
            sending_time: self.clock.text(),
            poss_dup: false,
            poss_resend: false,
        };
        wire::write(&mut self.out, &header, body);
        self.sent.push(ADMIN);
        self.next_out += 1;
    }

    fn logon(&mut self, reset: bool) {
        let heartbeat_s = u64::from(self.config.heartbeat_s);
        self.admin(b"A", |out| {
            out.extend_from_slice(b"98=0\x01");
            push_number(out, b"108", heartbeat_s);
            if reset {
                out.extend_from_slice(b"141=Y\x01");
            }
        });
    }

    /// Says goodbye; the host's Logout then ends the session.
    pub fn logout(&mut self) -> Result<(), FixError> {
        if self.is_active() {
            self.admin(b"5", |_| {});
            self.state = State::LogoutSent;
        }
        self.flush()
    }

    /// Refreshes the sending time: once a tick, before messages are added.
    pub fn refresh_clock(&mut self) {
        self.clock.refresh();
    }

    /// Writes what the socket takes.
    pub fn flush(&mut self) -> Result<(), FixError> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while self.out_written < self.out.len() {
            match stream.write(&self.out[self.out_written..]) {
                Ok(0) => return Err(FixError::Closed),
                Ok(written) => {
                    self.out_written += written;
                    self.last_sent = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.out_written == self.out.len() {
            self.out.clear();
            self.out_written = 0;
        } else if self.out_written > limits::OUT_PENDING_BYTES_MAX {
            self.out.drain(..self.out_written);
            self.out_written = 0;
        }
        Ok(())
    }

    /// Reads what has come, up to the limit of a tick, and hands over the answers in it. Returns whether anything came.
    pub fn read(&mut self, bodies: &impl Bodies, on_answer: &mut impl FnMut(Answer<'_>)) -> Result<bool, FixError> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let mut closed = false;
        let mut got = 0;
        while got < limits::READ_BYTES_A_TICK && self.input_end < self.input.len() {
            match stream.read(&mut self.input[self.input_end..]) {
                Ok(0) => {
                    closed = true;
                    break;
                }
                Ok(count) => {
                    got += count;
                    let room = self.input.len() - self.input_end;
                    self.input_end += count;
                    // A read that leaves room has emptied the socket; asking again would cost a system call to hear so.
                    if count < room {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if got > 0 {
            self.last_received = Instant::now();
            self.test_sent = false;
            // The buffer is taken out while its messages are handled, because handling them changes the session.
            let mut input = std::mem::take(&mut self.input);
            let end = self.input_end;
            let consumed = self.handle_all(&input[..end], on_answer);
            if let Ok(consumed) = consumed {
                input.copy_within(consumed..end, 0);
                // A logout among the messages has dropped the connection, and what followed it.
                self.input_end = if self.stream.is_some() { end - consumed } else { 0 };
            }
            self.input = input;
            consumed?;
        }
        self.resend_some(bodies);
        // What came before the end of the stream was handled first: an answer is an answer.
        if closed && self.state != State::Idle {
            self.drop_connection();
            return Err(FixError::Closed);
        }
        Ok(got > 0)
    }

    fn handle_all(&mut self, bytes: &[u8], on_answer: &mut impl FnMut(Answer<'_>)) -> Result<usize, FixError> {
        let mut at = 0;
        while at < bytes.len() {
            let Some(length) = wire::frame(&bytes[at..])? else { break };
            let message = Incoming::read(&bytes[at..at + length])?;
            at += length;
            self.handle(&message, on_answer)?;
            if self.stream.is_none() {
                break;
            }
        }
        Ok(at)
    }

    fn handle(&mut self, message: &Incoming<'_>, on_answer: &mut impl FnMut(Answer<'_>)) -> Result<(), FixError> {
        if message.msg_type == b"4" && !message.gap_fill {
            self.next_in = message.new_seq.unwrap_or(self.next_in);
            self.gap_seen_at = None;
            return Ok(());
        }
        if message.msg_type == b"A" && message.reset {
            self.next_in = message.seq;
        }
        if let Some(answer) = Answer::read(message, |number| self.index_of(number))
            && (message.seq >= self.next_in || message.poss_dup)
        {
            on_answer(answer);
        }
        if message.seq < self.next_in {
            if message.poss_dup {
                return Ok(());
            }
            return Err(match message.msg_type {
                // A host that finds our numbers wrong says so in words; they help more than its own number.
                b"5" => FixError::LoggedOut(String::from_utf8_lossy(message.text).into_owned()),
                _ => FixError::SequenceTooLow { expected: self.next_in, seen: message.seq },
            });
        }
        let early = message.seq > self.next_in;
        match message.msg_type {
            b"A" if self.state == State::LogonSent => self.state = State::Active,
            b"2" => {
                let last = self.next_out - 1;
                let end = message.end.filter(|&end| end != 0).map_or(last, |end| end.min(last));
                let begin = message.begin.unwrap_or(1).max(1);
                if begin <= end {
                    self.resending = Some((begin, end));
                }
            }
            b"5" => return self.logged_out(message),
            b"1" if !early => {
                let id = message.test_id.to_vec();
                self.admin(b"0", |out| push(out, b"112", &id));
            }
            b"4" if !early => {
                self.next_in = message.new_seq.unwrap_or(message.seq + 1).max(message.seq + 1);
                self.close_gap();
                return Ok(());
            }
            _ => {}
        }
        if early {
            if self.gap_seen_at.is_none() {
                let begin = self.next_in;
                self.admin(b"2", |out| {
                    push_number(out, b"7", begin);
                    out.extend_from_slice(b"16=0\x01");
                });
            }
            self.gap_seen_at = self.gap_seen_at.max(Some(message.seq));
        } else {
            self.next_in += 1;
            self.close_gap();
        }
        Ok(())
    }

    fn close_gap(&mut self) {
        if self.gap_seen_at.is_some_and(|seen| self.next_in > seen) {
            self.gap_seen_at = None;
        }
    }

    fn logged_out(&mut self, message: &Incoming<'_>) -> Result<(), FixError> {
        let asked = self.state == State::LogoutSent;
        if !asked {
            self.admin(b"5", |_| {});
            let _ = self.flush();
        }
        self.next_in = self.next_in.max(message.seq + 1);
        self.drop_connection();
        if asked { Ok(()) } else { Err(FixError::LoggedOut(String::from_utf8_lossy(message.text).into_owned())) }
    }

    /// Sends again what was asked for, as far as the buffer's limit allows; runs of session-level messages become gap fills.
    fn resend_some(&mut self, bodies: &impl Bodies) {
        let Some((mut next, end)) = self.resending else { return };
        self.clock.refresh();
        while next <= end && self.pending_bytes() < limits::OUT_PENDING_BYTES_MAX {
            let mark =
                |number: u64| number.checked_sub(self.first_number).and_then(|at| self.sent.get(at as usize).copied());
            // Numbers from before this client's time are filled as well: their messages are not known here.
            match mark(next).filter(|&marked| marked != ADMIN) {
                Some(marked) => {
                    self.encode(bodies, next, marked, true);
                    next += 1;
                }
                None => {
                    let from = next;
                    while next <= end && mark(next).is_none_or(|marked| marked == ADMIN) {
                        next += 1;
                    }
                    self.fill_gap(from, next);
                }
            }
        }
        self.resending = (next <= end).then_some((next, end));
    }

    fn fill_gap(&mut self, from: u64, to: u64) {
        let header = Header {
            msg_type: b"4",
            seq: from,
            sender: self.config.sender_comp_id.as_bytes(),
            target: self.config.target_comp_id.as_bytes(),
            sending_time: self.clock.text(),
            poss_dup: true,
            poss_resend: false,
        };
        wire::write(&mut self.out, &header, |out| {
            out.extend_from_slice(b"123=Y\x01");
            push_number(out, b"36", to);
        });
    }

    /// Keeps the session alive: a Heartbeat when we were silent, a TestRequest when the host was. Call a few times a second.
    pub fn keep_alive(&mut self) -> Result<(), FixError> {
        if !self.is_active() {
            return Ok(());
        }
        let interval = Duration::from_secs(u64::from(self.config.heartbeat_s));
        if self.last_sent.elapsed() >= interval {
            self.admin(b"0", |_| {});
            self.flush()?;
        }
        let silent = self.last_received.elapsed();
        if silent > 2 * interval + interval / 2 {
            return Err(FixError::Silent);
        }
        if silent > interval + interval / 2 && !self.test_sent {
            self.test_sent = true;
            self.admin(b"1", |out| push(out, b"112", b"alive?"));
            self.flush()?;
        }
        Ok(())
    }
}
