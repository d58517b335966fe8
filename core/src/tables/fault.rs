//! Faults that a rule injects.

/// One `fault`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FaultRow {
    pub(crate) delay: Option<(Chance, u32)>,
    pub(crate) abort: Option<(Chance, AbortStatus)>,
}

/// How many of a million requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Chance(pub u32);

/// What an aborted request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "Istio has these two")]
pub enum AbortStatus {
    /// `httpStatus`
    Http(u16),
    /// `grpcStatus`, by its number.
    Grpc(u8),
}
