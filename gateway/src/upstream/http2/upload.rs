//! The tasks that hyper starts for a connection, and what it does not do for them: to end an upload with its request.
//!
//! hyper sends a body in a task of its own, and until it has sent all of it, it looks at nothing but the stream. So
//! while an upstream grants no window, such a body would be held, and its stream open, long after its client has left
//! or its answer is whole. Here the task is dropped with the request, which resets the stream.

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

use super::Place;
use crate::limits::{UPLOAD_ENDS_BYTES_MAX, UPLOAD_REST};
use crate::pace::{BodyFailure, Broken};
use crate::upstream::UpstreamBody;
use crate::upstream::connect::Open;

/// Runs hyper's tasks for one connection, on the worker's own thread.
#[derive(Clone)]
pub(super) struct Tasks {
    /// What the next task is for: hyper starts that of the connection itself first, and that of a body as soon as it
    /// has asked for the first piece of it. Of a body that it could take whole there is none, and the next is the one
    /// that waits for the head of the answer, which ends before the request does.
    next: Rc<Cell<Option<Next>>>,
}

enum Next {
    Connection(Open),
    Upload(Upload),
}

impl Tasks {
    /// Those of a connection that counts as `open` until it is closed.
    pub(super) fn new(open: Open) -> Self {
        Self {
            next: Rc::new(Cell::new(Some(Next::Connection(open)))),
        }
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        match self.next.take() {
            None => tokio::task::spawn_local(task),
            Some(Next::Upload(upload)) => tokio::task::spawn_local(upload.run(task)),
            Some(Next::Connection(open)) => tokio::task::spawn_local(async move {
                let _open = open;
                task.await;
            }),
        };
    }
}

/// What the upload of a request keeps of it.
pub(super) struct Upload {
    place: Weak<Place>,
    /// Whether all of its answer came; it is given up otherwise.
    answered: oneshot::Receiver<()>,
}

impl Upload {
    /// The upload of the request in `place`, and who is told that its answer is whole, or dropped when it is given up.
    pub(super) fn of(place: &Rc<Place>) -> (Self, oneshot::Sender<()>) {
        let (whole, answered) = oneshot::channel();
        let place = Rc::downgrade(place);
        (Self { place, answered }, whole)
    }

    /// The next task is that of its body.
    fn begin(self) {
        if let Some(place) = self.place.upgrade() {
            place.link.tasks.next.set(Some(Next::Upload(self)));
        }
    }

    async fn run(self, task: impl Future<Output = ()>) {
        let Some(place) = self.place.upgrade() else { return };
        let over = async {
            if self.answered.await.is_ok() {
                tokio::time::sleep(UPLOAD_REST).await;
                place.link.leave();
            }
        };
        tokio::select! {
            biased;
            () = task => {}
            () = over => {}
        }
    }
}

/// A body on its way, and why it broke off: h2 only says that it did.
///
/// What h2 was given as the last of a body it never takes back. So the end of a large one comes by itself, when all
/// before it is sent.
pub(super) struct Noted {
    body: UpstreamBody,
    failure: Rc<Cell<Option<Broken>>>,
    /// Until hyper asks for the first piece.
    upload: Option<Upload>,
    bytes: usize,
    has_ended: bool,
    /// The pieces of a large one.
    unsent: Option<Unsent>,
}

/// Knows when the last of its pieces is sent.
struct Unsent {
    pieces: Option<Arc<oneshot::Sender<()>>>,
    all_sent: oneshot::Receiver<()>,
}

impl Noted {
    pub(super) fn new(body: UpstreamBody, failure: &Rc<Cell<Option<Broken>>>, upload: Upload) -> Self {
        Self {
            body,
            failure: Rc::clone(failure),
            upload: Some(upload),
            bytes: 0,
            has_ended: false,
            unsent: None,
        }
    }

    fn piece(&mut self, bytes: Bytes) -> Piece {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > UPLOAD_ENDS_BYTES_MAX && self.unsent.is_none() {
            let (sender, all_sent) = oneshot::channel();
            self.unsent = Some(Unsent {
                pieces: Some(Arc::new(sender)),
                all_sent,
            });
        }
        Piece {
            bytes,
            _unsent: self.unsent.as_ref().and_then(|unsent| unsent.pieces.clone()),
        }
    }
}

impl Body for Noted {
    type Data = Piece;
    type Error = BodyFailure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, BodyFailure>>> {
        if let Some(upload) = self.upload.take() {
            upload.begin();
        }
        if !self.has_ended {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            self.has_ended = frame.is_none() || self.body.is_end_stream();
            match frame {
                Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame.map_data(|bytes| self.piece(bytes))))),
                Some(Err(failure)) => {
                    self.failure.set(Some((&failure).into()));
                    return Poll::Ready(Some(Err(failure)));
                }
                None => {}
            }
        }
        if let Some(unsent) = &mut self.unsent {
            unsent.pieces = None;
            // It ends without a word when the last piece is gone.
            let _ = ready!(Pin::new(&mut unsent.all_sent).poll(cx));
            self.unsent = None;
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.unsent.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece of a body, which is gone when it is sent.
pub(super) struct Piece {
    bytes: Bytes,
    _unsent: Option<Arc<oneshot::Sender<()>>>,
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
