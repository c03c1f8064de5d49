//! What a period lock closes, and what changes of closed days make of the open period. `docs/rules.md`, section 14.
//!
//! A position's totals at the end of each date of its history are [`Days`]: a replay gives them, and what is booked in
//! order behind it goes on from there. Two such lists, read at the closed date, give an [`Adjusted`]. What the open
//! period carries of a position is state: [`Adjustments`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::amount::Money;
use crate::apply::is_passed_over;
use crate::bytes::{Reader, Truncated, Writer};
use crate::date::Date;
use crate::digest;
use crate::event::{CorrectedEvent, TradeEvent};
use crate::image::ImageError;
use crate::position::Position;
use crate::taking::Took;
use crate::values::fees_e16;

/// The figures of items that a period reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeriodFigures {
    /// Realized.
    pub realized_e16: Money,
    /// The long-term part of it.
    pub long_e16: Money,
    /// Realized in base currency.
    pub base_e16: Money,
    /// Fees.
    pub fees_e16: Money,
    /// Dividends.
    pub dividends_e16: Money,
}

impl PeriodFigures {
    /// What a position has since inception.
    #[must_use]
    pub fn of(position: &Position) -> Self {
        Self {
            realized_e16: position.realized_e16,
            long_e16: position.realized_long_e16,
            base_e16: position.realized_base_e16,
            fees_e16: position.fees_e16,
            dividends_e16: position.dividends_e16,
        }
    }

    /// What the event of a trade adds.
    #[must_use]
    pub fn of_trade(event: &TradeEvent<'_>) -> Self {
        if is_passed_over(event) {
            return Self::default();
        }
        Self {
            realized_e16: event.realized_e16,
            long_e16: event.realized_long_e16,
            base_e16: event.realized_base_e16,
            fees_e16: fees_e16(event.input),
            dividends_e16: 0,
        }
    }

    /// What an action adds that a position took.
    #[must_use]
    pub fn of_taken(took: &Took) -> Self {
        // An event that was decided has sums within their range.
        let gains = took.realized().unwrap_or_default();
        Self {
            realized_e16: gains.realized_e16,
            long_e16: gains.long_e16,
            base_e16: gains.base_e16,
            fees_e16: 0,
            dividends_e16: took.dividends_e16,
        }
    }

    fn each(&self, other: &Self, of: impl Fn(Money, Money) -> Money) -> Self {
        Self {
            realized_e16: of(self.realized_e16, other.realized_e16),
            long_e16: of(self.long_e16, other.long_e16),
            base_e16: of(self.base_e16, other.base_e16),
            fees_e16: of(self.fees_e16, other.fees_e16),
            dividends_e16: of(self.dividends_e16, other.dividends_e16),
        }
    }

    /// Both together. Totals are in range; the sum of differences of totals stops at the end of its type.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.each(other, Money::saturating_add)
    }

    /// These less the others; as [`Self::plus`].
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        self.each(other, Money::saturating_sub)
    }

    /// Whether there is nothing to report.
    #[must_use]
    pub fn are_zero(&self) -> bool {
        *self == Self::default()
    }

    fn as_array(&self) -> [Money; 5] {
        [self.realized_e16, self.long_e16, self.base_e16, self.fees_e16, self.dividends_e16]
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        self.as_array().into_iter().for_each(|money| out.i128(money));
    }

    pub(crate) fn read(read: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            realized_e16: read.i128()?,
            long_e16: read.i128()?,
            base_e16: read.i128()?,
            fees_e16: read.i128()?,
            dividends_e16: read.i128()?,
        })
    }
}

/// A position's totals at the end of each date on which it has an item; ascending dates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days(pub Vec<(Date, PeriodFigures)>);

impl Days {
    /// The totals after one more item, dated on or after all others.
    pub fn close(&mut self, date: Date, totals: PeriodFigures) {
        match self.0.last_mut() {
            Some(last) if last.0 == date => last.1 = totals,
            _ => self.0.push((date, totals)),
        }
    }

    /// One more item, dated on or after all others.
    pub fn add(&mut self, date: Date, more: &PeriodFigures) {
        let totals = self.0.last().map_or(*more, |last| last.1.plus(more));
        self.close(date, totals);
    }

    /// The sums over all items dated up to and with a date.
    #[must_use]
    pub fn through(&self, date: Date) -> PeriodFigures {
        match self.0.partition_point(|day| day.0 <= date) {
            0 => PeriodFigures::default(),
            count => self.0[count - 1].1,
        }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u32(self.0.len() as u32);
        for (date, totals) in &self.0 {
            out.u32(date.0 as u32);
            totals.write(out);
        }
    }

