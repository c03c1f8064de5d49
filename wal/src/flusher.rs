//! The log threads' work, one step at a time: take what is published, write full blocks and a tail slot, sync, say so.
//!
//! The stream area gets full blocks only, each once. The partial last block goes to the oldest of the slots, so that a torn write never
//! hurts what is already durable. Several flushes may be under way: they begin one after the other, are through in any order, and become
//! durable in the order in which they began (`flights.rs`). Each touches one segment; the next segment is touched when all of them are
//! durable, so bytes in a segment prove that the one before it is durable as a whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::{LogConfig, WaitStrategy};
use crate::disk::DiskError;
use crate::error::LatchedError;
use crate::flight::{Flight, Lane, Span};
use crate::flights::{Flights, Mark};
use crate::limits::{CHUNK_BYTES, HEADER_BYTES, SLOT_COUNT, block_floor, chunk_floor};
use crate::log::{Log, lock};
use crate::nap::nap;
use crate::planted::{self, Bug};
use crate::preparer::Lanes;
use crate::record::RecordHeader;
use crate::segment::SlotHead;
use crate::stats::{Activity, bump};
use crate::stop::{DRAIN, RUN, STOP};
#[cfg(feature = "sim")]
use crate::tail::Tail;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Records were written and synced; they are durable once every flush before is.
    Flushed,
    /// Only the watermark was written.
    Watermark,
    /// Nothing to do now.
    Idle,
}

/// What a look found.
#[derive(Debug)]
pub(crate) enum Look {
    /// A flush has begun: whoever looked takes it on.
    Begun(Box<Flight>),
    /// Nothing to do now.
    Idle,
    /// There never will be.
    End,
}

/// What whoever looks for work knows: what was handed out last. One thread looks at a time.
#[derive(Debug)]
struct Looker {
    /// The segment being written: its first address, and its open file descriptions.
    segment: Option<(u64, Lanes)>,
    /// Everything below has been taken by a flush.
    taken: u64,
    /// The last sequence that those flushes make durable: the end of a group.
    taken_sequence: u64,
    /// The slot to be written next.
    slot: usize,
    generation: u64,
    pending_since_ns: Option<u64>,
}

/// What is known of the flushes that have begun.
#[derive(Debug)]
struct Order {
    flights: Flights,
    /// Free lanes.
    lanes: Vec<Lane>,
    /// Chunks below have given their blocks back.
    freed: u64,
    /// The highest durable sequence that a slot on the disk names, and how many slots name it.
    witnessed: (u64, usize),
    last_flush_ns: u64,
}

/// What the log threads share.
#[derive(Debug)]
pub(crate) struct Flusher {
    log: Arc<Log>,
    depth: usize,
    looker: Mutex<Looker>,
    order: Mutex<Order>,
    max_flush_bytes: u64,
    max_flush_delay_ns: u64,
    idle_watermark_ns: u64,
}

impl Flusher {
    /// `start` is the sequence and the address behind which this epoch begins; `generation` that of the slot written last.
    pub(crate) fn new(log: Arc<Log>, config: &LogConfig, start: (u64, u64), generation: u64) -> Self {
        let max_flush = config.max_flush_bytes - config.max_flush_bytes % CHUNK_BYTES;
        let depth = config.flushes_in_flight;
        let (taken_sequence, taken) = start;
        let looker = Looker { segment: None, taken, taken_sequence, slot: 0, generation, pending_since_ns: None };
        let order = Order {
            flights: Flights::new(depth),
            lanes: (0..depth).rev().map(|number| Lane::new(number, max_flush)).collect(),
            freed: chunk_floor(taken),
            witnessed: (0, 0),
            last_flush_ns: 0,
        };
        Self {
            log,
            depth,
            looker: Mutex::new(looker),
            order: Mutex::new(order),
            max_flush_bytes: max_flush as u64,
            max_flush_delay_ns: config.max_flush_delay_us * 1_000,
            idle_watermark_ns: config.idle_watermark_ms * 1_000_000,
        }
    }

    /// One look, at most one flush, from its beginning to its end. `now_ns` only needs to rise.
    pub(crate) fn step(&self, now_ns: u64) -> Result<Step, LatchedError> {
        match self.look(now_ns)? {
            Look::Begun(flight) => self.fly(*flight),
            Look::Idle | Look::End => Ok(Step::Idle),
        }
    }

    /// One look: a flush begins when there is something to flush and room for one more.
    pub(crate) fn look(&self, now_ns: u64) -> Result<Look, LatchedError> {
        self.look_as(&mut lock(&self.looker), now_ns)
    }

