//! Events fill a batch, the batch closes and goes, and its outcome settles every record in it.

use bench_micro::batcher::Batcher;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn close(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("egress_batch");
    for (events_count, points_count) in bench_sizes() {
        group.throughput(Throughput::Elements(u64::try_from(events_count).unwrap_or(0)));
        group.bench_function(format!("{events_count} events of {points_count} points"), |bencher| {
            let mut batcher = Batcher::new(events_count, points_count);
            bencher.iter(|| batcher.fill_and_settle());
        });
    }
    group.finish();
}

/// Events of a batch, and points of an event; tiny where nothing is measured.
fn bench_sizes() -> Vec<(usize, u32)> {
    if std::env::args().any(|argument| argument == "--test") { vec![(3, 2)] } else { vec![(125, 50), (1_000, 1)] }
}

criterion_group!(benches, close);
criterion_main!(benches);
