//! A limit on silence that costs nothing while there is none.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::time::Instant;

use tokio::time::Sleep;

/// The timer is made at the first wait, and looks at when something last happened only when it fires.
#[derive(Debug)]
pub(crate) struct IdleLimit {
    limit: Duration,
    last_active: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleLimit {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            last_active: None,
            sleep: None,
        }
    }

    /// Something happened.
    pub(crate) fn active(&mut self) {
        if self.sleep.is_some() {
            self.last_active = Some(Instant::now());
        }
    }

    /// Ready when nothing has happened for too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        while sleep.as_mut().poll(cx).is_ready() {
            match self.last_active.take() {
                Some(last) => sleep.as_mut().reset((last + limit).into()),
                None => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}
