//! The tail file between `kill -9` and restart: deleted, cut, flipped, swapped. Each ends in its row of the recovery table.
//!
//! The victim is a real process whose disk stood still: what it answered last lies in the tail alone.

use std::path::PathBuf;

use lotbook_wal::{CHUNK_BYTES, Limit, OpenError, OpenReport, RecordHeader};

use crate::support::victim::{Orders, Victim};
use crate::support::{Files, Place, Random, count, read_back};

/// Durable records of the user, and records that only the tail has. The epoch's first record is the log's own.
const ON_DISK: u64 = 40;
const IN_TAIL: u64 = 30;
const DISK_END: u64 = ON_DISK + 1;
const ALL: u64 = ON_DISK + IN_TAIL + 1;

/// `docs/wal-format.md`, "The tail".
const IDENTITY: u64 = 80;
const PUBLISHED: u64 = 128;
const DIRECTORY: u64 = 4_096;
const BLOCKS: u64 = 8_192;

struct Killed {
    place: Place,
    files: Files,
    tail: PathBuf,
    image: Vec<u8>,
    headers: Vec<RecordHeader>,
}

fn killed() -> Killed {
    let place = Place::in_memory();
    let orders = Orders { stalled: Some(IN_TAIL), ..Orders::burst(place.root(), ON_DISK) };
    let mut victim = Victim::start(&orders);
    assert!(victim.listen(|said| said.line("stalled").is_some()), "{:?}", victim.said());
    let said = victim.kill();
    assert_eq!((said.applied, said.durable), (ALL, DISK_END));
    let tail = place.tail_file().unwrap();
    // The whole story, to know where each record lies: what opening makes of the untouched files.
    let (files, image) = (place.files(), std::fs::read(&tail).unwrap());
    let opened = place.open();
    assert_eq!(opened.report.row, 'I', "{:?}", opened.report);
    opened.appender.abandon();
    let headers = crate::support::headers(&place.dir());
    Killed { place, files, tail, image, headers }
}

impl Killed {
    fn open_with(&self, tail: Option<&[u8]>) -> Result<OpenReport, OpenError> {
        self.place.restore(&self.files);
        match tail {
            Some(bytes) => std::fs::write(&self.tail, bytes).unwrap(),
            None => std::fs::remove_file(&self.tail).unwrap(),
        }
        let opened = self.place.try_open().inspect_err(|_| {
            assert!(self.place.files() == self.files, "a refusal leaves every file as it was");
            assert!(std::fs::read(&self.tail).ok().as_deref() == tail, "the tail file too");
        })?;
        let users = read_back(&opened.log, Limit::Durable);
        assert_eq!(users.last().copied(), Some(opened.report.next_sequence - 2), "{:?}", opened.report);
        let report = opened.report.clone();
        opened.appender.abandon();
        Ok(report)
    }

    fn end_of(&self, sequence: u64) -> u64 {
        self.headers[sequence as usize - 1].end_address()
    }
}

/// A row, the last record that is kept, and from where answers may be lost.
type Fate = (char, u64, Option<u64>);

const WHOLE: Fate = ('I', ALL, None);
const GONE: Fate = ('J', DISK_END, Some(DISK_END + 1));

#[track_caller]
fn check(name: &str, result: Result<OpenReport, OpenError>, fate: Fate) {
    let found = match result {
        // The epoch start has taken one more.
        Ok(report) => (report.row, report.next_sequence - 2, report.lost_from_sequence),
        Err(OpenError::TailForeign { .. }) => ('B', 0, None),
        Err(OpenError::TailDiffers { .. }) => ('C', 0, None),
        Err(OpenError::TailGap { sequence, .. }) => ('D', sequence - 1, None),
        Err(e) => panic!("{name}: {e}"),
    };
    assert_eq!(found, fate, "{name}");
}

