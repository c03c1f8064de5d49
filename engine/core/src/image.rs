//! A book as bytes, for checkpoints: everything that events determine, and the addresses that the host
//! keeps with it. Layout version 1, little endian, sections in the order written here. The host
//! frames and checksums it.

use alloc::vec::Vec;

use crate::book::{Book, Instrument, NO_POSITION};
use crate::bytes::{Reader, Truncated, Writer};
use crate::command::{InstrumentTerms, NameClass};
use crate::compress::{compress, decompress};
use crate::date::Date;
use crate::digest;
use crate::forward::Forward;
use crate::input_bytes::BadInput;
use crate::legs::Legs;
use crate::limits::Limits;
use crate::lots::{Lot, LotBlock};
use crate::mark::{Marks, Quote};
use crate::position::Position;
use crate::rules::{ContractTerms, FeesRule, LockedChanges, LotMethod, LotScope, Rules, ShortRank, TaxRates, WashSale};

const MAGIC: u64 = u64::from_le_bytes(*b"LBIMAGE1");
/// The writer hands over its bytes about this often, so that an image never lies whole in memory.
const PIECE_BYTES: usize = 1 << 20;

/// Why an image was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// Cut short, or not an image of this version.
    Malformed,
    /// Holds more than the limits allow: raise them.
    TooLarge(&'static str),
    /// The digests computed from what was read are not the stored ones.
    Digest,
}

impl From<Truncated> for ImageError {
    fn from(_: Truncated) -> Self {
        Self::Malformed
    }
}

impl From<BadInput> for ImageError {
    fn from(_: BadInput) -> Self {
        Self::Malformed
    }
}

impl core::error::Error for ImageError {}

impl core::fmt::Display for ImageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a whole image of a book of this version"),
            Self::TooLarge(what) => write!(f, "holds more {what} than the configured limits allow"),
            Self::Digest => f.write_str("the digest of its content is not the stored one"),
        }
    }
}

impl Book {
    /// Writes the image in pieces.
    pub fn write_image(&self, sink: &mut dyn FnMut(&[u8])) {
        let mut out = Writer::with_capacity(PIECE_BYTES * 2);
        out.u64(MAGIC);
        out.i64(self.business_date.map_or(i64::MIN, |date| i64::from(date.0)));
        out.u32(self.date_moves);
        out.u64(self.last_fact);
        for class in NameClass::ALL {
            out.u64(self.names.len(class) as u64);
            for id in 0..self.names.len(class) as u32 {
                out.text(self.names.text(class, id).unwrap_or_default());
            }
        }
        for instrument in &self.instruments {
            out.instrument(instrument);
        }
        out.u64(self.contracts.versions().len() as u64);
        for terms in self.contracts.versions() {
            out.contract(terms);
        }
        out.u64(self.positions.len() as u64);
        let mut lots = Vec::new();
        for position in &self.positions {
            out.position(position);
            lots.clear();
            lots.extend(self.lots.iter(&position.block));
            compress(lots.iter().copied(), out.bytes());
            if out.len() >= PIECE_BYTES {
                out.drain_into(sink);
            }
        }
        out.u64(self.forwards.len() as u64);
        for forward in self.forwards.iter() {
            out.forward(forward);
        }
        self.amendments.write(&mut out);
        self.held.write(&mut out);
        self.write_wide(&mut out);
        self.legs.write(&mut out);
        out.u64(self.economic_digest());
        out.u64(self.full_digest());
        out.drain_into(sink);
    }

