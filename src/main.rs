//! Arguments -> config -> role -> signals -> exit code. Nothing else.

use clap::Parser;
use ringhold::program::{
    Args, Config, Done, Ending, Job, Lines, LogConfig, LogFormat, NodePlace, Options, Recycling, StartError, Writer,
    check_https, ignore_harmless, run_front, run_node, set_log, watch,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: Recycling = Recycling;

/// A mistake in arguments or configuration, or a role that cannot start.
const MISTAKE: u8 = 2;
/// A client command that failed.
const FAILED: u8 = 1;
/// A client command that was done in part.
const INCOMPLETE: u8 = 3;

fn main() -> ExitCode {
    let args = Args::parse();
    if args.is_server() {
        ignore_harmless();
    }
    let ended = match Job::resolve(args) {
        Err(message) => Err((MISTAKE, message)),
        Ok(Job::Check(config)) => checked(&config),
        Ok(Job::Errand(errand)) => match errand.run() {
            Ok(Done::Whole) => Ok(()),
            Ok(Done::Partly) => return ExitCode::from(INCOMPLETE),
            Err(failure) => Err((FAILED, format!("error: {failure}"))),
        },
        Ok(Job::Front { config, spawn }) => front(config, spawn).map_err(|e| (MISTAKE, e.to_string())),
        Ok(Job::Node { id, listen, config, supervised }) => {
            cache_node(Options { id, listen, config, supervised }).map_err(|e| (MISTAKE, e.to_string()))
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            say(&message);
            ExitCode::from(code)
        }
    }
}

/// On standard error, for as long as somebody may be reading.
fn say(message: &str) {
    if let Ok((lines, writer)) = Lines::to(std::io::stderr(), "messages", Duration::ZERO) {
        _ = lines.put(format!("{message}\n").as_bytes());
        writer.finish();
    }
}

fn front(config: Config, spawn: bool) -> Result<(), StartError> {
    let _last = prepare(&config)?;
    for warning in config.conflicts(spawn) {
        tracing::warn!("{}: {warning}", config.source);
    }
    run_front(config, spawn, watch(Ending::OnAnySignal)?)
}

fn cache_node(options: Options) -> Result<(), StartError> {
    let _last = prepare(&options.config)?;
    // A child's configuration is its parent's, who has said so.
    for warning in options.config.node_conflicts().iter().filter(|_| !options.supervised) {
        tracing::warn!("{}: {warning}", options.config.source);
    }
    let ending = if options.supervised { Ending::OnTerminate } else { Ending::OnAnySignal };
    run_node(options, watch(ending)?)
}

/// Its result is to be dropped last: it waits until the last line is written, for a second at most.
fn prepare(config: &Config) -> Result<LastLines, StartError> {
    let last = log_to_stderr(&config.log).map_err(|e| StartError(format!("cannot start the log: {e}")))?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    raise_open_files();
    Ok(last)
}

struct LastLines(Option<Writer>);

impl Drop for LastLines {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Writer::finish);
    }
}

/// Whoever has something to say never waits for who reads it, and is never hurt when that one is gone: `tracing` itself
/// has nothing to say of that either, as it would say it with `eprintln!`, which panics.
fn log_to_stderr(log: &LogConfig) -> std::io::Result<LastLines> {
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    let (lines, writer) = Lines::to(std::io::stderr(), "log", Duration::ZERO)?;
    set_log(&lines);
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    let subscriber = subscriber.with_writer(move || lines.clone()).with_ansi(ansi);
    match log.format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}{}", backtrace())));
    Ok(LastLines(Some(writer)))
}

/// Where `RUST_BACKTRACE` asks for one.
fn backtrace() -> String {
    let trace = std::backtrace::Backtrace::capture();
    match trace.status() {
        std::backtrace::BacktraceStatus::Captured => format!("\n{trace}"),
        _ => String::new(),
    }
}

/// Each connection is a file; the soft limit of many systems is 1024.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(cause) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%cause, "the limit of open files stays at {:?}", limit.current);
    }
}

fn checked(config: &Config) -> Result<(), (u8, String)> {
    let https = check_https(config).map_err(|refused| (MISTAKE, refused))?;
    let spawned = config.nodes.iter().filter(|n| n.place == NodePlace::Spawn).count();
    let listen: Vec<String> = config.proxy.listen.iter().map(ToString::to_string).collect();
    let line = format!(
        "{}: ok: {} nodes ({spawned} spawned), proxy on {}, admin on {}\n",
        config.source,
        config.nodes.len(),
        listen.join(" and "),
        config.admin.listen
    );
    let zookeeper = config.zookeeper.as_ref();
    let cluster =
        zookeeper.map(|z| format!("in the cluster {} of {}, as {}\n", z.path, z.connect, config.advertised()));
    let disks = config.disks().map(|disks| format!("{disks}\n"));
    let text = line + &cluster.unwrap_or_default() + &disks.unwrap_or_default();
    _ = std::io::stdout().write_all(text.as_bytes());
    let conflicts = config.conflicts(true).into_iter().map(|conflict| format!("{}: {conflict}", config.source));
    let https = https.into_iter().map(|warning| format!("{}: {warning}", config.source));
    for warning in config.warnings.iter().cloned().chain(conflicts).chain(https) {
        _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    Ok(())
}
