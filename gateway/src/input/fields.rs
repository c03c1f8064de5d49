//! From named values to a checked [`Line`]: the one place that knows which fields an object has.

mod amend;
mod lines;

use std::borrow::Cow;

use lotbook_core::amount::{DecimalError, parse_e8};
use lotbook_core::command::{MarkKind, Side, TradeKind, TradeType};
use lotbook_core::date::Date;
use lotbook_core::rules::{
    FeesRule, LONG_TERM_DAYS_MAX, LockedChanges, LotMethod, LotScope, ShortRank, TAX_RATE_E8_MAX, TaxRates,
    WASH_WINDOW_DAYS_MAX, WashSale,
};

use super::actions::{ACTION_FIELDS, LOCK_FIELDS, RESET_FIELDS};
use super::error::{Code, LineError, quoted};
use super::text::{self, WILDCARD, check_id, check_name};
use super::time::{TIMESTAMP_FORM, parse_timestamp};
use super::{ContractLine, FxLine, InstrumentLine, Line, MarkLine, TradeLine};
use crate::rates::Pair;

macro_rules! fields {
    ($($variant:ident = $name:literal,)+) => {
        /// Every field of every type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Field {
            $($variant,)+
        }

        impl Field {
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            pub(super) fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

fields! {
    Type = "type",
    TradeId = "trade_id",
    Account = "account",
    Instrument = "instrument",
    Side = "side",
    TradeType = "trade_type",
    Quantity = "quantity",
    Price = "price",
    Consideration = "consideration",
    FxToBase = "fx_to_base",
    SubAccount = "sub_account",
    Acquired = "acquired",
    Fees = "fees",
    EffectiveDate = "effective_date",
    ExecutedAt = "executed_at",
    SourceOrder = "source_order",
    Lot = "lot",
    ContractId = "contract_id",
    CorrelationId = "correlation_id",
    UserId = "user_id",
    LotMethod = "lot_method",
    AllowShort = "allow_short",
    ShortRank = "short_rank",
    LotScope = "lot_scope",
    FeesRule = "fees_rule",
    TaxRateShort = "tax_rate_short",
    TaxRateLong = "tax_rate_long",
    LongTermDays = "long_term_days",
    WashSale = "wash_sale",
    WashWindowDays = "wash_window_days",
    Taxpayer = "taxpayer",
    LockedChanges = "locked_changes",
    Currency = "currency",
    Multiplier = "multiplier",
    Tick = "tick",
    Isin = "isin",
    Cusip = "cusip",
    PriceMin = "price_min",
    PriceMax = "price_max",
    Date = "date",
    Kind = "kind",
    Bid = "bid",
    Pair = "pair",
    Rate = "rate",
    Ask = "ask",
    At = "at",
    Cancels = "cancels",
    Corrects = "corrects",
    Reason = "reason",
    Version = "version",
    Action = "action",
    ActionId = "action_id",
    ToInstrument = "to_instrument",
    Numerator = "numerator",
    Denominator = "denominator",
    CashPerUnit = "cash_per_unit",
    CashInLieuPrice = "cash_in_lieu_price",
    BasisFraction = "basis_fraction",
    RecordDate = "record_date",
    Through = "through",
    ToAccount = "to_account",
}

const FIELDS: usize = Field::ALL.len();
const _: () = assert!(FIELDS <= u64::BITS as usize);

/// The types of this version with their fields.
const TYPES: &[(&str, &[Field])] = &[
    ("trade", TRADE_FIELDS),
    ("open_lot", OPEN_LOT_FIELDS),
    ("transfer", TRANSFER_FIELDS),
    ("cancel", amend::CANCEL_FIELDS),
    ("correct", amend::CORRECT_FIELDS),
    (
        "contract",
        &[
            Field::ContractId,
            Field::Account,
            Field::Instrument,
            Field::LotMethod,
            Field::AllowShort,
            Field::ShortRank,
            Field::LotScope,
            Field::FeesRule,
            Field::TaxRateShort,
            Field::TaxRateLong,
            Field::LongTermDays,
            Field::WashSale,
            Field::WashWindowDays,
            Field::Taxpayer,
            Field::LockedChanges,
            Field::EffectiveDate,
        ],
    ),
    (
        "instrument",
        &[
            Field::Instrument,
            Field::Currency,
            Field::Multiplier,
            Field::Tick,
            Field::Isin,
            Field::Cusip,
            Field::PriceMin,
            Field::PriceMax,
        ],
    ),
    ("business_date", &[Field::Date]),
    ("fx", &[Field::Pair, Field::Rate, Field::At]),
    ("resolve", amend::RESOLVE_FIELDS),
    ("corporate_action", ACTION_FIELDS),
    ("reset", RESET_FIELDS),
    ("period_lock", LOCK_FIELDS),
    ("mark", &[Field::Instrument, Field::Kind, Field::Price, Field::Bid, Field::Ask, Field::At]),
];

/// Fields of a trade; also the columns of a CSV file.
pub(super) const TRADE_FIELDS: &[Field] = &[
    Field::TradeId,
    Field::Account,
    Field::Instrument,
    Field::Side,
    Field::TradeType,
    Field::Quantity,
    Field::Price,
    Field::Consideration,
    Field::Currency,
    Field::FxToBase,
    Field::SubAccount,
    Field::Fees,
    Field::EffectiveDate,
    Field::ExecutedAt,
    Field::SourceOrder,
    Field::Lot,
    Field::ContractId,
    Field::CorrelationId,
    Field::UserId,
];

const OPEN_LOT_FIELDS: &[Field] = &[
    Field::TradeId,
    Field::Account,
    Field::Instrument,
    Field::Quantity,
    Field::Consideration,
    Field::Acquired,
    Field::Price,
    Field::Currency,
    Field::FxToBase,
    Field::SubAccount,
    Field::EffectiveDate,
    Field::ExecutedAt,
    Field::SourceOrder,
    Field::ContractId,
    Field::CorrelationId,
    Field::UserId,
];

const TRANSFER_FIELDS: &[Field] = &[
    Field::TradeId,
    Field::Account,
    Field::ToAccount,
    Field::Instrument,
    Field::Quantity,
    Field::Lot,
    Field::SubAccount,
    Field::EffectiveDate,
    Field::ExecutedAt,
    Field::SourceOrder,
    Field::ContractId,
    Field::CorrelationId,
    Field::UserId,
];

/// A value as the file gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Raw<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    /// A string.
    Text(Cow<'a, str>),
    /// An integer of zero or more.
    Integer(u64),
    /// Another number; its value is not looked at.
    Number,
    /// A boolean.
    Bool(bool),
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Raw<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Text(_) => "a string",
            Self::Integer(_) | Self::Number => "a number",
            Self::Bool(_) => "a boolean",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// One object's fields, found but not checked.
#[derive(Debug)]
pub(super) struct Object<'a> {
    values: [Raw<'a>; FIELDS],
    present: u64,
    duplicate: Option<Field>,
    unknown: Option<String>,
}

impl Default for Object<'_> {
    fn default() -> Self {
        Self { values: [const { Raw::Absent }; FIELDS], present: 0, duplicate: None, unknown: None }
    }
}

impl<'a> Object<'a> {
    /// Takes a field.
    pub(super) fn set(&mut self, field: Field, value: Raw<'a>) {
        let bit = 1 << field as u8;
        if self.present & bit != 0 {
            self.duplicate.get_or_insert(field);
        }
        self.present |= bit;
        self.values[field as usize] = value;
    }

    /// Notes a field that no type has.
    pub(super) fn set_unknown(&mut self, name: String) {
        self.unknown.get_or_insert(name);
    }

    /// Checks everything.
    pub(super) fn into_line(mut self, round: bool) -> Result<Line, LineError> {
        let kind = self.take_kind()?;
        self.check_names(kind)?;
        let mut fields = Fields { object: self, round };
        Ok(match kind {
            "trade" => Line::Trade(fields.trade()?),
            "open_lot" => Line::Trade(fields.open_lot()?),
            "transfer" => Line::Trade(fields.transfer()?),
            "cancel" => Line::Amend(fields.cancel()?),
            "correct" => Line::Amend(fields.correct()?),
            "resolve" => Line::Resolve(fields.resolve()?),
            "contract" => Line::Contract(fields.contract()?),
            "instrument" => Line::Instrument(fields.instrument()?),
            "corporate_action" => Line::Action(Box::new(fields.action()?)),
            "reset" => Line::Action(Box::new(fields.reset()?)),
            "period_lock" => Line::PeriodLock(fields.period_lock()?),
            "business_date" => Line::BusinessDate(fields.date(Field::Date)?),
            "fx" => Line::Fx(fields.fx()?),
            _ => Line::Mark(fields.mark()?),
        })
    }

    fn take_kind(&mut self) -> Result<&'static str, LineError> {
        let given = match std::mem::take(&mut self.values[Field::Type as usize]) {
            Raw::Text(given) => given,
            Raw::Absent => {
                return Err(LineError::of("type", Code::MissingField, format!("is missing; one of {}", type_names())));
            }
            other => return Err(LineError::of("type", Code::WrongType, format!("is {}, not a string", other.kind()))),
        };
        if let Some((name, _)) = TYPES.iter().find(|(name, _)| *name == given) {
            return Ok(name);
        }
        Err(LineError::of("type", Code::UnknownType, format!("{} is no type; one of {}", quoted(&given), type_names())))
    }

    /// A misspelt optional field would otherwise be a trade with other terms.
    fn check_names(&self, kind: &'static str) -> Result<(), LineError> {
        if let Some(field) = self.duplicate {
            return Err(LineError::of(field.name(), Code::DuplicateField, "stands twice in one object"));
        }
        let allowed = TYPES.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, allowed)| *allowed);
        let foreign = Field::ALL
            .iter()
            .find(|f| **f != Field::Type && self.present & (1 << **f as u8) != 0 && !allowed.contains(f))
            .map(|f| f.name());
        let Some(name) = foreign.or(self.unknown.as_deref()) else { return Ok(()) };
        let names: Vec<&str> = allowed.iter().map(|f| f.name()).collect();
        let message = format!("is no field of a {kind}; it has {}", names.join(", "));
        let shown = quoted(name);
        Err(LineError::of(shown.trim_matches('"').to_owned(), Code::UnknownField, message))
    }
}

