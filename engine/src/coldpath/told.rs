//! The lots of a position as its events told them, at the version that is replayed: what a correction's differences start from.
//!
//! The follower publishes the lots of every position, mostly of just that version. Where the position has moved on since, the
//! events between are read again and their trades booked as they were told.

use std::sync::Arc;

use lotbook_core::apply::{Misfit, Place};
use lotbook_core::event::{Class, Event, Figures};
use lotbook_core::history::Addition;
use lotbook_core::lot_changes::ToldLots;
use lotbook_core::lots::Lot;
use lotbook_wal::{Limit, Log, NO_ADDRESS};

use super::stream::{Loader, Stream, StreamError};
use crate::read_model::PositionView;
use crate::side_log;

impl From<Misfit> for StreamError {
    fn from(misfit: Misfit) -> Self {
        Self::Misfit(misfit)
    }
}

impl Loader {
    /// The lots at the stream's version. `view`: what the follower had published before that version was known. `None`: only the
    /// follower can say, once it has published what came since. Blocks on the disk.
    pub(crate) fn told(
        &mut self,
        logs: (&Log, &Arc<Log>),
        stream: &Stream,
        view: Option<&PositionView>,
    ) -> Result<Option<Vec<Lot>>, StreamError> {
        let from = view.map_or(0, |view| view.version);
        let lots = view.map(lots_of).unwrap_or_default();
        if from >= stream.version {
            return Ok((from == stream.version).then_some(lots));
        }
        let addresses = self.after(logs.0, stream, from)?;
        let (figures, averaged) = view.map_or((Figures::default(), false), |view| (figures_of(view), view.averaged));
        let mut told = ToldLots::new(&figures, averaged, &lots, addresses.len());
        for address in addresses.iter().rev() {
            logs.0.read_at(*address, Limit::Applied, &mut self.buffer)?;
            let record = self.buffer.record();
            let (kind, schema) = (record.header.kind, record.header.version);
            match self.decoder.decode(kind, schema, record.payload).map_err(StreamError::Codec)? {
                Event::Trade(trade) => told.trade(&trade)?,
                Event::Corrected(corrected) => {
                    told.corrected(&side_log::read(logs.1, &corrected)?, addresses.len());
                }
                Event::Resolved(_) => {}
                Event::Amended(amend) if amend.class == Class::Provisional && amend.estimate.moved_e8 == 0 => {}
                // Actions, arrivals, cancels of what is booked: rare, and the follower is about to publish them.
                _ => return Ok(None),
            }
        }
        Ok(Some(told.lots()))
    }

    /// Addresses of the events after a version and up to the stream's, newest first.
    fn after(&mut self, log: &Log, stream: &Stream, from: u64) -> Result<Vec<u64>, StreamError> {
        let mut found = Vec::new();
        let mut address = stream.address;
        while address != NO_ADDRESS {
            log.read_at(address, Limit::Applied, &mut self.buffer)?;
            let record = self.buffer.record();
            let header = record.header;
            let event = self.decoder.decode(header.kind, header.version, record.payload).map_err(StreamError::Codec)?;
            let place = Place { sequence: header.sequence, address: header.address };
            let Some((_, version, _)) = Addition::of(&event, place) else { return Err(StreamError::Astray) };
            if version <= from {
                break;
            }
            found.push(header.address);
            address = header.previous;
        }
        Ok(found)
    }
}

fn lots_of(view: &PositionView) -> Vec<Lot> {
    let lot = |lot: &crate::read_model::LotView| Lot {
        origin: lot.origin,
        quantity_e8: lot.quantity_e8,
        cost_e16: lot.cost_e16,
        base_cost_e16: lot.base_cost_e16,
        price_e8: lot.price_e8,
        acquired: lot.acquired,
        sub_account: lot.sub_account_id,
    };
    view.lots.iter().map(lot).collect()
}

/// What booking on a position's lots asks for.
fn figures_of(view: &PositionView) -> Figures {
    Figures {
        quantity_e8: view.quantity_e8,
        cost_e16: view.cost_e16,
        base_cost_e16: view.base_cost_e16,
        ..Figures::default()
    }
}
