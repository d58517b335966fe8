//! Where the two differ because Lockgate means to, one by one.

use lockgate_core::config::resource::{Action, AuthorizationPolicy, PolicyRule, Predicate};
use lockgate_core::limits::{PATH_BYTES_MAX, PROXY_BLOCK_BYTES_MAX, PROXY_LINE_BYTES_MAX};
use lockgate_core::path::Normalization;

use crate::head::{self, Reading};

use super::outcome::Outcome;
use super::request::RawRequest;
use super::sets::Set;

/// One deliberate difference.
#[derive(Debug)]
pub struct Departure {
    /// Its name in the figures.
    pub name: &'static str,
    /// What each of them does.
    pub what: &'static str,
    /// Why.
    pub why: &'static str,
    explains: fn(&Case<'_>) -> bool,
}

struct Case<'c> {
    set: &'c Set,
    request: &'c RawRequest,
    envoy: &'c Outcome,
    lockgate: &'c Outcome,
}

/// The departure that explains why the two differ.
#[must_use]
pub fn explains(set: &Set, request: &RawRequest, envoy: &Outcome, lockgate: &Outcome) -> Option<&'static Departure> {
    let case = Case {
        set,
        request,
        envoy,
        lockgate,
    };
    DEPARTURES.iter().find(|departure| (departure.explains)(&case))
}

