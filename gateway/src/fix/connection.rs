//! One TCP connection of the FIX door: its socket and its two buffers.

use std::io;
use std::time::Instant;

use super::acceptor::login::Login;
use super::stream::Stream;

/// Bytes that a connection may have waiting to be written before its peer counts as stuck.
pub(super) const WRITE_BACKLOG_MAX: usize = 16 << 20;
/// Bytes waiting to be written above which no more is read from the peer: backpressure reaches its socket.
pub(super) const WRITE_BACKLOG_PAUSE: usize = 1 << 20;
/// Bytes of the read buffer; several times the longest message.
pub(super) const READ_BYTES: usize = 256 * 1024;

const _: () = assert!(READ_BYTES >= 4 * super::limits::FRAME_BYTES_MAX);
const _: () = assert!(WRITE_BACKLOG_PAUSE < WRITE_BACKLOG_MAX);

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub stream: Stream,
    /// Bytes read and not yet consumed are `read[start..end]`.
    read: Vec<u8>,
    start: usize,
    end: usize,
    pub out: Vec<u8>,
    written: usize,
    /// The socket may have more to read.
    pub readable: bool,
    /// The peer has ended its stream; what it sent before is still to be read.
    pub ended: bool,
    /// The session it belongs to, once the first message has named it.
    pub session: Option<usize>,
    /// No more messages are taken; closes when `out` is written and the peer has closed, or at the deadline.
    pub closing: Option<Instant>,
    pub opened: Instant,
    /// How far its login is, where there are logins.
    pub login: Login,
    /// Least number of unread bytes at which framing is worth trying again.
    pub bytes_min: usize,
}

/// What reading found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Bytes,
    Nothing,
    Closed,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            read: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            out: Vec::with_capacity(64 * 1024),
            written: 0,
            readable: true,
            ended: false,
            session: None,
            closing: None,
            opened: Instant::now(),
            login: Login::New,
            bytes_min: 1,
        }
    }

    /// Reads once. The buffer is compacted first where little room is left.
    pub(super) fn fill(&mut self) -> Got {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.read.len() - self.end < super::limits::FRAME_BYTES_MAX {
            self.read.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.read.len() {
            return Got::Nothing;
        }
        let room = self.read.len() - self.end;
        match self.stream.read(&mut self.read[self.end..]) {
            Ok(0) => Got::Closed,
            Ok(count) => {
                self.end += count;
                // A short read has emptied the socket; the next edge will tell. After the end of the stream there is none.
                self.readable = count == room || self.ended || self.stream.is_tls();
                Got::Bytes
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Got::Nothing
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Got::Nothing,
            Err(_) => Got::Closed,
        }
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.read[self.start..self.end]
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        assert!(bytes <= self.end - self.start);
        self.start += bytes;
    }

    /// Forgets what was read: for a connection that is being closed.
    pub(super) fn discard(&mut self) {
        self.start = self.end;
    }

    /// Both the unread bytes and the write buffer, for a session that reads one and writes the other.
    pub(super) fn split(&mut self) -> (&[u8], &mut Vec<u8>) {
        (&self.read[self.start..self.end], &mut self.out)
    }

    /// Whether the next turn has something to do here.
    pub(super) fn is_busy(&self) -> bool {
        self.has_more() || (self.readable && self.backlog() < WRITE_BACKLOG_PAUSE)
    }

    /// Whether a message may be whole in the buffer that was not looked at yet.
    fn has_more(&self) -> bool {
        self.closing.is_none() && self.end - self.start >= self.bytes_min
    }

    pub(super) fn backlog(&self) -> usize {
        self.out.len() - self.written
    }

    /// Writes what the socket takes. `Err`: the connection is gone, or the peer is stuck beyond the limit.
    pub(super) fn flush(&mut self) -> Result<(), ()> {
        self.stream.push().map_err(|_| ())?;
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(()),
            }
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        if self.backlog() > WRITE_BACKLOG_MAX { Err(()) } else { Ok(()) }
    }
}
