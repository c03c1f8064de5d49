//! A proxy in front of Postgres that cuts connections: at once, or right when a commit was sent.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// The words of a commit on the wire.
const COMMIT: &[u8] = b"COMMIT\0";

/// Which connection is meant: words that only one of the archive's says before its commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of the rows.
    Rows = 0,
    /// That of the trades.
    Trades = 1,
}

impl Whose {
    const WORDS: [&'static [u8]; 2] = [b"COPY lotbook.event_store", b"INSERT INTO lotbook.trade_cursor"];
}

/// When the next connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    /// Never.
    No = 0,
    /// When a commit was sent on, before the answer is known: it may have been done or not.
    AfterCommit = 1,
    /// When the server has answered a commit: it is done, and nobody is told.
    AfterAnswer = 2,
}

#[derive(Debug, Default)]
struct Shared {
    cut: AtomicU8,
    whose: AtomicU8,
    cuts: AtomicU64,
    stops: AtomicBool,
}

/// The proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of a socket, at a port that the system chooses.
    pub(crate) fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared::default());
        let ours = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ours.stops.load(Ordering::Relaxed) {
                    return;
                }
                // While the server is down its clients are turned away.
                let Ok(server) = UnixStream::connect(&socket) else { continue };
                let shared = ours.clone();
                std::thread::spawn(move || pass(&client, &server, &shared));
            }
        });
        Self { address, shared }
    }

    /// Cuts one connection.
    pub(crate) fn cut(&self, whose: Whose, cut: Cut) {
        self.shared.whose.store(whose as u8, Ordering::Relaxed);
        self.shared.cut.store(cut as u8, Ordering::Release);
    }

    /// Connections that were cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::Relaxed);
        // It waits for a client: this is one.
        let _ = TcpStream::connect(self.address);
    }
}

fn pass(client: &TcpStream, server: &UnixStream, shared: &Arc<Shared>) {
    let (from_server, to_client) = (server.try_clone().expect("a handle"), client.try_clone().expect("a handle"));
    // Set while an answer must not get through.
    let holds = Arc::new(AtomicBool::new(false));
    let held = Arc::new(AtomicBool::new(false));
    let (holding, answered) = (holds.clone(), held.clone());
    let back = std::thread::spawn(move || {
        let (mut from, mut to) = (from_server, to_client);
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if holding.load(Ordering::Acquire) {
                answered.store(true, Ordering::Release);
                continue;
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        answered.store(true, Ordering::Release);
    });
    let (mut from, mut to) = (client, server);
    let mut bytes = vec![0; 64 << 10];
    let mut seen: Vec<u8> = Vec::new();
    // What is looked for may lie across two reads; the end of the one before is as long as the longest words.
    let kept = Whose::WORDS.map(<[u8]>::len).into_iter().max().unwrap_or(0);
    let mut is = [false; 2];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let behind = seen.len().saturating_sub(kept);
        seen.drain(..behind);
        let read_before = seen.len();
        seen.extend_from_slice(&bytes[..count]);
        for (is, words) in is.iter_mut().zip(Whose::WORDS) {
            *is |= seen.windows(words.len()).any(|window| window == words);
        }
        let new = &seen[read_before.saturating_sub(COMMIT.len() - 1)..];
        let commits = new.windows(COMMIT.len()).any(|window| window == COMMIT)
            && is[usize::from(shared.whose.load(Ordering::Relaxed))];
        let cut = if commits { shared.cut.swap(Cut::No as u8, Ordering::AcqRel) } else { Cut::No as u8 };
        if cut != Cut::No as u8 {
            holds.store(true, Ordering::Release);
        }
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
        if cut == Cut::AfterAnswer as u8 {
            while !held.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if cut != Cut::No as u8 {
            shared.cuts.fetch_add(1, Ordering::AcqRel);
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    let _ = back.join();
}
