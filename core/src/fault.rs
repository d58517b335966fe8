//! `fault`: requests that are held up or answered in place of their upstream, by chance.
//!
//! As Envoy's fault filter has it, which stands behind every policy and before
//! CORS: first the delay, then the abort, each by a draw of its own. A delay
//! does not count towards `timeout`. Where an LLM API is spoken the answer is
//! that API's error object, so that an SDK meets what it would meet in earnest.
//! <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPFaultInjection>

#[cfg(feature = "alloc")]
use alloc::{format, string::String};

use crate::answer::{Answer, ErrorDetail, ErrorShape};
use crate::chance::Draw;
use crate::mirror::falls;
use crate::request::Headers;
use crate::tables::{AbortStatus, BackendTarget, HeaderChangeRow, RuleId, RuleRow, Tables};

/// Envoy's words.
pub const ABORT_BODY: &str = "fault filter abort";

/// The answer in place of an upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort<'d> {
    /// The rule that matched.
    pub rule: RuleId,
    /// How long it is held up first, in milliseconds.
    pub delay_ms: u32,
    /// What it says.
    pub answer: AbortAnswer,
    /// What becomes of the answer's header fields.
    pub response_changes: &'d [HeaderChangeRow],
}

/// What an abort says, in the words of the protocol that the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "every shell must send each")]
pub enum AbortAnswer {
    /// This status, with [`ABORT_BODY`] as text.
    Text(u16),
    /// 200 without a body, this `grpc-status`, and [`ABORT_BODY`] as `grpc-message`.
    Grpc(u8),
    /// This status, with the error object that [`api_error`] writes.
    Api(u16),
}

impl AbortAnswer {
    /// The status of HTTP.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Text(status) | Self::Api(status) => status,
            Self::Grpc(_) => 200,
        }
    }
}

/// What a client of an LLM API gets.
#[must_use]
pub fn api_error(status: u16, shape: ErrorShape) -> Answer {
    let detail = ErrorDetail {
        status,
        message: ABORT_BODY,
        code: "fault_injected",
        param: None,
    };
    detail.answer(shape)
}

/// The header fields of an answer to a client that speaks gRPC.
#[cfg(feature = "alloc")]
#[must_use]
pub fn grpc_fields(status: u8) -> [(&'static str, String); 3] {
    [
        ("content-type", "application/grpc".into()),
        ("grpc-status", format!("{status}")),
        ("grpc-message", ABORT_BODY.into()),
    ]
}

/// What the draws say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Drawn {
    pub(crate) delay_ms: u32,
    pub(crate) abort: Option<AbortStatus>,
}

pub(crate) fn drawn(tables: &Tables, rule: &RuleRow, entropy: u64) -> Drawn {
    let Some(row) = rule.fault.and_then(|fault| tables.faults.get(fault as usize)) else {
        return Drawn::default();
    };
    let delay = row.delay.filter(|(chance, _)| falls(*chance, entropy, Draw::Delay));
    let abort = row.abort.filter(|(chance, _)| falls(*chance, entropy, Draw::Abort));
    Drawn {
        delay_ms: delay.map_or(0, |(_, delay_ms)| delay_ms),
        abort: abort.map(|(_, status)| status),
    }
}

/// As Envoy translates between the two for a client that speaks gRPC, and for one that does not.
pub(crate) fn answer(status: AbortStatus, to: &BackendTarget, headers: &dyn Headers) -> AbortAnswer {
    let told = match to {
        BackendTarget::Upstream(_) => AbortAnswer::Text,
        BackendTarget::Provider(_) => AbortAnswer::Api,
    };
    let mut is_grpc = false;
    headers.each("content-type", &mut |value| {
        let rest = value.strip_prefix(b"application/grpc");
        is_grpc |= rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"));
    });
    match status {
        AbortStatus::Http(status) if is_grpc => AbortAnswer::Grpc(match status {
            400 => 13,
            401 => 16,
            403 => 7,
            404 => 12,
            429 | 502..=504 => 14,
            _ => 2,
        }),
        AbortStatus::Http(status) => told(status),
        AbortStatus::Grpc(status) if is_grpc => AbortAnswer::Grpc(status),
        AbortStatus::Grpc(_) => told(200),
    }
}
