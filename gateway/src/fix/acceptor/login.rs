//! Who logs on: passwords of Logons, checked beside the door's thread, for one check takes some 20 ms of a core.
//!
//! A connection's first message stays in its buffer until the answer is there. Nobody is told why a login failed: the connection is closed.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::super::message::{Message, MsgType, Tag};
use super::{Work, frame, session};
use crate::access::{Access, Privilege};

/// Logins that wait to be checked; one beyond them is closed.
const WAITING_MAX: usize = 64;

/// How far a connection's login is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Login {
    /// Nothing was said yet.
    #[default]
    New,
    /// Asked under that number.
    Asked(u64),
    /// Its user may trade on the session that its first message names.
    Proved,
}

struct Ask {
    number: u64,
    user: String,
    /// The user that the session belongs to.
    owner: String,
    password: Vec<u8>,
}

/// The thread that checks.
pub(super) struct Logins {
    access: Arc<Access>,
    asks: Option<SyncSender<Ask>>,
    answers: Receiver<(u64, bool)>,
    next: u64,
    thread: Option<JoinHandle<()>>,
}

impl Logins {
    pub(super) fn start(access: Arc<Access>) -> std::io::Result<Self> {
        let known = access.clone();
        let (asks, asked) = sync_channel::<Ask>(WAITING_MAX);
        let (answer, answers) = sync_channel(WAITING_MAX);
        let check = move || {
            for Ask { number, user, owner, password } in asked {
                let found = access.password(&user, &password);
                let may = found.is_ok_and(|who| who.user == owner && who.role.may(Privilege::Trade));
                if answer.send((number, may)).is_err() {
                    break;
                }
            }
        };
        let thread = Builder::new().name("lb-fix-login".into()).spawn(check)?;
        Ok(Self { access: known, asks: Some(asks), answers, next: 0, thread: Some(thread) })
    }
}

impl Drop for Logins {
    fn drop(&mut self) {
        self.asks = None;
        // Answers that nobody takes any more must not keep it: without a receiver it ends.
        drop(std::mem::replace(&mut self.answers, sync_channel(0).1));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Work {
    /// Whether the connection's first message may be taken. Else it waits for its login, or the connection is closed.
    pub(super) fn may_log_on(&mut self, index: usize, found: &frame::Frame) -> bool {
        let Some(logins) = &mut self.logins else { return true };
        let Some(connection) = &mut self.connections[index] else { return false };
        match connection.login {
            Login::Proved => return true,
            Login::Asked(_) => return false,
            Login::New => {}
        }
        let message = Message::parse(connection.unread(), found);
        let text = |tag| message.get(tag).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let owner = |theirs: &str| {
            let terms = self.config.sessions.iter().find(|terms| terms.comp_id == theirs);
            terms.and_then(|terms| terms.user.clone()).unwrap_or_else(|| theirs.to_owned())
        };
        let identity = session::identity(&message);
        // A certificate that names the session's user is a login.
        if let (Some(names), Ok((_, theirs, _))) = (connection.stream.certificate_names(), identity)
            && let Ok(who) = logins.access.certificate(&names)
            && who.user == owner(theirs)
            && who.role.may(Privilege::Trade)
        {
            connection.login = Login::Proved;
            return true;
        }
        let said = (message.msg_type(), identity, text(Tag::Username), message.get(Tag::Password));
        let ask = match said {
            (MsgType::Logon, Ok((_, theirs, _)), Some(user), Some(password)) => {
                let (user, password) = (user.to_owned(), password.to_vec());
                Some(Ask { number: logins.next, user, owner: owner(theirs), password })
            }
            _ => None,
        };
        let sent = match (ask, &logins.asks) {
            (Some(ask), Some(asks)) => asks.try_send(ask).map_err(|error| match error {
                TrySendError::Full(_) => "too many logins at a time",
                TrySendError::Disconnected(_) => "logins cannot be checked",
            }),
            _ => Err("no Logon with Username and Password"),
        };
        if let Err(why) = sent {
            tracing::warn!(why, "refused a connection");
            self.close(index);
            return false;
        }
        connection.login = Login::Asked(logins.next);
        // Nothing to do here until the answer is there.
        connection.bytes_min = usize::MAX;
        logins.next += 1;
        false
    }

    /// Takes what the thread that checks has found.
    pub(super) fn take_logins(&mut self) {
        while let Some((number, may)) = self.logins.as_ref().and_then(|logins| logins.answers.try_recv().ok()) {
            let asked = |connection: &super::Connection| connection.login == Login::Asked(number);
            let Some(index) = self.connections.iter().position(|c| c.as_ref().is_some_and(asked)) else { continue };
            if !may {
                tracing::warn!("refused a connection: Username and Password are none of this session's");
                self.close(index);
            } else if let Some(connection) = &mut self.connections[index] {
                (connection.login, connection.bytes_min) = (Login::Proved, 1);
            }
        }
    }
}