/// All of them. The first that explains a difference counts.
pub const DEPARTURES: &[Departure] = &[
    Departure {
        name: "spellings of a PROXY line",
        what: "In version 1 of the PROXY protocol numbers with a sign or leading zeros, zones, tabs, blanks too many and \
               lines over 107 bytes close the connection; Envoy takes them.",
        why: "The specification has one spelling, and no balancer writes another.",
        explains: |case| case.lockgate == &Outcome::Closed && case.proxy_line().is_some_and(is_odd),
    },
    Departure {
        name: "long PROXY headers",
        what: "A PROXY header of version 2 with more than 8 KiB after its first 16 bytes closes the connection; Envoy \
               takes 64 KiB.",
        why: "A client's whole certificate fits; what is larger only takes memory.",
        explains: |case| {
            let announced = case.proxy_block().map(|(_, length)| length);
            case.lockgate == &Outcome::Closed && announced.is_some_and(|length| length > PROXY_BLOCK_BYTES_MAX)
        },
    },
    Departure {
        name: "beginnings of no head",
        what: "Bytes that no head begins with, behind a PROXY header that announces too much or too little, are 400 at \
               once; Envoy skips a lone CR or LF, and of others waits for the end of the line or of the client.",
        why: "Nothing that follows could make a request of them.",
        explains: |case| {
            let rest = case.behind_block();
            let is_half_an_end = rest.starts_with(b"\n") || rest.starts_with(b"\r") && !rest.starts_with(b"\r\n");
            let is_a_line = rest.trim_ascii_start().contains(&b'\n');
            case.refused() && (is_half_an_end || case.envoy == &Outcome::Closed && !is_a_line)
        },
    },
    Departure {
        name: "bodies too large to be judged",
        what: "413 for a body that the external authorizer may not be sent has the API's own error object; Envoy says \
               `Payload Too Large`.",
        why: "Clients of LLM APIs read errors as JSON.",
        explains: |case| {
            let largest = case.set.authorizer.body.filter(|(_, partial)| !partial);
            largest.is_some() && case.envoy.status() == Some(413) && case.lockgate.status() == Some(413)
        },
    },
    Departure {
        name: "characters that no URI has",
        what: "A raw `<` or `>` in the target, a back-tick in its path or a `\"` in its query is 400; Envoy takes them.",
        why: "RFC 3986 has no such characters, and what a server behind makes of them is its own affair.",
        explains: |case| {
            let (path, query) = case.path_and_query();
            case.refused() && (path.contains(['<', '>', '`']) || query.contains(['<', '>', '"']))
        },
    },
    Departure {
        name: "TRACE",
        what: "TRACE is 405; Envoy passes it on.",
        why: "An upstream that answers it sends back what was added to the request: a provider's key.",
        explains: |case| case.request.method == "TRACE" && case.lockgate.status() == Some(405),
    },
    Departure {
        name: "blanks in the request line",
        what: "A tab, a carriage return or a second blank beside the target is 400; Envoy takes it for one blank.",
        why: "RFC 9112 §3 has one blank there, and whitespace is what smuggling is made of.",
        explains: |case| case.refused() && case.request.target.contains(['\t', '\r', ' ']),
    },
    Departure {
        name: "targets without a path",
        what: "`OPTIONS *` is 404 after policy, which may say 401 or 403 first; Envoy says 404 at once. `http://h?x` is 400 \
               and `http://h#` is `http://h/`; Envoy says 404 and 400.",
        why: "Nothing is sent on that Envoy would not send, but `/` of a host that is named so.",
        explains: |case| !case.split().1.starts_with('/') && matches!(case.envoy.status(), Some(400 | 404)),
    },
    Departure {
        name: "two hosts",
        what: "Two `Host` lines are 400; Envoy joins them with a comma.",
        why: "RFC 9112 §3.2 asks for it: two readers would see two hosts.",
        explains: |case| case.refused() && case.request.values("host").count() > 1,
    },
    Departure {
        name: "fields named by Connection",
        what: "A `Connection` that names a field which a policy, a route or a token rule reads is 400; Envoy drops that field \
               before policy.",
        why: "`Connection: x-team` walks around a DENY on `x-team` there.",
        explains: |case| case.refused() && case.request.values("connection").next().is_some(),
    },
    Departure {
        name: "hosts that are none",
        what: "An authority other than `host`, `host:port` or `[v6]:port` is 400; Envoy takes `a,b`, `*.test`, `a:x`, `[::1`…",
        why: "Policies compare it letter by letter, servers behind read it.",
        explains: |case| {
            case.refused()
                && case
                    .authority()
                    .is_none_or(|host| head::split_authority(host).is_none())
        },
    },
    Departure {
        name: "broken escapes",
        what: "From BASE up, a `%` without two hexadecimal digits in the path is 400; Envoy leaves it and decodes around it.",
        why: "Decoding beside it could make a new escape: `%%36%31` becomes `%61`.",
        explains: |case| case.refused() && case.normalises() && has_broken_escape(case.path_and_query().0),
    },
    Departure {
        name: "escaped zero bytes",
        what: "From BASE up, `%00` anywhere in the path is 400; Envoy misses it among the parameters of a dot segment.",
        why: "There is no use for it but confusing who reads the path next.",
        explains: |case| case.refused() && case.normalises() && case.path_and_query().0.contains("%00"),
    },
    Departure {
        name: "long paths",
        what: "A path over 8 KiB is 414; Envoy takes as much as fits into the head.",
        why: "No LLM API has one, and normalising takes memory for each.",
        explains: |case| case.lockgate.status() == Some(414) && case.path_and_query().0.len() > PATH_BYTES_MAX,
    },
    Departure {
        name: "hosts of absolute targets",
        what: "`http://a_b~c/` has the host `a_b~c`, as `Host: a_b~c` does; Envoy takes only the latter.",
        why: "One rule for what a host is, wherever it stands.",
        explains: |case| {
            case.split().0.is_some_and(|host| host.contains(['_', '~'])) && case.envoy.is_refused_as_malformed()
        },
    },
    Departure {
        name: "bytes of a fragment",
        what: "A fragment is dropped unread; Envoy drops it too, but answers 400 if it has bytes that are no ASCII.",
        why: "It goes nowhere.",
        explains: |case| {
            let fragment = case.request.target.split_once('#').map_or("", |(_, fragment)| fragment);
            !fragment.bytes().all(|byte| byte.is_ascii_graphic()) && case.envoy.is_refused_as_malformed()
        },
    },
    Departure {
        name: "spellings of a token",
        what: "Base64url with stray bits at its end is 401; Envoy takes it, and a signature with bytes too many.",
        why: "A token has one spelling (RFC 4648 §3.5), an ES256 signature 64 bytes (RFC 7518 §3.4).",
        explains: |case| {
            let says =
                |line: &str| matches!(case.lockgate, Outcome::Answered { status: 401, body, .. } if body == line);
            case.request.has_odd_token
                && (says("Jwt verification fails") || says("Jwt header is an invalid Base64url encoded"))
        },
    },
    Departure {
        name: "dot segments with parameters",
        what: "`/..;x/` is a dot segment however it is spelled (`%2e%2e;x`, `\\..;x`, `..;x\\`); Envoy knows only that one \
               spelling and sends others on.",
        why: "Servers that drop parameters would leave the folder that policy allowed.",
        explains: |case| {
            let path = case.path_and_query().0.to_ascii_lowercase();
            case.normalises()
                && path.contains(';')
                && ["%2e", "%5c", "\\"].iter().any(|spelling| path.contains(spelling))
        },
    },
    Departure {
        name: "nothing but slashes",
        what: "Merged slashes of `//` are `/`; Envoy leaves `//` where nothing else is in the path.",
        why: "`//` is the one path that merging would not touch, and so not what a policy on `/` sees.",
        explains: |case| {
            let path = case.path_and_query().0;
            case.merges() && head::normal_path(path, case.reading()).as_deref() == Ok("/")
        },
    },
    Departure {
        name: "brackets and templates",
        what: "`{*}` and `{**}` take any byte of a segment; Envoy's stop at `[`, `]` and a few more.",
        why: "`/admin/a[b` would slip past DENY `/admin/{**}`.",
        explains: |case| {
            let asks = |predicate: &Predicate| predicate.values.iter().any(|value| value.contains("{*"));
            let rules = case.set.policies.iter().flat_map(|policy| &policy.rules);
            case.path_and_query().0.contains(['[', ']', '|', '{', '}', '^', '\\'])
                && rules.flat_map(PolicyRule::predicates).any(asks)
        },
    },
    Departure {
        name: "v4 addresses in v6",
        what: "`::ffff:10.1.1.1` in a PROXY header or a trusted proxy's `x-forwarded-for` is the client 10.1.1.1; Envoy keeps it \
               v6, where no v4 block holds it.",
        why: "A balancer with one socket for both families writes v4 clients so, and a DENY on 10.0.0.0/8 means them.",
        explains: |case| {
            let line = case
                .proxy_line()
                .map(|line| String::from_utf8_lossy(line).contains(" ::ffff:"));
            let mapped = |address: &[u8]| address.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
            let block = case
                .proxy_block()
                .map(|(block, _)| block.chunks(16).take(2).any(mapped));
            let told = |line: &[u8]| String::from_utf8_lossy(line).to_ascii_lowercase().contains("::ffff:");
            line.or(block).unwrap_or(false)
                || case.set.trusted_proxies > 0 && case.request.values("x-forwarded-for").any(told)
        },
    },
    Departure {
        name: "schemes that a proxy tells",
        what: "`x-forwarded-proto` of a trusted proxy is `http` or `https`, in lower case, and anything else counts as what is \
               spoken here; Envoy shows and sends it as it was sent.",
        why: "Who tells a scheme tells one of two.",
        explains: |case| {
            let told: Vec<&[u8]> = case.request.values("x-forwarded-proto").collect();
            case.set.trusted_proxies > 0 && !told.is_empty() && !matches!(told[..], [b"http" | b"https"])
        },
    },
    Departure {
        name: "schemes of absolute targets",
        what: "`http://…` of a client behind a trusted proxy that says `https` has the scheme `https`; in Envoy it is `http`.",
        why: "The proxy knows whom it speaks to.",
        explains: |case| {
            let told = case.request.values("x-forwarded-proto").next();
            case.set.trusted_proxies > 0 && told == Some(b"https") && case.split().0.is_some()
        },
    },
    Departure {
        name: "zones of addresses",
        what: "The zone of `fe80::1%eth0` is left out of `x-envoy-external-address`; Envoy writes the number of a network \
               interface of its own instead.",
        why: "It means nothing anywhere else.",
        explains: |case| {
            let has_zone = |line: &[u8]| line.contains(&b'%');
            case.set.trusted_proxies > 0 && case.request.values("x-forwarded-for").any(has_zone)
        },
    },
    Departure {
        name: "paths that a rewrite makes",
        what: "A rewrite that makes a path with a dot segment or without a leading `/` is 400; Envoy sends it on.",
        why: "`/v1../admin` under a rewrite of `/v1` to `/` is `/../admin`, which no policy has judged.",
        explains: |case| {
            let refused = "the request's path is not valid after its rewrite";
            matches!(case.lockgate, Outcome::Answered { status: 400, body, .. } if body == refused)
        },
    },
    Departure {
        name: "tokens of preflights",
        what: "A token in a parameter of a CORS preflight that goes upstream is taken out of it, as of any request; \
               Envoy, which asks a preflight for no token, leaves it there.",
        why: "The token is the gateway's to read and nobody else's.",
        explains: |case| {
            let is_there = |name| case.request.values(name).next().is_some();
            let is_preflight =
                case.request.method == "OPTIONS" && is_there("origin") && is_there("access-control-request-method");
            is_preflight && case.envoy.without_token().as_ref() == Some(case.lockgate)
        },
    },
    Departure {
        name: "forwarded parameters",
        what: "A parameter with a token is taken out of the path, whatever `forwardOriginalToken` says; Envoy leaves it \
               there for policies and the upstream.",
        why: "What is in a URL ends in the logs of whoever reads it.",
        explains: |case| {
            let forwards = case.set.token_rules.iter().any(|rule| rule.forwards);
            forwards && case.request.target.contains("access_token=")
        },
    },
    Departure {
        name: "tokens before authorizers",
        what: "A parameter with a token is no part of the path that a CUSTOM policy and its authorizer see; in Envoy, \
               which takes it out after them, it is.",
        why: "They judge the path that the upstream gets.",
        explains: |case| {
            let is_custom = |policy: &AuthorizationPolicy| policy.action == Action::Custom;
            case.request.target.contains("access_token=") && case.set.policies.iter().any(is_custom)
        },
    },
];

