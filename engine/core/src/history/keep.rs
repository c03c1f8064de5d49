//! A history as bytes, and back: so that what a replay has left outlives the process (decision 0021).
//!
//! What amendments have made of trades is not among them: it is made again from the amendments.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::order::Slot;
use super::{Accepted, History};
use crate::apply::Place;
use crate::bytes::{Reader, Writer};
use crate::closed::Reported;
use crate::date::Date;
use crate::image::ImageError;

impl History {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.u32(self.trades.len() as u32);
        for Accepted { input, place, waits, .. } in &self.trades {
            out.trade_input(input);
            out.u64(place.sequence);
            out.u64(place.address);
            out.u32(u32::from(*waits));
        }
        out.u32(self.amendments.len() as u32);
        self.amendments.iter().for_each(|input| out.amend_input(input));
        out.u32(self.legs.len() as u32);
        for leg in &self.legs {
            out.u32(u32::from(leg.is_some()));
            leg.iter().for_each(|leg| out.leg(leg));
        }
        let order = &self.order;
        out.u32(order.slots.len() as u32);
        order.slots.iter().for_each(|slot| out.slot(*slot));
        out.u32(order.trades as u32);
        out.u32(order.touched.len() as u32);
        for (slot, key) in &order.touched {
            out.slot(*slot);
            out.u32(u32::from(key.is_some()));
            key.iter().for_each(|key| out.key(key));
        }
        out.u32(u32::from(order.today.is_some()));
        out.u32(order.today.map_or(0, |today| today.0 as u32));
        out.u32(order.actions.len() as u32);
        order.actions.iter().for_each(|action| out.action_input(action));
        self.reported.write(out);
    }

    pub(crate) fn read(read: &mut Reader<'_>) -> Result<Self, ImageError> {
        let mut history = Self::default();
        for at in 0..read.u32()? {
            let input = read.trade_input()?;
            let place = Place { sequence: read.u64()?, address: read.u64()? };
            let waits = read.flag()?;
            if waits {
                history.waiting.insert(input.hash, at);
            }
            history.trades.push(Accepted { input, place, waits, is_amended: false });
        }
        for _ in 0..read.u32()? {
            // Nothing is among the slots yet, so nothing is touched by it.
            history.amend(&read.amend_input()?);
        }
        for at in 0..read.u32()? {
            let leg = if read.flag()? { Some(read.leg()?) } else { None };
            if let Some(leg) = &leg {
                history.arrivals.insert(leg.key.hash, at);
            }
            history.legs.push(leg);
        }
        let slots = (0..read.u32()?).map(|_| read.slot()).collect::<Result<Vec<_>, _>>()?;
        let trades = read.u32()? as usize;
        let mut touched = BTreeMap::new();
        for _ in 0..read.u32()? {
            let slot = read.slot()?;
            touched.insert(slot, if read.flag()? { Some(read.key()?) } else { None });
        }
        let (is_dated, today) = (read.flag()?, Date(read.u32()? as i32));
        let actions = (0..read.u32()?).map(|_| read.action_input()).collect::<Result<Vec<_>, _>>()?;
        history.reported = Reported::read(read)?;
        let is_there = |slot: &Slot| match *slot {
            Slot::Trade(at) => (at as usize) < trades,
            Slot::Arrival(at) => (at as usize) < history.legs.len(),
            Slot::Action(at) => (at as usize) < actions.len(),
        };
        if trades > history.trades.len() || !slots.iter().all(is_there) {
            return Err(ImageError::Malformed);
        }
        let order = &mut history.order;
        (order.slots, order.trades, order.touched, order.actions) = (slots, trades, touched, actions);
        order.today = is_dated.then_some(today);
        Ok(history)
    }
}

impl Writer {
    fn slot(&mut self, slot: Slot) {
        let (kind, at) = match slot {
            Slot::Trade(at) => (0, at),
            Slot::Arrival(at) => (1, at),
            Slot::Action(at) => (2, at),
        };
        self.u32(kind);
        self.u32(at);
    }
}

impl Reader<'_> {
    fn slot(&mut self) -> Result<Slot, ImageError> {
        let (kind, at) = (self.u32()?, self.u32()?);
        match kind {
            0 => Ok(Slot::Trade(at)),
            1 => Ok(Slot::Arrival(at)),
            2 => Ok(Slot::Action(at)),
            _ => Err(ImageError::Malformed),
        }
    }
}
