//! What a kill left undone among shards is done before doors open: a shard that lacks what others have is given it.
//!
//! All shards take names, and facts (terms, contracts, business dates, actions and their amendments, locks), in one order, so each has
//! a beginning of the same list, and the longest is the list. Names are read off the directory of who has most of them; facts
//! are a chain of back-links in the log, each with its whole input. A mark that only some shards have was never answered: it comes again.

use std::sync::atomic::AtomicBool;

use lotbook_core::codec::Decoder;
use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::event::{Class, Event};
use lotbook_core::id::TradeId;
use lotbook_wal::{Limit, RecordBuffer};

use super::line::Line;
use crate::directory::Directory;
use crate::door::Status;
use crate::error::StartError;
use crate::host::Host;
use crate::lanes::LaneCommand;

/// Brings all shards to what the one with most has, and gives the whole list of names.
///
/// # Errors
/// [`StartError::Shard`]: nobody was served.
pub(super) fn heal(hosts: &[Host], lines: &mut [Line], crashed: &AtomicBool) -> Result<Names, StartError> {
    let names = Names::of(hosts);
    let facts: Vec<u64> = hosts.iter().map(|host| host.facts_at_start().count).collect();
    let leader = (0..hosts.len()).max_by_key(|&shard| facts[shard]).unwrap_or(0);
    let least = facts.iter().copied().min().unwrap_or(0);
    let newest = newest(&hosts[leader], (facts[leader] - least) as usize)
        .map_err(|what| StartError::Shard { shard: leader as u16, what })?;
    for (shard, line) in lines.iter_mut().enumerate() {
        let failed = |what: String| StartError::Shard { shard: shard as u16, what };
        let known = newest.len() - (facts[leader] - facts[shard]).min(newest.len() as u64) as usize;
        let commands = names.lacking(hosts[shard].directory()).chain(newest[known..].iter().copied());
        let mut given = 0;
        for (origin, command) in commands {
            let answer =
                line.ask(origin, LaneCommand::Do(command), crashed).map_err(|_| failed("it stopped".to_owned()))?;
            let is_done = match answer.status {
                Status::Done => true,
                Status::Trade(class) | Status::Action(class) => class.is_accepted(),
                _ => false,
            };
            if !is_done {
                return Err(failed(format!("{:?} {}", answer.status, answer.reason.code())));
            }
            given += 1;
        }
        if given > 0 {
            tracing::info!(shard, commands = given, "a shard was given what a kill kept from it");
        }
    }
    Ok(names)
}

/// All names of a house, by class, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Names(pub(crate) [Vec<Box<str>>; NameClass::COUNT]);

impl Names {
    fn of(hosts: &[Host]) -> Self {
        Self(NameClass::ALL.map(|class| {
            let all = hosts.iter().map(|host| host.directory().texts(class));
            all.max_by_key(Vec::len).unwrap_or_default()
        }))
    }

    /// Definitions that a directory lacks, in order.
    fn lacking<'a>(&'a self, known: &'a Directory) -> impl Iterator<Item = (Origin, Command)> + 'a {
        NameClass::ALL.into_iter().flat_map(move |class| {
            let texts = self.0[class as usize].iter().skip(known.len(class));
            // It is a name, so it fits one.
            texts
                .filter_map(|text| TradeId::new(text.as_bytes()))
                .map(move |text| (Origin::INTERNAL, Command::Define { class, text }))
        })
    }
}

/// The newest facts of a shard, in their order.
fn newest(host: &Host, count: usize) -> Result<Vec<(Origin, Command)>, String> {
    let (mut decoder, mut buffer) = (Decoder::new(), RecordBuffer::new());
    let mut address = host.facts_at_start().address;
    let mut commands = Vec::with_capacity(count);
    for _ in 0..count {
        host.log().read_at(address, Limit::Applied, &mut buffer).map_err(|error| error.to_string())?;
        let record = buffer.record();
        address = record.header.previous;
        let (kind, version) = (record.header.kind, record.header.version);
        let event = decoder.decode(kind, version, record.payload).map_err(|error| error.to_string())?;
        let command = command_of(&event).ok_or("the chain leads to what is no fact")?;
        commands.push((*event.origin(), command));
    }
    commands.reverse();
    Ok(commands)
}

fn command_of(event: &Event<'_>) -> Option<Command> {
    Some(match event {
        Event::Instrument { terms, .. } => Command::Instrument(*terms),
        Event::Contract { terms, .. } => Command::Contract(*terms),
        Event::BusinessDate { date, .. } => Command::BusinessDate(*date),
        Event::Action(action) => Command::Action(action.input),
        Event::PeriodLock(lock) => Command::PeriodLock(lock.input),
        Event::Amended(amend) if amend.class == Class::Applied => Command::Amend(amend.input),
        _ => return None,
    })
}
