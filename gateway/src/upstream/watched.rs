//! A client's body that is passed on as it comes and watched on the way: when it
//! ends, from which on an upstream's time counts, and what it was, as long as it
//! may have to be sent again.

use core::cell::{Cell, RefCell};
use core::task::{Context, Poll};
use std::rc::Rc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use tokio::sync::Notify;

use crate::limits::COPIED_BODY_BYTES_MAX;
use crate::overload::Held;
use crate::pace::{BodyFailure, Paced};

/// The body on its way.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(super) body: Paced,
    watch: Rc<Watch>,
}

/// What is known of it, outside of the connection that it is sent on.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Bytes so far.
    bytes: Rc<Cell<u64>>,
    ended: Cell<Option<Instant>>,
    /// Nothing more will come of it.
    is_over: Cell<bool>,
    changed: Notify,
    /// A copy of what came; `None` when none is wanted, or it cannot be whole.
    copy: RefCell<Option<Copy>>,
}

/// What came of a body so far.
#[derive(Debug)]
struct Copy {
    kept: BytesMut,
    held: Held,
}

impl Copy {
    /// Keeps more, if there may be more.
    fn keep(&mut self, data: &[u8]) -> bool {
        let fits = self.kept.len().saturating_add(data.len()) <= COPIED_BODY_BYTES_MAX;
        let keeps = fits && self.held.add(data.len()).is_ok();
        if keeps {
            self.kept.extend_from_slice(data);
        }
        keeps
    }
}

impl Watch {
    /// Watches a body whose bytes are counted in `bytes`, and of which a copy is kept as `held`.
    pub(crate) fn new(bytes: Rc<Cell<u64>>, held: Option<Held>) -> Rc<Self> {
        Rc::new(Self {
            bytes,
            ended: Cell::new(None),
            is_over: Cell::new(false),
            changed: Notify::new(),
            copy: RefCell::new(held.map(|held| Copy {
                kept: BytesMut::new(),
                held,
            })),
        })
    }

    /// The body, to be sent on.
    pub(crate) fn over(self: &Rc<Self>, body: Paced) -> Watched {
        Watched {
            body,
            watch: Rc::clone(self),
        }
    }

    /// When its last byte was passed on, if it was.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended.get()
    }

    /// Waits for that.
    pub(crate) async fn end(&self) {
        while self.ended.get().is_none() {
            self.changed.notified().await;
        }
    }

    /// Waits for that, or for it to break off.
    pub(crate) async fn last(&self) {
        while !self.is_over.get() {
            self.changed.notified().await;
        }
    }

    /// All of it, once it has ended, unless it is more than may be kept.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        self.ended.get()?;
        self.copy.borrow().as_ref().map(|copy| copy.kept.clone().freeze())
    }

    fn saw(&self, frame: &Frame<Bytes>) {
        let mut copy = self.copy.borrow_mut();
        // Trailers are not kept, and a body without them is another one.
        let Some(data) = frame.data_ref() else {
            *copy = None;
            return;
        };
        self.bytes.set(self.bytes.get().saturating_add(data.len() as u64));
        if copy.as_mut().is_some_and(|copy| !copy.keep(data)) {
            *copy = None;
        }
    }

    fn end_now(&self) {
        if self.ended.get().is_none() {
            self.ended.set(Some(Instant::now()));
        }
        self.finish();
    }

    fn finish(&self) {
        self.is_over.set(true);
        self.changed.notify_waiters();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.finish();
    }
}

impl Watched {
    /// How many bytes came so far.
    pub(super) fn bytes(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.watch.bytes)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let frame = self.body.poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                self.watch.saw(frame);
                // Nothing comes behind trailers, and whoever is sent none asks for nothing.
                if frame.is_trailers() || self.body.incoming.is_end_stream() {
                    self.watch.end_now();
                }
            }
            Poll::Ready(None) => self.watch.end_now(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        frame
    }
}
