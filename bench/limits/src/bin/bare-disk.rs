//! What the device gives: reads at random places of a file, of the sizes of a set's objects, past the page cache.

use limits::client;
use limits::latency::Latencies;
use limits::serve::argument;
use limits::web::{Random, Sizes};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const USAGE: &str = "bare-disk --file PATH --bytes N --threads N --seconds N [--sizes log-uniform]
  writes the file first if it is not there
  prints: reads, bytes, seconds, and microseconds p50 and p99";

/// What O_DIRECT wants of places, lengths and memory.
const BLOCK: usize = 4096;
const O_DIRECT: i32 = if cfg!(target_arch = "aarch64") { 0o200000 } else { 0o40000 };
const WRITTEN_AT_ONCE: usize = 1 << 20;

fn main() -> io::Result<()> {
    let (path, bytes) = (argument("--file", USAGE), number("--bytes"));
    if !std::fs::exists(&path)? {
        fill(&path, bytes)?;
    }
    let file = OpenOptions::new().read(true).custom_flags(O_DIRECT).open(&path)?;
    let (sizes, all) = (Sizes::from_arguments(), Mutex::new((0, Latencies::default())));
    let (started, length) = (Instant::now(), Duration::from_secs(number("--seconds")));
    std::thread::scope(|scope| {
        let readers = (0..number("--threads")).map(|seed| {
            let (file, all) = (&file, &all);
            scope.spawn(move || read(file, bytes, sizes, Random(seed), started + length, all))
        });
        let readers: Vec<_> = readers.collect();
        readers.into_iter().try_for_each(|reader| reader.join().map_err(|_| io::Error::other("a reader broke"))?)
    })?;
    let (read, latencies) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    let [p50, p99] = [0.5, 0.99].map(|part| latencies.quantile(part).as_micros());
    println!("{} {read} {:.3} {p50} {p99}", latencies.count(), started.elapsed().as_secs_f64());
    Ok(())
}

fn number(name: &str) -> u64 {
    client::number(name, USAGE) as u64
}

/// What is only allocated is not read from the device.
fn fill(path: &str, bytes: u64) -> io::Result<()> {
    let (mut file, mut random) = (File::create(path)?, Random(1));
    let mut piece = vec![0; WRITTEN_AT_ONCE];
    for _ in 0..bytes.div_ceil(WRITTEN_AT_ONCE as u64) {
        piece.chunks_exact_mut(8).for_each(|bytes| bytes.copy_from_slice(&random.number().to_le_bytes()));
        file.write_all(&piece)?;
    }
    file.sync_all()
}

fn read(
    file: &File,
    bytes: u64,
    sizes: Sizes,
    mut random: Random,
    end: Instant,
    all: &Mutex<(u64, Latencies)>,
) -> io::Result<()> {
    let room = sizes.largest().next_multiple_of(BLOCK);
    let mut memory = vec![0; room + BLOCK];
    let first = memory.as_ptr().align_offset(BLOCK);
    let places = bytes.saturating_sub(room as u64) / BLOCK as u64 + 1;
    while Instant::now() < end {
        let size = sizes.size(random.number()).next_multiple_of(BLOCK);
        let began = Instant::now();
        file.read_exact_at(&mut memory[first..first + size], random.number() % places * BLOCK as u64)?;
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.0 += size as u64;
        all.1.add(began.elapsed());
    }
    Ok(())
}
