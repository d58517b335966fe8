//! A limit on silence that costs nothing while there is none.

use core::task::{Context, Poll};
use core::time::Duration;

use tokio::time::Instant;

use crate::alarm::{Alarm, after};

/// No clock is looked at until the first wait.
#[derive(Debug)]
pub(crate) struct IdleLimit {
    limit: Duration,
    /// When it has been too long, once there was a wait.
    end: Option<Instant>,
    alarm: Alarm,
}

impl IdleLimit {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            end: None,
            alarm: Alarm::default(),
        }
    }

    /// Something happened.
    pub(crate) fn active(&mut self) {
        if self.end.is_some() {
            self.end = Some(after(self.limit));
        }
    }

    /// Ready when nothing has happened for too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let end = *self.end.get_or_insert_with(|| after(limit));
        self.alarm.poll(end, cx)
    }
}
