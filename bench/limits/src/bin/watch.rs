//! Wakes every half millisecond and looks how late that is. Run ahead of everything else on its core (`chrt -f 50`) it
//! is late for what the host takes away from whatever runs, and for long work of the kernel's. For how long processes
//! that have nothing to do with the measurement had a core, the kernel says itself.

use limits::latency::slot;
use limits::serve::argument;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "watch [--but-for PID], until standard input ends
  prints: `watching`; then a line for each slot of 25 ms: its number, the microseconds that the watch was late for at most,
  and those that other processes ran on any core, in it or in the one before
  --but-for PID: all processes but that one and those below it are others; without, nobody is";

/// More often would be felt: waking costs a guest some 15 microseconds.
const EVERY: Duration = Duration::from_micros(500);
/// So often in a slot at least.
const TURNS: usize = 40;

fn main() -> io::Result<()> {
    static ENDED: AtomicBool = AtomicBool::new(false);
    thread::spawn(|| {
        _ = io::stdin().read_to_end(&mut Vec::new());
        ENDED.store(true, Ordering::Relaxed);
    });
    let ours = std::env::args().any(|word| word == "--but-for").then(|| argument("--but-for", USAGE));
    let mut others = Others::but_for(ours)?;
    println!("watching");
    let mut slots = Vec::with_capacity(1 << 12);
    let (mut longest, mut ran) = (Duration::ZERO, Duration::ZERO);
    let mut current = slot();
    while !ENDED.load(Ordering::Relaxed) {
        let due = Instant::now() + EVERY;
        thread::sleep(EVERY);
        let late = due.elapsed();
        longest = longest.max(late);
        ran += others.ran();
        let next = slot();
        if next != current {
            // Where it was late, all in between were, and so is the one that begins late.
            slots.extend((current..next).map(|slot| (slot, longest, ran)));
            (current, longest, ran) = (next, late, Duration::ZERO);
        }
    }
    for (slot, late, others) in slots {
        println!("{slot} {} {}", late.as_micros(), others.as_micros());
    }
    Ok(())
}

/// The threads that are not ours.
struct Others {
    /// Where the kernel writes down how long one has run, and what that was when it was read last.
    accounts: Vec<(File, u64)>,
    /// Which are read next. All at once would be felt.
    turn: usize,
}

impl Others {
    /// Those that there are now. Work on packets that an interrupt leaves to `ksoftirqd` is the measurement's.
    fn but_for(ours: Option<String>) -> io::Result<Self> {
        let mut accounts = Vec::new();
        if let Some(ours) = ours {
            let parents = parents()?;
            let is_ours =
                |pid: &String| std::iter::successors(Some(pid), |pid| parents.get(*pid)).any(|pid| *pid == ours);
            let theirs = parents.keys().filter(|pid| !is_ours(pid)).flat_map(|pid| files(pid));
            accounts.extend(theirs.filter_map(|file| nanoseconds(&file).ok().map(|ran| (file, ran))));
        }
        Ok(Self { accounts, turn: 0 })
    }

    /// For how long some of them ran since it was their turn last, which was a slot ago at most.
    fn ran(&mut self) -> Duration {
        self.turn = (self.turn + 1) % TURNS;
        let mut ran = 0;
        for (file, before) in self.accounts.iter_mut().skip(self.turn).step_by(TURNS) {
            // One that has ended is nobody.
            let now = nanoseconds(file).unwrap_or(*before);
            ran += now - std::mem::replace(before, now).min(now);
        }
        Duration::from_nanos(ran)
    }
}

/// The parent of every process.
fn parents() -> io::Result<HashMap<String, String>> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_string_lossy().into_owned();
        // The name, in brackets, can hold anything; after it are the state and the parent.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        if let Some(parent) = stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(2)) {
            parents.insert(pid, parent.to_owned());
        }
    }
    Ok(parents)
}

/// Of the threads of a process.
fn files(pid: &str) -> Vec<File> {
    let is_network = fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("ksoftirqd"));
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .filter(|_| !is_network)
        .filter_map(|thread| File::open(thread.ok()?.path().join("schedstat")).ok())
        .collect()
}

fn nanoseconds(file: &File) -> io::Result<u64> {
    let mut buffer = [0; 64];
    let length = file.read_at(&mut buffer, 0)?;
    let text = str::from_utf8(&buffer[..length]).map_err(io::Error::other)?;
    text.split(' ').next().unwrap_or_default().parse().map_err(io::Error::other)
}
