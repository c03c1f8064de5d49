//! What a desk sends, by small numbers: drawn from a seed, and as commands of a book.

use lotbook_core::action_input::{ActionInput, ActionKind};
use lotbook_core::amend::{AmendInput, AmendKind, Changes};
use lotbook_core::command::{Command, Mark, MarkKind, NameClass, Side, TradeInput, TradeKind};
use lotbook_core::date::Date;
use lotbook_core::id::{NO_NAME, NameId, TradeHash, TradeId};
use lotbook_core::rules::{ContractTerms, LotMethod, Rules};
use lotbook_core::wide_event::LockInput;
use lotbook_engine::Directory;
use lotbook_perf::rng::Rng;
use lotbook_tests::rig::Naming;

pub(crate) const E8: i64 = 100_000_000;
const ACCOUNTS: u64 = 5;
const INSTRUMENTS: u64 = 5;
/// Dates are drawn from 1 to this.
const DAYS: u64 = 12;

/// One thing that a desk sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Trade {
        id: u32,
        account: u64,
        instrument: u64,
        is_sale: bool,
        quantity: i64,
        price: i64,
        day: i32,
    },
    Transfer {
        id: u32,
        account: u64,
        to: u64,
        instrument: u64,
        quantity: i64,
        day: i32,
    },
    Action {
        id: u32,
        kind: ActionKind,
        instrument: u64,
        to: u64,
        terms: (u32, u32),
        day: i32,
    },
    Contract {
        account: u64,
        method: LotMethod,
        day: i32,
    },
    Today {
        day: i32,
    },
    Mark {
        instrument: u64,
        price: i64,
        at: i64,
    },
    Lock {
        account: u64,
        through: i32,
    },
    /// A cancel, or a correct that gives another quantity or another account.
    Amend {
        id: u32,
        of: String,
        quantity: Option<i64>,
        account: Option<u64>,
    },
}

impl Line {
    /// Whether what becomes of it does not depend on where positions stand: it is accepted, whatever came before.
    pub(crate) fn is_free(&self) -> bool {
        !matches!(self, Self::Transfer { .. } | Self::Lock { .. } | Self::Today { .. })
    }

    /// Id that an amendment can name.
    fn id(&self) -> Option<String> {
        match self {
            Self::Trade { id, .. } | Self::Transfer { id, .. } | Self::Action { id, .. } | Self::Amend { id, .. } => {
                Some(format!("t{id}"))
            }
            _ => None,
        }
    }

    /// As a command; names that are new are defined.
    pub(crate) fn command(&self, names: &Directory) -> Command {
        let name = |class, text: &str| names.name(class, text);
        let account = |number: u64| name(NameClass::Account, &format!("A{number}"));
        let instrument = |number: u64| name(NameClass::Instrument, &format!("I{number}"));
        let namespace = || name(NameClass::Namespace, "test");
        let text = |id: &str| TradeId::new(id.as_bytes()).expect("short");
        let hash = |id: &str| TradeHash::new(b"test", id.as_bytes());
        match self {
            Self::Trade { id, account: a, instrument: i, is_sale, quantity, price, day } => {
                Command::Trade(TradeInput {
                    side: if *is_sale { Side::Sell } else { Side::Buy },
                    price_e8: price * E8,
                    ..trade(*id, (account(*a), instrument(*i)), *quantity, *day, namespace())
                })
            }
            Self::Transfer { id, account: a, to, instrument: i, quantity, day } => Command::Trade(TradeInput {
                side: Side::Sell,
                kind: TradeKind::Transfer,
                to_account: account(*to),
                ..trade(*id, (account(*a), instrument(*i)), *quantity, *day, namespace())
            }),
            Self::Action { id, kind, instrument: i, to, terms, day } => {
                let id = format!("t{id}");
                let leads_on = matches!(kind, ActionKind::SpinOff | ActionKind::Merger | ActionKind::SymbolChange);
                Command::Action(ActionInput {
                    action_id: text(&id),
                    hash: hash(&id),
                    namespace: namespace(),
                    kind: *kind,
                    instrument: instrument(*i),
                    to_instrument: if leads_on { instrument(*to) } else { NO_NAME },
                    numerator: terms.0,
                    denominator: terms.1,
                    cash_e8: if *kind == ActionKind::SpinOff { 0 } else { E8 / 2 },
                    cash_in_lieu_e8: 9 * E8,
                    basis_fraction_e8: if *kind == ActionKind::SpinOff { E8 / 4 } else { 0 },
                    effective_date: Date(*day),
                    ..ActionInput::EMPTY
                })
            }
            Self::Contract { account: a, method, day } => Command::Contract(ContractTerms {
                contract: name(NameClass::Contract, &format!("C{a}")),
                account: account(*a),
                instrument: NO_NAME,
                rules: Rules { method: *method, allow_short: true, ..Rules::DEFAULT },
                effective_date: Date(*day),
            }),
            Self::Today { day } => Command::BusinessDate(Date(*day)),
            Self::Mark { instrument: i, price, at } => Command::Mark(Mark {
                instrument: instrument(*i),
                kind: MarkKind::Last,
                price_e8: price * E8,
                ask_e8: 0,
                at_ns: *at,
            }),
            Self::Lock { account: a, through } => {
                Command::PeriodLock(LockInput { account: account(*a), through: Date(*through) })
            }
            Self::Amend { id, of, quantity, account: moved_to } => {
                let own = format!("t{id}");
                let mut changes = Changes::NONE;
                changes.set_quantity(quantity.map(|quantity| quantity * E8));
                Command::Amend(AmendInput {
                    amend_id: text(&own),
                    hash: hash(&own),
                    namespace: namespace(),
                    kind: if quantity.is_some() || moved_to.is_some() { AmendKind::Correct } else { AmendKind::Cancel },
                    target_id: text(of),
                    target: hash(of),
                    executed_at_ns: i64::from(*id),
                    source_order: 0,
                    account: moved_to.map_or(NO_NAME, account),
                    instrument: NO_NAME,
                    changes,
                    user: NO_NAME,
                    correlation: TradeId::EMPTY,
                })
            }
        }
    }
}

