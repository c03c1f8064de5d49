//! What a session does when time passes.

use super::super::encode::Outbound;
use super::super::limits::{SILENCE_CUT_PERCENT, SILENCE_TEST_PERCENT};
use super::super::store::OutboundStore;
use super::{Disconnect, Now, Session, State, Step};

/// TestReqID of our own TestRequests. One is enough: only one is ever open, and any message answers it.
const TEST_REQ_ID: &[u8] = b"LOTBOOK";

impl<S: OutboundStore> Session<S> {
    /// Lets time pass: heartbeats, test requests, timeouts. Calling it early or often does nothing.
    pub fn tick(&mut self, now: Now, out: &mut Vec<u8>) -> Step {
        let after = |since_ns: u64, interval_ns: u64| now.mono_ns >= since_ns.saturating_add(interval_ns);
        match self.state {
            State::Disconnected => Step::default(),
            State::AwaitLogon if after(self.since_ns, self.config.logon_timeout_ns) => {
                self.end(Disconnect::LogonTimeout)
            }
            State::LogoutSent if after(self.since_ns, self.config.logout_timeout_ns) => {
                self.end(Disconnect::LogoutTimeout)
            }
            State::AwaitLogon | State::LogoutSent => Step::default(),
            State::Active | State::AwaitResend { .. } => {
                if after(self.heard_at_ns, self.silence_cut_ns()) {
                    return self.end(Disconnect::Silence);
                }
                if !self.test_sent && after(self.heard_at_ns, self.silence_test_ns()) {
                    self.test_sent = true;
                    self.send(&Outbound::TestRequest { test_req_id: TEST_REQ_ID }, now, out);
                }
                if after(self.sent_at_ns, self.heartbeat_ns) {
                    self.send(&Outbound::Heartbeat { test_req_id: None }, now, out);
                }
                let resending = matches!(self.state, State::AwaitResend { .. });
                if resending && after(self.resend_asked_at_ns, self.config.resend_timeout_ns) {
                    return self.retry_resend(now, out);
                }
                Step::default()
            }
        }
    }

    /// When [`Session::tick`] has something to do at the earliest, on the clock of [`Now::mono_ns`]; `None` without a connection.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        match self.state {
            State::Disconnected => None,
            State::AwaitLogon => Some(self.since_ns.saturating_add(self.config.logon_timeout_ns)),
            State::LogoutSent => Some(self.since_ns.saturating_add(self.config.logout_timeout_ns)),
            State::Active | State::AwaitResend { .. } => {
                let silence_ns = if self.test_sent { self.silence_cut_ns() } else { self.silence_test_ns() };
                let mut deadline_ns = self.heard_at_ns.saturating_add(silence_ns);
                deadline_ns = deadline_ns.min(self.sent_at_ns.saturating_add(self.heartbeat_ns));
                if matches!(self.state, State::AwaitResend { .. }) {
                    let retry_ns = self.resend_asked_at_ns.saturating_add(self.config.resend_timeout_ns);
                    deadline_ns = deadline_ns.min(retry_ns);
                }
                Some(deadline_ns)
            }
        }
    }

    fn silence_test_ns(&self) -> u64 {
        self.heartbeat_ns / 100 * SILENCE_TEST_PERCENT
    }

    fn silence_cut_ns(&self) -> u64 {
        self.heartbeat_ns / 100 * SILENCE_CUT_PERCENT
    }
}
