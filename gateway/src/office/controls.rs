//! What operators have stopped: everything, an account, an instrument, a session, all commands, or the taking in of anything new.
//!
//! Each order is a record of the office with who and why, durable before it is answered, so that it holds over a restart. Doors
//! ask before they send: once an order is answered, nothing that it stops is sent any more; what was sent before is decided.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

/// Names that may be halted at a time, of all kinds together.
pub const HALTS_MAX: usize = 10_000;
/// Orders that are shown, the newest; all are in the log.
pub const ORDERS_SHOWN: usize = 100;

/// What an order is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "scope", content = "name", rename_all = "snake_case")]
pub enum Scope {
    /// Trades, amendments and actions of all.
    All,
    /// Of an account.
    Account(String),
    /// Of an instrument.
    Instrument(String),
    /// From a FIX session, by its name, or through the HTTP door: `http`.
    Session(String),
}

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// Nothing of it is taken until it is resumed.
    Halt(Scope),
    /// It is taken again.
    Resume(Scope),
    /// Commands of every type are refused, or taken again.
    ReadOnly {
        /// Refused.
        on: bool,
    },
    /// As read-only, and the host says that it is not ready, so that others take its place.
    Drain {
        /// Draining.
        on: bool,
    },
}

/// An order with who gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// What.
    #[serde(flatten)]
    pub order: Order,
    /// Who.
    pub user_id: String,
    /// Why.
    pub reason: String,
    /// When, UTC nanoseconds.
    pub at_ns: i64,
}

/// Why something is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It is halted.
    Halted,
    /// All commands are refused.
    ReadOnly,
    /// The host drains.
    Draining,
}

impl Stopped {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Halted => "HALTED",
            Self::ReadOnly => "READ_ONLY",
            Self::Draining => "DRAINING",
        }
    }
}

/// What is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The session that it comes from.
    pub session: &'a str,
    /// Whether it concerns positions: a trade, an amendment, an action. The others are stopped by read-only and drain alone.
    pub is_trading: bool,
    /// Accounts of its positions; none where it does not say.
    pub accounts: [Option<&'a str>; 2],
    /// Instrument of its positions; none where it does not say.
    pub instrument: Option<&'a str>,
    /// Whether its positions are all those of the instrument, of any account.
    pub is_wide: bool,
}

/// The orders in force.
#[derive(Debug, Default)]
pub struct Controls {
    /// Whether any is: the one look that a door takes in the usual case.
    any: AtomicBool,
    held: RwLock<Held>,
}

#[derive(Debug, Default)]
struct Held {
    halts: BTreeMap<Scope, Given>,
    read_only: Option<Given>,
    drain: Option<Given>,
    orders: VecDeque<Given>,
}

/// The orders in force, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// What is halted.
    pub halts: Vec<Given>,
    /// Commands are refused.
    pub read_only: Option<Given>,
    /// The host drains.
    pub drain: Option<Given>,
    /// The last orders, the oldest first.
    pub orders: Vec<Given>,
}

impl Controls {
    /// Whether an order can be given now: the bound of halts.
    #[must_use]
    pub fn has_room(&self, order: &Order) -> bool {
        let held = self.held.read();
        match order {
            Order::Halt(scope) => held.halts.len() < HALTS_MAX || held.halts.contains_key(scope),
            _ => true,
        }
    }

    /// Takes an order that is recorded.
    pub fn take(&self, given: Given) {
        let mut held = self.held.write();
        match &given.order {
            Order::Halt(scope) => {
                held.halts.insert(scope.clone(), given.clone());
            }
            Order::Resume(scope) => {
                held.halts.remove(scope);
            }
            Order::ReadOnly { on } => held.read_only = on.then(|| given.clone()),
            Order::Drain { on } => held.drain = on.then(|| given.clone()),
        }
        if held.orders.len() == ORDERS_SHOWN {
            held.orders.pop_front();
        }
        held.orders.push_back(given);
        let any = !held.halts.is_empty() || held.read_only.is_some() || held.drain.is_some();
        // ORDERING: pairs with the load in `check`: who sees it takes the lock, and finds the order there.
        self.any.store(any, Ordering::Release);
    }

    /// Whether something may be sent. Where an account or an instrument is halted, what does not say its own is
    /// stopped too: nobody knows that it is not of it.
    ///
    /// # Errors
    /// [`Stopped`].
    #[inline]
    pub fn check(&self, wish: &Wish<'_>) -> Result<(), Stopped> {
        // ORDERING: pairs with the store in `take`.
        if self.any.load(Ordering::Acquire) { self.look(wish) } else { Ok(()) }
    }