    fn look_as(&self, looker: &mut Looker, now_ns: u64) -> Result<Look, LatchedError> {
        if let Some(error) = self.log.latched() {
            return Err(error);
        }
        // In this order: the address covers the sequence.
        let sequence = self.log.tail.published_sequence();
        let address = self.log.tail.published_address();
        if address == looker.taken {
            return self.look_idle(looker, sequence, now_ns);
        }
        if !lock(&self.order).flights.may_begin() {
            return Ok(Look::Idle);
        }
        if self.max_flush_delay_ns > 0 && address - looker.taken < self.max_flush_bytes {
            let since = *looker.pending_since_ns.get_or_insert(now_ns);
            if now_ns - since < self.max_flush_delay_ns && !self.is_draining() {
                return Ok(Look::Idle);
            }
        }
        if !self.enter_segment(looker) {
            return Ok(Look::Idle);
        }
        looker.pending_since_ns = None;
        let segment_first = looker.segment.as_ref().map_or(0, |(first, _)| *first);
        let cut = (chunk_floor(looker.taken) + self.max_flush_bytes).min(segment_first + self.log.segment_bytes);
        let (end, sequence) =
            if address <= cut { (address, sequence) } else { (cut, self.sequence_before(looker, cut)) };
        self.begin(looker, end, sequence, now_ns)
    }

    /// Before the clock begins: everything up to `sequence`, which is published, becomes durable at once, and as many slots say so as
    /// flushes may tear.
    pub(crate) fn settle(&self, sequence: u64) -> Result<(), LatchedError> {
        while self.log.durable_sequence() < sequence {
            // A delay that is configured begins and is over.
            if self.step(0)? == Step::Idle {
                self.step(u64::MAX)?;
            }
        }
        for _ in 0..self.depth {
            let look = {
                let mut looker = lock(&self.looker);
                if self.enter_segment(&mut looker) { self.begin_watermark(&mut looker, 0)? } else { Look::Idle }
            };
            if let Look::Begun(flight) = look {
                self.fly(*flight)?;
            }
        }
        Ok(())
    }

    fn is_draining(&self) -> bool {
        self.log.stop.told() == DRAIN
    }

    /// Nothing new: the pair may have been a step apart, and the watermark may lag.
    fn look_idle(&self, looker: &mut Looker, sequence: u64, now_ns: u64) -> Result<Look, LatchedError> {
        let due = {
            let order = lock(&self.order);
            if !order.flights.is_empty() {
                return Ok(Look::Idle);
            }
            if sequence > self.log.durable_sequence() {
                // The address loaded after this sequence is durable, and so is the sequence.
                self.log.publish_durable(sequence, looker.taken)?;
                looker.taken_sequence = sequence;
            }
            let durable = self.log.durable_sequence();
            let (witnessed, slots) = order.witnessed;
            let for_long = now_ns.saturating_sub(order.last_flush_ns) >= self.idle_watermark_ns;
            // The first slot waits until it is quiet, the others follow it at once.
            if witnessed < durable { for_long || self.is_draining() } else { slots < self.depth }
        };
        if due && self.enter_segment(looker) {
            return self.begin_watermark(looker, now_ns);
        }
        Ok(Look::Idle)
    }

    /// Writes the tail slot again with everything durable as its watermark: into the next segment when this one is full. As often as
    /// flushes may be under way: then more slots than a crash may tear hold what is durable.
    fn begin_watermark(&self, looker: &mut Looker, now_ns: u64) -> Result<Look, LatchedError> {
        let (taken, sequence) = (looker.taken, looker.taken_sequence);
        self.begin(looker, taken, sequence, now_ns)
    }

    /// The last sequence before the chunk at `cut`, which has begun: known without walking. Inside a group: what is durable stays as it
    /// is, for a group is answered as a whole.
    fn sequence_before(&self, looker: &Looker, cut: u64) -> u64 {
        let mut bytes = [0u8; HEADER_BYTES];
        self.log.tail.copy_live(cut, 0, &mut bytes);
        let next = RecordHeader::decode(&bytes);
        debug_assert_eq!(next.address, cut);
        let inside_group = next.group().is_member() && !planted::is(Bug::DurableInsideGroup);
        if inside_group { looker.taken_sequence } else { next.sequence - 1 }
    }

