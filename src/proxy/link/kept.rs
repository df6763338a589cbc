//! A connection as the pool keeps it.

use super::control::Control;
use crate::net::http1;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A connection with what the sweep knows of it.
pub struct KeptConn {
    pub http: http1::Conn,
    pub control: Rc<Control>,
}

impl KeptConn {
    /// Whether the node has closed it, or sent what nobody asked for. Costs a system call where something seems to have come.
    pub fn is_stale(&mut self) -> bool {
        !self.http.is_quiet()
    }

    /// Ready when it is.
    pub fn poll_disturbed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.http.poll_disturbed(cx)
    }
}
