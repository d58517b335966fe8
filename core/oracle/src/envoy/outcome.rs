//! What came of a request, in terms that two gateways share.

use super::upstream::MARK;
use super::wire::Message;

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream got it.
    Forwarded {
        /// Method and target, as it got them.
        line: String,
        /// The fields that policies ask about, as it got them; where VirtualServices route, also those they write.
        fields: Vec<(String, Vec<u8>)>,
        /// Which of them it was.
        upstream: String,
        /// The fields of its answer that VirtualServices change, as the client got them.
        answer: Vec<(String, Vec<u8>)>,
    },
    /// The gateway answered.
    Answered {
        /// The status.
        status: u16,
        /// The body.
        body: String,
        /// `location`.
        location: Option<String>,
        /// What it says to pages of other origins.
        cors: Vec<(String, Vec<u8>)>,
    },
    /// The connection was closed without an answer.
    Closed,
}

/// The fields that random policies ask about and random requests have.
const FIELDS: [&str; 4] = ["x-a", "x-b", "x-c", "user-type"];

/// What reaches only hosts of VirtualServices. A provider is sent its own Host and its own key, and Envoy knows nothing of
/// either.
const ROUTED: [&str; 6] = [
    "authorization",
    "host",
    "x-envoy-external-address",
    "x-envoy-original-path",
    FORWARDED_FOR,
    "x-forwarded-proto",
];

/// Its last entry is not compared: for a client on this machine, Envoy takes an address of its own instead.
const FORWARDED_FOR: &str = "x-forwarded-for";

fn up_to_last_entry(value: &[u8]) -> &[u8] {
    let comma = value.iter().rposition(|byte| *byte == b',');
    &value[..comma.unwrap_or(0)]
}

/// What begins the names of the fields that `corsPolicy` writes.
const CORS: &str = "access-control-";

fn sorted(answer: &Message, is_wanted: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
    let wanted = answer.fields.iter().filter(|(name, _)| is_wanted(name));
    let mut wanted: Vec<(String, Vec<u8>)> = wanted.cloned().collect();
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    wanted
}

impl Outcome {
    /// The same without the parameter in which tokens are, if it was passed on with one.
    #[must_use]
    pub fn without_token(&self) -> Option<Self> {
        let mut without = self.clone();
        let Self::Forwarded { line, .. } = &mut without else {
            return None;
        };
        let (path, rest) = line.split_once('?')?;
        let (query, version) = rest.split_once(' ')?;
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| !pair.starts_with("access_token="))
            .collect();
        let mark = if kept.is_empty() { "" } else { "?" };
        let shorter = format!("{path}{mark}{} {version}", kept.join("&"));
        let had_one = shorter != *line;
        *line = shorter;
        had_one.then_some(without)
    }

    /// Reads an answer.
    #[must_use]
    pub fn of(answer: Option<Message>, is_routed: bool) -> Self {
        let Some(answer) = answer else {
            return Self::Closed;
        };
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let Some(upstream) = answer.field(MARK) else {
            let location = answer.field("location");
            let status = answer.line.split(' ').nth(1).and_then(|status| status.parse().ok());
            return Self::Answered {
                status: status.unwrap_or(0),
                body,
                location: location.map(|value| String::from_utf8_lossy(value).into_owned()),
                cors: sorted(&answer, |name| name.starts_with(CORS)),
            };
        };
        let mut lines = answer.body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let line = String::from_utf8_lossy(lines.next().unwrap_or(b"")).into_owned();
        let mut fields: Vec<(String, Vec<u8>)> = lines
            .filter_map(|line| {
                let colon = line.iter().position(|byte| *byte == b':')?;
                let name = String::from_utf8_lossy(&line[..colon]).into_owned();
                let value = line[colon + 1..].trim_ascii();
                let compared = if name == FORWARDED_FOR {
                    up_to_last_entry(value)
                } else {
                    value
                };
                Some((name, compared.to_vec()))
            })
            .filter(|(name, _)| FIELDS.contains(&&**name) || is_routed && ROUTED.contains(&&**name))
            .collect();
        // Fields of one name keep their order, which is all that order means (RFC 9110 §5.3).
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        let changed = sorted(&answer, |name| FIELDS.contains(&name) || name.starts_with(CORS));
        Self::Forwarded {
            line,
            fields,
            upstream: String::from_utf8_lossy(upstream).into_owned(),
            answer: changed,
        }
    }

    /// The status that was not the upstream's.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            Self::Forwarded { .. } | Self::Closed => None,
        }
    }

    /// Whether the request could not even be read, or is one that no gateway takes.
    #[must_use]
    pub fn is_refused_as_malformed(&self) -> bool {
        matches!(self.status(), Some(400 | 414 | 426 | 431 | 501))
    }

    /// Whether the two mean the same: the same bytes at the upstream, or the same answer. Of a request that cannot
    /// be read, only that.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self == other || self.is_refused_as_malformed() && other.is_refused_as_malformed()
    }

    /// Its name in the figures.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Forwarded { upstream, .. } if upstream != "provider" => {
                "routed alike, to the same host with the same path and fields, and its answer alike"
            }
            Self::Forwarded { .. } => "passed on, alike in every byte compared",
            Self::Answered { location: Some(_), .. } => "redirected to the same place",
            Self::Answered { body, .. } if body == "fault filter abort" => "aborted by a fault alike",
            Self::Answered { status: 403, body, .. } if body.starts_with("RBAC") => "403 by policy",
            Self::Answered { body, .. } if is_authorizers(body) => {
                "denied by the external authorizer, in its own words"
            }
            Self::Answered {
                status: 403 | 503,
                body,
                ..
            } if body.is_empty() => "no answer of the external authorizer",
            Self::Answered { status: 403, .. } => "403, audience not allowed",
            Self::Answered { status: 401, .. } => "401 with the same reason",
            Self::Answered { status: 404, .. } => "404",
            Self::Answered { status: 200, .. } | Self::Answered { status: 503, .. } => "the same direct response",
            Self::Closed => "closed for want of a PROXY header",
            _ => "refused before policy (400, 414, 431…)",
        }
    }
}

/// Sixteen hexadecimal digits are what the authorizer says.
fn is_authorizers(body: &str) -> bool {
    body.len() == 16 && body.bytes().all(|byte| byte.is_ascii_hexdigit())
}
