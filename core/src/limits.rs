//! Every bound of the engine in one place, each with its reason.
//!
//! A loop, buffer or recursion elsewhere in the crate that is driven by input
//! names one of these. What happens at the bound is always a refusal, never a
//! truncation: see [`crate::decision::Refusal`].

/// Bytes of an HTTP/1.1 request head, and of an HTTP/2 header list: Envoy's 60 KiB. Answered 431.
pub const HEAD_BYTES_MAX: usize = 60 * 1024;

/// Header fields of one request: as many as hyper takes over HTTP/1.1. Answered 431.
pub const HEADER_FIELDS_MAX: usize = 100;

/// Bytes of a normalised path (without the query).
///
/// Twice the 4 KiB that common servers accept; longer paths are answered 414.
pub const PATH_BYTES_MAX: usize = 8 * 1024;

/// Bytes of a client's `x-request-id` that is kept; longer ones are replaced.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Bytes of all fields that policies or routes read as one value of several lines, `x-forwarded-for` with the client's
/// address among them. A hundred addresses of IPv6, and more lines than any client sends.
pub const SHOWN_BYTES_MAX: usize = 4 * 1024;

/// Bytes of a query of which a token is taken out, and of the cookies that policies or routes read where tokens are in
/// them, each without the tokens. What common servers take in one line.
pub const KEPT_BYTES_MAX: usize = 8 * 1024;

/// Lines of such cookies. Clients send one (RFC 6265 §5.4).
pub const COOKIE_LINES_MAX: usize = 16;

/// Bytes of an authority (`host[:port]`): 253 of a DNS name, a colon and five digits, rounded up.
pub const AUTHORITY_BYTES_MAX: usize = 264;

/// Bytes of a PROXY protocol header of version 1, its line break included: the longest that its specification has.
pub const PROXY_LINE_BYTES_MAX: usize = 107;

/// Bytes of the block that a PROXY protocol header of version 2 announces. Addresses take 36, what balancers add some
/// hundred; a client's whole certificate, of 2 to 4 KiB, is the largest thing that any of them puts there.
pub const PROXY_BLOCK_BYTES_MAX: usize = 8 * 1024;

/// Bytes of a request body that is read for a decision, unless the operator says otherwise.
///
/// A 20 MB image as a data URL is the largest thing real clients send.
pub const BODY_BYTES_MAX_DEFAULT: u64 = 32 * 1024 * 1024;

/// Nesting of arrays and objects in a request body.
pub const JSON_DEPTH_MAX: usize = 128;

/// Top-level keys of a request body. The largest published chat API has 45.
pub const JSON_TOP_LEVEL_KEYS_MAX: usize = 128;

/// Bytes of all top-level keys of a request body together. Those 45 take 700.
pub const JSON_TOP_LEVEL_KEY_BYTES_MAX: usize = 4 * 1024;

/// Names of tools that are read of a request body. Twice the 128 tools that the largest published API takes.
pub const TOOL_NAMES_MAX: usize = 256;

/// Bytes of all those names together. Common lists of a hundred tools take 2 KiB.
pub const TOOL_NAME_BYTES_MAX: usize = 4 * 1024;

/// Top-level fields of a request body that configuration may set. Three times what any provider's defaults need.
pub const EDITS_MAX: usize = 32;

/// Bytes of a model name, after unescaping. The longest in use is an ARN of about 200.
pub const MODEL_BYTES_MAX: usize = 256;

/// Bytes of a token (JWT) that is looked at, and of the payload in it. Larger than what fits into the head that most servers accept.
pub const TOKEN_BYTES_MAX: usize = 32 * 1024;

/// Seconds by which a token's `exp` and `nbf` may be off, because clocks are: Envoy's default.
pub const TOKEN_SLACK_S: u64 = 60;

/// Nesting of arrays and objects in a token's payload. Identity providers nest three deep.
pub const CLAIM_DEPTH_MAX: usize = 32;

/// Values that one token's payload may name. Four times the groups that fit into an 8 KiB head.
pub const CLAIMS_MAX: usize = 1024;

/// Bytes of the names that lead to one claim. Names are URLs at most.
pub const CLAIM_PATH_BYTES_MAX: usize = 512;

