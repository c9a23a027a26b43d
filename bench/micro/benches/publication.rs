//! A record is built in place in a shared chunk, and shared by its count.

use bench_micro::record::{CHUNK_BYTES, POINT, build};
use contract::PublicationArena;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publication");
    for points_count in bench_sizes() {
        let payload_bytes = POINT.len() * usize::try_from(points_count).unwrap_or(0);
        group.throughput(Throughput::Bytes(u64::try_from(payload_bytes).unwrap_or(0)));
        group.bench_function(format!("build, {points_count} points"), |bencher| {
            let mut arena = PublicationArena::new(CHUNK_BYTES);
            bencher.iter(|| build(&mut arena, points_count));
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("clone, {points_count} points"), |bencher| {
            let publication = build(&mut PublicationArena::new(CHUNK_BYTES), points_count);
            bencher.iter(|| publication.clone());
        });
    }
    group.finish();
}

/// Points of a record; tiny where nothing is measured.
fn bench_sizes() -> Vec<u32> {
    if std::env::args().any(|argument| argument == "--test") { vec![2] } else { vec![50, 1_000] }
}

criterion_group!(benches, records);
criterion_main!(benches);
