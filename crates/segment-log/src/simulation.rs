//! Seeded simulation of a disk that loses, tears and fails: the oracle is a plain list.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use crate::block::{self, HEADER_BYTES};
use crate::disk::{Disk, DiskFile};
use crate::recover::{RecoverError, recover};
use crate::writer::{Segments, Writer};

/// xorshift64*: enough to choose faults, and the same on every machine.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

#[derive(Debug, Clone, Default)]
struct SimFile {
    durable: Vec<u8>,
    /// Writes since the last sync, in order.
    volatile: Vec<(u64, Vec<u8>)>,
}

impl SimFile {
    fn seen(&self) -> Vec<u8> {
        let mut content = self.durable.clone();
        for (offset, data) in &self.volatile {
            put(&mut content, *offset, data);
        }
        content
    }
}

fn put(content: &mut [u8], offset: u64, data: &[u8]) {
    let at = offset as usize;
    content[at..at + data.len()].copy_from_slice(data);
}

#[derive(Debug, Default)]
struct World {
    files: BTreeMap<String, SimFile>,
    /// Operations until the power goes; `None` for ever.
    fuse: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct SimDisk(Arc<Mutex<World>>);

#[derive(Debug)]
struct SimHandle(SimDisk, String);

impl SimDisk {
    fn with<T>(&self, burn: bool, action: impl FnOnce(&mut World) -> T) -> io::Result<T> {
        let mut world = self.0.lock().expect("one thread");
        if burn && let Some(left) = &mut world.fuse {
            if *left == 0 {
                return Err(io::Error::other("the power is off"));
            }
            *left -= 1;
        }
        Ok(action(&mut world))
    }

    /// Power loss: every unsynced write survives whole, in part, or not at all, in any order.
    fn crash(&self, dice: &mut Dice) {
        let mut world = self.0.lock().expect("one thread");
        world.fuse = None;
        for file in world.files.values_mut() {
            for (offset, data) in std::mem::take(&mut file.volatile) {
                match dice.below(3) {
                    0 => put(&mut file.durable, offset, &data),
                    1 => {
                        let kept = dice.below(data.len() as u64 + 1) as usize;
                        put(&mut file.durable, offset, &data[..kept]);
                    }
                    _ => {}
                }
            }
        }
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.with(false, |world| world.files.keys().cloned().collect())
    }
    fn create(&self, name: &str, bytes: u64, _gently: bool) -> io::Result<Box<dyn DiskFile>> {
        let file = SimFile {
            durable: vec![0; bytes as usize],
            volatile: Vec::new(),
        };
        self.with(true, |world| world.files.insert(name.to_owned(), file))?;
        self.open(name)
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SimHandle(self.clone(), name.to_owned())))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(true, |world| {
            let file = world.files.remove(from).expect("the file exists");
            world.files.insert(to.to_owned(), file);
        })
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(true, |world| world.files.remove(name)).map(drop)
    }
}

impl DiskFile for SimHandle {
    fn bytes(&self) -> io::Result<u64> {
        self.0
            .with(false, |w| w.files[&self.1].durable.len() as u64)
    }
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.with(false, |world| {
            let from = offset as usize;
            into.copy_from_slice(&world.files[&self.1].seen()[from..from + into.len()]);
        })
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.with(true, |world| {
            let file = world.files.get_mut(&self.1).expect("the file exists");
            file.volatile.push((offset, data.to_vec()));
        })
    }
    fn sync(&self) -> io::Result<()> {
        self.0.with(true, |world| {
            let file = world.files.get_mut(&self.1).expect("the file exists");
            file.durable = file.seen();
            file.volatile.clear();
        })
    }
}

const SEGMENT_BYTES: u64 = 2_000;

/// The position behind each record, and the record.
type Records = Vec<(u64, Vec<u8>)>;

fn open(disk: &SimDisk) -> Result<(Writer, Arc<Segments>, Records), RecoverError> {
    let mut records = Vec::new();
    let recovered = recover(disk, &mut |end, record| {
        records.push((end, record.to_vec()));
        Ok(())
    })?;
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let segments = Segments::new(shared, SEGMENT_BYTES, &recovered)
        .map_err(|error| RecoverError::Io("take over the spares", error))?;
    let segments = Arc::new(segments);
    let writer = Writer::new(Arc::clone(&segments), recovered)
        .map_err(|error| RecoverError::Io("start the writer", error))?;
    Ok((writer, segments, records))
}

/// Several lives of one log; after each crash exactly a prefix with everything acknowledged.
fn run(seed: u64) {
    let mut dice = Dice(seed * 2 + 1);
    let disk = SimDisk::default();
    // Everything that may come back, with the position behind it.
    let mut written: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut acknowledged = 0;
    let mut freed = 0;
    for life in 0..6 {
        let opened = open(&disk);
        let (mut writer, segments, records) = match opened {
            Ok(opened) => opened,
            // The power went while the first file was made: nothing was acknowledged yet.
            Err(RecoverError::Io(..)) => {
                disk.crash(&mut dice);
                continue;
            }
            Err(error) => panic!("seed {seed}, life {life}: {error:?}"),
        };
        let first = records
            .first()
            .map_or(writer.end(), |(end, record)| end - 4 - record.len() as u64);
        assert!(
            first <= freed,
            "seed {seed}: records behind {freed} are missing from {first}"
        );
        written.retain(|(end, _)| *end > first && *end <= writer.end());
        assert!(
            records == written,
            "seed {seed}, life {life}: other records came back"
        );
        assert!(
            writer.end() >= acknowledged,
            "seed {seed}: an acknowledged record is lost"
        );

        disk.0.lock().expect("one thread").fuse = Some(dice.below(40));
        'life: for _ in 0..30 {
            let mut blocks = Vec::new();
            let mut end = writer.end();
            for _ in 0..=dice.below(3) {
                let mut one = block::new_block(64);
                for _ in 0..=dice.below(4) {
                    let record = vec![dice.below(256) as u8; dice.below(120) as usize];
                    block::push_record(&mut one, &[&record], record.len() as u32);
                    end += 4 + record.len() as u64;
                    written.push((end, record));
                }
                blocks.push(one);
            }
            match writer.flush(&mut blocks) {
                Ok(durable) => acknowledged = durable,
                Err(_) => break 'life,
            }
            if dice.below(4) == 0 {
                freed = acknowledged;
                if segments.truncate_before(freed).is_err() {
                    break 'life;
                }
            }
        }
        disk.crash(&mut dice);
    }
}

#[test]
fn acknowledged_records_survive_power_loss_at_any_operation() {
    for seed in 0..3_000 {
        run(seed);
    }
}

#[test]
fn a_changed_byte_in_an_acknowledged_record_is_refused() {
    let disk = SimDisk::default();
    let (mut writer, ..) = open(&disk).expect("opens");
    for number in 0..5_u8 {
        let mut one = block::new_block(64);
        block::push_record(&mut one, &[&[number; 50]], 50);
        writer.flush(&mut [one]).expect("flushes");
    }
    let block_bytes = HEADER_BYTES + 54;
    // The last block is left out: nothing behind it can prove that it had been acknowledged.
    for byte in 0..4 * block_bytes {
        let damaged = SimDisk::default();
        let mut files = disk.0.lock().expect("one thread").files.clone();
        let file = files.values_mut().next().expect("one segment");
        file.durable[byte] ^= 1;
        damaged.0.lock().expect("one thread").files = files;
        let error = open(&damaged).map(|_| ()).expect_err("refused");
        assert!(
            matches!(error, RecoverError::Corrupt { .. }),
            "byte {byte}: {error:?}"
        );
    }
}
