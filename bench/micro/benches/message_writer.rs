//! Every value of a PublishResponse is written as JSON into its asset's publication.

use bench_micro::session::SessionBench;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use opcua_subscription::Conflate;

fn write(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message_writer");
    for (assets, tags) in bench_sizes() {
        for (conflate, repeats) in [(Conflate::Last, 1), (Conflate::All, 2)] {
            group.throughput(Throughput::Elements(u64::from(assets * tags * repeats)));
            group.bench_function(format!("{assets}x{tags}, {repeats} of each tag"), |bencher| {
                let bench = std::cell::RefCell::new(SessionBench::new(assets, tags, conflate));
                bencher.iter_batched(
                    || bench.borrow_mut().response(repeats),
                    |body| bench.borrow_mut().take(body),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// Assets and tags of each; tiny where nothing is measured.
fn bench_sizes() -> Vec<(u32, u32)> {
    if std::env::args().any(|argument| argument == "--test") { vec![(2, 3)] } else { vec![(20, 50), (1, 1_000)] }
}

criterion_group!(benches, write);
criterion_main!(benches);
