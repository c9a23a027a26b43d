//! A PublishResponse is walked over: of ten values of each tag, nine are only visited.

use bench_micro::session::SessionBench;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use opcua_subscription::Conflate;

/// Values of each tag in one response.
const REPEATS: u32 = 10;

fn visit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("opcua_visitor");
    for (assets, tags) in bench_sizes() {
        group.throughput(Throughput::Elements(u64::from(assets * tags * REPEATS)));
        let name = format!("{assets}x{tags}, {REPEATS} values each, the newest kept");
        group.bench_function(name, |bencher| {
            let bench = std::cell::RefCell::new(SessionBench::new(assets, tags, Conflate::Last));
            bencher.iter_batched(
                || bench.borrow_mut().response(REPEATS),
                |body| bench.borrow_mut().take(body),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Assets and tags of each; tiny where nothing is measured.
fn bench_sizes() -> Vec<(u32, u32)> {
    if std::env::args().any(|argument| argument == "--test") { vec![(2, 3)] } else { vec![(20, 50), (1, 1_000)] }
}

criterion_group!(benches, visit);
criterion_main!(benches);
