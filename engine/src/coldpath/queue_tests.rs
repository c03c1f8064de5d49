//! The queue with simulated time: its order, the promise of ageing, backoff, dead letters, lost leases.

use std::collections::{BTreeMap, HashMap};

use lotbook_core::date::Date;
use lotbook_core::digest;
use lotbook_core::id::ChronoKey;

use super::queue::{Lease, Level, Order, Queue};
use super::{Head, Stage};
use crate::limits::{AGEING_SHARE, COLD_ALERT, COLD_CRITICAL, COLD_RETRY_MAX_US};

const LEVEL_US: u64 = 1_000;
const BASE_US: u64 = 100;

fn head(version: u64, late: u32) -> Head {
    Head {
        version,
        address: 0,
        account: 0,
        instrument: 0,
        frontier: ChronoKey::MIN,
        multiplier_e8: 1,
        seen: 0,
        late,
        closed_through: Date::NONE,
    }
}

/// From here on a position comes before the order.
const AGES_US: u64 = LEVEL_US / AGEING_SHARE;

fn queue(order: Order) -> Queue {
    Queue::new(order, LEVEL_US, BASE_US)
}

fn drain(queue: &mut Queue, now_us: u64) -> Vec<u32> {
    std::iter::from_fn(|| queue.take(now_us)).map(|lease| lease.position).collect()
}

#[test]
fn the_order_is_by_the_newest_change_or_by_joining() {
    for (order, wanted) in [(Order::NewestFirst, [1, 3, 2]), (Order::OldestFirst, [1, 2, 3])] {
        let mut queue = queue(order);
        for position in [1, 2, 3] {
            assert!(queue.seen(position, head(5, 1), 10));
        }
        // A trade that is not late moves nobody; another late one makes its position the newest.
        assert!(!queue.seen(2, head(6, 1), 20));
        assert!(!queue.seen(1, head(6, 2), 30));
        assert_eq!(drain(&mut queue, 40), wanted, "{order:?}");
    }
}

/// Whoever has waited for too long comes first, the longest wait before the others, and is counted.
#[test]
fn ageing_goes_before_the_order() {
    let mut queue = queue(Order::NewestFirst);
    for (position, now_us) in [(1, 0), (2, 100), (3, 900)] {
        queue.seen(position, head(1, 1), now_us);
    }
    assert_eq!(queue.take(AGES_US).map(|lease| lease.position), Some(3), "not yet beyond it");
    assert_eq!(queue.take(AGES_US + 101).map(|lease| lease.position), Some(1));
    assert_eq!(queue.take(AGES_US + 101).map(|lease| lease.position), Some(2));
    // The last one was alone: it came by the order as well.
    assert_eq!(queue.status(AGES_US + 101).aged, 1);
}

/// A generator that the tests can repeat.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        digest::mix(self.0, 7) % bound
    }
}

