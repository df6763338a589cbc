//! Processes as /proc shows them.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::time::Duration;

/// A cache node that some front has spawned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeProcess {
    pub id: String,
    pub pid: u32,
    pub arguments: Vec<String>,
}

/// The node processes below a front, by id.
pub fn nodes_of(front: u32) -> Vec<NodeProcess> {
    let children = pids().into_iter().filter(|pid| parent(*pid) == Some(front));
    let mut nodes: Vec<_> = children.filter_map(node).collect();
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    nodes
}

fn node(pid: u32) -> Option<NodeProcess> {
    let arguments = arguments(pid);
    let id = value_of(&arguments, "--id")?;
    Some(NodeProcess { id, pid, arguments })
}

/// The value of an option, written either way.
pub fn value_of(arguments: &[String], option: &str) -> Option<String> {
    let joined = format!("{option}=");
    let at = arguments.iter().position(|a| a == option || a.starts_with(&joined))?;
    match arguments[at].strip_prefix(&joined) {
        Some(value) => Some(value.to_owned()),
        None => arguments.get(at + 1).cloned(),
    }
}

pub fn arguments(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|b| *b == 0).filter(|a| !a.is_empty()).map(|a| String::from_utf8_lossy(a).into_owned()).collect()
}

fn pids() -> Vec<u32> {
    let names = fs::read_dir("/proc").expect("/proc is there").flatten().map(|e| e.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// The fields of /proc/PID/stat from the state on.
fn stat(pid: u32) -> Option<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// SCHED_OTHER, SCHED_BATCH and so on: field 41 of proc_pid_stat(5), of which the state is the third.
pub fn scheduling_policy(pid: u32) -> i32 {
    stat(pid).expect("the process runs")[41 - 3].parse().expect("a number")
}

/// What it has had of the processor so far: fields 14 and 15 of proc_pid_stat(5), in hundredths of a second.
pub fn processor_time(pid: u32) -> Duration {
    let fields = stat(pid).expect("the process runs");
    let ticks = |at: usize| fields[at - 3].parse::<u64>().expect("a number");
    Duration::from_millis(10 * (ticks(14) + ticks(15)))
}

/// Whether a process is there and not merely waiting to be reaped.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z" && fields[0] != "X")
}

pub fn is_stopped(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] == "T")
}

pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        let _ = kill_process(pid, signal);
    }
}

/// Resident memory now, in bytes.
pub fn resident(pid: u32) -> u64 {
    status_field(pid, "VmRSS:")
}

/// Memory that is this process's alone and was written to, in bytes.
pub fn private(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process runs");
    let line = rollup.lines().find_map(|l| l.strip_prefix("Private_Dirty:")).expect("the field is there");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number of kB");
    kib * 1024
}

/// The most that was ever resident since the start or [`forget_peak`], in bytes.
pub fn peak(pid: u32) -> u64 {
    status_field(pid, "VmHWM:")
}

/// Starts [`peak`] anew from what is resident now.
pub fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("one may reset the peak of one's own children");
}

fn status_field(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|l| l.strip_prefix(name)).expect("the field is there");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number of kB");
    kib * 1024
}
