//! The image's part for what reaches into many positions at once: actions, changes being taken, period locks.

use alloc::vec::Vec;

use crate::action_input::{ActionInput, ActionKind};
use crate::actions::{ActionBook, Change, Entry};
use crate::book::Book;
use crate::bytes::{Reader, Writer};
use crate::closed::{Adjusted, PeriodFigures};
use crate::command::NameClass;
use crate::date::Date;
use crate::id::{NO_NAME, NameId, TradeHash};
use crate::image::ImageError;

impl Book {
    pub(crate) fn write_wide(&self, out: &mut Writer) {
        let actions = &self.actions;
        out.u64(actions.entries().len() as u64);
        for entry in actions.entries() {
            out.action_input(&entry.original);
            out.u64(entry.sequence);
            out.u32(entry.entered);
        }
        out.u64(actions.amendments().len() as u64);
        for (amend, entry) in actions.amendments() {
            out.amend_input(amend);
            out.u32(entry);
        }
        out.u32(actions.changes());
        out.u32(actions.pending().len() as u32);
        for change in actions.pending() {
            out.u128(change.cause.0);
            for value in [change.contract, change.ordinal, change.action, change.account, change.instrument] {
                out.u32(value);
            }
            out.key(&change.from);
        }
        out.u32(self.locks.through_all().0 as u32);
        let own = |account: &NameId| self.locks.own(*account) != Date::NONE;
        let closed: Vec<NameId> = (0..self.names.len(NameClass::Account) as NameId).filter(own).collect();
        out.u64(closed.len() as u64);
        for account in closed {
            out.u32(account);
            out.u32(self.locks.own(account).0 as u32);
        }
        out.u32(self.adjustments.iter().count() as u32);
        for (position, adjusted) in self.adjustments.iter() {
            out.u32(position);
            out.u32(adjusted.through.0 as u32);
            adjusted.figures.write(out);
        }
    }

    pub(crate) fn read_wide(&mut self, read: &mut Reader<'_>) -> Result<(), ImageError> {
        let mut entries = Vec::new();
        for _ in 0..read.u64()? {
            let input = read.action_input()?;
            if self.names.text(NameClass::Instrument, input.instrument).is_none() {
                return Err(ImageError::Malformed);
            }
            let names = self.names_of(&input);
            let (sequence, entered) = (read.u64()?, read.u32()?);
            entries.push(Entry::new(input, sequence, entered, names));
        }
        let mut amendments = Vec::new();
        for _ in 0..read.u64()? {
            amendments.push((read.amend_input()?, read.u32()?));
        }
        let changes = read.u32()?;
        let mut pending = Vec::new();
        for _ in 0..read.u32()? {
            pending.push(Change {
                cause: TradeHash(read.u128()?),
                contract: read.u32()?,
                ordinal: read.u32()?,
                action: read.u32()?,
                account: read.u32()?,
                instrument: read.u32()?,
                from: read.key()?,
            });
        }
        let fresh = ActionBook::new(self.limits.actions_max, self.limits.names_max);
        let instruments = self.names.len(NameClass::Instrument);
        let names_of = |input: &ActionInput| self.names_of(input);
        let restored = fresh.restored(instruments, entries, amendments, (changes, pending), names_of);
        self.actions = restored.ok_or(ImageError::TooLarge("actions"))?;
        let all = Date(read.u32()? as i32);
        if all != Date::NONE {
            self.locks.close(None, all);
        }
        for _ in 0..read.u64()? {
            let (account, through) = (read.u32()?, Date(read.u32()? as i32));
            if account == NO_NAME || self.names.text(NameClass::Account, account).is_none() {
                return Err(ImageError::Malformed);
            }
            self.locks.close(Some(account), through);
        }
        for _ in 0..read.u32()? {
            let position = read.u32()?;
            let adjusted = Adjusted { through: Date(read.u32()? as i32), figures: PeriodFigures::read(read)? };
            let held = self.positions.get(position as usize).ok_or(ImageError::Malformed)?;
            if self.locks.through(held.account) != adjusted.through || adjusted.figures.are_zero() {
                return Err(ImageError::Malformed);
            }
            self.adjustments.add(position, held.key_hash, &adjusted);
        }
        Ok(())
    }
}

impl Writer {
    pub(crate) fn action_input(&mut self, i: &ActionInput) {
        self.text(i.action_id.as_bytes());
        self.text(i.correlation.as_bytes());
        self.u128(i.hash.0);
        for id in [i.namespace, i.instrument, i.to_instrument, i.contract, i.user, i.numerator, i.denominator] {
            self.u32(id);
        }
        self.u32(i.kind as u32);
        for value in [i.cash_e8, i.cash_in_lieu_e8, i.basis_fraction_e8, i.fx_to_base_e8] {
            self.i64(value);
        }
        self.u32(i.effective_date.0 as u32);
        self.u32(i.record_date.0 as u32);
    }
}

impl Reader<'_> {
    pub(crate) fn action_input(&mut self) -> Result<ActionInput, ImageError> {
        let (action_id, correlation) = (self.id()?, self.id()?);
        let hash = TradeHash(self.u128()?);
        let (namespace, instrument, to_instrument) = (self.u32()?, self.u32()?, self.u32()?);
        let (contract, user, numerator, denominator) = (self.u32()?, self.u32()?, self.u32()?, self.u32()?);
        let kind = u8::try_from(self.u32()?).ok().and_then(ActionKind::from_u8).ok_or(ImageError::Malformed)?;
        Ok(ActionInput {
            action_id,
            hash,
            namespace,
            kind,
            instrument,
            to_instrument,
            contract,
            numerator,
            denominator,
            cash_e8: self.i64()?,
            cash_in_lieu_e8: self.i64()?,
            basis_fraction_e8: self.i64()?,
            fx_to_base_e8: self.i64()?,
            effective_date: Date(self.u32()? as i32),
            record_date: Date(self.u32()? as i32),
            user,
            correlation,
        })
    }
}
