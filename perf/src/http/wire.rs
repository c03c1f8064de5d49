//! As much of HTTP/1.1 as a load needs: requests with a body, answers with a length, on a connection that stays open.

use crate::door::DoorError;
use crate::limits;
use memchr::memmem;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// A connection whose calls do not block.
pub(super) struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    /// Bytes of `input` that are taken.
    used: usize,
}

const READ_BYTES: usize = 64 << 10;
/// How long a single question may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Result<Self, DoorError> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, out: Vec::new(), written: 0, input: Vec::new(), used: 0 })
    }

    /// One question on a connection of its own. Blocks.
    pub(super) fn ask(addr: SocketAddr, method: &str, path: &str, body: &[u8]) -> Result<Response, DoorError> {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Self { stream, out: Vec::new(), written: 0, input: Vec::new(), used: 0 };
        connection.request(method, path, body);
        connection.stream.write_all(&connection.out)?;
        loop {
            if let Some(response) = connection.take()? {
                return Ok(response);
            }
            if connection.fill()? == 0 {
                return Err(DoorError::Closed);
            }
        }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.written < self.out.len()
    }

    /// Puts a request behind what is not sent yet.
    pub(super) fn request(&mut self, method: &str, path: &str, body: &[u8]) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.out.extend_from_slice(head.as_bytes());
        self.out.extend_from_slice(body);
    }

    /// Writes as much as the socket takes.
    pub(super) fn write(&mut self) -> Result<(), DoorError> {
        while self.has_unsent() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(DoorError::Closed),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// The next answer that is whole.
    pub(super) fn read(&mut self) -> Result<Option<Response>, DoorError> {
        loop {
            if let Some(response) = self.take()? {
                return Ok(Some(response));
            }
            match self.fill() {
                Ok(0) => return Err(DoorError::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        self.input.drain(..std::mem::take(&mut self.used));
        let end = self.input.len();
        self.input.resize(end + READ_BYTES, 0);
        let read = self.stream.read(&mut self.input[end..]);
        self.input.truncate(end + read.as_ref().map_or(0, |read| *read));
        read
    }

    fn take(&mut self) -> Result<Option<Response>, DoorError> {
        let input = &self.input[self.used..];
        let Some(end) = memmem::find(input, b"\r\n\r\n") else {
            return if input.len() > limits::HTTP_HEAD_BYTES_MAX {
                Err(wrong("a head without an end"))
            } else {
                Ok(None)
            };
        };
        let head = std::str::from_utf8(&input[..end]).map_err(|_| wrong("a head that is no text"))?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let (Some(status), Some(length)) = (status, length) else { return Err(wrong("no status, or no length")) };
        let length: usize = length;
        if length > limits::HTTP_BODY_BYTES_MAX {
            return Err(wrong("a body beyond all bounds"));
        }
        let Some(body) = input.get(end + 4..end + 4 + length) else { return Ok(None) };
        let body = body.to_vec();
        self.used += end + 4 + length;
        Ok(Some(Response { status, body }))
    }
}

fn wrong(what: &str) -> DoorError {
    DoorError::Answer(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (TcpStream, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, Connection::new(near).unwrap())
    }

    fn next(connection: &mut Connection) -> Result<Response, DoorError> {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(response) = connection.read()? {
                return Ok(response);
            }
            assert!(std::time::Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn answers_in_pieces_and_in_one() {
        let (mut far, mut near) = pair();
        let two = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n";
        for piece in two.chunks(7) {
            far.write_all(piece).unwrap();
        }
        let first = next(&mut near).unwrap();
        assert_eq!((first.status, first.body.as_slice()), (200, &b"ab"[..]));
        assert_eq!(next(&mut near).unwrap().status, 503);
        drop(far);
        assert!(matches!(next(&mut near), Err(DoorError::Closed)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"]
        {
            let (mut far, mut near) = pair();
            far.write_all(text.as_bytes()).unwrap();
            assert!(matches!(next(&mut near), Err(DoorError::Answer(_))), "{text}");
        }
    }

    #[test]
    fn a_request_says_its_length() {
        let (mut far, mut near) = pair();
        near.request("POST", "/p", b"body");
        assert!(near.has_unsent());
        near.write().unwrap();
        assert!(!near.has_unsent());
        let mut seen = [0; 200];
        let count = far.read(&mut seen).unwrap();
        let text = std::str::from_utf8(&seen[..count]).unwrap();
        assert!(text.starts_with("POST /p HTTP/1.1\r\n") && text.ends_with("content-length: 4\r\n\r\nbody"), "{text}");
    }
}