fn trade(id: u32, of: (NameId, NameId), quantity: i64, day: i32, namespace: NameId) -> TradeInput {
    let text = format!("t{id}");
    TradeInput {
        trade_id: TradeId::new(text.as_bytes()).expect("short"),
        hash: TradeHash::new(b"test", text.as_bytes()),
        namespace,
        account: of.0,
        instrument: of.1,
        quantity_e8: quantity * E8,
        effective_date: Date(day),
        source_order: u64::from(id),
        ..TradeInput::EMPTY
    }
}

/// Draws a history. `with_amendments`: cancels and corrects among it, some before their targets.
pub(crate) fn draw(rng: &mut Rng, count: u32, with_amendments: bool) -> Vec<Line> {
    let mut lines: Vec<Line> =
        (0..ACCOUNTS).map(|account| Line::Contract { account, method: LotMethod::Fifo, day: 0 }).collect();
    // Orders, not times: what is drawn late is late.
    let (mut today, mut locked) = (0, 0);
    let mut actions = [0u64; 7];
    for id in 0..count {
        let (account, instrument) = (rng.below(ACCOUNTS), rng.below(INSTRUMENTS));
        let (day, quantity) = (1 + rng.below(DAYS) as i32, 1 + rng.below(9) as i64);
        let price = 5 + rng.below(20) as i64;
        // Actions lead upwards, so that nothing goes round for ever.
        let to = (instrument + 1).min(INSTRUMENTS);
        let line = match rng.below(40) {
            0..=13 => Line::Trade { id, account, instrument, is_sale: false, quantity, price, day },
            14..=19 => Line::Trade { id, account, instrument, is_sale: true, quantity, price, day },
            20..=27 => {
                let to = (account + 1 + rng.below(ACCOUNTS - 1)) % ACCOUNTS;
                Line::Transfer { id, account, to, instrument, quantity, day }
            }
            28..=30 => {
                let kinds = [ActionKind::Split, ActionKind::SpinOff, ActionKind::Merger, ActionKind::SymbolChange];
                let kind = kinds[rng.below(4) as usize];
                // At most one of a kind: chains of them are long enough.
                actions[kind as usize] += 1;
                if actions[kind as usize] > 1 {
                    continue;
                }
                let terms = (1 + rng.below(3) as u32, 1 + rng.below(3) as u32);
                Line::Action { id, kind, instrument, to, terms, day }
            }
            31 => {
                let methods = [LotMethod::Fifo, LotMethod::Lifo, LotMethod::Hifo];
                Line::Contract { account, method: methods[rng.below(3) as usize], day }
            }
            32 => Line::Mark { instrument, price, at: i64::from(id) },
            33 if rng.below(2) == 0 => {
                today = day.max(today);
                Line::Today { day: today }
            }
            34 if id * 2 > count => {
                locked = (day / 4).max(locked);
                Line::Lock { account, through: locked }
            }
            35..=38 if with_amendments => {
                // Of something that came, or of something that may come.
                let of = match rng.below(3) {
                    0 => format!("t{}", id + 1 + rng.below(6) as u32),
                    _ => {
                        let known: Vec<String> = lines.iter().filter_map(Line::id).collect();
                        if known.is_empty() {
                            continue;
                        }
                        known[rng.below(known.len() as u64) as usize].clone()
                    }
                };
                let (quantity, account) = match rng.below(5) {
                    0 | 1 => (None, None),
                    2 => (Some(quantity), None),
                    3 => (None, Some(account)),
                    _ => (Some(quantity), Some(account)),
                };
                Line::Amend { id, of, quantity, account }
            }
            _ => continue,
        };
        lines.push(line);
    }
    lines
}
