//! Who trades what: accounts, instruments with skewed popularity, and the limited set of pairs that ever trade.

use crate::oracle::LotMethod;
use crate::plan::BurstPlan;
use crate::rng::{Rng, splitmix64};
use std::collections::HashSet;

/// A position of the universe: indices into its accounts and instruments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// Index of the account.
    pub account: u16,
    /// Index of the instrument.
    pub instrument: u16,
}

/// Names, pairs and popularity. The same plan gives the same universe.
#[derive(Clone, Debug)]
pub struct Universe {
    accounts: Vec<String>,
    instruments: Vec<String>,
    methods: Vec<LotMethod>,
    sessions: u32,
    /// Pairs grouped by instrument; `starts[i]..starts[i + 1]` are those of instrument `i`.
    pairs: Vec<Pair>,
    starts: Vec<u32>,
    /// Running sum of the instruments' weights. A weight falls as 1/rank, in integers, so that no rounding of a float can change a flow.
    popularity: Vec<u64>,
}

const WEIGHT_OF_FIRST: u64 = 1_000_000_000;
/// Contracts that forbid nothing but check the qualifiers are exercised on a quarter of the positions; see [`Universe::qualified`].
const QUALIFIED_ONE_IN: u64 = 4;

impl Universe {
    /// The universe of `plan`. Every account and every instrument trades, as far as the number of positions allows.
    pub fn of(plan: &BurstPlan) -> Self {
        let accounts: Vec<String> = (0..plan.accounts).map(|at| format!("{}{at:05}", plan.account_prefix)).collect();
        let instruments: Vec<String> = match &plan.tape {
            Some(tape) => tape.symbols.clone(),
            None => (0..plan.instruments).map(symbol).collect(),
        };
        let mut running = 0;
        let mut popularity: Vec<u64> = (1..=u64::from(plan.instruments))
            .map(|rank| {
                running += WEIGHT_OF_FIRST / rank;
                running
            })
            .collect();
        let mut rng = Rng::new(plan.seed, 1);
        let mut chosen = HashSet::new();
        let wanted = plan.positions as usize;
        let pair = |account: u64, instrument: u64| Pair { account: account as u16, instrument: instrument as u16 };
        for at in 0..u64::from(plan.accounts.max(plan.instruments)) {
            if chosen.len() < wanted {
                chosen.insert(pair(at % u64::from(plan.accounts), at % u64::from(plan.instruments)));
            }
        }
        // Popular instruments are held by more accounts. A nearly full universe would make drawing by weight endless, so the misses are bounded.
        let mut misses = 0;
        while chosen.len() < wanted && misses < 20 * wanted {
            let instrument = pick(&popularity, &mut rng);
            misses += usize::from(!chosen.insert(pair(rng.below(u64::from(plan.accounts)), instrument as u64)));
        }
        'fill: for instrument in 0..u64::from(plan.instruments) {
            for account in 0..u64::from(plan.accounts) {
                if chosen.len() >= wanted {
                    break 'fill;
                }
                chosen.insert(pair(account, instrument));
            }
        }
        let mut pairs: Vec<Pair> = chosen.into_iter().collect();
        // The order of a hash set must not decide anything.
        pairs.sort_by_key(|pair| (pair.instrument, pair.account));
        let starts: Vec<u32> = (0..=plan.instruments)
            .map(|at| pairs.partition_point(|pair| u32::from(pair.instrument) < at) as u32)
            .collect();
        // An instrument that nobody holds (fewer positions than instruments) is never drawn.
        let mut running = 0;
        for (at, sum) in popularity.iter_mut().enumerate() {
            if starts[at] < starts[at + 1] {
                running += WEIGHT_OF_FIRST / (at as u64 + 1);
            }
            *sum = running;
        }
        Self {
            accounts,
            instruments,
            methods: plan.methods.clone(),
            sessions: plan.sessions,
            pairs,
            starts,
            popularity,
        }
    }

    /// The account's name.
    pub fn account(&self, at: u16) -> &str {
        &self.accounts[usize::from(at)]
    }

    /// The instrument's name.
    pub fn instrument(&self, at: u16) -> &str {
        &self.instruments[usize::from(at)]
    }

    /// All accounts with the lot method of their contract: what the host must be given (shorts allowed) before the flow.
    pub fn contracts(&self) -> impl Iterator<Item = (&str, LotMethod)> {
        self.accounts.iter().enumerate().map(|(at, name)| (name.as_str(), self.method(at as u16)))
    }

    /// Names of all instruments, the most popular first.
    pub fn instruments(&self) -> &[String] {
        &self.instruments
    }

    /// The lot method of an account.
    pub fn method(&self, account: u16) -> LotMethod {
        self.methods[usize::from(account) % self.methods.len()]
    }

    /// The session an account trades over. One session an account keeps a position's trades in the order in which they were made.
    pub fn session(&self, account: u16) -> u8 {
        (u32::from(account) % self.sessions) as u8
    }

    /// Pairs that trade.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// A pair, popular instruments and busy accounts more often. Returns its index.
    pub fn draw(&self, rng: &mut Rng) -> usize {
        self.draw_of(pick(&self.popularity, rng), rng)
    }

    /// A pair of this instrument, busy accounts more often. Returns its index.
    pub fn draw_of(&self, instrument: usize, rng: &mut Rng) -> usize {
        let (start, end) = (self.starts[instrument], self.starts[instrument + 1]);
        // A few accounts do much of the trading: a draw below a draw falls on the first of n with (1 + ln n) / n, on the last with 1 / n².
        let among = rng.below(u64::from(end - start)) + 1;
        start as usize + rng.below(among) as usize
    }

    /// Whether the position's trades carry qualifiers (sell short, position effect close), which the host checks against the position.
    ///
    /// Such a position gets no backdated trades: slipping one in could make an accepted sell short illegal in hindsight, and the host would
    /// rightly ask for an operator. The other positions get plain buys and sells, flips and backdated trades.
    pub fn qualified(&self, pair: Pair) -> bool {
        let mut mix = u64::from(pair.account) << 16 | u64::from(pair.instrument);
        splitmix64(&mut mix).is_multiple_of(QUALIFIED_ONE_IN)
    }
}