/// Bytes of the paths to all claims that stand in objects: each repeats the names around it, so that a token could have
/// fifty times its own size written.
pub const CLAIM_PATHS_BYTES_MAX: usize = 64 * 1024;

/// Values of one policy field that are compared one by one; more are looked up in a table, which costs as much as
/// comparing about this many.
pub const VALUES_COMPARED_MAX: u32 = 16;

/// Entries of one virtual host that are walked where looking up what they have in common costs as much: a host with no
/// more of them, and a feature by which no more of them are found.
pub const ENTRIES_WALKED_MAX: u32 = 6;

/// Rules of policies of one kind that are judged where looking up what they ask for costs as much.
pub const RULES_JUDGED_MAX: usize = 2;

/// Bytes of a `usage` object that is read for accounting; longer ones count as unknown.
pub const USAGE_BYTES_MAX: usize = 4 * 1024;

/// Bytes of what `x-forwarded-client-cert` says of one certificate. One of 4096 bits with twenty names takes 5 KiB; far
/// beyond that no server takes the head.
pub const CLIENT_CERT_BYTES_MAX: usize = 32 * 1024;

/// External authorizers that CUSTOM policies may ask. A request may have to wait for each of them in turn.
pub const AUTHORIZERS_MAX: usize = 16;

/// Bytes of a JSON Web Key Set. Ten RSA keys with their certificates take 30 KiB.
pub const KEY_SET_BYTES_MAX: usize = 1024 * 1024;

/// Keys of one issuer. The largest published sets have fewer than 20.
pub const KEYS_MAX: usize = 100;

/// Bytes of a `jwksUri`, as Istio bounds URLs.
pub const URL_BYTES_MAX: usize = 2048;

/// Bytes of a regular expression in configuration, as Istio bounds it.
pub const REGEX_BYTES_MAX: usize = 1024;

/// Bytes of the automaton that one regular expression may compile to.
pub const REGEX_DFA_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of the automaton of a `uriRegexRewrite`, which is walked for every byte of a path: a tenth of a second at most.
pub const SUBSTITUTION_NFA_BYTES_MAX: usize = 64 * 1024;

/// Matches of a `uriRegexRewrite` that are replaced in one path. Each may read the path to its end.
pub const SUBSTITUTIONS_MAX: usize = 64;

/// Retries that a rule may ask for. A request waits for each of them, and an upstream in trouble gets all of them.
pub const RETRIES_MAX: u32 = 100;

/// How many times as long as the first pause between two attempts a later one may be, as in Envoy.
pub const BACKOFF_GROWTH_MAX: u32 = 10;

/// Milliseconds that a `fault` may hold up a request: as long as clients of LLM APIs wait. Each takes memory meanwhile.
pub const FAULT_DELAY_MS_MAX: u32 = 600_000;

/// Mirrors of one rule. Each costs as much as the request itself.
pub const MIRRORS_MAX: usize = 8;

/// Bytes of the body of a `directResponse`, as Istio bounds it.
pub const DIRECT_RESPONSE_BYTES_MAX: usize = 1024 * 1024;

/// Nesting of a YAML document. Deeper than any resource, shallow enough for any stack.
pub const YAML_DEPTH_MAX: usize = 64;

/// Bytes of a name that a better one is suggested for.
pub const SUGGESTION_BYTES_MAX: usize = 64;

/// Nodes that the aliases of one YAML file may expand to, against alias bombs.
pub const YAML_ALIAS_NODES_MAX: usize = 20_000;

/// Bytes of one configuration source. Places in it are `u32`; Kubernetes bounds one object at 1.5 MiB.
pub const SOURCE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Findings that are kept of one load: nobody reads more, and a generated file can hold millions.
pub const DIAGNOSTICS_MAX: usize = 500;

/// Characters of one piece of input that a message quotes.
pub const QUOTED_CHARS_MAX: usize = 60;

/// Bytes of a source line of which an excerpt is shown; all of it is searched for keys that must not be.
pub const EXCERPT_LINE_BYTES_MAX: usize = 32 * 1024;

/// Columns of a source line that a rendered diagnostic shows.
pub const EXCERPT_COLUMNS_MAX: usize = 120;
