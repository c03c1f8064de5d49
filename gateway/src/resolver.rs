//! From a door's words to a command: names to numbers, identities, stamps for what the sender left out.

mod lines;

use std::collections::HashMap;
use std::sync::Arc;

use lotbook_core::amend::{AmendInput, AmendKind, Changes, NO_TIME};
use lotbook_core::amend_event::ResolveInput;
use lotbook_core::amount::ONE_E8;
use lotbook_core::command::{NO_CONSIDERATION, NO_PRICE, NameClass, Side, TradeInput, TradeKind, TradeType};
use lotbook_core::date::Date;
use lotbook_core::id::{NO_NAME, NameId, TradeHash, TradeId};
use lotbook_core::note::Note;
use lotbook_engine::{Directory, NameError};

pub use lines::Stamps;

use crate::input::{ChangeWords, ResolveLine};

/// A trade in a door's words.
#[derive(Clone, Copy, Debug)]
pub struct TradeWords<'a> {
    /// Trade id.
    pub trade_id: &'a str,
    /// Namespace of the trade id.
    pub namespace: &'a str,
    /// Account.
    pub account: &'a str,
    /// Instrument.
    pub instrument: &'a str,
    /// Contract id.
    pub contract: Option<&'a str>,
    /// User.
    pub user: Option<&'a str>,
    /// Correlation id; made here where there is none.
    pub correlation: Option<&'a str>,
    /// Trade id of the lot to use.
    pub lot: Option<&'a str>,
    /// Sub-account.
    pub sub_account: Option<&'a str>,
    /// Currency.
    pub currency: Option<&'a str>,
    /// A trade, an opening lot or a transfer.
    pub kind: TradeKind,
    /// Account that a transfer goes to.
    pub to_account: Option<&'a str>,
    /// Side.
    pub side: Side,
    /// Trade type.
    pub trade_type: TradeType,
    /// Quantity.
    pub quantity_e8: i64,
    /// Price.
    pub price_e8: Option<i64>,
    /// Gross amount, or cost of an opening lot.
    pub consideration_e8: Option<i64>,
    /// Units of base currency for one of the trade's.
    pub fx_to_base_e8: Option<i64>,
    /// When an opening lot was acquired.
    pub acquired: Option<Date>,
    /// Fees.
    pub fees_e8: i64,
    /// Effective date.
    pub effective_date: Date,
    /// Execution time.
    pub executed_at_ns: i64,
    /// Order within the source.
    pub source_order: u64,
}

/// A cancel or correct in a door's words.
#[derive(Clone, Copy, Debug)]
pub struct AmendWords<'a> {
    /// Its own id.
    pub amend_id: &'a str,
    /// Namespace of both ids.
    pub namespace: &'a str,
    /// Cancel or correct.
    pub kind: AmendKind,
    /// Id of what it amends.
    pub target_id: &'a str,
    /// Account of the target, where the sender repeats it.
    pub account: Option<&'a str>,
    /// Instrument of the target, where the sender repeats it.
    pub instrument: Option<&'a str>,
    /// What a correct changes.
    pub changes: &'a ChangeWords,
    /// Its own execution time.
    pub executed_at_ns: Option<i64>,
    /// Order within the source.
    pub source_order: u64,
    /// User.
    pub user: Option<&'a str>,
    /// Correlation id; made here where there is none.
    pub correlation: Option<&'a str>,
}

/// Resolves words for one door. Keeps the names it has met, so that in steady state nothing is shared.
#[derive(Debug)]
pub struct Resolver {
    directory: Arc<Directory>,
    met: [HashMap<Box<str>, NameId>; NameClass::COUNT],
    correlations: Correlations,
}

impl Resolver {
    /// A resolver that signs correlation ids with a service id.
    #[must_use]
    pub fn new(directory: Arc<Directory>, service_id: &str) -> Self {
        Self { directory, met: Default::default(), correlations: Correlations::new(service_id) }
    }