fn pick(popularity: &[u64], rng: &mut Rng) -> usize {
    let total = *popularity.last().expect("at least one instrument");
    let drawn = rng.below(total);
    popularity.partition_point(|&sum| sum <= drawn)
}

/// Pronounceable four-letter symbols, all different: consonant, vowel, consonant, vowel, then a number once they run out.
fn symbol(at: u32) -> String {
    const CONSONANTS: &[u8] = b"BCDFGKLMNPRSTVXZ";
    const VOWELS: &[u8] = b"AEIOU";
    // 7919 is coprime to 6400, so neighbours in rank look nothing alike and none repeats.
    let mixed = u64::from(at % 6400) * 7919 % 6400;
    let (a, rest) = (mixed % 16, mixed / 16);
    let (b, rest) = (rest % 5, rest / 5);
    let (c, d) = (rest % 16, rest / 16);
    let letters = [CONSONANTS[a as usize], VOWELS[b as usize], CONSONANTS[c as usize], VOWELS[d as usize]];
    let name = String::from_utf8_lossy(&letters).into_owned();
    if at < 6400 { name } else { format!("{name}{}", at / 6400) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_trades_and_popularity_is_skewed() {
        let plan = BurstPlan::default();
        let universe = Universe::of(&plan);
        assert_eq!(universe.pairs().len(), 20_000);
        let accounts: HashSet<u16> = universe.pairs().iter().map(|pair| pair.account).collect();
        let instruments: HashSet<u16> = universe.pairs().iter().map(|pair| pair.instrument).collect();
        assert_eq!((accounts.len(), instruments.len()), (500, 300));
        let names: HashSet<&String> = universe.instruments().iter().collect();
        assert_eq!(names.len(), 300);
        let mut rng = Rng::new(1, 1);
        let mut draws = [0u32; 300];
        for _ in 0..100_000 {
            draws[usize::from(universe.pairs()[universe.draw(&mut rng)].instrument)] += 1;
        }
        // 1/rank over 300: the first has about 16 %, the last about 0.05 %.
        assert!((14_000..18_000).contains(&draws[0]), "{}", draws[0]);
        assert!(draws[299] < 150, "{}", draws[299]);
    }

    #[test]
    fn a_full_universe_and_a_single_position() {
        let full = BurstPlan { accounts: 30, instruments: 20, positions: 600, sessions: 2, ..BurstPlan::default() };
        assert_eq!(Universe::of(&full).pairs().len(), 600);
        let one = BurstPlan { positions: 1, ..BurstPlan::default() };
        let universe = Universe::of(&one);
        let mut rng = Rng::new(1, 1);
        assert_eq!(universe.draw(&mut rng), 0);
    }

    #[test]
    fn symbols_do_not_repeat() {
        let names: HashSet<String> = (0..20_000).map(symbol).collect();
        assert_eq!(names.len(), 20_000);
    }
}