    pub(crate) fn read(read: &mut Reader<'_>) -> Result<Self, Truncated> {
        let mut days = Vec::new();
        for _ in 0..read.u32()? {
            days.push((Date(read.u32()? as i32), PeriodFigures::read(read)?));
        }
        Ok(Self(days))
    }
}

/// Where the body of a correction lies: the totals that were found then are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyPlace {
    /// Log id of the side log.
    pub log_id: u64,
    /// Address of the first record.
    pub address: u64,
    /// Sequence of the first record.
    pub sequence: u64,
    /// Bytes in all.
    pub bytes: u32,
    /// Digest of the bytes.
    pub digest: u64,
}

impl BodyPlace {
    /// Of an event.
    #[must_use]
    pub fn of(event: &CorrectedEvent) -> Self {
        Self {
            log_id: event.body_log_id,
            address: event.body_address,
            sequence: event.body_sequence,
            bytes: event.body_bytes,
            digest: event.body_digest,
        }
    }
}

/// A position's totals by date as they were when it was reconciled last: what changes since are held against.
///
/// Fed with what is final, in the order of the events; it knows no more than where the last body lies until somebody
/// reads that.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    /// The body that `days` goes on from and that was not read yet.
    unread: Option<BodyPlace>,
    /// Totals by date; behind an unread body the sums since.
    days: Days,
    /// Something has changed that awaits a replay.
    waits: bool,
}

impl Reported {
    /// An item was booked in its order: final, unless the position waits for a replay.
    pub fn booked(&mut self, date: Date, figures: &PeriodFigures) {
        if !self.waits {
            self.days.add(date, figures);
        }
    }

    /// From here on the position waits for a replay.
    pub fn waits(&mut self) {
        self.waits = true;
    }

    /// The replay came, with these totals, which are in this body.
    pub fn corrected(&mut self, body: BodyPlace) {
        *self = Self { unread: Some(body), ..Self::default() };
    }

    /// The replay came, with these totals.
    pub fn reconciled(&mut self, days: Days) {
        *self = Self { days, ..Self::default() };
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u32(u32::from(self.unread.is_some()));
        if let Some(BodyPlace { log_id, address, sequence, bytes, digest }) = self.unread {
            for word in [log_id, address, sequence, digest] {
                out.u64(word);
            }
            out.u32(bytes);
        }
        self.days.write(out);
        out.u32(u32::from(self.waits));
    }

    pub(crate) fn read(read: &mut Reader<'_>) -> Result<Self, ImageError> {
        let mut unread = None;
        if read.flag()? {
            let (log_id, address, sequence, digest) = (read.u64()?, read.u64()?, read.u64()?, read.u64()?);
            unread = Some(BodyPlace { log_id, address, sequence, bytes: read.u32()?, digest });
        }
        Ok(Self { unread, days: Days::read(read)?, waits: read.flag()? })
    }

    /// The body to read before [`Self::days`] are whole.
    #[must_use]
    pub fn unread(&self) -> Option<BodyPlace> {
        self.unread
    }

    /// What the unread body says.
    pub fn found(&mut self, mut days: Days) {
        self.unread = None;
        let until = days.0.last().map_or_else(PeriodFigures::default, |last| last.1);
        for (date, since) in &self.days.0 {
            days.close(*date, until.plus(since));
        }
        self.days = days;
    }

    /// What a replay that gave `after` changes in the days up to `through`; [`Adjusted::NONE`] where none are closed.
    ///
    /// # Panics
    /// Where a body is still unread, or what was booked did not come in its order.
    #[must_use]
    pub fn adjusted(&self, after: &Days, through: Date) -> Adjusted {
        if through == Date::NONE {
            return Adjusted::NONE;
        }
        assert!(self.unread.is_none(), "the totals that were reported are known");
        assert!(self.days.0.is_sorted_by_key(|day| day.0), "totals are found by their dates");
        Adjusted { through, figures: after.through(through).less(&self.days.through(through)) }
    }
}

/// What was changed in the closed days of a position: it belongs to the open period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjusted {
    /// The last closed day; [`Date::NONE`]: none is closed.
    pub through: Date,
    /// What the changes make of the figures.
    pub figures: PeriodFigures,
}

impl Adjusted {
    /// Nothing is closed.
    pub const NONE: Self = Self {
        through: Date::NONE,
        figures: PeriodFigures { realized_e16: 0, long_e16: 0, base_e16: 0, fees_e16: 0, dividends_e16: 0 },
    };

    /// The first open day, on which it is dated.
    #[must_use]
    pub fn date(&self) -> Date {
        self.through.days_after(1)
    }

    fn digest(&self, key_hash: u64) -> u64 {
        let hash = digest::mix(key_hash, u64::from(self.through.0 as u32));
        self.figures.as_array().into_iter().fold(hash, |hash, money| {
            let bits = money as u128;
            digest::mix(digest::mix(hash, bits as u64), (bits >> 64) as u64)
        })
    }
}