    /// Reads an image into a new book with these limits.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn read_image(image: &[u8], limits: Limits) -> Result<Self, ImageError> {
        let mut read = Reader::new(image);
        if read.u64()? != MAGIC {
            return Err(ImageError::Malformed);
        }
        let mut book = Self::new(limits);
        let date = read.i64()?;
        book.business_date = i32::try_from(date).ok().map(Date);
        book.date_moves = read.u32()?;
        book.last_fact = read.u64()?;
        for class in NameClass::ALL {
            for _ in 0..read.u64()? {
                let text = read.text()?;
                if !book.names.has_room(class) {
                    return Err(ImageError::TooLarge("names"));
                }
                book.names.define(class, text);
            }
        }
        for _ in 0..book.names.len(NameClass::Account) {
            book.sums.add_account();
            book.locks.add_account();
        }
        for _ in 0..book.names.len(NameClass::Instrument) {
            book.instruments.push(read.instrument()?);
        }
        for _ in 0..read.u64()? {
            if !book.contracts.has_room() {
                return Err(ImageError::TooLarge("contract versions"));
            }
            let terms = read.contract()?;
            book.contracts.insert(terms);
        }
        for _ in 0..read.u64()? {
            book.read_position(&mut read)?;
        }
        for _ in 0..read.u64()? {
            if !book.forwards.has_room() {
                return Err(ImageError::TooLarge("forward-dated trades"));
            }
            let forward = read.forward()?;
            book.positions.get(forward.position as usize).ok_or(ImageError::Malformed)?;
            book.forwards.insert(forward);
        }
        if !book.amendments.read(&mut read)? {
            return Err(ImageError::TooLarge("amendments"));
        }
        if !book.held.read(&mut read)? {
            return Err(ImageError::TooLarge("held amendments"));
        }
        book.read_wide(&mut read)?;
        book.legs = Legs::read(&mut read, &book.names)?;
        let (economic, full) = (read.u64()?, read.u64()?);
        if !read.is_empty() {
            return Err(ImageError::Malformed);
        }
        if economic != book.economic_digest() || full != book.full_digest() {
            return Err(ImageError::Digest);
        }
        Ok(book)
    }

    fn read_position(&mut self, read: &mut Reader<'_>) -> Result<(), ImageError> {
        let (mut position, lots, (form, averaged)) = read.position()?;
        position.key_hash = self.key_hash(position.account, position.instrument).ok_or(ImageError::Malformed)?;
        if self.positions.len() == self.limits.positions_max {
            return Err(ImageError::TooLarge("positions"));
        }
        let (lots, bytes) =
            decompress(read.rest()).ok().filter(|(read, _)| read.len() == lots).ok_or(ImageError::Malformed)?;
        read.slice(bytes)?;
        // In the form that they had, so that what was found room for still is.
        let (key_hash, names) = (position.key_hash, &self.names);
        let tag = |lot: &Lot| digest::lot_tag(key_hash, names, lot);
        if !self.lots.restore(&mut position.block, form, averaged, lots.iter().copied(), tag) {
            return Err(ImageError::TooLarge("lots"));
        }
        position.oldest = lots.first().map_or(Date::NONE, |lot| lot.acquired);
        self.add_position(position);
        Ok(())
    }
}

impl Writer {
    fn quote(&mut self, quote: Option<Quote>) {
        self.u32(u32::from(quote.is_some()));
        let quote = quote.unwrap_or(Quote { price_e8: 0, at_ns: 0, rank: (0, 0) });
        self.i64(quote.price_e8);
        self.i64(quote.at_ns);
        self.u64(quote.rank.0);
        self.u128(quote.rank.1);
    }

    fn instrument(&mut self, Instrument { terms, marks, .. }: &Instrument) {
        self.u32(terms.instrument);
        self.u32(terms.currency);
        for value in [terms.multiplier_e8, terms.tick_e8, terms.price_min_e8, terms.price_max_e8] {
            self.i64(value);
        }
        self.slice(&terms.isin);
        self.slice(&terms.cusip);
        self.i64(marks.day.map_or(i64::MIN, |day| i64::from(day.0)));
        for quote in [marks.official_close, marks.last, marks.bid_ask, marks.previous_close] {
            self.quote(quote);
        }
    }

    pub(crate) fn contract(&mut self, terms: &ContractTerms) {
        for value in [terms.contract, terms.account, terms.instrument, terms.effective_date.0 as u32] {
            self.u32(value);
        }
        let r = &terms.rules;
        self.slice(&[
            r.method as u8,
            u8::from(r.allow_short),
            r.short_rank as u8,
            r.lot_scope as u8,
            r.fees_rule as u8,
            r.wash_sale as u8,
            r.locked_changes as u8,
            u8::from(r.tax_rates.is_some()),
        ]);
        let rates = r.tax_rates.unwrap_or(TaxRates { short_e8: 0, long_e8: 0 });
        for value in [rates.short_e8, rates.long_e8, r.long_term_days.into(), r.wash_window_days.into(), r.taxpayer] {
            self.u32(value);
        }
    }

    pub(crate) fn position(&mut self, p: &Position) {
        self.u32(p.account);
        self.u32(p.instrument);
        self.i64(p.quantity_e8);
        self.i64(p.forward_quantity_e8);
        for money in [p.realized_e16, p.realized_long_e16, p.realized_base_e16, p.cost_e16, p.base_cost_e16, p.fees_e16]
        {
            self.i128(money);
        }
        self.u64(p.version);
        self.u64(p.last_address);
        for count in [p.provisional, p.breaks, p.forwards, p.block.len() as u32] {
            self.u32(count);
        }
        self.i64(p.forward_gross_e8);
        self.u64(p.break_set);
        self.u32(u32::from(p.resolved));
        self.i128(p.dividends_e16);
        self.u32(p.seen);
        self.key(&p.frontier);
        self.u32(u32::from(p.block.form()) | u32::from(p.block.is_averaged()) << 8);
    }