impl<'c> Case<'c> {
    /// Lockgate did not even ask its policies.
    fn refused(&self) -> bool {
        self.lockgate.is_refused_as_malformed()
    }

    /// The line of a PROXY header of version 1.
    fn proxy_line(&self) -> Option<&'c [u8]> {
        let header = self.request.proxy_header.as_deref()?;
        let end = header
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .unwrap_or(header.len());
        header.starts_with(b"PROXY ").then_some(&header[..end])
    }

    /// The block of a PROXY header of version 2, and how long it is announced to be.
    fn proxy_block(&self) -> Option<(&'c [u8], usize)> {
        let header = self.request.proxy_header.as_deref()?;
        let (fixed, block) = header.split_first_chunk::<16>()?;
        let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        fixed.starts_with(b"\r\n\r\n\0").then_some((block, length))
    }

    /// What a PROXY header of version 2 leaves of the request.
    fn behind_block(&self) -> Vec<u8> {
        let header = self.proxy_block().map_or(0, |(_, length)| 16 + length);
        self.request.bytes().into_iter().skip(header).collect()
    }

    fn normalises(&self) -> bool {
        self.set.normalization != "NONE"
    }

    fn merges(&self) -> bool {
        self.set.normalization.contains("MERGE")
    }

    fn reading(&self) -> Reading {
        Reading {
            normalization: match self.set.normalization {
                "NONE" => Normalization::None,
                "BASE" => Normalization::Base,
                "MERGE_SLASHES" => Normalization::MergeSlashes,
                _ => Normalization::DecodeAndMergeSlashes,
            },
            ..Reading::of(None)
        }
    }

    /// The authority of the absolute form, or the rest of the target in origin form.
    fn split(&self) -> (Option<&'c str>, &'c str) {
        let target = self.request.target.as_str();
        match target.strip_prefix("http://") {
            None => (None, target),
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                (Some(authority), path)
            }
        }
    }

    fn authority(&self) -> Option<&'c str> {
        let host = || std::str::from_utf8(self.request.values("host").next()?.trim_ascii()).ok();
        self.split().0.or_else(host)
    }

    fn path_and_query(&self) -> (&'c str, &'c str) {
        let target = self.split().1;
        let target = target.split('#').next().unwrap_or("");
        target.split_once('?').unwrap_or((target, ""))
    }
}

/// Whether a line of version 1 is not in its one spelling.
fn is_odd(line: &[u8]) -> bool {
    let is_long = line.len() + b"\r\n".len() > PROXY_LINE_BYTES_MAX;
    let has_odd_byte = line.iter().any(|byte| b"+%\t\n\x0b\x0c\r".contains(byte));
    let mut words = line.split(|byte| *byte == b' ');
    is_long || has_odd_byte || words.any(|word| word.is_empty() || word.len() > 1 && is_number_with_zero(word))
}

fn is_number_with_zero(word: &[u8]) -> bool {
    word.starts_with(b"0") && word.iter().all(u8::is_ascii_digit)
}

fn has_broken_escape(path: &str) -> bool {
    path.split('%').skip(1).any(|rest| {
        let digits = rest.as_bytes().get(..2);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}
