//! The engine against the reference evaluator, on random configurations and requests from a fixed seed.

use lockgate_oracle::differential::{Coverage, check, minimise};
use lockgate_oracle::random::Random;

/// Bytes per input: a configuration takes about 350, a request about 30.
const INPUT_BYTES: usize = 2304;
const REQUESTS: usize = 280_000;

/// What has to happen, and how often at least, or the agreement would say little.
const NEEDED: &[(usize, &[&str])] = &[
    (
        300,
        &[
            "verdict: 400",
            "verdict: 400 for Connection",
            "verdict: 403 as no ALLOW matched",
            "verdict: 403 by a DENY rule",
            "verdict: 404 of pass 1",
            "verdict: 404 of pass 2",
            "verdict: 405",
            "verdict: 414",
            "verdict: 500 not admitted",
            "verdict: body refused",
            "verdict: body refused for policy",
            "before the body: policy asks for it",
            "asked: one authorizer",
            "asked: both authorizers",
            "verdict: refused by an external authorizer",
            "observed: audited",
            "observed: a dry run, allowed",
            "observed: a dry run, denied by a rule",
            "observed: a dry run, denied, as no ALLOW matched",
            "verdict: forward",
            "forward: a backend that is not the first",
            "forward: a host rewrite",
            "forward: a mirror",
            "answered: an abort",
            "forward: a route-specific configuration",
            "forward: admitted by another rule",
            "forward: by a catch-all",
            "forward: by a match with gateways",
            "forward: by a match with sourceLabels",
            "forward: by header exact",
            "forward: by header prefix",
            "forward: by header presence",
            "forward: by header regex",
            "forward: by host exact",
            "forward: by host prefix",
            "forward: by host regex",
            "forward: by one of several catch-alls",
            "forward: fixed path",
            "forward: several backends",
            "forward: several routes on a virtual host",
            "forward: the client's path",
            "forward: virtual host *",
            "forward: virtual host *.suffix",
            "forward: virtual host exact",
            "forward: routes of both kinds on a virtual host",
            "verdict: 400 after the rewrite",
            "verdict: direct response",
            "verdict: forward to a host",
            "verdict: redirect",
            "verdict: redirect to https",
            "verdict: 421",
            "forward: through an HTTPS server",
            "to a host: a backend that is not the first",
            "to a host: a prefix rewrite",
            "to a host: a rewrite by regular expression",
            "to a host: by a catch-all",
            "to a host: by one of many rules",
            "to a host: by one of several catch-alls",
            "to a host: by the absence of a header",
            "to a host: routes of both kinds on a virtual host",
        ],
    ),
    (
        40,
        &[
            "answered: a preflight",
            "answered: in place of a provider",
            "forward: a delay",
            "forward: a page of another origin",
            "to a host: by a match with port",
            "to a host: by authority",
            "to a host: by claim",
            "to a host: by method",
            "to a host: by query parameter",
            "to a host: by scheme",
            "to a host: by uri exact",
            "to a host: by uri in any case",
            "to a host: by uri prefix",
            "to a host: by uri regex",
        ],
    ),
    (
        10,
        &[
            "to a host: by a catch-all behind many rules",
            "to a host: by a match with sourceNamespace",
            "to a host: by a rule that is delegated to",
            "refused: a delegate that is not there",
            "observed: a dry run, depends on the body",
            "refused: a Gateway that is not there",
            "refused: a destination that is not there",
            "refused: a port that is not named",
            "refused: a port that is not there",
            "refused: a policy for some of the Gateways",
            "refused: an authorizer that is not there",
            "refused: a match that widens the route's gateways",
            "refused: a provider that is not for this gateway",
            "refused: a provider that is not there",
            "refused: all weights are zero",
            "refused: no regular expression",
            "refused: some weights are missing",
            "refused: two resources of one kind and name",
            "refused: two rules with one name",
            "refused: two visible providers with one host",
            "refused: weights that add up to more than 32 bits",
        ],
    ),
];

#[test]
fn engine_and_oracle_agree() {
    let mut random = Random::new(2);
    let mut coverage = Coverage::default();
    while coverage.of("requests") < REQUESTS {
        let input = random.bytes(INPUT_BYTES);
        if check(&input, &mut coverage).is_err() {
            let small = minimise(&input, |input| check(input, &mut Coverage::default()).is_err());
            let disagreement = check(&small, &mut Coverage::default()).unwrap_err();
            panic!("{disagreement}\ninput: {small:?}");
        }
    }
    println!("{coverage}");
    for (least, names) in NEEDED {
        for name in *names {
            let seen = coverage.of(name);
            assert!(seen >= *least, "{name}: only {seen} times, {least} are needed");
        }
    }
}