    fn forward(&mut self, forward: &Forward) {
        self.u32(forward.position);
        self.u64(forward.sequence);
        self.u64(forward.address);
        self.trade_input(&forward.input);
    }
}

impl Reader<'_> {
    /// One number, 0 or 1.
    pub(crate) fn flag(&mut self) -> Result<bool, ImageError> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ImageError::Malformed),
        }
    }

    fn quote(&mut self) -> Result<Option<Quote>, Truncated> {
        let there = self.u32()? != 0;
        let quote = Quote { price_e8: self.i64()?, at_ns: self.i64()?, rank: (self.u64()?, self.u128()?) };
        Ok(there.then_some(quote))
    }

    fn instrument(&mut self) -> Result<Instrument, ImageError> {
        let terms = InstrumentTerms {
            instrument: self.u32()?,
            currency: self.u32()?,
            multiplier_e8: self.i64()?,
            tick_e8: self.i64()?,
            price_min_e8: self.i64()?,
            price_max_e8: self.i64()?,
            isin: self.array()?,
            cusip: self.array()?,
        };
        let day = i32::try_from(self.i64()?).ok().map(Date);
        let marks = Marks {
            day,
            official_close: self.quote()?,
            last: self.quote()?,
            bid_ask: self.quote()?,
            previous_close: self.quote()?,
        };
        Ok(Instrument { terms, marks, newest_position: NO_POSITION })
    }

    pub(crate) fn contract(&mut self) -> Result<ContractTerms, ImageError> {
        let (contract, account, instrument) = (self.u32()?, self.u32()?, self.u32()?);
        let effective_date = Date(self.u32()? as i32);
        let rules = self.rules()?.filter(Rules::are_valid).ok_or(ImageError::Malformed)?;
        Ok(ContractTerms { contract, account, instrument, rules, effective_date })
    }

    /// `None` for a code that no writer wrote.
    fn rules(&mut self) -> Result<Option<Rules>, Truncated> {
        let [method, allow_short, short_rank, lot_scope, fees_rule, wash_sale, locked_changes, has_rates] =
            self.array()?;
        let rates = TaxRates { short_e8: self.u32()?, long_e8: self.u32()? };
        let (long_term_days, wash_window_days, taxpayer) = (self.u32()?, self.u32()?, self.u32()?);
        let read = || {
            Some(Rules {
                method: LotMethod::from_u8(method)?,
                allow_short: allow_short != 0,
                short_rank: ShortRank::from_u8(short_rank)?,
                lot_scope: LotScope::from_u8(lot_scope)?,
                fees_rule: FeesRule::from_u8(fees_rule)?,
                tax_rates: (has_rates != 0).then_some(rates),
                long_term_days: u16::try_from(long_term_days).ok()?,
                wash_sale: WashSale::from_u8(wash_sale)?,
                wash_window_days: u16::try_from(wash_window_days).ok()?,
                taxpayer,
                locked_changes: LockedChanges::from_u8(locked_changes)?,
            })
        };
        Ok(read())
    }

    pub(crate) fn position(&mut self) -> Result<(Position, usize, (u8, bool)), ImageError> {
        let mut p = Position::new(self.u32()?, self.u32()?, 0);
        p.quantity_e8 = self.i64()?;
        p.forward_quantity_e8 = self.i64()?;
        (p.realized_e16, p.realized_long_e16, p.realized_base_e16) = (self.i128()?, self.i128()?, self.i128()?);
        (p.cost_e16, p.base_cost_e16, p.fees_e16) = (self.i128()?, self.i128()?, self.i128()?);
        (p.version, p.last_address) = (self.u64()?, self.u64()?);
        (p.provisional, p.breaks, p.forwards) = (self.u32()?, self.u32()?, self.u32()?);
        let lots = self.u32()? as usize;
        p.forward_gross_e8 = self.i64()?;
        p.break_set = self.u64()?;
        p.resolved = self.u32()? != 0;
        p.dividends_e16 = self.i128()?;
        p.seen = self.u32()?;
        p.frontier = self.key()?;
        p.block = LotBlock::EMPTY;
        let [form, averaged, 0, 0] = self.u32()?.to_le_bytes() else { return Err(ImageError::Malformed) };
        Ok((p, lots, (form, averaged == 1)))
    }

    fn forward(&mut self) -> Result<Forward, ImageError> {
        let (position, sequence, address) = (self.u32()?, self.u64()?, self.u64()?);
        Ok(Forward { input: self.trade_input()?, position, sequence, address })
    }
}