    /// The number of a name; defines it where it is new.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn name(&mut self, class: NameClass, text: &str) -> Result<NameId, NameError> {
        if let Some(id) = self.met[class as usize].get(text) {
            return Ok(*id);
        }
        let id = self.directory.resolve(class, text)?;
        self.met[class as usize].insert(text.into(), id);
        Ok(id)
    }

    /// As [`Self::name`]; no text is no name.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn optional(&mut self, class: NameClass, text: Option<&str>) -> Result<NameId, NameError> {
        text.map_or(Ok(NO_NAME), |text| self.name(class, text))
    }

    /// The command for a trade. `now_ns` stamps the correlation id that is made where none was given.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn trade(&mut self, words: &TradeWords<'_>, now_ns: i64) -> Result<TradeInput, NameError> {
        let hash = |id: &str| TradeHash::new(words.namespace.as_bytes(), id.as_bytes());
        let correlation = self.correlation(words.correlation, now_ns)?;
        Ok(TradeInput {
            trade_id: TradeId::new(words.trade_id.as_bytes()).ok_or(NameError::Length)?,
            hash: hash(words.trade_id),
            namespace: self.name(NameClass::Namespace, words.namespace)?,
            account: self.name(NameClass::Account, words.account)?,
            instrument: self.name(NameClass::Instrument, words.instrument)?,
            contract: self.optional(NameClass::Contract, words.contract)?,
            side: words.side,
            trade_type: words.trade_type,
            quantity_e8: words.quantity_e8,
            kind: words.kind,
            price_e8: words.price_e8.unwrap_or(NO_PRICE),
            consideration_e8: words.consideration_e8.unwrap_or(NO_CONSIDERATION),
            currency: self.optional(NameClass::Currency, words.currency)?,
            fx_to_base_e8: words.fx_to_base_e8.unwrap_or(ONE_E8),
            sub_account: self.optional(NameClass::SubAccount, words.sub_account)?,
            acquired: words.acquired.unwrap_or(Date::NONE),
            fees_e8: words.fees_e8,
            effective_date: words.effective_date,
            executed_at_ns: words.executed_at_ns,
            source_order: words.source_order,
            lot: words.lot.map_or(TradeHash::NONE, hash),
            to_account: self.optional(NameClass::Account, words.to_account)?,
            user: self.optional(NameClass::User, words.user)?,
            correlation,
        })
    }

    /// The command for a cancel or correct.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn amend(&mut self, words: &AmendWords<'_>, now_ns: i64) -> Result<AmendInput, NameError> {
        let hash = |id: &str| TradeHash::new(words.namespace.as_bytes(), id.as_bytes());
        let id = |id: &str| TradeId::new(id.as_bytes()).ok_or(NameError::Length);
        let mut changes = Changes::NONE;
        let wanted = words.changes;
        changes.set_side(wanted.side);
        changes.set_trade_type(wanted.trade_type);
        changes.set_quantity(wanted.quantity_e8);
        changes.set_price(wanted.price_e8);
        changes.set_consideration(wanted.consideration_e8);
        changes.set_fees(wanted.fees_e8);
        changes.set_fx_to_base(wanted.fx_to_base_e8);
        changes.set_effective_date(wanted.effective_date);
        changes.set_executed_at(wanted.executed_at_ns);
        changes.set_lot(wanted.lot.as_deref().map(hash));
        changes.set_contract(self.some(NameClass::Contract, wanted.contract_id.as_deref())?);
        changes.set_currency(self.some(NameClass::Currency, wanted.currency.as_deref())?);
        changes.set_sub_account(self.some(NameClass::SubAccount, wanted.sub_account.as_deref())?);
        changes.set_numerator(wanted.numerator);
        changes.set_denominator(wanted.denominator);
        changes.set_cash(wanted.cash_e8);
        changes.set_cash_in_lieu(wanted.cash_in_lieu_e8);
        changes.set_record_date(wanted.record_date);
        Ok(AmendInput {
            amend_id: id(words.amend_id)?,
            hash: hash(words.amend_id),
            namespace: self.name(NameClass::Namespace, words.namespace)?,
            kind: words.kind,
            target_id: id(words.target_id)?,
            target: hash(words.target_id),
            executed_at_ns: words.executed_at_ns.unwrap_or(NO_TIME),
            source_order: words.source_order,
            account: self.optional(NameClass::Account, words.account)?,
            instrument: self.optional(NameClass::Instrument, words.instrument)?,
            changes,
            user: self.optional(NameClass::User, words.user)?,
            correlation: self.correlation(words.correlation, now_ns)?,
        })
    }

    /// The command for a resolution. A reason that is too long was refused before.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn resolve(&mut self, line: &ResolveLine, now_ns: i64) -> Result<ResolveInput, NameError> {
        Ok(ResolveInput {
            account: self.name(NameClass::Account, &line.account)?,
            instrument: self.name(NameClass::Instrument, &line.instrument)?,
            version: line.version.unwrap_or(0),
            user: self.name(NameClass::User, &line.user_id)?,
            note: Note::new(line.reason.as_bytes()).ok_or(NameError::Length)?,
            correlation: self.correlation(line.correlation_id.as_deref(), now_ns)?,
        })
    }

    fn some(&mut self, class: NameClass, text: Option<&str>) -> Result<Option<NameId>, NameError> {
        text.map(|text| self.name(class, text)).transpose()
    }

    /// The correlation id that was given, or one that is made.
    ///
    /// # Errors
    /// [`NameError::Length`].
    pub fn correlation(&mut self, given: Option<&str>, now_ns: i64) -> Result<TradeId, NameError> {
        match given {
            Some(given) => TradeId::new(given.as_bytes()).ok_or(NameError::Length),
            None => Ok(self.correlations.next(now_ns)),
        }
    }

    /// The execution time of a trade that gave none: now on the business date, else the date's end.
    #[must_use]
    pub fn stamp(effective: Date, business_date: Option<Date>, now_ns: i64) -> i64 {
        if business_date == Some(effective) { now_ns } else { effective.end_ns() }
    }
}

