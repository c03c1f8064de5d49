//! What one run offers: rates, time, universe and shares. Together with the business date a plan fixes every message, whatever the machine.

use crate::invalid::InvalidClass;
use crate::limits;
use crate::oracle::LotMethod;
use crate::profile::Profile;
use crate::tape::Tape;
use serde::Serialize;
use std::sync::Arc;

/// A run of the market-close burst. `Default` is what `lotbook burst` runs.
#[derive(Clone, Debug, Serialize)]
pub struct BurstPlan {
    /// Shape of the load.
    pub profile: Profile,
    /// Messages a second outside the burst.
    pub rate: u64,
    /// The burst's rate is `rate` times this.
    pub burst_multiplier: u64,
    /// Length of the whole run.
    pub seconds: u64,
    /// Share of the run that is burst, in the middle, in thousandths; the rest is split evenly before and after it. 30 s: 12 + 6 + 12.
    pub burst_permille: u32,
    /// (account, instrument) pairs that trade.
    pub positions: u32,
    /// Accounts.
    pub accounts: u32,
    /// Instruments; their popularity falls as 1/rank.
    pub instruments: u32,
    /// Seed of everything random.
    pub seed: u64,
    /// Senders: FIX sessions, connections, or doors. An account always trades over the same one.
    pub sessions: u32,
    /// Trades whose effective date lies 1 to 5 days before the business date, in thousandths.
    pub backdated_permille: u32,
    /// Earlier trades of the same session sent again, in thousandths.
    pub duplicate_permille: u32,
    /// Messages that must be refused, in thousandths, over all the classes of [`crate::invalid::InvalidClass`].
    pub invalid_permille: u32,
    /// Trades whose effective date lies 1 to 3 days after the business date, in thousandths.
    pub forward_permille: u32,
    /// The host's business date, days from 1970-01-01.
    pub business_date_days: i32,
    /// Time of day (UTC, milliseconds) at which the flow's own clock starts.
    pub opens_at_ms: u32,
    /// Lot methods of the accounts' contracts: account `i` has `methods[i % len]`. The host must have those contracts, shorts allowed.
    pub methods: Vec<LotMethod>,
    /// How long to wait after the last send for outstanding answers.
    pub drain_ms: u64,
    /// What the names of accounts begin with. A host that has been loaded before is given another, so that its positions begin empty.
    pub account_prefix: String,
    /// Classes of planted invalid messages, taking turns. A door that has no place for a class is not sent it.
    pub invalid_classes: Vec<InvalidClass>,
    /// Of [`Profile::Recorded`]: the file.
    #[serde(skip)]
    pub tape: Option<Arc<Tape>>,
}

impl Default for BurstPlan {
    fn default() -> Self {
        Self {
            profile: Profile::Burst,
            rate: 10_000,
            burst_multiplier: 10,
            seconds: 30,
            burst_permille: 200,
            positions: 20_000,
            accounts: 500,
            instruments: 300,
            seed: 42,
            sessions: 4,
            backdated_permille: 20,
            duplicate_permille: 10,
            invalid_permille: 5,
            forward_permille: 0,
            business_date_days: crate::text::today_days(),
            opens_at_ms: 9 * 3_600_000 + 30 * 60_000,
            methods: vec![LotMethod::Fifo],
            drain_ms: limits::DRAIN_TIMEOUT_MS,
            account_prefix: "ACC".to_owned(),
            invalid_classes: InvalidClass::ALL.to_vec(),
            tape: None,
        }
    }
}

/// Why a plan cannot be run; each names the field and the value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// A field is outside its range.
    #[error("{field} is {value}; it must lie in {low}..={high}")]
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Least allowed.
        low: u64,
        /// Greatest allowed.
        high: u64,
    },
    /// No lot method given.
    #[error("methods is empty; give at least one lot method")]
    NoMethod,
    /// No class of invalid messages given, and some are to be sent.
    #[error("invalid_classes is empty, and invalid_permille is not 0")]
    NoClass,
    /// A recorded profile without a file, or a file without the profile.
    #[error("the recorded profile and a recorded file go together")]
    Tape,
    /// Names of accounts would be too long.
    #[error("account_prefix has more than {0} bytes")]
    Prefix(usize),
}

impl BurstPlan {
    /// The plan, or what is wrong with it.
    pub fn checked(&self) -> Result<(), PlanError> {
        let range = |field, value, low, high| {
            if (low..=high).contains(&value) { Ok(()) } else { Err(PlanError::Range { field, value, low, high }) }
        };
        range("rate", self.rate, 1, 10_000_000)?;
        range("burst_multiplier", self.burst_multiplier, 1, 1_000)?;
        range("seconds", self.seconds, 1, 86_400)?;
        range("burst_permille", u64::from(self.burst_permille), 0, 1_000)?;
        range("accounts", u64::from(self.accounts), 1, u64::from(limits::ACCOUNTS_MAX))?;
        range("instruments", u64::from(self.instruments), 1, u64::from(limits::INSTRUMENTS_MAX))?;
        let pairs = u64::from(self.accounts) * u64::from(self.instruments);
        range("positions", u64::from(self.positions), 1, pairs)?;
        range("sessions", u64::from(self.sessions), 1, u64::from(limits::SESSIONS_MAX.min(self.accounts)))?;
        let odd = self.backdated_permille + self.duplicate_permille + self.invalid_permille + self.forward_permille;
        range("backdated + duplicate + invalid + forward permille", u64::from(odd), 0, 900)?;
        range("opens_at_ms", u64::from(self.opens_at_ms), 0, 86_399_999)?;
        if self.methods.is_empty() {
            return Err(PlanError::NoMethod);
        }
        if self.invalid_permille > 0 && self.invalid_classes.is_empty() {
            return Err(PlanError::NoClass);
        }
        if self.account_prefix.len() > limits::ACCOUNT_PREFIX_BYTES_MAX {
            return Err(PlanError::Prefix(limits::ACCOUNT_PREFIX_BYTES_MAX));
        }
        if self.tape.is_some() != (self.profile == Profile::Recorded) {
            return Err(PlanError::Tape);
        }
        if let Some(tape) = &self.tape {
            let symbols = tape.symbols.len() as u64;
            range("instruments", u64::from(self.instruments), symbols, symbols)?;
            range("positions (of every symbol of the file)", u64::from(self.positions), symbols, pairs)?;
        }
        let messages = crate::schedule::Schedule::of(self).messages();
        range("messages (rate x seconds)", messages, 1, limits::MESSAGES_MAX)
    }

    /// The same plan cut to `seconds`, at the same rates: what the control runs.
    pub fn shortened(&self, seconds: u64) -> Self {
        Self { seconds: seconds.min(self.seconds).max(1), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_name_field_and_value() {
        assert_eq!(BurstPlan::default().checked(), Ok(()));
        let none = BurstPlan { rate: 0, ..BurstPlan::default() };
        assert_eq!(none.checked().unwrap_err().to_string(), "rate is 0; it must lie in 1..=10000000");
        let few = BurstPlan { accounts: 2, instruments: 2, positions: 5, sessions: 1, ..BurstPlan::default() };
        assert!(few.checked().unwrap_err().to_string().starts_with("positions is 5"));
        let methodless = BurstPlan { methods: vec![], ..BurstPlan::default() };
        assert_eq!(methodless.checked(), Err(PlanError::NoMethod));
    }
}
