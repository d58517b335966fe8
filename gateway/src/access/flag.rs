//! Envoy's response flags: one short word for why a request did not go as usual.

/// A response flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Flag {
    /// Nothing unusual.
    #[default]
    None,
    /// No route matched.
    NoRoute,
    /// The upstream could not be connected to.
    UpstreamFailure,
    /// The upstream closed the connection before its answer was whole.
    UpstreamTermination,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The upstream did not speak HTTP.
    UpstreamProtocol,
    /// The upstream's answer stood still for too long.
    StreamIdle,
    /// An external authorizer denied the request, or gave no answer.
    ExternalAuthorization,
    /// A route's fault held the request up.
    DelayInjected,
    /// A route's fault answered it.
    FaultInjected,
    /// There was no room for it.
    Overloaded,
    /// The client went away.
    DownstreamTermination,
    /// The client did not speak HTTP as it must.
    DownstreamProtocol,
    /// The gateway ended before it did.
    LocalReset,
}

impl Flag {
    /// As Envoy writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::NoRoute => "NR",
            Self::UpstreamFailure => "UF",
            Self::UpstreamTermination => "UC",
            Self::UpstreamTimeout => "UT",
            Self::UpstreamProtocol => "UPE",
            Self::StreamIdle => "SI",
            Self::ExternalAuthorization => "UAEX",
            Self::DelayInjected => "DI",
            Self::FaultInjected => "FI",
            Self::Overloaded => "OM",
            Self::DownstreamTermination => "DC",
            Self::DownstreamProtocol => "DPE",
            Self::LocalReset => "LR",
        }
    }
}
