//! The shape of a Scenario: requests, and what is expected to come of each.

use super::{Enumeration, Object, PORT, STATUS, Shape, field, list, list_of_some, required, text};
use crate::config::format::Format;

/// `spec` of a Scenario.
pub(super) static SCENARIO: Object = Object::new(&[
    field(
        "env",
        Shape::Map {
            key: Format::NonEmpty,
            value: &Shape::Text(Format::Hidden),
        },
        "What `${NAME}` stands for while these cases are tried, before the environment.",
    ),
    required(
        "cases",
        list_of_some(&Shape::Object(&CASE)),
        "Requests, each with what is expected to come of it.",
    ),
]);

static CASE: Object = Object::new(&[
    required("name", text(Format::NonEmpty), "What it shows, in words."),
    required("request", Shape::Object(&REQUEST), "What a client sends."),
    required(
        "expect",
        Shape::Object(&EXPECT),
        "What comes of it: of the verdict that `lockgate explain -o json` shows, what is named here.",
    ),
]);

static REQUEST: Object = Object::new(&[
    field("method", text(Format::NonEmpty), "GET, or POST when there is a body."),
    required("url", text(Format::NonEmpty), "A URL, or path and query."),
    field("authority", text(Format::NonEmpty), "`:authority` of HTTP/2."),
    field(
        "protocol",
        text(Format::NonEmpty),
        "`:protocol` of HTTP/2, `websocket`: an extended CONNECT, which needs no method and no `upgrade` header.",
    ),
    field("headers", list(&Shape::Object(&HEADER)), "Header fields, in order."),
    field(
        "body",
        text(Format::Any),
        "The body; without one its check is left open.",
    ),
    field(
        "bodyError",
        text(Format::NonEmpty),
        "Why the body cannot be sent on, in the words of the answer: `the request body is too large`. Not beside `body`.",
    ),
    field(
        "peer",
        text(Format::Address),
        "The client's address; 127.0.0.1 by default.",
    ),
    field(
        "proxied",
        text(Format::Address),
        "The client's address as a PROXY protocol header names it; `peer` is then the balancer's.",
    ),
    field(
        "destinationIp",
        text(Format::Address),
        "The address that the client connected to.",
    ),
    field(
        "destinationPort",
        PORT,
        "The port that policies compare, as a PROXY protocol header names it.",
    ),
    field(
        "port",
        PORT,
        "The Gateway's port; by default the URL's, else the first.",
    ),
    field(
        "sni",
        text(Format::NonEmpty),
        "The server name of the client's TLS handshake; the request's host by default.",
    ),
    field(
        "peerUris",
        list(&Shape::Text(Format::NonEmpty)),
        "URI names of the client's certificate.",
    ),
    field(
        "peerCert",
        text(Format::NonEmpty),
        "What `x-forwarded-client-cert` says of that certificate; its URI names by default.",
    ),
    field("claims", Shape::Any, "What the client's token claims, as if verified."),
    field(
        "tokenError",
        text(Format::NonEmpty),
        "Why the client's token must not pass, in the words of the answer: `Jwt is expired`. Not beside `claims`.",
    ),
    field(
        "checks",
        Shape::Map {
            key: Format::NonEmpty,
            value: &Shape::Object(&CHECK),
        },
        "What external authorizers would say, by their names.",
    ),
    field(
        "entropy",
        text(Format::Entropy),
        "The random number of 64 bits, in quotes, whose upper half chooses among weighted backends; 0 by default.",
    ),
]);

/// A header field. Its value may be a credential.
static HEADER: Object = Object::new(&[
    required("name", text(Format::FieldName), "The field's name."),
    required("value", text(Format::Hidden), "Its value."),
]);

static CHECK: Object = Object::new(&[
    required(
        "decision",
        Shape::Enum(&Enumeration {
            values: &["allow", "deny", "error", "bodyTooLarge"],
            not_yet: &[],
            ignore_case: false,
        }),
        "What it says; `error` when it cannot be reached or fails.",
    ),
    field("setHeaders", FIELDS, "Of `allow`: fields that the request then has."),
    field(
        "removeHeaders",
        list(&Shape::Text(Format::FieldName)),
        "Of `allow`: fields that it no longer has.",
    ),
    field(
        "status",
        STATUS,
        "Of `deny`: the status for the client; 403 by default.",
    ),
]);

/// Header fields by name.
const FIELDS: Shape = Shape::Map {
    key: Format::FieldName,
    value: &Shape::Text(Format::Hidden),
};

const ANY: Shape = Shape::Text(Format::Any);
const ANY_LIST: Shape = list(&ANY);
const MILLISECONDS: Shape = Shape::Integer { min: 0, max: i64::MAX };

/// Of each kind of verdict the members that a scenario may name; [`crate::scenario`] reads them off a verdict.
pub(crate) static EXPECT: Object = Object::new(&[
    field(
        "decision",
        Shape::Enum(&Enumeration {
            values: &[
                "forward",
                "redirect",
                "respond",
                "refuse",
                "readBody",
                "verifyToken",
                "check",
            ],
            not_yet: &[],
            ignore_case: false,
        }),
        "What is done with the request.",
    ),
    field("status", STATUS, "The status of the gateway's own answer."),
    field("body", ANY, "Its body, exactly."),
    field("contentType", ANY, "Its type."),
    field("code", ANY, "Of a refusal: the stable name of the reason."),
    field("reason", ANY, "Of a refusal: the reason in words."),
    field("location", ANY, "Of a redirect: where it leads."),
    field("rule", ANY, "The rule that matched what the client sent."),
    field("admittedBy", ANY, "The rule that admitted the rewritten request."),
    field("provider", ANY, "The provider's host."),
    field("upstream", ANY, "The host that the upstream is known by."),
    field("connect", ANY_LIST, "Among the places that are connected to."),
    field("sni", ANY, "The server name of the upstream's TLS handshake."),
    field("method", ANY, "The method that is sent on."),
    field("path", ANY, "The path and query that are sent on."),
    field(
        "upgrade",
        ANY,
        "What the connection may be used for instead of HTTP, once the upstream agrees: `websocket`.",
    ),
    field(
        "headers",
        FIELDS,
        "Header fields as they are sent on where the gateway sets or adds them; secrets by name only.",
    ),
    field("removeHeaders", ANY_LIST, "Among the fields that are never sent on."),
    field(
        "responseHeaders",
        FIELDS,
        "Header fields that the configuration sets or adds in the answer.",
    ),
    field(
        "bodyFields",
        Shape::Map {
            key: Format::NonEmpty,
            value: &ANY,
        },
        "Top-level fields that are set in the body, each as JSON text.",
    ),
    field("mirrors", ANY_LIST, "Among the hosts that get a copy."),
    field(
        "originAllowed",
        Shape::Bool,
        "Whether the page of another origin may ask.",
    ),
    field("aborted", Shape::Bool, "Whether a fault answers."),
    field(
        "delayMs",
        MILLISECONDS,
        "How long a fault holds it up, in milliseconds.",
    ),
    field(
        "timeoutMs",
        MILLISECONDS,
        "The time for the whole of it, in milliseconds.",
    ),
    field("attempts", MILLISECONDS, "How often it is tried again."),
    field("authorizer", ANY, "The external authorizer that it depends on."),
    field("policies", ANY_LIST, "Among the policies that ask it."),
    field(
        "authentications",
        ANY_LIST,
        "Among the RequestAuthentications that look for a token where it is.",
    ),
]);
