//! The end of a listener, as the connections that came by it learn of it.
//!
//! Nobody is cut. HTTP/2 clients are sent GOAWAY. HTTP/1.1 clients are told by
//! `Connection: close` in the next answer, and those that ask for nothing more
//! are closed after a moment: at once, a request could cross the closing on its
//! way, and whoever sent it could not know whether it was heard.

use core::cell::Cell;

use tokio::sync::Notify;

/// Whether the listener of some connections ends.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    begun: Cell<bool>,
    wake: Notify,
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

    /// Resolves when its connections should end.
    pub(crate) async fn begins(&self) {
        let wake = self.wake.notified();
        if !self.begun.get() {
            wake.await;
        }
    }
}
