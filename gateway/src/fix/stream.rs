//! The bytes of a connection, plain or through TLS: neither blocks, and which one it is nobody above needs to know.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};

use crate::access::tls::names_of;

/// A socket that does not block, with or without TLS.
#[derive(Debug)]
pub(super) struct Stream {
    /// For the poll.
    pub(super) tcp: TcpStream,
    tls: Option<Box<ServerConnection>>,
}

impl Stream {
    /// A socket that was accepted; with `tls` its handshake begins with the first bytes that come.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(tcp: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let tls = tls.map(ServerConnection::new).transpose().map_err(io::Error::other)?.map(Box::new);
        Ok(Self { tcp, tls })
    }

    /// Whether a short read says nothing about what the socket still has.
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Names of the certificate that the client has shown and TLS has verified.
    pub(super) fn certificate_names(&self) -> Option<Vec<String>> {
        self.tls.as_ref()?.peer_certificates()?.first().map(names_of)
    }

    /// As a socket's read: `WouldBlock` where nothing is there, 0 at the end.
    ///
    /// # Errors
    /// The connection is broken, or what came is no TLS.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(tls) = &mut self.tls else { return self.tcp.read(into) };
            match tls.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                found => return found,
            }
            if tls.read_tls(&mut self.tcp)? == 0 {
                return Ok(0);
            }
            let processed = tls.process_new_packets().map(|_| ());
            // Flights of the handshake, and the alert that says why there is none.
            self.push()?;
            processed.map_err(io::Error::other)?;
        }
    }

    /// As a socket's write.
    ///
    /// # Errors
    /// The connection is broken, or `WouldBlock`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push()?;
        let Some(tls) = &mut self.tls else { return self.tcp.write(bytes) };
        // What is encrypted already goes first: so no more than one buffer of it is ever kept.
        if tls.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match tls.writer().write(bytes)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => self.push().map(|()| count),
        }
    }

    /// Gives the socket what is encrypted, as much as it takes.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn push(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more is written.
    pub(super) fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        let _ = self.push();
        let _ = self.tcp.shutdown(Shutdown::Write);
    }
}
