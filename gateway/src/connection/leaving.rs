//! The end of a listener, as the connections that came by it learn of it.
//!
//! Nobody is cut at first. HTTP/2 clients are sent GOAWAY. HTTP/1.1 clients are
//! told by `Connection: close` in the next answer, and those that ask for nothing
//! more are closed after a moment: at once, a request could cross the closing on
//! its way, and whoever sent it could not know whether it was heard. What then
//! still runs when the time to drain is over, as a tunnel may for days, is cut.

use core::cell::{Cell, RefCell};
use std::collections::HashMap;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Whether the listener of some connections ends.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    begun: Cell<bool>,
    wake: Notify,
    /// What still ran was cut.
    cut: Cell<bool>,
    /// The connections, by number.
    open: RefCell<HashMap<u64, AbortHandle>>,
    /// The number of the next.
    next: Cell<u64>,
}

impl Leaving {
    /// From now on its connections should end.
    pub(crate) fn begin(&self) {
        self.begun.set(true);
        self.wake.notify_waiters();
    }

    /// Whether its connections should end.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Whether what still ran on its connections was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.get()
    }

    /// Cuts what still runs; false if nothing does.
    pub(crate) fn cut(&self) -> bool {
        self.cut.set(true);
        let open = self.open.take();
        for task in open.values() {
            task.abort();
        }
        !open.is_empty()
    }

    /// A number for a connection.
    pub(crate) fn number(&self) -> u64 {
        self.next.replace(self.next.get().wrapping_add(1))
    }

    /// The connection of this number is served by `task`, which forgets it at its end.
    pub(crate) fn serves(&self, number: u64, task: AbortHandle) {
        if self.cut.get() {
            task.abort();
        } else {
            self.open.borrow_mut().insert(number, task);
        }
    }

    /// The connection of this number has ended.
    pub(crate) fn forget(&self, number: u64) {
        self.open.borrow_mut().remove(&number);
    }

    /// Resolves when its connections should end.
    pub(crate) async fn begins(&self) {
        let wake = self.wake.notified();
        if !self.begun.get() {
            wake.await;
        }
    }
}
