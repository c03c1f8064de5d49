//! Keys of `[fix]` and of `[[fix.session]]`.

use super::{Allowed, Key, Value, ack, text};
use crate::config::{Config, FixSession, UNSET};
use crate::fix::schedule::{FORM, Schedule};
use crate::fix::version::Version;

/// No base currency.
const NO_BASE: &str = "none";

/// No schedule.
const ALWAYS: &str = "always";

fn schedule(given: &str) -> Result<Option<Schedule>, String> {
    if given == ALWAYS {
        return Ok(None);
    }
    given.parse().map(Some).map_err(str::to_owned)
}

pub(super) const FIX: &[Key<Config>] = &[
    Key {
        name: "listen",
        meaning: "Address of the FIX acceptor; `off` keeps it shut.",
        allowed: Allowed::Listen,
        default_words: "",
        set: |c, v| v.text().parse().map(|listen| c.fix.listen = listen),
        show: |c| text(c.fix.listen),
    },
    key!(
        "comp_id",
        "Our CompID, which initiators send as TargetCompID.",
        Allowed::Id,
        |c, v| c.fix.comp_id = v.text().to_owned(),
        |c| text(&c.fix.comp_id)
    ),
    key!(
        "base_currency",
        "Base currency: what SettlCurrFxRate (155) is the rate to where SettlCurrency (120) names it; `none`: every rate is one.",
        Allowed::Id,
        |c, v| c.fix.base_currency = Some(v.text().to_owned()).filter(|base| base != NO_BASE),
        |c| text(c.fix.base_currency.as_deref().unwrap_or(NO_BASE))
    ),
    key!(
        "ack",
        "When a trade is answered: `applied` survives a killed process, `durable` a power cut.",
        Allowed::OneOf(&["applied", "durable"]),
        |c, v| c.fix.ack = ack(&v),
        |c| text(c.fix.ack.as_str())
    ),
    Key {
        name: "schedule",
        meaning: "When sessions may be logged on, a window of each day or each week; in the next window both directions begin at 1. `always`: at any time.",
        allowed: Allowed::Text(FORM),
        default_words: "",
        set: |c, v| schedule(v.text()).map(|schedule| c.fix.schedule = schedule),
        show: |c| text(c.fix.schedule.as_ref().map_or(ALWAYS.to_owned(), ToString::to_string)),
    },
];

/// Keys of `[[fix.session]]`.
pub(in crate::config) const SESSION_KEYS: &[Key<FixSession>] = &[
    Key {
        name: "comp_id",
        meaning: "The counterparty's CompID, which it sends as SenderCompID; one table each.",
        allowed: Allowed::Id,
        default_words: "(required)",
        set: |s, v| {
            s.comp_id = v.text().to_owned();
            Ok(())
        },
        show: |s| text(&s.comp_id),
    },
    Key {
        name: "ack",
        meaning: "When its trades are answered.",
        allowed: Allowed::OneOf(&["applied", "durable"]),
        default_words: "as `fix.ack`",
        set: |s, v| {
            s.ack = Some(ack(&v));
            Ok(())
        },
        show: |s| s.ack.map_or_else(|| UNSET.to_owned(), |ack| text(ack.as_str())),
    },
    Key {
        name: "namespace",
        meaning: "Namespace in which its trade ids are unique; sessions may share one.",
        allowed: Allowed::Id,
        default_words: "CompID and trade date",
        set: |s, v| {
            s.namespace = Some(v.text().to_owned());
            Ok(())
        },
        show: |s| s.namespace.as_ref().map_or_else(|| UNSET.to_owned(), text),
    },
    Key {
        name: "version",
        meaning: "The version of FIX that it speaks; a connection that begins with another one is closed.",
        allowed: Allowed::OneOf(&["4.2", "4.4", "5.0SP2"]),
        default_words: "the one of its Logon",
        set: |s, v| {
            s.version = Version::named(v.text());
            Ok(())
        },
        show: |s| s.version.map_or_else(|| UNSET.to_owned(), |version| text(version.name())),
    },
    Key {
        name: "schedule",
        meaning: "When it may be logged on.",
        allowed: Allowed::Text(FORM),
        default_words: "as `fix.schedule`",
        set: |s, v| schedule(v.text()).map(|schedule| s.schedule = schedule),
        show: |s| s.schedule.as_ref().map_or_else(|| UNSET.to_owned(), text),
    },
    Key {
        name: "user",
        meaning: "Whose session it is: the Username (553) that its Logon must have, where there are logins.",
        allowed: Allowed::Id,
        default_words: "its CompID",
        set: |s, v| {
            s.user = Some(v.text().to_owned());
            Ok(())
        },
        show: |s| s.user.as_ref().map_or_else(|| UNSET.to_owned(), text),
    },
];
