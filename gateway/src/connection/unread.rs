//! Answers that an HTTP/2 client does not take.
//!
//! A client need not stop reading to hold an answer up: it grants a window and
//! then no more, and may go on to answer pings. hyper waits for it without end.
//! So who sends an answer is watched from outside: a stream on which the client
//! takes nothing for as long as an upstream may be silent is reset. What hyper
//! has handed to h2 as the last of an answer is out of its hands; where such a
//! rest is not taken, the connection takes no new streams, and ends: with the
//! others that run, or without them where a period later there still is a rest.
//! Until h2 has sent or dropped the last piece of an answer, which it tells by
//! dropping its bytes, the request counts among those that there are at once.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::rc::Rc;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use crate::client_body::{ClientBody, Cut};
use crate::frames::Budget;
use crate::idle::IdleLimit;
use crate::worker::Counted;

/// How a client takes one answer.
#[derive(Debug)]
pub(super) struct Reader {
    /// A piece waits for the client, and whoever sends it does not ask for another.
    waits: Cell<bool>,
    /// Pieces taken so far.
    taken: Cell<u64>,
    /// The client has taken none for too long.
    is_gone: Cell<bool>,
    /// The request is one, until all of its answer is sent.
    counted: RefCell<Option<Counted>>,
    rests: Rc<Rests>,
}

/// Runs hyper's tasks, one for each stream, and ends those whose client does not read.
#[derive(Clone)]
pub(super) struct Streams {
    limit: Duration,
    rests: Rc<Rests>,
    /// The reader of the request that the next task is for: hyper starts it as soon as it has called the service.
    next: Rc<Cell<Option<Rc<Reader>>>>,
}

impl Streams {
    pub(super) fn new(limit: Duration, rests: &Rc<Rests>) -> Self {
        Self {
            limit,
            rests: Rc::clone(rests),
            next: Rc::default(),
        }
    }

    /// The reader of the request that begins now.
    pub(super) fn begin(&self) -> Rc<Reader> {
        let reader = self.reader();
        self.next.set(Some(Rc::clone(&reader)));
        reader
    }

    fn reader(&self) -> Rc<Reader> {
        Rc::new(Reader {
            waits: Cell::default(),
            taken: Cell::default(),
            is_gone: Cell::default(),
            counted: RefCell::default(),
            rests: Rc::clone(&self.rests),
        })
    }
}

impl<F: Future + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let reader = self.next.take().unwrap_or_else(|| self.reader());
        let mut limit = IdleLimit::new(self.limit);
        tokio::task::spawn_local(async move {
            let mut stream = pin!(stream);
            let mut taken = 0;
            poll_fn(|cx| {
                if stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                if !reader.waits.get() {
                    return Poll::Pending;
                }
                if taken != reader.taken.get() {
                    taken = reader.taken.get();
                    limit.active();
                }
                limit.poll(cx).map(|()| reader.is_gone.set(true))
            })
            .await;
            // Dropping what was not sent whole resets the stream.
        });
    }
}

/// An answer on its way to an HTTP/2 client.
#[derive(Debug)]
pub(super) struct Answer {
    body: ClientBody,
    reader: Rc<Reader>,
    budget: Rc<Budget>,
}

impl Answer {
    pub(super) fn new(mut body: ClientBody, reader: Rc<Reader>, budget: &Rc<Budget>) -> Self {
        reader.counted.replace(body.counted());
        Self {
            body,
            reader,
            budget: Rc::clone(budget),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.reader.is_gone.get() {
            self.body.unread();
        }
    }
}

impl Body for Answer {
    type Data = Piece;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Cut>>> {
        self.reader.waits.set(false);
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.reader.waits.set(true);
            self.reader.taken.set(self.reader.taken.get().wrapping_add(1));
            self.budget.sent(frame.data_ref().map_or(0, Bytes::len));
        } else if frame.is_pending() {
            self.reader.waits.set(self.body.waits_for_client());
        }
        frame.map_ok(|frame| frame.map_data(|bytes| Piece::new(bytes, &self.reader)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece of an answer, which is gone when the client has been sent it.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    period: u64,
    reader: Rc<Reader>,
}

impl Piece {
    fn new(bytes: Bytes, reader: &Rc<Reader>) -> Self {
        let rests = &reader.rests;
        rests.young.set(rests.young.get().saturating_add(1));
        Self {
            bytes,
            period: rests.period.get(),
            reader: Rc::clone(reader),
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let rests = &self.reader.rests;
        let age = rests.period.get().wrapping_sub(self.period);
        let count = if age == 0 { &rests.young } else { &rests.old };
        count.set(count.get().saturating_sub(1));
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// The pieces of one connection that are not sent yet, by the period in which they were handed over.
#[derive(Debug, Default)]
pub(super) struct Rests {
    period: Cell<u64>,
    /// Of the current period.
    young: Cell<usize>,
    /// Of all before.
    old: Cell<usize>,
}

impl Rests {
    /// Whether every piece is sent.
    pub(super) fn is_empty(&self) -> bool {
        self.young.get() == 0 && self.old.get() == 0
    }

    /// A period of waiting is over. Whether a piece has waited for all of it.
    pub(super) fn period_ends(&self) -> bool {
        let has_waited = self.old.get() > 0;
        self.period.set(self.period.get().wrapping_add(1));
        self.old.set(self.old.get().saturating_add(self.young.take()));
        has_waited
    }
}
