//! Dead letters of the FIX door, and what operators have stopped: what is refused is kept, with the message as it came, before the
//! answer leaves.
//!
//! What the peer is asked to send again (no room, an operator's order) is answered so and not kept.

use super::*;
use crate::fix::message::Tag;
use crate::fix::trade::trade_id_of;
use crate::gate;
use crate::office::Refused;
use crate::office::controls::Wish;
use crate::office::letter::Form;

/// Keeps a message that is refused before the engine. Gives the sequence that is to be durable before the answer leaves, or 0.
pub(super) fn file(office: Option<&Office>, live: &Live, seq: u64, refusal: &Refusal, raw: &[u8], at_ns: i64) -> u64 {
    let Some(office) = office.filter(|_| !gate::Class::of(refusal.code).is_recoverable()) else { return 0 };
    let Framed::Frame(found) = frame::next(raw) else { return 0 };
    let message = Message::parse(raw, &found);
    let text = |tag| message.get(tag).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let field = format!("tag {}", refusal.tag);
    put(
        office,
        &Refused {
            code: refusal.code,
            error: refusal.text,
            field: (refusal.tag != 0).then_some(&field),
            source: &live.name,
            source_offset: seq,
            form: Form::Fix,
            namespace: live.namespace.as_deref(),
            trade_id: trade_id_of(&message),
            account: text(Tag::Account),
            instrument: text(Tag::Symbol),
            correlation_id: None,
            at_ns,
            sequence: 0,
            raw,
        },
    )
}

fn put(office: &Office, refused: &Refused<'_>) -> u64 {
    match office.put(refused) {
        Ok(filed) => filed.sequence,
        Err(error) => {
            // Its sender is told all the same.
            tracing::error!(%error, session = refused.source, code = refused.code, "a refused input could not be kept");
            0
        }
    }
}

impl Work {
    /// Keeps a trade or an amendment that the shard has refused. Gives the sequence as [`file`] does.
    pub(super) fn file_rejected(&self, trade: &Trade, answer: &Answer) -> u64 {
        let is_rejected = matches!(answer.status, Status::Trade(Class::Rejected | Class::Lapsed) | Status::Refused);
        let Some(office) = self.office.as_deref().filter(|_| is_rejected) else { return 0 };
        let live = &self.sessions[trade.session];
        put(
            office,
            &Refused {
                code: answer.reason.code(),
                error: "the book or the gate refuses it",
                field: None,
                source: &live.name,
                source_offset: trade.seq,
                form: Form::Fix,
                namespace: live.namespace.as_deref(),
                trade_id: Some(trade.trade_id.as_str()),
                account: Some(trade.account.as_str()),
                instrument: Some(trade.instrument.as_str()),
                correlation_id: Some(trade.correlation.as_str()),
                at_ns: self.clock.now.utc_ns,
                sequence: answer.sequence,
                // Of the slot that the answer has just freed: nothing was put there since.
                raw: &self.pending.raw[answer.token as usize],
            },
        )
    }

    /// Whether a dead letter keeps what was promised. A log that has stopped keeps nobody waiting: it reports itself.
    pub(super) fn is_filed(&self, filed: u64) -> bool {
        filed == 0
            || self
                .office
                .as_deref()
                .is_none_or(|office| office.log().durable_sequence() >= filed || office.log().latched().is_some())
    }

    /// Refuses what an operator has stopped: the peer is to send it again later.
    pub(super) fn stopped(&self, number: usize, item: &FixItem<'_>) -> Result<(), Refusal> {
        let Some(office) = &self.office else { return Ok(()) };
        let (account, instrument) = match item {
            FixItem::Trade(trade) => (Some(trade.account), trade.instrument),
            FixItem::Amend(amend) => (amend.account, amend.instrument),
        };
        let session = self.sessions[number].name.as_str();
        let (accounts, instrument) = ([account, None], Some(instrument));
        let wish = Wish { session, is_trading: true, accounts, instrument, is_wide: false };
        let text = "stopped by an operator; not processed, send again later with PossResend";
        office.controls().check(&wish).map_err(|why| Refusal { code: why.code(), text, ..Refusal::NOT_AVAILABLE })
    }
}
