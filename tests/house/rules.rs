//! Rules of a house, one by one: its directory, its ids, its refusals, its statuses, one door among several.

use lotbook_core::action_input::ActionKind;
use lotbook_core::event::{Class, Reason};
use lotbook_core::position::Reconciliation;
use lotbook_engine::{House, StartError, Status};

use crate::desk::{Desk, config, shown};
use crate::lines::Line;

fn bought(id: u32, account: u64, instrument: u64, quantity: i64, day: i32) -> Line {
    Line::Trade { id, account, instrument, is_sale: false, quantity, price: 10, day }
}

fn cancel(id: u32, of: &str) -> Line {
    Line::Amend { id, of: of.to_owned(), quantity: None, account: None }
}

fn desk(dir: &tempfile::TempDir) -> Desk {
    let mut desk = Desk::open(&config(dir.path()), 4);
    for account in 0..6 {
        let method = lotbook_core::LotMethod::Fifo;
        assert_eq!(desk.ask(&Line::Contract { account, method, day: 0 }).0, Status::Done);
    }
    desk
}

fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Two accounts whose positions in instrument 0 are on different shards.
fn apart(desk: &mut Desk) -> (u64, u64) {
    let shard = |desk: &mut Desk, account: u64| {
        desk.send(&bought(900 + account as u32, account, 0, 1, 1));
        let answer = desk.answer();
        assert_eq!(answer.status, Status::Trade(Class::Applied));
        answer.shard
    };
    let first = shard(desk, 0);
    let other = (1..6).find(|account| shard(desk, *account) != first).expect("four shards have more than one of six");
    (0, other)
}

fn told(desk: &mut Desk, line: &Line) -> (Class, Reason) {
    match desk.ask(line) {
        (Status::Trade(class) | Status::Action(class), reason) => (class, reason),
        other => panic!("{line:?}: {other:?}"),
    }
}

fn row(desk: &mut Desk, account: u64, instrument: u64) -> String {
    let name = format!("A{account}/I{instrument} ");
    desk.positions().iter().map(|view| shown(view)).find(|row| row.starts_with(&name)).unwrap_or_default()
}

#[test]
fn the_number_of_shards_is_fixed_when_a_directory_is_made() {
    let refused = |config: &lotbook_engine::EngineConfig, shards: u16| match House::start(config, shards) {
        Err(StartError::Layout { what, .. }) => what,
        other => panic!("{shards} shards: {other:?}"),
    };
    let dir = place();
    let of_four = config(dir.path());
    House::start(&of_four, 4).expect("a new directory").stop().expect("a clean end");
    for shards in [1, 2, 8] {
        assert!(refused(&of_four, shards).starts_with("made for 4 shards, opened for"), "{shards}");
    }
    let alone = lotbook_engine::Host::start(&of_four);
    assert!(matches!(alone, Err(StartError::Layout { .. })), "{alone:?}");
    House::start(&of_four, 4).expect("the same number").stop().expect("a clean end");
    let dir = place();
    let of_one = config(dir.path());
    lotbook_engine::Host::start(&of_one).expect("a new directory").stop().expect("a clean end");
    assert_eq!(
        refused(&of_one, 2),
        "made for one shard, opened for 2 shards: the number of shards is fixed when a directory is made"
    );
    House::start(&of_one, 1).expect("a house of one is one host").stop().expect("a clean end");
}

