//! The access log: one line per request, in Istio's default shape plus what is
//! special to LLM traffic.
//!
//! A [`Record`] is made when a request's head is there, filled in as the
//! exchange goes on, and written when it is dropped: at the end of the answer's
//! last byte, or wherever a client's disappearance ended the exchange. So there
//! is exactly one line per request, whatever happens.

mod flag;
mod line;
mod names;
pub(crate) mod queue;
mod record;

pub(crate) use flag::Flag;
pub(crate) use line::Draft;
pub(crate) use record::{Record, Usage};

use std::sync::Arc;

use crate::log::Format;

/// Where lines go and what they look like.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    pub(crate) queue: Arc<queue::Queue>,
    pub(crate) format: Format,
}
