//! Wakes every half millisecond and looks how late that is. Run ahead of everything else on its core (`chrt -f 50`) it
//! is late for what the host takes away from whatever runs, and for long work of the kernel's.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// More often would be felt: waking costs a guest some 15 microseconds.
const EVERY: Duration = Duration::from_micros(500);

/// Says `watching`; when standard input ends, the longest time that it was late for, in microseconds.
fn main() -> io::Result<()> {
    static ENDED: AtomicBool = AtomicBool::new(false);
    thread::spawn(|| {
        _ = io::stdin().read_to_end(&mut Vec::new());
        ENDED.store(true, Ordering::Relaxed);
    });
    println!("watching");
    let mut longest = Duration::ZERO;
    while !ENDED.load(Ordering::Relaxed) {
        let due = Instant::now() + EVERY;
        thread::sleep(EVERY);
        longest = longest.max(due.elapsed());
    }
    println!("{}", longest.as_micros());
    Ok(())
}
