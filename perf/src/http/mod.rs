//! The HTTP door of a host: `POST /v1/commands` over connections that stay open, many lines a request, several requests under way.

mod line;
mod wire;

use crate::door::{Door, DoorError, Reply, Target};
use crate::ledger::{Ledger, Status};
use crate::limits;
use crate::oracle::SeenPosition;
use crate::poll::Watch;
use serde::Deserialize;
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub use line::{contract_line, mark_line, trade_line};
use wire::{Connection, Response};

/// A running host's HTTP door. It answers when what was sent is durable.
#[derive(Clone, Copy, Debug)]
pub struct HttpTarget {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Most lines of a request.
    pub lines_max: usize,
    /// Most requests under way on one connection: the next are sent before the first is answered.
    pub requests_max: usize,
}

impl HttpTarget {
    /// A door with requests of up to 500 lines, two under way on a connection.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, lines_max: 500, requests_max: 2 }
    }

    /// The host's business date, as `YYYY-MM-DD`; none before its first.
    ///
    /// # Errors
    /// It does not answer, or is no host.
    pub fn business_date(&self) -> Result<Option<String>, DoorError> {
        let health: Health = self.get("/health/detailed")?;
        Ok(health.read_model.business_date)
    }

    /// Positions that still wait for their replay.
    ///
    /// # Errors
    /// As above.
    pub fn provisional_positions(&self) -> Result<u64, DoorError> {
        let health: Health = self.get("/health/detailed")?;
        Ok(health.read_model.provisional_positions)
    }

    /// Sends lines, such as contracts, and fails where one is refused; says the log's sequence of each.
    ///
    /// # Errors
    /// The first refusal in its own words.
    pub fn send(&self, lines: &[String]) -> Result<Vec<u64>, DoorError> {
        let mut sequences = Vec::with_capacity(lines.len());
        for some in lines.chunks(limits::HTTP_LINES_MAX) {
            let response = Connection::ask(self.addr, "POST", "/v1/commands", some.join("\n").as_bytes())?;
            for (line, done) in some.iter().zip(&results(&response)?.results) {
                if done.outcome != "applied" {
                    let reason = done.reason.unwrap_or(done.outcome);
                    return Err(DoorError::Refused(format!("{reason}: {line}")));
                }
                sequences.push(done.sequence);
            }
        }
        Ok(sequences)
    }

    /// Every position of the accounts that begin so, with its lots, through the door that everybody has.
    ///
    /// # Errors
    /// It does not answer, or not in its own form.
    pub fn positions(&self, account_prefix: &str) -> Result<Vec<SeenPosition>, DoorError> {
        let (mut positions, mut after) = (Vec::new(), String::new());
        loop {
            let page: line::Page = self.get(&format!("/v1/positions?lots=true&limit=1000{after}"))?;
            for shown in page.positions {
                if shown.account.starts_with(account_prefix) {
                    positions.push(shown.seen().ok_or_else(|| DoorError::Answer("a position's figures".to_owned()))?);
                }
            }
            match page.next {
                Some(next) => after = format!("&after={}", line::escaped(&next)),
                None => return Ok(positions),
            }
        }
    }

    fn get<T: for<'a> Deserialize<'a>>(&self, path: &str) -> Result<T, DoorError> {
        let response = Connection::ask(self.addr, "GET", path, b"")?;
        // A host that is not ready answers as well; what it says of itself is what is wanted.
        serde_json::from_slice(&response.body).map_err(|error| DoorError::Answer(format!("{path}: {error}")))
    }
}

impl Target for HttpTarget {
    fn describe(&self) -> String {
        format!("HTTP at {}", self.addr)
    }

    fn open(&self, _number: u32) -> Result<Box<dyn Door>, DoorError> {
        let stream = TcpStream::connect(self.addr)?;
        Ok(Box::new(HttpDoor {
            connection: Connection::new(stream)?,
            target: *self,
            body: Vec::new(),
            taken: Vec::new(),
            under_way: VecDeque::new(),
            watch: Watch::default(),
        }))
    }
}

#[derive(Deserialize)]
struct Health {
    read_model: ReadModel,
}

#[derive(Deserialize)]
struct ReadModel {
    business_date: Option<String>,
    provisional_positions: u64,
}

/// What a host answers to many lines.
#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    results: Vec<Done<'a>>,
}

#[derive(Deserialize)]
struct Done<'a> {
    outcome: &'a str,
    reason: Option<&'a str>,
    sequence: u64,
}

fn results(response: &Response) -> Result<Results<'_>, DoorError> {
    serde_json::from_slice(&response.body).map_err(|_| {
        let text = String::from_utf8_lossy(&response.body).into_owned();
        DoorError::Refused(format!("status {}: {text}", response.status))
    })
}

/// One connection.
struct HttpDoor {
    connection: Connection,
    target: HttpTarget,
    /// Lines of the request that is being put together, and whose they are.
    body: Vec<u8>,
    taken: Vec<u32>,
    /// Requests sent and not answered, the oldest first.
    under_way: VecDeque<Vec<u32>>,
    watch: Watch,
}

impl HttpDoor {
    fn send(&mut self) {
        if !self.taken.is_empty() && self.under_way.len() < self.target.requests_max {
            self.connection.request("POST", "/v1/commands", &self.body);
            self.under_way.push_back(std::mem::take(&mut self.taken));
            self.body.clear();
        }
    }
}

impl Door for HttpDoor {
    fn offer(&mut self, ledger: &Ledger, index: u32) -> Result<bool, DoorError> {
        if self.taken.len() == self.target.lines_max {
            return Ok(false);
        }
        trade_line(ledger, index, &mut self.body);
        self.body.push(b'\n');
        self.taken.push(index);
        Ok(true)
    }

    fn turn(&mut self, replies: &mut Vec<Reply>) -> Result<(), DoorError> {
        self.send();
        self.connection.write()?;
        while let Some(response) = self.connection.read()? {
            let lines =
                self.under_way.pop_front().ok_or_else(|| DoorError::Answer("to nothing that was asked".to_owned()))?;
            let done = results(&response)?.results;
            if done.len() != lines.len() {
                return Err(DoorError::Answer(format!("{} results for {} lines", done.len(), lines.len())));
            }
            replies.extend(lines.into_iter().zip(&done).map(|(index, done)| reply(index, done)));
            self.send();
            self.connection.write()?;
        }
        Ok(())
    }

    fn wait(&mut self, at_most: Duration) {
        self.watch.clear();
        self.watch.add(self.connection.socket(), self.connection.has_unsent());
        // A wait may fail only for want of memory; the reads that follow would say more.
        let _ = self.watch.wait(at_most);
    }
}

fn reply(index: u32, done: &Done<'_>) -> Reply {
    let (status, first) = match done.outcome {
        "applied" => (Status::Applied, None),
        "provisional" => (Status::Provisional, None),
        "held" => (Status::Forward, None),
        "duplicate" => (Status::Duplicate, Some(done.sequence)),
        "rejected" => (Status::Rejected, None),
        "not_taken" => (Status::Unavailable, None),
        // Whatever else it says, it does not say that it was booked.
        _ => (Status::Sent, None),
    };
    let refused = status.refused().then(|| done.reason.unwrap_or("NOT_TAKEN").to_owned());
    Reply { index, status, sequence: if first.is_some() { 0 } else { done.sequence }, first, code: refused }
}