    /// Makes sure that the segment of the next byte to write is open. False while flushes into the one before are under way, and when it
    /// is not ready, which the appender's own check makes impossible for published records.
    fn enter_segment(&self, looker: &mut Looker) -> bool {
        if let Some((first, _)) = looker.segment
            && looker.taken < first + self.log.segment_bytes
        {
            return true;
        }
        if !lock(&self.order).flights.is_empty() && !planted::is(Bug::RollWithFlushesUnderWay) {
            return false;
        }
        self.log.stats.0.enter(Activity::Roll);
        let Some((first, files)) = self.log.room.take() else { return false };
        assert_eq!(first, looker.taken - looker.taken % self.log.segment_bytes);
        assert_eq!(files.len(), self.depth);
        if looker.segment.is_some() {
            looker.slot = 0;
            bump(&self.log.stats.0.rolls, 1);
        }
        looker.segment = Some((first, files));
        self.log.preparer_bell.ring();
        self.log.keeper_bell.ring();
        true
    }

    /// Hands out everything up to `end`, which makes `sequence` durable.
    fn begin(&self, looker: &mut Looker, end: u64, sequence: u64, now_ns: u64) -> Result<Look, LatchedError> {
        let from = looker.taken;
        let Some((first, files)) = &looker.segment else { unreachable!("entered before a flush begins") };
        let watermark = if planted::is(Bug::WatermarkAhead) {
            self.log.published_sequence()
        } else if planted::is(Bug::WatermarkOfFlushesUnderWay) {
            looker.taken_sequence
        } else {
            self.log.durable_sequence()
        };
        let durable_address = self.log.durable_address();
        let mark = Mark { sequence, end, watermark };
        let (number, lane) = {
            let mut order = lock(&self.order);
            let Some(lane) = order.lanes.pop() else { return Ok(Look::Idle) };
            (order.flights.begin(mark), lane)
        };
        let slots = if planted::is(Bug::SlotReusedEarly) { self.depth } else { SLOT_COUNT };
        let place = looker.slot % slots;
        if !planted::is(Bug::SameSlotAgain) {
            looker.slot = (looker.slot + 1) % slots;
        }
        looker.generation += 1;
        let address = block_floor(end);
        let head = SlotHead {
            log_id: self.log.log_id,
            place,
            in_flight: self.depth,
            epoch: self.log.epoch,
            generation: looker.generation,
            address,
            length: (end - address) as usize,
            durable_sequence: watermark,
            durable_address,
            // A segment is added when its name is durable.
            segments_end: self.log.room.end(),
        };
        let span = Span { segment: (*first, *first + self.log.segment_bytes), from, to: end };
        let description = if planted::is(Bug::SharedDescription) { 0 } else { lane.number };
        let file = Arc::clone(&files[description]);
        looker.taken = end;
        looker.taken_sequence = sequence;
        if planted::is(Bug::AcknowledgeBeforeSync) {
            self.log.publish_durable(sequence, end)?;
        }
        if planted::is(Bug::BlocksFreedEarly) {
            self.free_blocks(&mut lock(&self.order), end);
        }
        Ok(Look::Begun(Box::new(Flight::new(number, lane, file, span, head, now_ns))))
    }

    /// Takes a flush from its beginning to its end: its writes, its sync, the word.
    fn fly(&self, mut flight: Flight) -> Result<Step, LatchedError> {
        self.log.stats.0.enter(Activity::Write);
        flight.write(&self.log.tail).map_err(|e| self.fail(&e))?;
        self.go_on()?;
        self.log.stats.0.enter(Activity::Sync);
        flight.sync().map_err(|e| self.fail(&e))?;
        self.land(flight)
    }

    /// Where another flush has failed meanwhile nothing more is asked of the disk.
    pub(crate) fn go_on(&self) -> Result<(), LatchedError> {
        self.log.latched().map_or(Ok(()), Err)
    }

    /// A call of a flush has failed. It is never tried again, and no flush becomes durable any more.
    pub(crate) fn fail(&self, error: &DiskError) -> LatchedError {
        self.log.latch(error)
    }

    /// Where flushes take their bytes from.
    #[cfg(feature = "sim")]
    pub(crate) fn tail(&self) -> &Tail {
        &self.log.tail
    }

    /// Last stage: it is through, and every flush that has none before it any more becomes durable.
    pub(crate) fn land(&self, flight: Flight) -> Result<Step, LatchedError> {
        let mut order = lock(&self.order);
        order.flights.through(flight.number);
        let bytes = flight.span.to - flight.span.from;
        let stats = &self.log.stats.0;
        if bytes == 0 {
            bump(&stats.watermark_flushes, 1);
        } else {
            stats.flushed(bytes, flight.written_bytes(), flight.began.elapsed().as_nanos() as u64);
        }
        order.last_flush_ns = flight.now_ns;
        order.lanes.push(flight.lane);
        while let Some(mark) = order.flights.next_durable() {
            let behind = planted::is(Bug::DurableOutOfOrder) && mark.end < self.log.durable_address();
            if !behind {
                self.log.publish_durable(mark.sequence.max(self.log.durable_sequence()), mark.end)?;
                self.free_blocks(&mut order, mark.end);
            }
            order.witnessed = match order.witnessed {
                (sequence, slots) if sequence == mark.watermark => (sequence, slots + 1),
                _ => (mark.watermark, 1),
            };
        }
        if order.flights.flying() == 0 {
            stats.enter(Activity::Idle);
        }
        Ok(if bytes == 0 { Step::Watermark } else { Step::Flushed })
    }

