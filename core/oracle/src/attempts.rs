//! How often and how long a request is tried: made up, read naively, and asked of the engine.

use lockgate_core::compile::Settings;
use lockgate_core::config::diagnostic::Location;
use lockgate_core::config::resource::{
    HeaderOperations, HttpFault, HttpMirror, Resources, Retries, RetryConditions, RouteDestination, RouteSettings,
};
use lockgate_core::retry::Outcome;
use lockgate_core::tables::{self, AbortStatus, Chance, Tables};

use crate::bytes::Bytes;
use crate::cors;
use crate::world::{World, list, text};

/// What may be spent on one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    /// For all of it.
    pub timeout_ms: Option<u32>,
    /// Retries, time for each attempt, the first pause, and whether other endpoints come first.
    pub retries: Option<(u32, Option<u32>, u32, bool)>,
    /// Which of [`OUTCOMES`] are tried again.
    pub again: Vec<Outcome>,
}

const fn answer(status: u16, grpc_status: Option<u32>, rate_limited: bool) -> Outcome {
    Outcome::Answer {
        status,
        grpc_status,
        rate_limited,
    }
}

const OUTCOMES: [Outcome; 13] = [
    Outcome::ConnectFailure,
    Outcome::Reset { begun: false },
    Outcome::Reset { begun: true },
    Outcome::PerTryTimeout,
    answer(200, None, false),
    answer(404, None, false),
    answer(409, None, false),
    answer(500, None, false),
    answer(503, None, false),
    answer(503, None, true),
    answer(200, Some(1), false),
    answer(200, Some(14), false),
    answer(503, Some(13), false),
];

/// Makes the settings of a rule.
pub fn settings(bytes: &mut Bytes<'_>) -> RouteSettings {
    RouteSettings {
        timeout_ms: bytes.pick(&[None, None, None, Some(0), Some(5_000)]),
        retries: bytes.one_in(3).then(|| Box::new(retries(bytes))),
        cors: bytes.one_in(3).then(|| Box::new(cors::policy(bytes))),
        fault: bytes.one_in(12).then(|| Box::new(fault(bytes))),
        mirrors: list(bytes, &[0, 0, 0, 0, 1, 2], |bytes| HttpMirror {
            destination: RouteDestination {
                at: Location::default(),
                host: text(bytes.pick(&["one.test", "also.test"])),
                port: None,
                subset: None,
                weight: None,
                headers: HeaderOperations::default(),
            },
            chance: bytes.pick(&[Chance(0), Chance(1_000_000)]),
            field: "mirror".into(),
        })
        .into(),
    }
}

/// One that always or never happens, so that both evaluators and Envoy draw alike.
fn fault(bytes: &mut Bytes<'_>) -> HttpFault {
    let mut chance = || bytes.pick(&[Chance(0), Chance(1_000_000)]);
    let (delayed, aborted) = (chance(), chance());
    HttpFault {
        delay: bytes.pick(&[None, Some((delayed, 1))]),
        abort: bytes.pick(&[
            None,
            Some((aborted, AbortStatus::Http(418))),
            Some((aborted, AbortStatus::Grpc(14))),
        ]),
    }
}

/// Makes `retries`.
pub fn retries(bytes: &mut Bytes<'_>) -> Retries {
    let on = bytes.pick(&[
        None,
        Some("5xx"),
        Some("gateway-error,404"),
        Some("reset, unavailable"),
        Some("reset-before-request,retriable-4xx"),
        Some("503,internal"),
        Some("envoy-ratelimited,cancelled,refused-stream"),
    ]);
    Retries {
        attempts: bytes.pick(&[0, 1, 3, 100]),
        per_try_timeout_ms: bytes.pick(&[None, Some(10_000)]),
        on: on.map(|text| RetryConditions::parse(text).expect("a list of conditions")),
        backoff_ms: bytes.pick(&[None, Some(1), Some(u32::MAX)]),
        ignore_previous_hosts: bytes.pick(&[None, Some(true), Some(false)]),
    }
}