#[test]
fn an_id_is_of_the_whole_house() {
    let dir = place();
    let mut desk = desk(&dir);
    let (here, there) = apart(&mut desk);
    assert_eq!(told(&mut desk, &bought(1, here, 0, 5, 2)), (Class::Applied, Reason::None));
    assert_eq!(told(&mut desk, &bought(1, here, 0, 5, 2)), (Class::Duplicate, Reason::None));
    assert_eq!(told(&mut desk, &bought(1, there, 0, 5, 2)), (Class::Rejected, Reason::IdConflict));
    assert_eq!(told(&mut desk, &cancel(1, "t900")), (Class::Rejected, Reason::IdConflict));
    // All at once: whoever comes first has it, and what was refused leaves the id to the next.
    for _ in 0..50 {
        desk.send(&Line::Transfer { id: 2, account: here, to: there, instrument: 0, quantity: 99, day: 2 });
        desk.send(&Line::Transfer { id: 2, account: there, to: here, instrument: 0, quantity: 99, day: 2 });
    }
    for _ in 0..100 {
        assert_eq!(desk.answer().reason, Reason::NotHeld);
    }
    desk.send(&bought(2, there, 0, 5, 2));
    desk.send(&bought(2, here, 0, 5, 2));
    assert_eq!(desk.answer().status, Status::Trade(Class::Applied));
    assert_eq!(desk.answer().reason, Reason::IdConflict);
    // An action has its id on all shards.
    let split = Line::Action { id: 3, kind: ActionKind::Split, instrument: 1, to: 2, terms: (2, 1), day: 3 };
    assert_eq!(told(&mut desk, &split), (Class::Applied, Reason::None));
    assert_eq!(told(&mut desk, &split), (Class::Duplicate, Reason::None));
    for account in [here, there] {
        assert_eq!(told(&mut desk, &bought(3, account, 0, 5, 2)), (Class::Rejected, Reason::IdConflict));
    }
    let taken = Line::Action { id: 2, kind: ActionKind::Split, instrument: 1, to: 2, terms: (2, 1), day: 3 };
    assert_eq!(told(&mut desk, &taken), (Class::Rejected, Reason::IdConflict));
    // And after a kill all the same.
    desk.kill();
    desk.start(crate::desk::Trap::never());
    assert_eq!(told(&mut desk, &bought(1, there, 0, 5, 2)), (Class::Rejected, Reason::IdConflict));
    assert_eq!(told(&mut desk, &bought(2, there, 0, 5, 2)), (Class::Duplicate, Reason::None));
    assert_eq!(told(&mut desk, &bought(3, here, 0, 5, 2)), (Class::Rejected, Reason::IdConflict));
    desk.stop();
}

#[test]
fn two_doors_claim_one_id() {
    let dir = place();
    let mut desk = desk(&dir);
    let (here, there) = apart(&mut desk);
    let commands = [bought(7, here, 0, 5, 2), bought(7, there, 0, 5, 2)].map(|line| desk.command(&line));
    let mut doors: Vec<_> = (0..2).map(|_| desk.house().open_door().expect("another door")).collect();
    for (door, command) in doors.iter_mut().zip(commands) {
        let origin = lotbook_core::command::Origin::INTERNAL;
        door.submit(lotbook_engine::Request { token: 1, origin, command }).expect("room");
    }
    let mut classes = Vec::new();
    let deadline = std::time::Instant::now() + lotbook_tests::rig::PATIENCE;
    while classes.len() < 2 {
        classes.extend(doors.iter_mut().filter_map(lotbook_engine::house::HouseDoor::poll).map(|answer| answer.status));
        assert!(std::time::Instant::now() < deadline, "{classes:?}");
        lotbook_engine::wait::nap();
    }
    classes.sort_by_key(|status| *status != Status::Trade(Class::Applied));
    assert_eq!(classes, [Status::Trade(Class::Applied), Status::Trade(Class::Rejected)]);
    drop(doors);
    desk.stop();
}

#[test]
fn a_lock_is_granted_by_all_or_by_none() {
    let dir = place();
    let mut desk = desk(&dir);
    let (here, there) = apart(&mut desk);
    desk.ask(&bought(1, here, 0, 5, 6));
    desk.ask(&bought(2, there, 0, 5, 6));
    desk.house().hosts().for_each(|host| host.coldpath().pause());
    assert_eq!(told(&mut desk, &bought(3, there, 0, 5, 2)).0, Class::Provisional);
    // For all accounts: one shard has a position that waits.
    let all =
        lotbook_core::wide_event::LockInput { account: lotbook_core::id::NO_NAME, through: lotbook_core::Date(3) };
    desk.send_command(lotbook_core::command::Command::PeriodLock(all));
    let answer = desk.answer();
    assert_eq!((answer.status, answer.reason), (Status::Refused, Reason::NotReconciled));
    assert_eq!(told(&mut desk, &bought(4, here, 0, 5, 2)).0, Class::Provisional, "nothing was locked anywhere");
    desk.house().hosts().for_each(|host| host.coldpath().resume());
    assert!(desk.settle());
    desk.send_command(lotbook_core::command::Command::PeriodLock(all));
    assert_eq!(desk.answer().status, Status::Done);
    for (id, account) in [(5, here), (6, there)] {
        assert_eq!(told(&mut desk, &bought(id, account, 0, 5, 2)), (Class::Rejected, Reason::PeriodLocked));
    }
    // An action in closed days is refused by the shards that have positions in it, hence by all.
    let split = Line::Action { id: 7, kind: ActionKind::Split, instrument: 0, to: 1, terms: (2, 1), day: 2 };
    assert_eq!(told(&mut desk, &split), (Class::Rejected, Reason::PeriodLocked));
    desk.stop();
}

