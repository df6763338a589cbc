//! How a client command ends.

use std::fmt;

/// What became of a client command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Whole,
    /// Not everyone has done it; what was printed names them.
    Partly,
}

/// Why a client command failed: a line for each reason, mostly one.
#[derive(Debug)]
pub struct CommandFailure(pub String);

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CommandFailure {}

/// Whoever reads our output may stop reading: that is no failure.
impl From<std::io::Error> for CommandFailure {
    fn from(cause: std::io::Error) -> CommandFailure {
        match cause.kind() {
            std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            _ => CommandFailure(format!("cannot write the output: {cause}")),
        }
    }
}