/// The promise, on random work: from the moment at which a position that is ready has waited for half the service level, no other
/// one is taken twice before it.
#[test]
fn no_position_waits_beyond_the_service_level_while_another_is_taken_twice() {
    let (mut aged_takes, mut takes_in_all) = (0, 0);
    for seed in 0..40 {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let mut draw = Draw(seed << 32);
            let mut queue = queue(order);
            let mut now_us = 0;
            let mut version = 0;
            // Since when each waits, and how often the others were taken since it was aged.
            let mut waits: BTreeMap<u32, u64> = BTreeMap::new();
            let mut taken_since: HashMap<u32, HashMap<u32, u32>> = HashMap::new();
            let mut held: Vec<Lease> = Vec::new();
            for _ in 0..3_000 {
                now_us += draw.below(60);
                match draw.below(5) {
                    0 | 1 => {
                        // A few positions change all the time, the others seldom.
                        let position = if draw.below(3) > 0 { draw.below(3) } else { draw.below(40) } as u32;
                        version += 1;
                        if queue.seen(position, head(version, version as u32), now_us) {
                            waits.insert(position, now_us);
                        }
                    }
                    2 | 3 if held.len() < 3 => {
                        let Some(lease) = queue.take(now_us) else { continue };
                        takes_in_all += 1;
                        let waited_us = now_us - waits.remove(&lease.position).expect("it waited");
                        aged_takes += u64::from(waited_us > AGES_US);
                        taken_since.remove(&lease.position);
                        for (&other, &since_us) in &waits {
                            if now_us - since_us > AGES_US {
                                let count = taken_since.entry(other).or_default().entry(lease.position).or_default();
                                *count += 1;
                                assert!(*count < 2, "{} twice while {other} waits, seed {seed}", lease.position);
                            }
                        }
                        held.push(lease);
                    }
                    _ if !held.is_empty() => {
                        let lease = held.swap_remove(draw.below(held.len() as u64) as usize);
                        match draw.below(3) {
                            0 => {
                                queue.put_back(lease, now_us);
                                waits.insert(lease.position, now_us);
                            }
                            1 => {
                                version += 1;
                                queue.settled(lease, version, now_us);
                                version += 1;
                                // Half of them have been late again meanwhile.
                                let left = (draw.below(2) == 0).then(|| head(version, 1));
                                if queue.corrected(lease.position, left, now_us) {
                                    waits.insert(lease.position, now_us);
                                }
                            }
                            _ => {
                                version += 1;
                                queue.corrected(lease.position, None, now_us);
                                queue.put_back(lease, now_us);
                                assert_eq!(queue.head(lease), None);
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    println!("{takes_in_all} takes, {aged_takes} of them aged");
    assert!(aged_takes > 1_000);
}

/// A position whose turn ended without a correction, because it traded meanwhile, began to wait anew: behind all that is newer, for the whole service level
/// a second time. So in a burst some were PROVISIONAL for longer than they may be, although workers had had them in time.
#[test]
fn a_turn_without_a_correction_loses_no_claim() {
    let mut queue = queue(Order::NewestFirst);
    queue.seen(1, head(1, 1), 0);
    let lease = queue.take(AGES_US + 5).expect("one");
    queue.seen(2, head(1, 1), AGES_US + 6);
    queue.seen(3, head(1, 1), AGES_US + 6);
    queue.put_back(lease, AGES_US + 10);
    assert_eq!(queue.take(AGES_US + 11).map(|lease| lease.position), Some(1), "before the newer ones");

    // One that goes on like that does not keep the others waiting: its turns become rarer, down to those of a new one.
    let (mut now_us, mut turns) = (10 * LEVEL_US, Vec::new());
    let mut busy = self::queue(Order::NewestFirst);
    busy.seen(1, head(1, 1), 0);
    for round in 0..6 * AGES_US / 10 {
        busy.seen(100 + round as u32, head(1, 1), now_us);
        let lease = busy.take(now_us).expect("one");
        if lease.position == 1 {
            turns.push(now_us);
            busy.put_back(lease, now_us);
        } else {
            busy.corrected(lease.position, None, now_us);
        }
        now_us += 10;
    }
    let waits: Vec<u64> = turns.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() > 6 && waits.is_sorted(), "{waits:?}");
    assert!(waits[0] <= 20 && waits.last().is_some_and(|last| *last >= AGES_US), "{waits:?}");
}

#[test]
fn breaches_are_counted_once_and_end_with_the_correction() {
    let mut queue = queue(Order::NewestFirst);
    queue.seen(1, head(1, 1), 0);
    queue.seen(2, head(1, 1), 500);
    assert_eq!(queue.note_breaches(LEVEL_US), 0);
    assert_eq!(queue.note_breaches(LEVEL_US + 1), 1);
    // A worker that has it does not change for how long it has been PROVISIONAL; nor do further late changes.
    let lease = queue.take(LEVEL_US + 2).expect("one");
    queue.seen(2, head(2, 2), LEVEL_US + 3);
    let status = queue.status(LEVEL_US + 501);
    assert_eq!((status.overdue, status.breaches, status.oldest_us), (2, 2, LEVEL_US + 501));
    queue.settled(lease, 2, LEVEL_US + 600);
    queue.corrected(1, None, LEVEL_US + 600);
    // What is left began with the correction.
    queue.corrected(2, Some(head(3, 1)), LEVEL_US + 600);
    let status = queue.status(LEVEL_US + 700);
    assert_eq!((status.positions, status.overdue, status.breaches, status.oldest_us), (1, 0, 2, 100));
}

/// 5, 3 and for ever; each wait about twice the last one, within a fifth.
#[test]
fn stages_are_retried_as_often_as_they_may_be() {
    for stage in Stage::ALL {
        let mut queue = queue(Order::OldestFirst);
        queue.seen(7, head(3, 1), 0);
        let mut now_us = 0;
        for failure in 1..=60u32 {
            let lease = queue.take(now_us).expect("its time has come");
            assert!(queue.take(now_us).is_none());
            let is_dead = queue.failed(lease, stage, format!("failure {failure}"), false, now_us);
            assert_eq!(is_dead, stage.retries().is_some_and(|retries| failure == retries + 1), "{stage:?} {failure}");
            if is_dead {
                break;
            }
            let until_us = queue.next_us().expect("a backoff");
            let plain_us = (BASE_US << (failure - 1).min(40)).min(COLD_RETRY_MAX_US);
            let wait_us = until_us - now_us;
            assert!((plain_us * 4 / 5..=plain_us * 6 / 5).contains(&wait_us), "{stage:?} {failure}: {wait_us}");
            assert!(queue.take(until_us - 1).is_none());
            now_us = until_us;
        }
        let letters: Vec<_> = queue.dead_letters().cloned().collect();
        let Some(retries) = stage.retries() else {
            assert_eq!(letters, []);
            continue;
        };
        assert_eq!((letters.len(), letters[0].version, letters[0].stage), (1, 3, stage));
        assert_eq!(letters[0].error, format!("failure {}", retries + 1));
        assert_eq!(queue.len(), 1, "a dead letter is a PROVISIONAL position");
        // A person tries it again, and it has all its retries anew.
        assert_eq!((queue.retry(Some(8), now_us), queue.retry(Some(7), now_us), queue.retry(None, now_us)), (0, 1, 0));
        let lease = queue.take(now_us).expect("tried again");
        assert!(!queue.failed(lease, stage, String::new(), false, now_us));
    }
}

#[test]
fn what_comes_later_revives_a_dead_letter() {
    let mut queue = queue(Order::NewestFirst);
    queue.seen(1, head(3, 1), 0);
    let mut now_us = 0;
    while queue.dead_letters().len() == 0 {
        now_us += 10 * COLD_RETRY_MAX_US;
        let lease = queue.take(now_us).expect("its time has come");
        queue.failed(lease, Stage::Replay, "no".into(), true, now_us);
    }
    assert!(!queue.seen(1, head(3, 1), now_us), "the same version");
    assert_eq!(queue.dead_letters().len(), 1);
    assert!(queue.seen(1, head(4, 1), now_us));
    assert_eq!(queue.dead_letters().len(), 0);
    assert_eq!(queue.retry_unread(now_us), 0);
    assert!(queue.take(now_us).is_some());
}

#[test]
fn who_lost_its_lease_is_not_heard() {
    let mut queue = queue(Order::NewestFirst);
    queue.seen(1, head(1, 1), 0);
    let hung = queue.take(10).expect("one");
    assert!(queue.expire(100, 110).is_empty());
    assert_eq!(queue.expire(100, 111), [1]);
    assert_eq!(queue.head(hung), None);
    let other = queue.take(120).expect("given to another");
    queue.settled(hung, 9, 130);
    queue.put_back(hung, 130);
    assert!(!queue.failed(hung, Stage::Load, String::new(), false, 130));
    assert_eq!((queue.busy(), queue.head(other).is_some()), (1, true));
    assert!(queue.take(140).is_none());
    queue.settled(other, 2, 150);
    assert!(queue.take(160).is_none(), "the follower has not seen its correction");
    queue.corrected(1, None, 170);
    assert!(queue.is_empty());
}

/// A correction was accepted, and a late trade came right behind it: whichever the queue hears of first.
#[test]
fn a_late_trade_behind_the_correction_is_served() {
    let mut follower_first = queue(Order::NewestFirst);
    follower_first.seen(1, head(1, 1), 0);
    let lease = follower_first.take(1).expect("one");
    follower_first.corrected(1, None, 2);
    assert!(follower_first.seen(1, head(3, 1), 3));
    follower_first.settled(lease, 2, 4);
    assert!(follower_first.take(5).is_some());

    let mut worker_first = queue(Order::NewestFirst);
    worker_first.seen(1, head(1, 1), 0);
    let lease = worker_first.take(1).expect("one");
    worker_first.settled(lease, 2, 2);
    worker_first.corrected(1, None, 3);
    assert!(worker_first.seen(1, head(3, 1), 4));
    assert!(worker_first.take(5).is_some());

    let mut seen_before_both = queue(Order::NewestFirst);
    seen_before_both.seen(1, head(1, 1), 0);
    let lease = seen_before_both.take(1).expect("one");
    seen_before_both.seen(1, head(4, 2), 2);
    seen_before_both.settled(lease, 2, 3);
    assert!(seen_before_both.take(5).is_some());
}

#[test]
fn a_hundred_thousand_wait_in_order() {
    let mut queue = queue(Order::NewestFirst);
    let count = 100_000;
    for position in 0..count {
        let level = queue.level();
        queue.seen(position, head(1, 1), u64::from(position));
        let len = position as usize + 1;
        assert!(queue.level() >= level);
        let wanted = if len < COLD_ALERT {
            Level::Calm
        } else if len < COLD_CRITICAL {
            Level::Alert
        } else {
            Level::Critical
        };
        assert_eq!(queue.level(), wanted);
    }
    // Nobody is overdue yet: the newest come first. Then the oldest do.
    let now_us = u64::from(count);
    let mut served = Vec::new();
    for _ in 0..500 {
        served.push(queue.take(now_us - u64::from(count) + AGES_US).expect("one").position);
    }
    assert!(served.iter().copied().eq((count - 500..count).rev()));
    assert_eq!(queue.take(now_us).map(|lease| lease.position), Some(0));
    assert_eq!(drain(&mut queue, 10 * now_us).len(), count as usize - 501);
    let status = queue.status(10 * now_us);
    assert_eq!((status.busy, status.overdue), (count as usize, count as usize));
}
