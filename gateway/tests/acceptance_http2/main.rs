//! HTTP/2 as frames through real sockets: what no library would send, and what comes of it.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod stalls;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod case {
    use crate::support::bed::{Bed, OPEN, Transport};
    use crate::support::gateway::Setup;

    /// A gateway to such a provider.
    pub(crate) async fn open(args: &[&str]) -> Bed {
        let setup = Setup::empty().file("open.yaml", OPEN).args(args);
        Bed::start(Transport::Plain, setup).await
    }
}
