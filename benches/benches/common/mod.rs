//! Hands cases to criterion.

use core::time::Duration;

use criterion::{Criterion, Throughput};
use lockgate_benches::Case;

/// The gateway's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Short runs: what must not regress is counted in instructions, so wall time need not be precise to a percent.
pub(crate) fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30)
}

pub(crate) fn measure(criterion: &mut Criterion, cases: Vec<Case>) {
    for case in cases {
        let mut group = criterion.benchmark_group(case.group);
        if let Some(bytes) = case.bytes {
            group.throughput(Throughput::Bytes(bytes));
        }
        let name = case.name.clone();
        let mut work = case.prepare();
        group.bench_function(name, |bencher| bencher.iter(&mut work));
        group.finish();
    }
}
