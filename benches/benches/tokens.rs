//! Wall time of the cases in [`lockgate_benches::tokens`].

use criterion::{criterion_group, criterion_main};

mod common;

fn benches(criterion: &mut criterion::Criterion) {
    common::measure(criterion, lockgate_benches::tokens::cases());
}

criterion_group! { name = group; config = common::config(); targets = benches }
criterion_main!(group);