#[test]
fn a_tail_file_deleted_cut_or_swapped_ends_in_its_row() {
    let killed = killed();
    let image = &killed.image;
    check("left alone", killed.open_with(Some(image)), WHOLE);
    check("deleted", killed.open_with(None), GONE);
    let mut random = Random::seeded("lengths of a cut tail file", 34);
    let mut lengths = vec![0, 1, 79, 80, 4_095, 4_096, 8_191, 8_192, image.len() - 1];
    lengths.extend((0..count(10, 300)).map(|_| random.below(image.len() as u64) as usize));
    for length in &lengths {
        check(&format!("cut to {length}"), killed.open_with(Some(&image[..*length])), GONE);
    }
    check("longer", killed.open_with(Some(&[&image[..], &[0]].concat())), GONE);
    check("zeros", killed.open_with(Some(&vec![0; image.len()])), GONE);
    // Another host's: its log, its records.
    let other = Place::in_memory();
    let mut opened = other.open();
    crate::support::append_many(&mut opened.appender, ON_DISK + IN_TAIL);
    opened.appender.abandon();
    let foreign = std::fs::read(other.tail_file().unwrap()).unwrap();
    check("another host's", killed.open_with(Some(&foreign)), ('B', 0, None));
    println!("{} lengths, and the file deleted, grown, emptied, zeroed, swapped: each in its row", lengths.len());
}

/// What one flipped bit of the tail file must lead to.
fn fate_of_flip(killed: &Killed, at: u64, bit: u8) -> Fate {
    let (disk_end, published) = (killed.end_of(DISK_END), killed.end_of(ALL));
    match at {
        0..IDENTITY => GONE,
        PUBLISHED..136 => {
            let says = published ^ (1 << ((at - PUBLISHED) * 8 + u64::from(bit)));
            match says {
                // Behind the disk: a file that proves nothing.
                _ if says < disk_end => GONE,
                // What follows what it calls published is whole all the same.
                _ if says <= published => WHOLE,
                // It promises a block that is not there: only durable ones are ever given back, and this one is not on disk.
                _ => ('D', ALL, None),
            }
        }
        // The block claims to be the very next one: it is looked into there, and does not go on.
        _ if (at, bit) == (DIRECTORY + 2, 0) => ('N', DISK_END, Some(DISK_END + 1)),
        // The one block in use is no longer where the next record is looked for.
        _ if (DIRECTORY..DIRECTORY + 8).contains(&at) => ('D', DISK_END, None),
        _ if (BLOCKS..BLOCKS + CHUNK_BYTES as u64).contains(&at) => {
            let address = at - BLOCKS;
            match address {
                // Disk and tail hold it both.
                _ if address < disk_end => ('C', 0, None),
                _ if address < published => {
                    let touched = killed.headers.iter().find(|h| h.end_address() > address).unwrap().sequence;
                    ('N', touched - 1, Some(touched))
                }
                _ => WHOLE,
            }
        }
        // Zeros of the first page, the published sequence (the address counts), generations, blocks not in use.
        _ => WHOLE,
    }
}

#[test]
fn a_bit_flipped_anywhere_in_the_tail_file_ends_in_its_row() {
    let killed = killed();
    let used = BLOCKS + killed.end_of(ALL) + 200;
    let seeded = Random::seeded("flips in the tail file", 35);
    let rounds = count(150, 5_000) as u64;
    let mut rows = std::collections::BTreeMap::new();
    for round in 0..rounds {
        let mut random = seeded.round(round);
        // The small places as often as the large ones.
        let at = match round % 6 {
            0 => random.below(IDENTITY),
            1 => PUBLISHED + random.below(8),
            2 => DIRECTORY + random.below(8 * 16),
            3 => random.below(killed.image.len() as u64),
            _ => BLOCKS + random.below(used - BLOCKS),
        };
        let bit = random.below(8) as u8;
        let mut image = killed.image.clone();
        image[at as usize] ^= 1 << bit;
        let fate = fate_of_flip(&killed, at, bit);
        check(&format!("bit {bit} of byte {at}"), killed.open_with(Some(&image)), fate);
        *rows.entry(fate.0).or_insert(0) += 1;
    }
    println!("{rounds} flips of the tail file, each in its row: {rows:?}");
    assert_eq!(rows.keys().copied().collect::<String>(), "CDIJN");
}
