//! A timer that is asked often and fires seldom.
//!
//! tokio's `Sleep` notes whom to wake anew each time it is polled, and a new one for each request is put into the
//! runtime's wheel and taken out again: several locked instructions for what nearly never happens. This one is asked
//! anew only when another task asks or its time has come, and may be set to a later time for nothing: it goes off at
//! the earlier one first, and is then set again.

use core::cell::RefCell;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// A time limit for one thing after the other, of one task.
#[derive(Debug, Default)]
pub(crate) struct Alarm(RefCell<Option<Set>>);

#[derive(Debug)]
struct Set {
    sleep: Pin<Box<Sleep>>,
    /// Whom it wakes; `None` while it does not go.
    wakes: Option<Waker>,
}

impl Alarm {
    /// Ready at `time`, which may be another one each time.
    pub(crate) fn poll(&self, time: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut set = self.0.borrow_mut();
        let set = set.get_or_insert_with(|| Set {
            sleep: Box::pin(sleep_until(time)),
            wakes: None,
        });
        if set.sleep.deadline() > time {
            set.to(time);
        }
        while set.poll(cx).is_ready() {
            if set.sleep.deadline() >= time {
                return Poll::Ready(());
            }
            set.to(time);
        }
        Poll::Pending
    }

    /// What `future` comes to within `limit`.
    pub(crate) async fn within<F: Future>(&self, limit: Duration, mut future: Pin<&mut F>) -> Option<F::Output> {
        let end = after(limit);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(end, cx).map(|()| None),
        })
        .await
    }
}

/// When `limit` from now will have passed.
pub(crate) fn after(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or_else(|| now + AS_GOOD_AS_NEVER)
}

/// What a clock can always be set to: thirty years.
const AS_GOOD_AS_NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

impl Set {
    fn to(&mut self, time: Instant) {
        self.sleep.as_mut().reset(time);
        self.wakes = None;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_asked = self.wakes.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_asked && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        // A task without a budget left would be told to ask again, without being noted.
        let polled = pin!(unconstrained(self.sleep.as_mut())).poll(cx);
        self.wakes = polled.is_pending().then(|| cx.waker().clone());
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::pending;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_at_the_time_that_it_is_asked_for() {
        let (alarm, begun) = (Alarm::default(), Instant::now());
        // Later, earlier and over.
        for (seconds, after) in [(5, 5), (20, 20), (10, 20), (21, 21), (21, 21)] {
            poll_fn(|cx| alarm.poll(begun + seconds * SECOND, cx)).await;
            assert_eq!((Instant::now() - begun).as_secs(), after);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_time_may_be_set_while_it_goes() {
        let (alarm, begun) = (&Alarm::default(), Instant::now());
        let asked = |seconds| poll_fn(move |cx| Poll::Ready(alarm.poll(begun + seconds * SECOND, cx).is_ready()));
        assert!(!asked(10).await && !asked(30).await);
        tokio::time::sleep(15 * SECOND).await;
        assert!(!asked(30).await && !asked(20).await && asked(15).await);
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_the_task_that_asked_last() {
        let (alarm, begun) = (Alarm::default(), Instant::now());
        let noop = &mut Context::from_waker(Waker::noop());
        assert!(alarm.poll(begun + SECOND, noop).is_pending());
        poll_fn(|cx| alarm.poll(begun + SECOND, cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_in_time_has_no_limit_and_what_is_not_ends() {
        let (alarm, begun) = (Alarm::default(), Instant::now());
        assert_eq!(alarm.within(SECOND, pin!(async { 7 })).await, Some(7));
        assert_eq!(
            alarm.within(Duration::MAX, pin!(tokio::time::sleep(SECOND))).await,
            Some(())
        );
        for after in [3, 5] {
            assert_eq!(alarm.within(2 * SECOND, pin!(pending::<()>())).await, None);
            assert_eq!((Instant::now() - begun).as_secs(), after);
        }
    }
}
