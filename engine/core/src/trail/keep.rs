//! A trail as bytes, and back: so that the states of a replay outlive the process (decision 0021).

use alloc::vec::Vec;

use super::{Kept, Trail};
use crate::action::Gains;
use crate::bytes::{Reader, Writer};
use crate::closed::{Days, PeriodFigures};
use crate::date::Date;
use crate::event::Reason;
use crate::id::TradeHash;
use crate::image::ImageError;
use crate::lots::LotBlock;
use crate::outcome::ActionFigures;
use crate::position::Position;
use crate::replay::Found;

impl Trail {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.u32(self.gap_min as u32);
        out.u32(self.kept.len() as u32);
        self.kept.iter().for_each(|kept| kept.write(out));
        let Found { actions, breaks, leaving, days, .. } = &self.found;
        out.u32(actions.len() as u32);
        for ActionFigures { hash, date, gains, dividends_e16 } in actions {
            out.u128(hash.0);
            out.u32(date.0 as u32);
            for money in [gains.realized_e16, gains.long_e16, gains.base_e16, *dividends_e16] {
                out.i128(money);
            }
        }
        out.u32(breaks.len() as u32);
        for (hash, reason) in breaks {
            out.u128(hash.0);
            out.u32(u32::from(*reason as u16));
        }
        out.u32(leaving.len() as u32);
        leaving.iter().for_each(|leaving| out.leaving(leaving));
        days.write(out);
        out.u32(self.contracts.len() as u32);
        self.contracts.iter().for_each(|terms| out.contract(terms));
        out.i64(self.multiplier_e8);
        out.u32(u32::from(self.changed.is_some()));
        self.changed.iter().for_each(|key| out.key(key));
        out.u32(u32::from(self.is_accepted));
    }

    pub(crate) fn read(read: &mut Reader<'_>) -> Result<Self, ImageError> {
        let mut trail = Self::new(read.u32()? as usize);
        for _ in 0..read.u32()? {
            let kept = Kept::read(read)?;
            trail.lots += kept.lots.len();
            trail.kept.push_back(kept);
        }
        let found = &mut trail.found;
        for _ in 0..read.u32()? {
            let (hash, date) = (TradeHash(read.u128()?), Date(read.u32()? as i32));
            let gains = Gains { realized_e16: read.i128()?, long_e16: read.i128()?, base_e16: read.i128()? };
            found.actions.push(ActionFigures { hash, date, gains, dividends_e16: read.i128()? });
        }
        for _ in 0..read.u32()? {
            let hash = TradeHash(read.u128()?);
            let reason = u16::try_from(read.u32()?).ok().and_then(Reason::from_u16).ok_or(ImageError::Malformed)?;
            found.breaks.push((hash, reason));
        }
        for _ in 0..read.u32()? {
            found.leaving.push(read.leaving()?);
        }
        found.days = Days::read(read)?;
        trail.contracts = (0..read.u32()?).map(|_| read.contract()).collect::<Result<Vec<_>, _>>()?;
        trail.multiplier_e8 = read.i64()?;
        trail.changed = if read.flag()? { Some(read.key()?) } else { None };
        trail.is_accepted = read.flag()?;
        Ok(trail)
    }
}

impl Kept {
    fn write(&self, out: &mut Writer) {
        out.u64(self.items as u64);
        out.position(&self.position);
        out.u32(self.position.oldest.0 as u32);
        out.u32(u32::from(self.averaged));
        out.u32(self.lots.len() as u32);
        self.lots.iter().for_each(|lot| out.lot(lot));
        for count in [self.actions, self.breaks, self.leaving, self.days] {
            out.u32(count as u32);
        }
        out.u32(u32::from(self.day.is_some()));
        if let Some((date, figures)) = &self.day {
            out.u32(date.0 as u32);
            figures.write(out);
        }
    }

    fn read(read: &mut Reader<'_>) -> Result<Self, ImageError> {
        let items = usize::try_from(read.u64()?).map_err(|_| ImageError::Malformed)?;
        let (position, ..) = read.position()?;
        let oldest = Date(read.u32()? as i32);
        let position = Position { oldest, block: LotBlock::EMPTY, ..position };
        let averaged = read.flag()?;
        let lots = (0..read.u32()?).map(|_| read.lot()).collect::<Result<Vec<_>, _>>()?;
        let mut count = || read.u32().map(|count| count as usize);
        let (actions, breaks, leaving, days) = (count()?, count()?, count()?, count()?);
        let day = if read.flag()? { Some((Date(read.u32()? as i32), PeriodFigures::read(read)?)) } else { None };
        Ok(Self { items, position, averaged, lots, actions, breaks, leaving, days, day })
    }
}
