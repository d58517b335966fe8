//! Leaving HTTP on a connection (RFC 9110 §7.8), or on a stream of HTTP/2 (RFC 8441): what a client may ask for, and when
//! an upstream has agreed.
//!
//! Only WebSocket, as at Istio's gateways, and only to a plain host that is spoken
//! to in HTTP/1.1: an LLM's requests and answers are read, and what is in a tunnel
//! nobody reads. No other protocol is offered, `h2c` above all, in which requests
//! would pass by policy. A request that asks for what it does not get is one like
//! any other, without its `Upgrade`; so is one with a body, since two readers could
//! disagree about where that ends and the tunnel begins.

use crate::attributes::Attributes;
use crate::request::Headers;

/// What a connection may be used for instead of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "every shell must carry out each")]
pub enum Upgrade {
    /// RFC 6455.
    WebSocket,
}

impl Upgrade {
    /// Its name in `Upgrade`.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
        }
    }

    /// What a CONNECT of HTTP/2 with this `:protocol` asks for. One for anything else is a CONNECT, which is refused.
    #[must_use]
    pub fn by_connect(protocol: &str) -> Option<Self> {
        let is = protocol.eq_ignore_ascii_case(Self::WebSocket.token());
        is.then_some(Self::WebSocket)
    }

    /// The header fields that ask for it in HTTP/1.1.
    #[must_use]
    pub const fn fields(self) -> [(&'static str, &'static str); 2] {
        [("connection", "upgrade"), ("upgrade", self.token())]
    }

    /// What a request asks for.
    #[must_use]
    pub fn asked(method: &str, headers: &dyn Headers) -> Option<Self> {
        let asks = method == "GET" && Self::WebSocket.is_named(headers) && has_no_body(headers);
        asks.then_some(Self::WebSocket)
    }

    /// Whether an answer with these fields and the status 101 switches to it.
    #[must_use]
    pub fn is_named(self, headers: &dyn Headers) -> bool {
        let (mut fields, mut is_it) = (0_u32, false);
        headers.each("upgrade", &mut |value| {
            fields = fields.saturating_add(1);
            is_it = value.eq_ignore_ascii_case(self.token().as_bytes());
        });
        // Of a list an upstream could choose another.
        fields == 1 && is_it && is_about_upgrade(headers)
    }
}

/// The field of HTTP/1.1 whose value an upstream answers, and which HTTP/2 does without (RFC 8441 §5).
pub const KEY: &str = "sec-websocket-key";

/// Whether the gateway has to send [`KEY`] for the client, and to check the answer to it: the client's own goes on.
pub(crate) fn lacks_key(seen: &Attributes<'_>) -> bool {
    let mut has_none = true;
    seen.headers.each(KEY, &mut |_| has_none = false);
    seen.insists && has_none
}

/// Whether a client that insists on a tunnel would take an answer of this status for one (RFC 8441 §5).
pub(crate) fn looks_agreed(seen: &Attributes<'_>, status: u16) -> bool {
    seen.insists && matches!(status, 200..=299)
}

/// Whether `Connection` says that there is an `Upgrade`, without which that may be one of another hop.
fn is_about_upgrade(headers: &dyn Headers) -> bool {
    let mut is = false;
    headers.each("connection", &mut |value| {
        let mut tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        is = is || tokens.any(|token| token.eq_ignore_ascii_case(b"upgrade"));
    });
    is
}

fn has_no_body(headers: &dyn Headers) -> bool {
    let mut has_none = true;
    headers.each("transfer-encoding", &mut |_| has_none = false);
    headers.each("content-length", &mut |value| {
        has_none = has_none && value.iter().all(|digit| *digit == b'0');
    });
    has_none
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_is_asked_for_in_one_way_only() {
        let upgrade = ("upgrade", "websocket");
        let connection = ("connection", "Upgrade");
        for (method, headers, asks) in [
            ("GET", &[connection, upgrade][..], true),
            (
                "GET",
                &[("connection", "keep-alive, upgrade"), ("upgrade", "WebSocket")],
                true,
            ),
            ("GET", &[("connection", "keep-alive"), connection, upgrade], true),
            ("GET", &[connection, upgrade, ("content-length", "0")], true),
            ("POST", &[connection, upgrade], false),
            ("HEAD", &[connection, upgrade], false),
            ("GET", &[upgrade], false),
            ("GET", &[connection], false),
            ("GET", &[("connection", "upgrades"), upgrade], false),
            ("GET", &[connection, ("upgrade", "h2c")], false),
            ("GET", &[connection, ("upgrade", "websocket, h2c")], false),
            ("GET", &[connection, ("upgrade", "websocket/13")], false),
            ("GET", &[connection, ("upgrade", "")], false),
            ("GET", &[connection, ("upgrade", "h2c"), upgrade], false),
            ("GET", &[connection, upgrade, upgrade], false),
            ("GET", &[connection, upgrade, ("content-length", "1")], false),
            (
                "GET",
                &[connection, upgrade, ("content-length", "0"), ("content-length", "5")],
                false,
            ),
            ("GET", &[connection, upgrade, ("transfer-encoding", "chunked")], false),
        ] {
            let fields: std::vec::Vec<(&str, &[u8])> =
                headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            let expected = asks.then_some(Upgrade::WebSocket);
            assert_eq!(Upgrade::asked(method, &&fields[..]), expected, "{method} {headers:?}");
        }
    }
}