/// Makes correlation ids: a UUID of version 7, '@', and the service id.
///
/// The random bits come from a generator that is seeded once from the system; ids must be unique, not secret.
#[derive(Debug)]
struct Correlations {
    suffix: String,
    state: u64,
}

/// Longest service id: a UUID has 36 characters and a correlation id 64.
pub const SERVICE_ID_BYTES_MAX: usize = 27;

impl Correlations {
    fn new(service_id: &str) -> Self {
        assert!(service_id.len() <= SERVICE_ID_BYTES_MAX);
        let seed = uuid::Uuid::now_v7().as_u64_pair();
        Self { suffix: format!("@{service_id}"), state: seed.0 ^ seed.1.rotate_left(32) }
    }

    fn random(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn next(&mut self, now_ns: i64) -> TradeId {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.random().to_le_bytes());
        random[8..].copy_from_slice(&self.random().to_le_bytes()[..2]);
        let uuid = uuid::Builder::from_unix_timestamp_millis(now_ns.max(0) as u64 / 1_000_000, &random).into_uuid();
        let mut text = [0; 64];
        uuid.hyphenated().encode_lower(&mut text);
        let len = 36 + self.suffix.len();
        text[36..len].copy_from_slice(self.suffix.as_bytes());
        // 36 and at most 28 bytes.
        TradeId::new(&text[..len]).unwrap_or(TradeId::EMPTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_ids_are_uuid_v7_and_differ() {
        let mut made = Correlations::new("lotbook");
        let (first, second) = (made.next(1_600_000_000_000_000_000), made.next(1_600_000_000_000_000_000));
        assert_ne!(first, second);
        let (uuid, service) = first.as_str().split_once('@').expect("a service id");
        assert_eq!(service, "lotbook");
        let parsed = uuid::Uuid::parse_str(uuid).expect("a UUID");
        assert_eq!(parsed.get_version_num(), 7);
        assert_eq!(parsed.get_timestamp().map(|t| t.to_unix().0), Some(1_600_000_000));
    }

    #[test]
    fn missing_times_are_stamped() {
        let day = Date(10);
        assert_eq!(Resolver::stamp(day, Some(day), 77), 77);
        assert_eq!(Resolver::stamp(day, Some(Date(11)), 77), day.end_ns());
        assert_eq!(Resolver::stamp(day, None, 77), day.end_ns());
    }
}
