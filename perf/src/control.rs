//! The control: an acceptor that answers the same messages with acknowledgements of the same size and does nothing else.
//!
//! What it achieves is what this machine's loopback, its scheduler and this crate's own driver allow. A host is judged beside it.

use crate::burst::{self, BurstError, BurstOutcome, Progress, Target};
use crate::ledger::Ledger;
use crate::limits;
use crate::plan::BurstPlan;
use crate::poll::Watch;
use crate::text::{self, WallClock};
use crate::wire::{self, Header, Incoming, SOH, push, push_number};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// CompID of the control.
pub const CONTROL_COMP_ID: &str = "CONTROL";

/// The echo on a thread of its own; stops when dropped.
#[derive(Debug)]
pub struct Echo {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Echo {
    /// Listens on a free loopback port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("control-echo".into())
            .spawn(move || Acceptor::new(listener).run(&seen))?;
        Ok(Self { addr, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // ORDERING: nothing is published with the flag; the thread looks at it every few milliseconds.
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs `plan` against a fresh echo.
pub fn run(plan: &BurstPlan, ledger: Ledger, progress: &mut dyn FnMut(&Progress)) -> Result<BurstOutcome, BurstError> {
    let echo = Echo::start()?;
    let target = Target::new(echo.addr(), CONTROL_COMP_ID, plan.sessions);
    burst::run_with(plan, ledger, &target, progress)
}

struct Acceptor {
    listener: TcpListener,
    connections: Vec<Connection>,
    /// The next number of each peer, should it go away and come back.
    numbers: HashMap<Vec<u8>, u64>,
    watch: Watch,
    clock: WallClock,
    sequence: u64,
}

struct Connection {
    stream: TcpStream,
    peer: Vec<u8>,
    next_out: u64,
    input: Vec<u8>,
    input_end: usize,
    out: Vec<u8>,
    out_written: usize,
    open: bool,
}

impl Acceptor {
    fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            connections: Vec::new(),
            numbers: HashMap::new(),
            watch: Watch::default(),
            clock: WallClock::default(),
            sequence: 0,
        }
    }

    fn run(mut self, stop: &AtomicBool) -> io::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.watch.clear();
            self.watch.add(&self.listener, false);
            for connection in &self.connections {
                self.watch.add(&connection.stream, connection.out_written < connection.out.len());
            }
            self.watch.wait(Duration::from_millis(20))?;
            self.clock.refresh();
            for (at, connection) in self.connections.iter_mut().enumerate() {
                if !self.watch.is_ready(at + 1) {
                    continue;
                }
                // A peer that went away is none of the control's worries.
                if connection.serve(&self.clock, &mut self.sequence, &self.numbers).is_err() {
                    connection.open = false;
                }
                // Kept at once: a peer may be back before its broken connection is noticed.
                match self.numbers.get_mut(&connection.peer) {
                    Some(number) => *number = connection.next_out.max(*number),
                    None => drop(self.numbers.insert(connection.peer.clone(), connection.next_out)),
                }
            }
            self.connections.retain(|connection| connection.open);
            while self.watch.is_ready(0)
                && let Ok((stream, _)) = self.listener.accept()
            {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                self.connections.push(Connection::new(stream));
            }
        }
        Ok(())
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            peer: Vec::new(),
            next_out: 1,
            input: vec![0; limits::READ_BYTES_A_TICK + limits::FRAME_BYTES_MAX],
            input_end: 0,
            out: Vec::new(),
            out_written: 0,
            open: true,
        }
    }

    fn serve(&mut self, clock: &WallClock, sequence: &mut u64, numbers: &HashMap<Vec<u8>, u64>) -> io::Result<()> {
        let mut got = 0;
        while got < limits::READ_BYTES_A_TICK && self.input_end < self.input.len() {
            match self.stream.read(&mut self.input[self.input_end..]) {
                Ok(0) => {
                    self.open = false;
                    break;
                }
                Ok(count) => {
                    got += count;
                    let room = self.input.len() - self.input_end;
                    self.input_end += count;
                    if count < room {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let mut at = 0;
        let input = std::mem::take(&mut self.input);
        while let Some(length) = wire::frame(&input[at..self.input_end]).map_err(io::Error::other)? {
            let message = Incoming::read(&input[at..at + length]).map_err(io::Error::other)?;
            self.answer(&message, clock, sequence, numbers);
            at += length;
        }
        self.input = input;
        self.input.copy_within(at..self.input_end, 0);
        self.input_end -= at;
        while self.out_written < self.out.len() {
            match self.stream.write(&self.out[self.out_written..]) {
                Ok(written) => self.out_written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.out_written = 0;
        Ok(())
    }

    fn answer(
        &mut self,
        message: &Incoming<'_>,
        clock: &WallClock,
        sequence: &mut u64,
        numbers: &HashMap<Vec<u8>, u64>,
    ) {
        match message.msg_type {
            b"A" => {
                self.peer = message.sender.to_vec();
                self.next_out = numbers.get(&self.peer).copied().unwrap_or(1);
                let heartbeat_s = message.heartbeat_s.unwrap_or(30);
                self.write(b"A", clock, |out| {
                    out.extend_from_slice(b"98=0\x01");
                    push_number(out, b"108", heartbeat_s);
                });
            }
            b"1" => self.write(b"0", clock, |out| push(out, b"112", message.test_id)),
            b"5" => {
                self.write(b"5", clock, |_| {});
            }
            b"8" | b"AE" if !message.trade_id.is_empty() => {
                *sequence += 1;
                let sequence = *sequence;
                self.write(b"AR", clock, |out| push_ack(out, message, clock, sequence));
            }
            // Nothing is kept to send again: what a peer missed stays missed, and it may ask for its trades under new numbers.
            b"2" => {
                let (begin, next) = (message.begin.unwrap_or(1), self.next_out);
                self.next_out = begin;
                self.write(b"4", clock, |out| {
                    out.extend_from_slice(b"123=Y\x01");
                    push_number(out, b"36", next);
                });
                self.next_out = next;
            }
            b"0" | b"3" | b"4" => {}
            _ => self.write(b"j", clock, |out| {
                push_number(out, b"45", message.seq);
                push(out, b"372", message.msg_type);
                out.extend_from_slice(b"380=3\x01");
            }),
        }
    }

    fn write(&mut self, msg_type: &[u8], clock: &WallClock, body: impl FnOnce(&mut Vec<u8>)) {
        let header = Header {
            msg_type,
            seq: self.next_out,
            sender: CONTROL_COMP_ID.as_bytes(),
            target: &self.peer,
            sending_time: clock.text(),
            poss_dup: false,
            poss_resend: false,
        };
        wire::write(&mut self.out, &header, body);
        self.next_out += 1;
    }
}

/// Field by field what a host answers, so that the bytes are as many.
fn push_ack(out: &mut Vec<u8>, message: &Incoming<'_>, clock: &WallClock, sequence: u64) {
    push(out, b"571", message.trade_id);
    out.extend_from_slice(b"150=F\x01");
    push(out, b"17", message.trade_id);
    push(out, b"55", message.symbol);
    push(out, b"60", clock.text());
    match (message.msg_type, message.secondary, message.correlation) {
        (b"8", sent @ [_, ..], _) | (b"AE", _, sent @ [_, ..]) => push(out, b"818", sent),
        // As long as a UUID and a service id.
        _ => push(out, b"818", b"00000000-0000-7000-8000-000000000000@control"),
    }
    out.extend_from_slice(b"939=0\x01");
    push_number(out, b"527", sequence);
    push(out, b"1", message.account);
    out.extend_from_slice(b"58=outcome=applied seq=");
    text::push_u64(out, sequence);
    out.extend_from_slice(b" ver=100 ack=durable");
    out.push(SOH);
}
