//! The marker: one hash in Redis that says whose positions these are, and by whose hand; from it follows what a new connection does.
//!
//! ```text
//! {prefix}lotbook   format 1 | log_id, epoch | token: of the connection that writes | run_id: of the server it was written to
//!                   state building|complete | complete_through: log sequence
//! ```
//! Each write is a transaction that Redis runs only if nobody has touched the marker since (`WATCH`). So nothing is ever written into a
//! database that was flushed or that somebody else has taken, and nothing of an earlier connection is done after a later one began.

use std::collections::HashMap;

use super::error::RedisError;
use super::resp::Reply;

/// Version of keys, fields and values.
pub const FORMAT: &str = "1";

/// Who writes: a log, its opening, this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The log's id.
    pub log_id: u64,
    /// Its opening; rises with every start.
    pub epoch: u64,
    /// Another number for each process that ever was.
    pub nonce: u128,
}

impl Identity {
    /// Token of the n-th claim of this process.
    pub(super) fn token(&self, claim: u64) -> String {
        format!("{:032x}.{claim}", self.nonce)
    }

    /// As the marker has it.
    pub(super) fn log_id(&self) -> String {
        format!("{:016x}", self.log_id)
    }
}

/// What the marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub format: String,
    pub log_id: String,
    pub epoch: u64,
    pub token: String,
    pub run_id: String,
    pub is_complete: bool,
}

impl Marker {
    /// Out of the answer to HGETALL; `None` where there is none, or what is there is no marker.
    pub(super) fn read(reply: Reply) -> Option<Self> {
        let mut fields = HashMap::new();
        let mut answers = reply.into_array()?.into_iter();
        while let (Some(name), Some(value)) = (answers.next(), answers.next()) {
            fields.insert(name.into_text()?, value.into_text()?);
        }
        let mut take = |name: &str| fields.remove(name);
        Some(Self {
            format: take("format")?,
            log_id: take("log_id")?,
            epoch: take("epoch")?.parse().ok()?,
            token: take("token")?,
            run_id: take("run_id")?,
            is_complete: take("state")? == "complete",
        })
    }
}

/// What a connection does with what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything is as this process left it: go on.
    Resume,
    /// Write everything anew.
    Rebuild(Why),
}

/// Why everything is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no marker: a new database, a flushed one, or somebody wants it so.
    Absent,
    /// Written in another format.
    Format,
    /// Another process of this log wrote last.
    OtherProcess,
    /// The server is another one, or was started again: what it kept may be old.
    OtherServer,
    /// The last time did not come to its end.
    Unfinished,
    /// Redis has thrown keys away for want of memory.
    Evicted,
}

impl Why {
    /// For the operator's log and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Format => "format",
            Self::OtherProcess => "other_process",
            Self::OtherServer => "other_server",
            Self::Unfinished => "unfinished",
            Self::Evicted => "evicted",
        }
    }
}

/// The decision, the first row that fits:
///
/// | marker | verdict |
/// |---|---|
/// | none | rebuild: absent |
/// | another log | refuse, naming both |
/// | this log, a later epoch | refuse: this process is the older one |
/// | another format | rebuild: format |
/// | a token that is not the last one of this process | rebuild: other process |
/// | another run of the server | rebuild: other server |
/// | not complete | rebuild: unfinished |
/// | all of it as it was left | resume |
pub(super) fn decide(
    found: Option<&Marker>,
    us: &Identity,
    last_token: Option<&str>,
    run_id: &str,
    key: &str,
) -> Result<Verdict, RedisError> {
    let Some(found) = found else { return Ok(Verdict::Rebuild(Why::Absent)) };
    if found.log_id != us.log_id() {
        let (theirs, ours) = (found.log_id.clone(), us.log_id());
        return Err(RedisError::ForeignLog { theirs, ours, key: key.to_owned() });
    }
    if found.epoch > us.epoch {
        return Err(RedisError::LaterEpoch { theirs: found.epoch, ours: us.epoch });
    }
    Ok(match () {
        () if found.format != FORMAT => Verdict::Rebuild(Why::Format),
        () if Some(found.token.as_str()) != last_token => Verdict::Rebuild(Why::OtherProcess),
        () if found.run_id != run_id => Verdict::Rebuild(Why::OtherServer),
        () if !found.is_complete => Verdict::Rebuild(Why::Unfinished),
        () => Verdict::Resume,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Identity = Identity { log_id: 0xabc, epoch: 7, nonce: 9 };

    fn marker() -> Marker {
        Marker {
            format: FORMAT.into(),
            log_id: US.log_id(),
            epoch: 7,
            token: US.token(3),
            run_id: "r1".into(),
            is_complete: true,
        }
    }

    #[test]
    fn every_row_of_the_table() {
        let token = US.token(3);
        let decided = |found: Option<Marker>| decide(found.as_ref(), &US, Some(&token), "r1", "lotbook");
        let rebuild = |why| Ok(Verdict::Rebuild(why));
        assert_eq!(decided(None), rebuild(Why::Absent));
        for (change, verdict) in [
            ((|_| {}) as fn(&mut Marker), Ok(Verdict::Resume)),
            (|m| m.format = "2".into(), rebuild(Why::Format)),
            (|m| m.token = "x".into(), rebuild(Why::OtherProcess)),
            (|m| m.epoch = 6, Ok(Verdict::Resume)),
            (|m| m.run_id = "r2".into(), rebuild(Why::OtherServer)),
            (|m| m.is_complete = false, rebuild(Why::Unfinished)),
            (|m| m.epoch = 8, Err(RedisError::LaterEpoch { theirs: 8, ours: 7 })),
            (|m| m.log_id = "abd".into(), {
                let (theirs, ours, key) = ("abd".into(), US.log_id(), "lotbook".into());
                Err(RedisError::ForeignLog { theirs, ours, key })
            }),
        ] {
            let mut found = marker();
            change(&mut found);
            assert_eq!(decided(Some(found.clone())), verdict, "{found:?}");
        }
        assert_eq!(decide(Some(&marker()), &US, None, "r1", "lotbook"), rebuild(Why::OtherProcess), "a new process");
    }

    #[test]
    fn half_a_marker_is_none() {
        let text = |text: &str| Reply::Bulk(Some(text.as_bytes().to_vec()));
        assert_eq!(Marker::read(Reply::Array(Some(Vec::new()))), None);
        assert_eq!(Marker::read(Reply::Array(Some(vec![text("complete_through"), text("7")]))), None);
        let pairs = [
            ("format", "1"),
            ("log_id", "0000000000000abc"),
            ("epoch", "7"),
            ("token", "00000000000000000000000000000009.3"),
            ("run_id", "r1"),
            ("state", "complete"),
            ("more", "of a later version"),
        ];
        let fields = pairs.iter().flat_map(|(name, value)| [text(name), text(value)]).collect();
        assert_eq!(Marker::read(Reply::Array(Some(fields))), Some(marker()));
    }
}
