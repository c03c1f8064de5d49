//! `[fix]` and `[[fix.session]]`: the FIX acceptor, and what is agreed with each counterparty.

use super::{Ack, Listen};
use crate::fix::schedule::Schedule;
use crate::fix::version::Version;

/// `[fix]`: the FIX acceptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Where it listens.
    pub listen: Listen,
    /// Our CompID.
    pub comp_id: String,
    /// The currency that trades' rates are kept against.
    pub base_currency: Option<String>,
    /// When trades are answered, for sessions that say nothing else.
    pub ack: Ack,
    /// When sessions may be logged on; `None`: at any time.
    pub schedule: Option<Schedule>,
    /// Sessions with terms of their own.
    pub sessions: Vec<FixSession>,
}

impl Default for Fix {
    fn default() -> Self {
        Self {
            listen: Listen::loopback(9878),
            comp_id: "LOTBOOK".to_owned(),
            base_currency: None,
            ack: Ack::Durable,
            schedule: None,
            sessions: Vec::new(),
        }
    }
}

/// `[[fix.session]]`: one counterparty's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FixSession {
    /// The counterparty's CompID.
    pub comp_id: String,
    /// When its trades are answered; `None`: as `fix.ack` says.
    pub ack: Option<Ack>,
    /// Namespace of its trade ids; `None`: CompID and trade date.
    pub namespace: Option<String>,
    /// The one version of FIX that it speaks; `None`: the one of its Logon.
    pub version: Option<Version>,
    /// When it may be logged on; `None`: as `fix.schedule` says.
    pub schedule: Option<Schedule>,
    /// Whose session it is; `None`: the user named as its CompID.
    pub user: Option<String>,
}
