//! Wall time of the cases in [`lockgate_benches::decide`], [`lockgate_benches::policies`] and
//! [`lockgate_benches::routes`].

use criterion::{criterion_group, criterion_main};

mod common;

fn benches(criterion: &mut criterion::Criterion) {
    common::measure(criterion, lockgate_benches::decide::cases());
    common::measure(criterion, lockgate_benches::policies::cases());
    common::measure(criterion, lockgate_benches::routes::cases());
}

criterion_group! { name = group; config = common::config(); targets = benches }
criterion_main!(group);