/// What the documents say: a rule's own `retries`, else the mesh's, else two on what Istio calls its default.
#[must_use]
pub fn expected(world: &World, settings: &RouteSettings) -> Attempts {
    let timeout_ms = settings.timeout_ms.filter(|timeout| *timeout != 0);
    let mut meshes = world.resources.mesh_configs.iter();
    let of_mesh = meshes.next().and_then(|mesh| mesh.default_retries.as_ref());
    let given = settings.retries.as_deref().or(of_mesh);
    if given.is_some_and(|retries| retries.attempts == 0) {
        return Attempts {
            timeout_ms,
            retries: None,
            again: Vec::new(),
        };
    }
    let conditions = given.and_then(|retries| retries.on.as_ref());
    let names: Vec<&str> = match conditions {
        Some(conditions) => conditions.on.names().collect(),
        None => vec!["connect-failure", "refused-stream", "unavailable", "cancelled"],
    };
    let statuses = conditions.map_or(&[][..], |conditions| &conditions.statuses);
    let is_again = |outcome: &&Outcome| names.iter().any(|name| meets(name, statuses, **outcome));
    Attempts {
        timeout_ms,
        retries: Some((
            given.map_or(2, |retries| retries.attempts),
            given.and_then(|retries| retries.per_try_timeout_ms),
            given.and_then(|retries| retries.backoff_ms).unwrap_or(25),
            given.and_then(|retries| retries.ignore_previous_hosts) != Some(false),
        )),
        again: OUTCOMES.iter().filter(is_again).copied().collect(),
    }
}

/// Of a rule that sends to LLM providers: nothing but what it says itself.
#[must_use]
pub fn to_provider(settings: &RouteSettings) -> Attempts {
    let nobody = World {
        resources: Resources::default(),
        settings: Settings::default(),
    };
    match settings.retries {
        Some(_) => expected(&nobody, settings),
        None => Attempts {
            timeout_ms: settings.timeout_ms.filter(|timeout| *timeout != 0),
            retries: None,
            again: Vec::new(),
        },
    }
}

fn meets(name: &str, statuses: &[u16], outcome: Outcome) -> bool {
    if let Outcome::Answer { rate_limited: true, .. } = outcome {
        return name == "envoy-ratelimited";
    }
    let status = match outcome {
        Outcome::Answer { status, .. } => Some(status),
        _ => None,
    };
    let grpc = match outcome {
        Outcome::Answer { grpc_status, .. } => grpc_status,
        _ => None,
    };
    match name {
        "5xx" => status.is_none_or(|status| status / 100 == 5),
        "gateway-error" => status.is_none_or(|status| [502, 503, 504].contains(&status)),
        "reset" => status.is_none(),
        "reset-before-request" => {
            matches!(outcome, Outcome::ConnectFailure | Outcome::Reset { begun: false })
        }
        "connect-failure" => outcome == Outcome::ConnectFailure,
        "retriable-4xx" => status == Some(409),
        "retriable-status-codes" => status.is_some_and(|status| statuses.contains(&status)),
        "cancelled" => grpc == Some(1),
        "internal" => grpc == Some(13),
        "unavailable" => grpc == Some(14),
        _ => false,
    }
}

/// What the engine says.
#[must_use]
pub fn told(tables: &Tables, attempts: &tables::Attempts, entropy: u64) -> Attempts {
    let policy = attempts.retries;
    let is_again = |outcome: &&Outcome| {
        let again = |retries| policy.and_then(|policy| policy.next(tables, **outcome, retries, entropy));
        let most = policy.map_or(0, |policy| policy.retries_max);
        assert_eq!(again(most), None, "after the last attempt");
        again(0).is_some()
    };
    Attempts {
        timeout_ms: attempts.timeout_ms,
        retries: policy.map(|policy| {
            (
                policy.retries_max,
                policy.per_try_timeout_ms,
                policy.backoff_ms,
                policy.avoids_tried,
            )
        }),
        again: OUTCOMES.iter().filter(is_again).copied().collect(),
    }
}
