//! Every bit of a record is guarded: flipped on the disk, whatever it is, the record is no longer read.

use std::path::Path;
use std::sync::Arc;

use lotbook_wal::sim::{SimDisk, Stop, open_stepped};
use lotbook_wal::{Group, HEAD_BYTES, LogConfig, RecordMeta, open_read_only_on};

/// Records whose last bytes are zeros, so that a length that is off by a little still covers the same bytes.
const PAYLOADS: [usize; 3] = [5, 8, 21];

/// Flips all bits of each of some records, one at a time, and reads the log from outside.
pub(crate) fn every_bit_of_a_record() -> Result<(), String> {
    let disk = SimDisk::new(7);
    let dir = Path::new("/data/log");
    let config = LogConfig { segment_bytes: 128 << 10, tail_blocks: 4, ..LogConfig::new(dir) };
    let mut opened = open_stepped(config, Arc::new(disk.clone())).map_err(|e| e.to_string())?;
    let mut places = Vec::new();
    for length in PAYLOADS {
        let meta = RecordMeta { group: Group::Single, ..RecordMeta::single(3) };
        let at = opened.appender.append(&meta, length, |out| {
            out.fill(0);
            out[0] = 1;
        });
        places.push((at.map_err(|e| e.to_string())?, (64 + length).next_multiple_of(8) as u64));
    }
    opened.close(0).map_err(|e| e.to_string())?;
    disk.restart(Stop::Kill);
    let segment = dir.join("seg-0000000000000000.lotlog");
    // Opened once more, so that all of it lies in the stream area and nothing in a slot.
    let config = LogConfig { segment_bytes: 128 << 10, tail_blocks: 4, ..LogConfig::new(dir) };
    drop(open_stepped(config, Arc::new(disk.clone())).map_err(|e| e.to_string())?);
    disk.restart(Stop::Kill);
    let read = || -> Result<u64, String> {
        let mut log = open_read_only_on(dir, Arc::new(disk.clone())).map_err(|e| e.to_string())?;
        let mut last = 0;
        while let Some(record) = log.next().map_err(|e| e.to_string())? {
            last = record.header.sequence;
        }
        Ok(last)
    };
    let whole = read()?;
    for (at, length) in places {
        let offset = HEAD_BYTES as u64 + at.address;
        let bytes = disk.hand().read(&segment).unwrap()[offset as usize..(offset + length) as usize].to_vec();
        for bit in 0..bytes.len() * 8 {
            disk.hand().poke(&segment, offset + bit as u64 / 8, &[bytes[bit / 8] ^ (1 << (bit % 8))]);
            let last = read()?;
            if last >= at.sequence {
                return Err(format!("bit {bit} of {at:?} is flipped, and all up to {last} of {whole} is read"));
            }
            disk.hand().poke(&segment, offset + bit as u64 / 8, &[bytes[bit / 8]]);
        }
        if read()? != whole {
            return Err("flipped back, and not whole again".into());
        }
    }
    Ok(())
}

#[test]
fn every_bit_of_a_record_is_guarded() {
    every_bit_of_a_record().unwrap();
}
