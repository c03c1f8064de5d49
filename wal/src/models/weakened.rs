//! Every ordering that has a name is weakened once, and the model that watches it must fail.
//!
//! Each runs in a process of its own: this program again, told which to weaken. `docs/wal-testing.md` holds the table.

use std::collections::BTreeSet;
use std::process::Command;

/// The name of an ordering and the model that watches it.
const WATCHED: [(&str, &str); 22] = [
    ("publish.address", "publication::a_reader_sees_the_bytes_below_the_published_address"),
    ("publish.sequence", "publication::a_published_address_covers_the_sequence_and_the_bytes"),
    ("published.address", "publication::a_reader_sees_the_bytes_below_the_published_address"),
    ("published.sequence", "publication::a_published_address_covers_the_sequence_and_the_bytes"),
    ("reserve.head", "blocks::a_block_is_taken_again_only_when_it_was_given_back"),
    ("reserve.retry", "blocks::a_block_is_taken_again_only_when_it_was_given_back"),
    ("free.push", "blocks::a_block_is_taken_again_only_when_it_was_given_back"),
    ("has-free.head", "blocks::room_that_was_promised_is_there"),
    ("assign.fence", "blocks::a_reader_never_takes_new_bytes_for_old"),
    ("assign.generation", "blocks::a_reader_never_takes_new_bytes_for_old"),
    ("copy.generation", "blocks::a_reader_never_takes_new_bytes_for_old"),
    ("copy.fence", "blocks::a_reader_never_takes_new_bytes_for_old"),
    ("durable.store-address", "durability::who_sees_the_durable_address_may_read_the_segment"),
    ("durable.load-address", "durability::who_sees_the_durable_address_may_read_the_segment"),
    ("durable.store-sequence", "durability::the_durable_address_covers_the_sequence"),
    ("durable.load-sequence", "durability::the_durable_address_covers_the_sequence"),
    ("wait.fence", "durability::who_waits_is_woken"),
    ("wake.fence", "durability::who_waits_is_woken"),
    ("room.store-end", "handover::a_segment_that_there_is_room_in_was_made"),
    ("room.load-end", "handover::a_segment_that_there_is_room_in_was_made"),
    ("stop.tell", "handover::who_is_told_to_finish_sees_everything_published"),
    ("stop.told", "handover::who_is_told_to_finish_sees_everything_published"),
];

/// The files whose threads meet.
const SOURCES: [&str; 4] = [
    include_str!("../tail.rs"),
    include_str!("../durability.rs"),
    include_str!("../room.rs"),
    include_str!("../stop.rs"),
];

#[test]
fn every_ordering_that_has_a_name_is_watched() {
    let named: BTreeSet<&str> = SOURCES
        .iter()
        .flat_map(|source| source.split("order!(\"").skip(1).chain(source.split("fence!(\"").skip(1)))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let watched: BTreeSet<&str> = WATCHED.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, watched);
    for source in SOURCES {
        for strong in ["Ordering::Acquire", "Ordering::Release", "Ordering::AcqRel", "Ordering::SeqCst"] {
            assert!(!source.contains(strong), "{strong} has no name");
        }
    }
}

#[test]
fn a_weakened_ordering_makes_its_model_fail() {
    let page = include_str!("../../../docs/wal-testing.md");
    let exe = std::env::current_exe().expect("the path of this program");
    let run = |name: &str, model: &str| {
        let mut command = Command::new(&exe);
        command.args(["--exact", &format!("models::{model}"), "--test-threads", "1"]).env("LOTBOOK_WEAKEN", name);
        let output = command.output().expect("this program runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("running 1 test"), "no model {model}");
        output.status.success()
    };
    let mut unnoticed = Vec::new();
    for (name, model) in WATCHED {
        assert!(run("nothing", model), "{model} fails as it is");
        if run(name, model) {
            unnoticed.push(name);
        }
        assert!(page.contains(&format!("| `{name}` |")), "docs/wal-testing.md does not list {name}");
    }
    println!("{} orderings weakened one by one, {} noticed", WATCHED.len(), WATCHED.len() - unnoticed.len());
    assert_eq!(unnoticed, [""; 0]);
}
