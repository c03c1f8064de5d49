//! From a message's words to the engine's command, and what its answer will need.

use lotbook_core::amend::{AmendInput, AmendKind};
use lotbook_core::command::TradeInput;

use super::super::message::Tag;
use super::super::order::Order;
use super::*;

/// What the answer of a FIX 4.2 session says of the order, kept while its trade is on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldOrder {
    order_id: TradeId,
    /// With an empty OrderID.
    order: Order<'static>,
}

impl HeldOrder {
    fn of(message: &Message<'_>) -> Option<Self> {
        if message.version() != Some(Version::Fix42) {
            return None;
        }
        let order = Order::read(message);
        Some(Self { order_id: text(order.order_id), order: Order { order_id: "", ..order } })
    }

    pub(super) fn get(&self) -> Order<'_> {
        Order { order_id: self.order_id.as_str(), ..self.order }
    }
}

fn side_of(message: &Message<'_>) -> Option<u8> {
    message.get(Tag::Side).and_then(|side| side.first().copied())
}

fn type_of(message: &Message<'_>) -> &'static [u8] {
    if message.msg_type() == MsgType::ExecutionReport { b"8" } else { b"AE" }
}

/// Where a message came from, and what resolves its words.
pub(super) struct Context<'w> {
    pub(super) resolver: &'w mut Resolver,
    pub(super) namespace: &'w mut DatedNamespace,
    pub(super) number: usize,
    pub(super) live: &'w Live,
    pub(super) seq: u64,
    pub(super) today: Option<Date>,
    pub(super) now_ns: i64,
    /// The host's base currency.
    pub(super) base: Option<&'w str>,
}

fn text(text: &str) -> TradeId {
    TradeId::new(text.as_bytes()).unwrap_or(TradeId::EMPTY)
}

impl Context<'_> {
    fn date(&self, days: Option<i32>, executed_at_ns: Option<i64>) -> Date {
        days.map(Date)
            .or_else(|| executed_at_ns.map(Date::of_ns))
            .or(self.today)
            .unwrap_or_else(|| Date::of_ns(self.now_ns))
    }

    pub(super) fn trade(self, trade: &FixTrade<'_>, message: &Message<'_>) -> Result<(TradeInput, Trade), Refusal> {
        let date = self.date(trade.effective_date, trade.executed_at_ns);
        let Self { resolver, namespace, number, live, seq, today, now_ns, base } = self;
        let executed_at_ns = trade.executed_at_ns.unwrap_or_else(|| Resolver::stamp(date, today, now_ns));
        let words = trade.words(namespace.get(number, live, date), date, executed_at_ns, base);
        let input = resolver.trade(&words, now_ns).map_err(name_refusal)?;
        let in_flight = Trade {
            session: number,
            incarnation: live.incarnation,
            seq,
            msg_type: type_of(message),
            exec_type: AckType::Trade,
            trade_id: input.trade_id,
            target_id: TradeId::EMPTY,
            account: text(trade.account),
            instrument: text(trade.instrument),
            correlation: input.correlation,
            executed_at_ns: input.executed_at_ns,
            side: side_of(message),
            order: HeldOrder::of(message),
            filed: 0,
        };
        Ok((input, in_flight))
    }

    #[cold]
    pub(super) fn amend(self, amend: &FixAmend<'_>, message: &Message<'_>) -> Result<(AmendInput, Trade), Refusal> {
        // The trade date is a part of the amended trade's identity.
        let date = self.date(amend.trade_date, amend.executed_at_ns);
        let Self { resolver, namespace, number, live, seq, now_ns, base, .. } = self;
        let changes = amend.change_words(base);
        let words = amend.words(namespace.get(number, live, date), &changes);
        let input = resolver.amend(&words, now_ns).map_err(name_refusal)?;
        let in_flight = Trade {
            session: number,
            incarnation: live.incarnation,
            seq,
            msg_type: type_of(message),
            exec_type: match amend.kind {
                AmendKind::Cancel => AckType::Cancel,
                AmendKind::Correct => AckType::Correct,
            },
            trade_id: input.amend_id,
            target_id: input.target_id,
            account: text(amend.account.unwrap_or("")),
            instrument: text(amend.instrument),
            correlation: input.correlation,
            executed_at_ns: amend.executed_at_ns.unwrap_or(now_ns),
            side: side_of(message),
            order: HeldOrder::of(message),
            filed: 0,
        };
        Ok((input, in_flight))
    }
}

#[cold]
fn name_refusal(error: NameError) -> Refusal {
    match error {
        NameError::Unavailable => Refusal::NOT_AVAILABLE,
        NameError::Full | NameError::Length => Refusal {
            answer: RefusalAnswer::Business(BusinessReason::Other),
            tag: 0,
            code: "NAME_CAPACITY",
            text: "no room for another account, instrument or namespace",
        },
    }
}