#[test]
fn a_status_reaches_across_shards() {
    let dir = place();
    let mut desk = desk(&dir);
    let (here, there) = apart(&mut desk);
    desk.ask(&bought(1, here, 0, 9, 3));
    assert_eq!(
        told(&mut desk, &Line::Transfer { id: 2, account: here, to: there, instrument: 0, quantity: 8, day: 5 }).0,
        Class::Applied
    );
    assert!(desk.settle());
    let at = |desk: &mut Desk, account: u64| {
        let name = format!("A{account}");
        let views = desk.positions();
        let view = views.iter().find(|view| *view.account == *name && &*view.instrument == "I0").expect("a position");
        (view.reconciliation, view.quantity_e8 / crate::lines::E8)
    };
    assert_eq!(at(&mut desk, there), (Reconciliation::Reconciled, 9));
    // The source is late, and nobody replays it: what came of it is no more certain than the source.
    desk.house().hosts().for_each(|host| host.coldpath().pause());
    assert_eq!(told(&mut desk, &bought(3, here, 0, 4, 2)).0, Class::Provisional);
    assert!(desk.house().wait_published(lotbook_tests::rig::PATIENCE));
    assert_eq!(at(&mut desk, here).0, Reconciliation::Provisional);
    assert_eq!(at(&mut desk, there).0, Reconciliation::Provisional);
    desk.house().hosts().for_each(|host| host.coldpath().resume());
    assert!(desk.settle());
    assert_eq!(at(&mut desk, here).0, Reconciliation::Reconciled);
    assert_eq!(at(&mut desk, there), (Reconciliation::Reconciled, 9));
    // Lots that came from there have the ids of the trades that opened them here.
    let row = row(&mut desk, there, 0);
    assert!(row.contains("\"t3:400000000@"), "{row}");
    desk.stop();
}

#[test]
fn a_held_amendment_moves_to_its_target() {
    let dir = place();
    let mut desk = desk(&dir);
    let (here, there) = apart(&mut desk);
    assert!(desk.settle());
    let before = (row(&mut desk, here, 0), row(&mut desk, there, 0));
    // Whichever shard holds them, one of each two targets is elsewhere.
    for id in 0..6 {
        assert_eq!(told(&mut desk, &cancel(100 + id, &format!("t{}", 200 + id))).0, Class::Held);
        assert_eq!(told(&mut desk, &cancel(100 + id, &format!("t{}", 200 + id))).0, Class::Duplicate);
    }
    // One of them is cancelled before anything came.
    assert_eq!(told(&mut desk, &cancel(150, "t105")).0, Class::Held);
    for id in 0..6 {
        let account = if id % 2 == 0 { here } else { there };
        assert_eq!(told(&mut desk, &bought(200 + id, account, 0, 5, 4)).0, Class::Applied);
    }
    assert!(desk.settle());
    assert_eq!(row(&mut desk, here, 0), before.0);
    let row = row(&mut desk, there, 0);
    assert!(row.contains("t205:500000000@"), "its cancel was cancelled: {row}");
    assert_eq!(desk.house().hosts().map(|host| host.model().held().len()).sum::<usize>(), 0);
    assert_eq!(told(&mut desk, &cancel(100, "t200")).0, Class::Duplicate);
    desk.stop();
}

#[test]
fn an_amendment_of_an_action_is_of_all_shards() {
    let dir = place();
    let mut desk = desk(&dir);
    let (here, there) = apart(&mut desk);
    assert!(desk.settle());
    let before = (row(&mut desk, here, 0), row(&mut desk, there, 0));
    let split = |id: u32| Line::Action { id, kind: ActionKind::Split, instrument: 0, to: 1, terms: (2, 1), day: 5 };
    // After it, and before it.
    assert_eq!(told(&mut desk, &split(1)).0, Class::Applied);
    assert!(desk.settle());
    assert_ne!(row(&mut desk, there, 0), before.1);
    assert_eq!(told(&mut desk, &cancel(2, "t1")).0, Class::Applied);
    assert_eq!(told(&mut desk, &cancel(4, "t3")).0, Class::Held);
    assert_eq!(told(&mut desk, &split(3)).0, Class::Applied);
    assert!(desk.settle());
    assert_eq!((row(&mut desk, here, 0), row(&mut desk, there, 0)), before);
    assert_eq!(told(&mut desk, &cancel(4, "t3")).0, Class::Duplicate);
    assert_eq!(told(&mut desk, &cancel(2, "t1")).0, Class::Duplicate);
    desk.kill();
    desk.start(crate::desk::Trap::never());
    assert!(desk.settle());
    assert_eq!((row(&mut desk, here, 0), row(&mut desk, there, 0)), before);
    desk.stop();
}
