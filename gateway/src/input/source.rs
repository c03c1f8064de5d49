//! Bytes of a file: opened, decompressed, without a byte order mark, and framed in bounded lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::error::{Code, LineError};
use crate::wire_log::Received;

/// Longest line. A trade has a few hundred bytes; a file without line ends must not fill the memory.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// What the reader asks the system for at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// What is looked at to tell the format.
const SNIFF_BYTES: usize = 512;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BOM_UTF8: [u8; 3] = [0xef, 0xbb, 0xbf];

/// An opened file.
pub(super) struct Source {
    pub(super) reader: Box<dyn BufRead + Send>,
    /// The first bytes after decompression and byte order mark; also still in `reader`.
    pub(super) head: Vec<u8>,
}

/// Opens a file, or standard input for `-`.
pub(super) fn open(path: &Path) -> Result<Source, LineError> {
    if path == Path::new("-") {
        return from_reader(Box::new(io::stdin()));
    }
    if Received::is_there(path) {
        let cannot = || LineError::line(Code::CannotOpen, "is no wire log that can be read");
        return from_reader(Box::new(Received::open(path).ok_or_else(cannot)?));
    }
    let cannot = |error: &io::Error| LineError::line(Code::CannotOpen, error.to_string());
    let file = File::open(path).map_err(|e| cannot(&e))?;
    if file.metadata().map_err(|e| cannot(&e))?.is_dir() {
        return Err(LineError::line(Code::CannotOpen, "is a directory; name its files"));
    }
    from_reader(Box::new(file))
}

/// Wraps raw bytes from anywhere.
pub(super) fn from_reader(mut raw: Box<dyn Read + Send>) -> Result<Source, LineError> {
    let magic = head(&mut raw, GZIP_MAGIC.len()).map_err(|e| read_error(&e))?;
    let is_gzip = magic == GZIP_MAGIC;
    let raw = Cursor::new(magic).chain(raw);
    let mut plain: Box<dyn Read + Send> = if is_gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, raw)))
    } else {
        Box::new(raw)
    };
    let mut head = head(&mut plain, SNIFF_BYTES).map_err(|e| read_error(&e))?;
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Err(LineError::line(Code::NotUtf8, "is UTF-16; convert it to UTF-8").fatal());
    }
    if head.starts_with(&BOM_UTF8) {
        head.drain(..BOM_UTF8.len());
    }
    let whole = Cursor::new(head.clone()).chain(plain);
    Ok(Source { reader: Box::new(BufReader::with_capacity(BUFFER_BYTES, whole)), head })
}

/// Reads up to `len` bytes: fewer only at the end.
fn head(reader: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    reader.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An I/O error as a line error. The decompressor reports damage with these three kinds.
pub(super) fn read_error(error: &io::Error) -> LineError {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            if error.raw_os_error().is_none() =>
        {
            LineError::line(Code::BadGzip, format!("the compressed data is damaged or cut short ({error})"))
        }
        _ => LineError::line(Code::ReadFailed, error.to_string()),
    }
}

/// Bytes of a line as text without NUL.
pub(super) fn as_text(bytes: &[u8]) -> Result<&str, LineError> {
    if let Some(at) = memchr::memchr(0, bytes) {
        return Err(LineError::line(Code::NulByte, format!("byte {} is NUL", at + 1)));
    }
    std::str::from_utf8(bytes)
        .map_err(|error| LineError::line(Code::NotUtf8, format!("byte {} is not UTF-8", error.valid_up_to() + 1)))
}

/// One step of [`next_line`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framed {
    /// A line is in the buffer, without its line end.
    Line,
    /// The line was longer than [`LINE_BYTES_MAX`]; it was passed over.
    TooLong,
    /// Nothing follows.
    End,
}

/// Reads one line, ended by LF, CR LF or the end of the file, into `line`.
pub(super) fn next_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Framed> {
    line.clear();
    let mut is_too_long = false;
    let mut has_read = false;
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() && !has_read {
            return Ok(Framed::End);
        }
        has_read = true;
        let end = memchr::memchr(b'\n', available);
        let part = &available[..end.unwrap_or(available.len())];
        if line.len() + part.len() > LINE_BYTES_MAX {
            is_too_long = true;
        } else if !is_too_long {
            line.extend_from_slice(part);
        }
        let is_last = end.is_some() || available.is_empty();
        let consumed = part.len() + usize::from(end.is_some());
        reader.consume(consumed);
        if is_last {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(if is_too_long { Framed::TooLong } else { Framed::Line });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn lines(bytes: &[u8]) -> Vec<Result<String, Framed>> {
        let mut source = from_reader(Box::new(Cursor::new(bytes.to_vec()))).expect("opens");
        let (mut found, mut line) = (Vec::new(), Vec::new());
        loop {
            match next_line(&mut source.reader, &mut line).expect("reads") {
                Framed::End => return found,
                Framed::Line => found.push(Ok(String::from_utf8_lossy(&line).into_owned())),
                other => found.push(Err(other)),
            }
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("compresses");
        encoder.finish().expect("compresses")
    }

    #[test]
    fn line_ends() {
        for (bytes, want) in [
            (&b""[..], &[][..]),
            (b"a", &["a"]),
            (b"a\n", &["a"]),
            (b"a\r\nb\r\n", &["a", "b"]),
            (b"a\n\nb", &["a", "", "b"]),
            (b"\xef\xbb\xbfa\nb", &["a", "b"]),
            (b"\xef\xbb\xbf", &[]),
            (b"a\rb\n", &["a\rb"]),
        ] {
            let want: Vec<_> = want.iter().map(|s| Ok((*s).to_owned())).collect();
            assert_eq!(lines(bytes), want, "{bytes:?}");
            if !bytes.is_empty() {
                assert_eq!(lines(&gzip(bytes)), want, "compressed {bytes:?}");
            }
        }
    }

    /// Two members back to back are one file, as `cat a.gz b.gz` makes them.
    #[test]
    fn gzip_members() {
        let bytes = [gzip(b"a\n"), gzip(b"b\n")].concat();
        assert_eq!(lines(&bytes), [Ok("a".to_owned()), Ok("b".to_owned())]);
    }

    #[test]
    fn long_lines_are_passed_over() {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX];
        bytes.extend_from_slice(b"\ny\n");
        assert!(lines(&bytes)[0].is_ok());
        bytes.insert(0, b'x');
        assert_eq!(lines(&bytes), [Err(Framed::TooLong), Ok("y".to_owned())]);
    }

    #[test]
    fn damage_is_named() {
        let mut cut = gzip(&vec![b'a'; 100_000]);
        cut.truncate(cut.len() / 2);
        let code = match from_reader(Box::new(Cursor::new(cut))) {
            Err(error) => error.code,
            Ok(mut source) => {
                let mut line = Vec::new();
                let error = next_line(&mut source.reader, &mut line).expect_err("the file is cut");
                read_error(&error).code
            }
        };
        assert_eq!(code, Code::BadGzip);
        let utf16 = from_reader(Box::new(Cursor::new(b"\xff\xfea\0".to_vec())));
        assert_eq!(utf16.err().map(|e| (e.code, e.is_fatal)), Some((Code::NotUtf8, true)));
        assert_eq!(open(Path::new("/")).err().map(|e| e.code), Some(Code::CannotOpen));
        assert_eq!(open(Path::new("/no/such/file")).err().map(|e| e.code), Some(Code::CannotOpen));
    }
}
