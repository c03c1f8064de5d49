//! One connection to a Redis: commands out, answers in, each within a time, on a blocking socket.
//!
//! A thread of its own has the whole sink, so a blocking socket with time limits says all there is to say. Whoever stops the sink shuts the
//! socket from outside, which wakes whatever waits for it.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::RedisConfig;
use super::error::RedisError;
use super::limits::READ_BYTES;
use super::resp::{Commands, Reply, parse};
use super::socket::Socket;

/// The socket that is open now, for whoever ends it.
#[derive(Clone, Debug, Default)]
pub(super) struct Plug(Arc<Mutex<(bool, Option<Socket>)>>);

impl Plug {
    /// Shuts what is open, and whatever is opened from now on.
    pub(super) fn pull(&self) {
        let mut held = self.0.lock();
        held.0 = true;
        if let Some(stream) = held.1.take() {
            // It may be shut already.
            let _ = stream.shut();
        }
    }

    fn hold(&self, stream: &Socket) -> Result<(), RedisError> {
        let mut held = self.0.lock();
        if held.0 {
            return Err(RedisError::Stopped);
        }
        held.1 = Some(stream.another().map_err(RedisError::Broken)?);
        Ok(())
    }
}

/// An open connection, logged in and with its database chosen.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Socket,
    timeout: Duration,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects, logs in, chooses the database.
    pub(super) fn open(config: &RedisConfig, plug: &Plug) -> Result<Self, RedisError> {
        let unreachable = |source| RedisError::Unreachable { address: config.address.clone(), source };
        let stream = Socket::connect(&config.address, config.timeout).map_err(unreachable)?;
        plug.hold(&stream)?;
        stream.set_write_timeout(config.timeout).map_err(RedisError::Broken)?;
        let mut connection = Self { stream, timeout: config.timeout, buffer: Vec::new() };
        let mut commands = Commands::default();
        let mut names = Vec::new();
        if let Some(file) = &config.password_file {
            let unread = |source| RedisError::Password { file: file.display().to_string(), source };
            // Read each time: a password that was changed in the file is used from then on.
            let password = std::fs::read_to_string(file).map_err(unread)?;
            let password = password.trim_end_matches(['\r', '\n']);
            match &config.user {
                Some(user) => commands.add(&[b"AUTH", user.as_bytes(), password.as_bytes()]),
                None => commands.add(&[b"AUTH", password.as_bytes()]),
            };
            names.push("AUTH");
        }
        if config.database != 0 {
            commands.add(&[b"SELECT", config.database.to_string().as_bytes()]);
            names.push("SELECT");
        }
        commands.add(&[b"PING"]);
        names.push("PING");
        for (name, reply) in names.into_iter().zip(connection.ask(&commands)?) {
            reply.accepted(name)?;
        }
        Ok(connection)
    }

    /// Sends commands and waits for all their answers; what was refused is among them.
    pub(super) fn ask(&mut self, commands: &Commands) -> Result<Vec<Reply>, RedisError> {
        let deadline = Instant::now() + self.timeout;
        self.stream.write_all(commands.bytes()).map_err(|error| self.failed(error))?;
        let mut replies = Vec::with_capacity(commands.count());
        let mut at = 0;
        while replies.len() < commands.count() {
            match parse(&self.buffer[at..])? {
                Some((length, reply)) => {
                    at += length;
                    replies.push(reply);
                }
                None => {
                    self.buffer.drain(..at);
                    at = 0;
                    self.fill(deadline)?;
                }
            }
        }
        self.buffer.drain(..at);
        if !self.buffer.is_empty() {
            return Err(RedisError::Protocol("more answers than commands"));
        }
        Ok(replies)
    }

    /// As [`Self::ask`], for commands none of which may be refused.
    pub(super) fn expect(&mut self, what: &'static str, commands: &Commands) -> Result<Vec<Reply>, RedisError> {
        self.ask(commands)?.into_iter().map(|reply| reply.accepted(what)).collect()
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), RedisError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(RedisError::Silent(self.timeout));
        }
        self.stream.set_read_timeout(left).map_err(RedisError::Broken)?;
        let held = self.buffer.len();
        self.buffer.resize(held + READ_BYTES, 0);
        let read = self.stream.read(&mut self.buffer[held..]);
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(RedisError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> RedisError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => RedisError::Silent(self.timeout),
            _ => RedisError::Broken(error),
        }
    }
}