/// What the open period of each account carries, by position. Only positions whose closed days were changed are here.
#[derive(Clone, Debug, Default)]
pub struct Adjustments {
    by_position: BTreeMap<u32, Adjusted>,
    digest: u64,
}

impl Adjustments {
    /// What the open period carries of a position.
    #[must_use]
    pub fn of(&self, position: u32) -> Option<&Adjusted> {
        self.by_position.get(&position)
    }

    /// All, by the position's number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Adjusted)> {
        self.by_position.iter().map(|(position, adjusted)| (*position, adjusted))
    }

    /// Sum of the digests.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// One more adjustment of a position.
    pub(crate) fn add(&mut self, position: u32, key_hash: u64, more: &Adjusted) {
        if more.figures.are_zero() {
            return;
        }
        let held = self.by_position.entry(position).or_insert(Adjusted { figures: PeriodFigures::default(), ..*more });
        assert!(held.through == more.through, "adjustments end with the lock that closes them");
        if !held.figures.are_zero() {
            self.digest = self.digest.wrapping_sub(held.digest(key_hash));
        }
        held.figures = held.figures.plus(&more.figures);
        if held.figures.are_zero() {
            self.by_position.remove(&position);
        } else {
            self.digest = self.digest.wrapping_add(held.digest(key_hash));
        }
    }

    /// Accounts were closed up to later dates: `keeps` says of a position and its closed date whether that still holds.
    pub(crate) fn close(&mut self, keeps: impl Fn(u32, Date) -> bool, key_hash: impl Fn(u32) -> u64) {
        let digest = &mut self.digest;
        self.by_position.retain(|&position, adjusted| {
            let kept = keeps(position, adjusted.through);
            if !kept {
                *digest = digest.wrapping_sub(adjusted.digest(key_hash(position)));
            }
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realized(realized_e16: Money) -> PeriodFigures {
        PeriodFigures { realized_e16, ..PeriodFigures::default() }
    }

    fn days(of: &[(i32, Money)]) -> Days {
        Days(of.iter().map(|(date, total)| (Date(*date), realized(*total))).collect())
    }

    #[test]
    fn totals_are_read_at_any_date() {
        let days = days(&[(3, 10), (7, 25), (8, 20)]);
        for (date, total) in [(2, 0), (3, 10), (6, 10), (7, 25), (8, 20), (900, 20)] {
            assert_eq!(days.through(Date(date)), realized(total), "{date}");
        }
    }

    #[test]
    fn what_is_final_goes_on_from_the_body_and_what_is_not_does_not() {
        let mut reported = Reported::default();
        reported.booked(Date(1), &realized(5));
        reported.booked(Date(2), &realized(1));
        reported.waits();
        reported.booked(Date(2), &realized(100));
        assert_eq!(reported.adjusted(&days(&[(1, 7), (2, 9)]), Date(2)).figures, realized(3));
        assert_eq!(reported.adjusted(&days(&[(1, 7), (2, 9)]), Date::NONE), Adjusted::NONE);

        let body = BodyPlace { log_id: 1, address: 2, sequence: 3, bytes: 4, digest: 5 };
        reported.corrected(body);
        reported.booked(Date(2), &realized(4));
        reported.booked(Date(9), &realized(2));
        assert_eq!(reported.unread(), Some(body));
        reported.found(days(&[(1, 7), (2, 9)]));
        assert_eq!(reported.days, days(&[(1, 7), (2, 13), (9, 15)]));
        assert_eq!(reported.adjusted(&days(&[(1, 0)]), Date(2)).figures, realized(-13));
    }

    #[test]
    fn adjustments_sum_until_a_lock_closes_them() {
        let mut held = Adjustments::default();
        let more = |through, amount| Adjusted { through: Date(through), figures: realized(amount) };
        held.add(4, 44, &more(10, 3));
        let digest = held.digest();
        held.add(5, 55, &more(10, 0));
        assert_eq!((held.iter().count(), held.digest()), (1, digest));
        held.add(4, 44, &more(10, 2));
        assert_eq!(held.of(4), Some(&more(10, 5)));
        held.add(4, 44, &more(10, -2));
        assert_eq!(held.digest(), digest);
        held.add(4, 44, &more(10, -3));
        assert_eq!((held.of(4), held.digest()), (None, 0));
        held.add(6, 66, &more(10, 1));
        held.add(7, 77, &more(10, 1));
        held.close(|position, _| position == 7, |position| u64::from(position) * 11);
        held.add(7, 77, &more(10, -1));
        assert_eq!((held.iter().count(), held.digest()), (0, 0));
    }
}
