//! The protocol of Redis, version 2 (RESP2): commands as bytes, and answers read back with every size bounded.

use super::error::RedisError;
use super::limits::{REPLY_BYTES_MAX, REPLY_DEPTH_MAX, REPLY_ELEMENTS_MAX};

/// Commands that go out together.
#[derive(Debug, Default)]
pub(super) struct Commands {
    bytes: Vec<u8>,
    count: usize,
}

impl Commands {
    /// Begins a command of so many words, its name among them; [`Self::word`] must follow as often.
    pub(super) fn begin(&mut self, words: usize) -> &mut Self {
        self.count += 1;
        self.length(b'*', words);
        self
    }

    pub(super) fn word(&mut self, word: impl AsRef<[u8]>) -> &mut Self {
        let word = word.as_ref();
        self.length(b'$', word.len());
        self.bytes.extend_from_slice(word);
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// A whole command.
    pub(super) fn add(&mut self, words: &[&[u8]]) -> &mut Self {
        self.begin(words.len());
        for word in words {
            self.word(word);
        }
        self
    }

    /// How many answers they get.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn length(&mut self, kind: u8, length: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(length.to_string().as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// `+OK`.
    Simple(Vec<u8>),
    /// `-CODE words`: the command was refused.
    Error(String),
    /// `:7`.
    Integer(i64),
    /// A text or bytes; `None` is nil.
    Bulk(Option<Vec<u8>>),
    /// Answers; `None` is what a transaction answers that was not run.
    Array(Option<Vec<Reply>>),
}

impl Reply {
    /// The answer, if the command was not refused.
    pub(super) fn accepted(self, command: &'static str) -> Result<Self, RedisError> {
        match self {
            Self::Error(words) => Err(RedisError::refused(command, words)),
            other => Ok(other),
        }
    }

    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Self::Simple(bytes) | Self::Bulk(Some(bytes)) => String::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub(super) fn into_array(self) -> Option<Vec<Reply>> {
        match self {
            Self::Array(answers) => answers,
            _ => None,
        }
    }
}

/// Reads one answer from the front of `bytes`: how long it is, and what it says; `None` when more bytes are wanted.
///
/// # Errors
/// Bytes that no Redis sends, or an answer beyond the bounds.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(usize, Reply)>, RedisError> {
    nested(bytes, 0)
}

fn nested(bytes: &[u8], depth: usize) -> Result<Option<(usize, Reply)>, RedisError> {
    let Some(end) = line_end(bytes)? else { return Ok(None) };
    let (kind, line, next) = (bytes[0], &bytes[1..end], end + 2);
    let text = || String::from_utf8_lossy(line).into_owned();
    let reply = match kind {
        b'+' => Reply::Simple(line.to_vec()),
        b'-' => Reply::Error(text()),
        b':' => Reply::Integer(number(line)?),
        b'$' => {
            let Some(length) = length(line, REPLY_BYTES_MAX)? else { return Ok(Some((next, Reply::Bulk(None)))) };
            let Some(bulk) = bytes.get(next..next + length + 2) else { return Ok(None) };
            if &bulk[length..] != b"\r\n" {
                return Err(RedisError::Protocol("a text without its end"));
            }
            return Ok(Some((next + length + 2, Reply::Bulk(Some(bulk[..length].to_vec())))));
        }
        b'*' => {
            let Some(count) = length(line, REPLY_ELEMENTS_MAX)? else { return Ok(Some((next, Reply::Array(None)))) };
            if depth == REPLY_DEPTH_MAX {
                return Err(RedisError::Protocol("answers nested too deep"));
            }
            let (mut answers, mut at) = (Vec::new(), next);
            for _ in 0..count {
                let Some((length, answer)) = nested(&bytes[at..], depth + 1)? else { return Ok(None) };
                answers.push(answer);
                at += length;
            }
            return Ok(Some((at, Reply::Array(Some(answers)))));
        }
        _ => return Err(RedisError::Protocol("an answer of no known kind")),
    };
    Ok(Some((next, reply)))
}

/// Where the first line's CR LF is.
fn line_end(bytes: &[u8]) -> Result<Option<usize>, RedisError> {
    let looked = &bytes[..bytes.len().min(REPLY_BYTES_MAX)];
    match looked.windows(2).position(|pair| pair == b"\r\n") {
        Some(0) => Err(RedisError::Protocol("an empty line")),
        Some(end) => Ok(Some(end)),
        None if looked.len() == REPLY_BYTES_MAX => Err(RedisError::Protocol("a line too long")),
        None => Ok(None),
    }
}

fn number(line: &[u8]) -> Result<i64, RedisError> {
    let digits = std::str::from_utf8(line).ok();
    digits.and_then(|digits| digits.parse().ok()).ok_or(RedisError::Protocol("no number where one is wanted"))
}

/// A length; `None` is nil.
fn length(line: &[u8], max: usize) -> Result<Option<usize>, RedisError> {
    match number(line)? {
        -1 => Ok(None),
        value => match usize::try_from(value).ok().filter(|length| *length <= max) {
            Some(length) => Ok(Some(length)),
            None => Err(RedisError::Protocol("a length out of bounds")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_texts() {
        let mut commands = Commands::default();
        commands.add(&[b"SET", b"a", b"1\r\n2"]).begin(1).word("PING");
        assert_eq!(commands.bytes(), b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\n1\r\n2\r\n*1\r\n$4\r\nPING\r\n");
        assert_eq!(commands.count(), 2);
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let bulk = |text: &str| Reply::Bulk(Some(text.as_bytes().to_vec()));
        for (bytes, reply) in [
            (&b"+OK\r\n"[..], Reply::Simple(b"OK".to_vec())),
            (b"-ERR no\r\n", Reply::Error("ERR no".into())),
            (b":-12\r\n", Reply::Integer(-12)),
            (b"$4\r\na\r\nb\r\n", bulk("a\r\nb")),
            (b"$0\r\n\r\n", bulk("")),
            (b"$-1\r\n", Reply::Bulk(None)),
            (b"*-1\r\n", Reply::Array(None)),
            (b"*2\r\n$1\r\nx\r\n*1\r\n:1\r\n", {
                Reply::Array(Some(vec![bulk("x"), Reply::Array(Some(vec![Reply::Integer(1)]))]))
            }),
        ] {
            let mut longer = bytes.to_vec();
            longer.extend_from_slice(b"+more");
            assert_eq!(parse(&longer), Ok(Some((bytes.len(), reply))));
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Ok(None), "{end} bytes of {bytes:?}");
            }
        }
    }

    #[test]
    fn what_no_redis_sends_is_refused() {
        let deep = b"*1\r\n".repeat(REPLY_DEPTH_MAX + 1);
        for bytes in [
            &b"hello\r\n"[..],
            b"\r\n",
            b":1x\r\n",
            b"$-2\r\n",
            b"$99999999\r\n",
            b"*99999999\r\n",
            b"$1\r\nabc\r\n",
            &deep,
        ] {
            assert!(matches!(parse(bytes), Err(RedisError::Protocol(_))), "{bytes:?}");
        }
        assert!(parse(&vec![b'+'; REPLY_BYTES_MAX]).is_err(), "a line without an end");
    }
}