fn type_names() -> String {
    let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

pub(super) struct Fields<'a> {
    object: Object<'a>,
    round: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn value(&self, field: Field) -> &Raw<'a> {
        &self.object.values[field as usize]
    }

    fn take(&mut self, field: Field) -> Raw<'a> {
        std::mem::take(&mut self.object.values[field as usize])
    }

    /// The string of a field that only a string can hold.
    fn string(&mut self, field: Field) -> Result<Option<Cow<'a, str>>, LineError> {
        match self.take(field) {
            Raw::Absent => Ok(None),
            Raw::Text(text) => Ok(Some(text)),
            other => Err(LineError::of(field.name(), Code::WrongType, format!("is {}, not a string", other.kind()))),
        }
    }

    pub(super) fn text(
        &mut self,
        field: Field,
        check: fn(&[u8]) -> Result<(), text::TextError>,
    ) -> Result<Option<String>, LineError> {
        self.string(field)?.map(|given| text::owned(field.name(), &given, check)).transpose()
    }

    pub(super) fn required_text(
        &mut self,
        field: Field,
        check: fn(&[u8]) -> Result<(), text::TextError>,
    ) -> Result<String, LineError> {
        self.text(field, check)?.ok_or_else(|| missing(field))
    }

    /// An account or instrument of a contract: `None` for all.
    pub(super) fn scope(&mut self, field: Field) -> Result<Option<String>, LineError> {
        match self.string(field)? {
            None => Ok(None),
            Some(given) if given == WILDCARD => Ok(None),
            Some(given) => text::owned(field.name(), &given, check_name).map(Some),
        }
    }

    pub(super) fn choice<T>(
        &mut self,
        field: Field,
        parse: fn(&str) -> Option<T>,
        names: &[&str],
    ) -> Result<Option<T>, LineError> {
        let Some(given) = self.string(field)? else { return Ok(None) };
        parse(&given).map(Some).ok_or_else(|| {
            let message = format!("{} is none of {}", quoted(&given), names.join(", "));
            LineError::of(field.name(), Code::BadEnum, message)
        })
    }

    /// A contract's term: one of a list of words.
    fn term<T: Copy>(
        &mut self,
        field: Field,
        parse: fn(&str) -> Option<T>,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<Option<T>, LineError> {
        let names: Vec<&str> = all.iter().map(|term| name(*term)).collect();
        self.choice(field, parse, &names)
    }

    /// Both rates, each from 0 to 1, or neither.
    fn tax_rates(&mut self) -> Result<Option<TaxRates>, LineError> {
        match (self.tax_rate(Field::TaxRateShort)?, self.tax_rate(Field::TaxRateLong)?) {
            (Some(short_e8), Some(long_e8)) => Ok(Some(TaxRates { short_e8, long_e8 })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(missing(Field::TaxRateLong)),
            (None, Some(_)) => Err(missing(Field::TaxRateShort)),
        }
    }

    fn tax_rate(&mut self, field: Field) -> Result<Option<u32>, LineError> {
        let Some(rate_e8) = self.decimal(field)? else { return Ok(None) };
        let in_range = u32::try_from(rate_e8).ok().filter(|rate| *rate <= TAX_RATE_E8_MAX);
        in_range.map(Some).ok_or_else(|| LineError::of(field.name(), Code::OutOfRange, "is not from 0 to 1"))
    }

    fn days(&mut self, field: Field, range: std::ops::RangeInclusive<u16>) -> Result<Option<u16>, LineError> {
        let Some(days) = self.integer(field)? else { return Ok(None) };
        let in_range = u16::try_from(days).ok().filter(|days| range.contains(days));
        let message = || format!("is not from {} to {}", range.start(), range.end());
        in_range.map(Some).ok_or_else(|| LineError::of(field.name(), Code::OutOfRange, message()))
    }

    fn side(&mut self) -> Result<Side, LineError> {
        let sides = [Side::Buy, Side::Sell, Side::SellShort, Side::BuyToCover];
        self.choice(Field::Side, Side::parse, &sides.map(Side::as_str))?.ok_or_else(|| missing(Field::Side))
    }

    fn trade_type(&mut self) -> Result<TradeType, LineError> {
        let types = [TradeType::NewTrade, TradeType::Increase, TradeType::Decrease];
        let given = self.choice(Field::TradeType, TradeType::parse, &types.map(TradeType::as_str))?;
        Ok(given.unwrap_or(TradeType::Any))
    }

    pub(super) fn decimal(&mut self, field: Field) -> Result<Option<i64>, LineError> {
        let given = match self.take(field) {
            Raw::Absent => return Ok(None),
            Raw::Text(given) => given,
            Raw::Integer(_) | Raw::Number => {
                let message = "is a JSON number, which many programs round; write it as a string, \
                               such as \"167.63\"";
                return Err(LineError::of(field.name(), Code::WrongType, message));
            }
            other => {
                let message = format!("is {}, not a decimal string", other.kind());
                return Err(LineError::of(field.name(), Code::WrongType, message));
            }
        };
        parse_e8(&given, self.round).map(Some).map_err(|error| {
            let shown = quoted(&given);
            let (code, message) = match error {
                DecimalError::Malformed => {
                    (Code::BadDecimal, format!("{shown} is no decimal number such as -12.5 (no exponent, no plus)"))
                }
                DecimalError::TooManyDecimals => (
                    Code::TooManyDecimals,
                    format!("{shown} has more than eight decimals; --round rounds half to even"),
                ),
                DecimalError::OutOfRange => {
                    (Code::OutOfRange, format!("{shown} is beyond 92233720368.54775807, the largest exact number"))
                }
            };
            LineError::of(field.name(), code, message)
        })
    }

    pub(super) fn required_decimal(&mut self, field: Field) -> Result<i64, LineError> {
        self.decimal(field)?.ok_or_else(|| missing(field))
    }

    pub(super) fn date(&mut self, field: Field) -> Result<Date, LineError> {
        let given = self.string(field)?.ok_or_else(|| missing(field))?;
        Date::parse(&given).ok_or_else(|| {
            LineError::of(field.name(), Code::BadDate, format!("{} is no date YYYY-MM-DD", quoted(&given)))
        })
    }

    fn timestamp(&mut self, field: Field) -> Result<Option<i64>, LineError> {
        let Some(given) = self.string(field)? else { return Ok(None) };
        parse_timestamp(&given).map(Some).ok_or_else(|| bad_timestamp(field, &given, ""))
    }

    /// A close often has only a date: it stands for the date's end, as for a trade without a time.
    fn mark_time(&mut self) -> Result<i64, LineError> {
        let given = self.string(Field::At)?.ok_or_else(|| missing(Field::At))?;
        parse_timestamp(&given)
            .or_else(|| Date::parse(&given).map(Date::end_ns))
            .ok_or_else(|| bad_timestamp(Field::At, &given, "a date or "))
    }

    pub(super) fn integer(&mut self, field: Field) -> Result<Option<u64>, LineError> {
        match self.take(field) {
            Raw::Absent => Ok(None),
            Raw::Integer(value) => Ok(Some(value)),
            other => Err(LineError::of(
                field.name(),
                Code::BadInteger,
                format!("is {}; an integer from 0 to 18446744073709551615 is wanted, without quotes", other.kind()),
            )),
        }
    }

    fn boolean(&mut self, field: Field) -> Result<Option<bool>, LineError> {
        match self.take(field) {
            Raw::Absent => Ok(None),
            Raw::Bool(value) => Ok(Some(value)),
            other => Err(LineError::of(
                field.name(),
                Code::BadBoolean,
                format!("is {}; true or false is wanted, without quotes", other.kind()),
            )),
        }
    }

    fn security_id<const N: usize>(
        &mut self,
        field: Field,
        parse: fn(&str) -> Option<[u8; N]>,
        form: &str,
    ) -> Result<Option<[u8; N]>, LineError> {
        let Some(given) = self.string(field)? else { return Ok(None) };
        parse(&given).map(Some).ok_or_else(|| {
            LineError::of(field.name(), Code::BadSecurityId, format!("{} is not {form}", quoted(&given)))
        })
    }
}

pub(super) fn missing(field: Field) -> LineError {
    LineError::of(field.name(), Code::MissingField, "is missing")
}

fn bad_timestamp(field: Field, given: &str, also: &str) -> LineError {
    LineError::of(field.name(), Code::BadTimestamp, format!("{} is not {also}{TIMESTAMP_FORM}", quoted(given)))
}