    /// Gives back the blocks of all chunks that end at or before `end`.
    fn free_blocks(&self, order: &mut Order, end: u64) {
        while order.freed + CHUNK_BYTES as u64 <= end {
            self.log.tail.free_block(order.freed);
            order.freed += CHUNK_BYTES as u64;
        }
    }

    /// What a slot on the disk calls durable, of the flushes that are durable.
    #[cfg(feature = "sim")]
    pub(crate) fn witnessed(&self) -> u64 {
        lock(&self.order).witnessed.0
    }

    /// A look, and what the log is told to do beside it.
    fn turn(&self, looker: &mut Looker, now_ns: u64) -> Look {
        let stop = self.log.stop.told();
        if stop == STOP {
            return Look::End;
        }
        debug_assert!(matches!(stop, RUN | DRAIN));
        match self.look_as(looker, now_ns) {
            Err(_) => Look::End,
            // A last look may have raced with the last publication; after DRAIN nothing new comes.
            Ok(Look::Idle) if stop == DRAIN && self.is_done(looker) => Look::End,
            Ok(look) => look,
        }
    }

    /// Everything published is durable.
    fn is_done(&self, looker: &Looker) -> bool {
        self.log.published_address() == looker.taken && lock(&self.order).flights.is_empty()
    }

    /// One turn without threads: a look, and the flush that began. `None`: this was the last one.
    #[cfg(feature = "sim")]
    pub(crate) fn turn_and_fly(&self, now_ns: u64) -> Option<Step> {
        let look = self.turn(&mut lock(&self.looker), now_ns);
        match look {
            Look::Begun(flight) => self.fly(*flight).ok(),
            Look::Idle => Some(Step::Idle),
            Look::End => None,
        }
    }

    /// A log thread, one of as many as flushes may be under way: it looks for work, one thread at a time, and takes what it finds to its
    /// end, beside the others.
    pub(crate) fn run(&self, wait: WaitStrategy, idle_sleep: Duration, clock: Instant) {
        while let Some(flight) = self.wait_for_work(wait, idle_sleep, clock) {
            // A failure has latched: the next look ends.
            let _ = self.fly(*flight);
        }
    }

    fn wait_for_work(&self, wait: WaitStrategy, idle_sleep: Duration, clock: Instant) -> Option<Box<Flight>> {
        let mut looker = lock(&self.looker);
        let mut idle_rounds = 0u32;
        loop {
            match self.turn(&mut looker, clock.elapsed().as_nanos() as u64) {
                Look::Begun(flight) => return Some(flight),
                Look::End => return None,
                Look::Idle => {
                    idle_rounds = idle_rounds.saturating_add(1);
                    let others = !lock(&self.order).flights.is_empty();
                    match wait {
                        // Whoever waits for the disk comes back to the same core: a spin would keep it waiting there.
                        WaitStrategy::Spin if others => nap(),
                        // Records come now: the next one is looked for sooner than on a quiet log.
                        _ if others => pause(wait, idle_rounds.min(BUSY_ROUNDS), idle_sleep / BUSY_SHARE),
                        _ => pause(wait, idle_rounds, idle_sleep),
                    }
                }
            }
        }
    }
}

/// While flushes are under way a look for work sleeps for this part of an idle one's sleep, ...
const BUSY_SHARE: u32 = 4;
/// ... and never for longer, however long ago the last record came.
const BUSY_ROUNDS: u32 = 32;

/// One round of waiting.
fn pause(wait: WaitStrategy, idle_rounds: u32, idle_sleep: Duration) {
    match wait {
        WaitStrategy::Spin => std::hint::spin_loop(),
        WaitStrategy::Adaptive if idle_rounds < 32 => std::hint::spin_loop(),
        // Long idle, the sleeps double up to eightfold: a quiet log costs little, and wakes within them.
        WaitStrategy::Adaptive => std::thread::sleep(idle_sleep * (1 << ((idle_rounds - 32) / 256).min(3))),
    }
}