    #[cold]
    fn look(&self, wish: &Wish<'_>) -> Result<(), Stopped> {
        let held = self.held.read();
        if held.drain.is_some() {
            return Err(Stopped::Draining);
        }
        if held.read_only.is_some() {
            return Err(Stopped::ReadOnly);
        }
        let is_halted = held.halts.keys().any(|scope| match scope {
            Scope::All => wish.is_trading,
            Scope::Session(session) => session == wish.session,
            Scope::Account(account) => {
                let is_named = wish.accounts.contains(&Some(account));
                wish.is_trading && (is_named || (wish.accounts == [None; 2] && !wish.is_wide))
            }
            Scope::Instrument(instrument) => wish.is_trading && wish.instrument.is_none_or(|own| own == instrument),
        });
        if is_halted { Err(Stopped::Halted) } else { Ok(()) }
    }

    /// Whether the host drains.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.held.read().drain.is_some()
    }

    /// The orders in force. A copy.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let held = self.held.read();
        Standing {
            halts: held.halts.values().cloned().collect(),
            read_only: held.read_only.clone(),
            drain: held.drain.clone(),
            orders: held.orders.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(order: Order) -> Given {
        Given { order, user_id: "ann".into(), reason: "a test".into(), at_ns: 1 }
    }

    fn wish<'a>(session: &'a str, account: Option<&'a str>, instrument: Option<&'a str>) -> Wish<'a> {
        Wish { session, is_trading: true, accounts: [account, None], instrument, is_wide: false }
    }

    #[test]
    fn orders_stop_what_they_name_and_what_may_be_of_it() {
        use Stopped::{Draining, Halted, ReadOnly};
        let trade = wish("S1", Some("A1"), Some("X"));
        let transfer = Wish { accounts: [Some("B1"), Some("A1")], ..trade };
        let other = wish("S2", Some("B1"), Some("Y"));
        let cancel = wish("S2", None, None);
        let action = Wish { accounts: [None, None], is_wide: true, ..trade };
        let price = Wish { is_trading: false, accounts: [None, None], instrument: Some("X"), ..trade };
        let all = [trade, transfer, other, cancel, action, price];
        let (go, stop) = (Ok(()), Err(Halted));
        for (order, want) in [
            (Order::Halt(Scope::All), [stop, stop, stop, stop, stop, go]),
            (Order::Halt(Scope::Account("A1".into())), [stop, stop, go, stop, go, go]),
            (Order::Halt(Scope::Instrument("X".into())), [stop, stop, go, stop, stop, go]),
            (Order::Halt(Scope::Session("S1".into())), [stop, stop, go, go, stop, stop]),
            (Order::ReadOnly { on: true }, [Err(ReadOnly); 6]),
            (Order::Drain { on: true }, [Err(Draining); 6]),
        ] {
            let controls = Controls::default();
            controls.take(given(order.clone()));
            assert_eq!(all.map(|wish| controls.check(&wish)), want, "{order:?}");
            controls.take(given(match order {
                Order::Halt(scope) => Order::Resume(scope),
                Order::ReadOnly { .. } => Order::ReadOnly { on: false },
                other => Order::Drain { on: matches!(other, Order::Resume(_)) },
            }));
            assert_eq!(all.map(|wish| controls.check(&wish)), [go; 6], "taken back");
            assert_eq!(controls.standing().orders.len(), 2);
        }
    }

    #[test]
    fn halts_have_a_bound_and_orders_a_form() {
        let controls = Controls::default();
        for at in 0..HALTS_MAX {
            controls.take(given(Order::Halt(Scope::Account(at.to_string()))));
        }
        assert!(!controls.has_room(&Order::Halt(Scope::Account("one more".into()))));
        assert!(controls.has_room(&Order::Halt(Scope::Account("7".into()))), "halted before");
        assert!(controls.has_room(&Order::Resume(Scope::All)));
        assert_eq!(controls.standing().orders.len(), ORDERS_SHOWN);
        for (order, text) in [
            (Order::Halt(Scope::All), r#"{"do":"halt","scope":"all"}"#),
            (Order::Resume(Scope::Account("A".into())), r#"{"do":"resume","scope":"account","name":"A"}"#),
            (Order::Drain { on: true }, r#"{"do":"drain","on":true}"#),
        ] {
            assert_eq!(serde_json::to_string(&order).expect("serializes"), text);
            assert_eq!(serde_json::from_str::<Order>(text).expect("reads"), order);
        }
    }
}
