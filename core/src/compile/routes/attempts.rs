//! How often and how long the requests of a rule are tried: istiod's `retry.ConvertPolicy`.

use crate::compile::rows::{RowWriter, append, number};
use crate::config::resource::{Retries, RouteSettings};
use crate::tables::{Attempts, AttemptsId, RetryOn, RetryPolicy};

/// Istio's default for `attempts`.
const RETRIES_DEFAULT: u32 = 2;

/// Envoy's default for `backoff`.
const BACKOFF_DEFAULT_MS: u32 = 25;

/// Rows that a new one is compared with: neighbours are often alike.
const COMPARED_MAX: usize = 16;

/// Of a rule that sends to plain hosts; `of_mesh` holds where it has no `retries`.
pub(super) fn to_hosts(settings: &RouteSettings, of_mesh: Option<&Retries>, rows: &mut RowWriter<'_>) -> AttemptsId {
    let given = settings.retries.as_deref().or(of_mesh);
    let (on, statuses) = match given.and_then(|retries| retries.on.as_ref()) {
        Some(conditions) => (conditions.on, &conditions.statuses[..]),
        None => (RetryOn::DEFAULT, &[][..]),
    };
    let retries_max = given.map_or(RETRIES_DEFAULT, |retries| retries.attempts);
    let attempts = Attempts {
        timeout_ms: settings.timeout_ms.filter(|timeout| *timeout > 0),
        retries: (retries_max > 0).then(|| RetryPolicy {
            retries_max,
            per_try_timeout_ms: given.and_then(|retries| retries.per_try_timeout_ms),
            backoff_ms: given
                .and_then(|retries| retries.backoff_ms)
                .unwrap_or(BACKOFF_DEFAULT_MS),
            avoids_tried: given.and_then(|retries| retries.ignore_previous_hosts).unwrap_or(true),
            on,
            statuses: append(&mut rows.rows.retry_statuses, statuses.iter().copied()),
        }),
        all_endpoints: false,
    };
    row(attempts, rows)
}

/// Of a rule that sends to LLM providers, where nothing is tried again unless the rule says so: an answer that was lost
/// has been paid for.
pub(super) fn to_providers(settings: &RouteSettings, rows: &mut RowWriter<'_>) -> AttemptsId {
    match (settings.timeout_ms, &settings.retries) {
        (None, None) => row(Attempts::ONE, rows),
        (_, Some(_)) => to_hosts(settings, None, rows),
        (_, None) => {
            let never = Retries {
                attempts: 0,
                per_try_timeout_ms: None,
                on: None,
                backoff_ms: None,
                ignore_previous_hosts: None,
            };
            to_hosts(settings, Some(&never), rows)
        }
    }
}

fn row(attempts: Attempts, rows: &mut RowWriter<'_>) -> AttemptsId {
    let table = &mut rows.rows.attempts;
    let last = table.len().saturating_sub(COMPARED_MAX);
    let known = table.iter().skip(last).position(|known| *known == attempts);
    if let Some(index) = known {
        return AttemptsId(number(last.saturating_add(index)));
    }
    table.push(attempts);
    AttemptsId(number(table.len().saturating_sub(1)))
}
