//! Timings on a synthetic ECG-like text: training, both encoders, fused quantise and encode.

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use ecg_bpe::encode::Encoder;
use ecg_bpe::merges::Merges;
use ecg_bpe::quantise::Quantiser;
use ecg_bpe::train::{Options, Trainer};

const LEADS: usize = 12;
const SAMPLES: usize = 2500;

fn quantiser() -> Quantiser {
    Quantiser::new(-1.05, 2.6, 26).expect("26 letters")
}

/// Beats of a few bumps each, with noise from a small linear generator.
fn record(seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut noise = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let beat = 170.0 + 60.0 * noise();
    (0..LEADS * SAMPLES)
        .map(|i| {
            let phase = (i % SAMPLES) as f32 % beat / beat;
            let bump =
                |at: f32, width: f32, height: f32| height * (-((phase - at) / width).powi(2)).exp();
            let size = 0.4 + 0.1 * (i / SAMPLES) as f32;
            size * (bump(0.2, 0.04, 0.15) + bump(0.36, 0.012, 1.2) + bump(0.6, 0.07, 0.3))
                + 0.03 * noise()
        })
        .collect()
}

fn symbols(num_records: u64) -> Vec<Vec<u8>> {
    (0..num_records)
        .map(|seed| {
            let mut out = Vec::new();
            quantiser().symbols(&record(seed), &mut out);
            out
        })
        .collect()
}

fn train(texts: &[Vec<u8>], num_merges: usize) -> Vec<(u32, u32)> {
    let options = Options {
        num_merges,
        min_count: 1,
        num_threads: 1,
        prefix: vec![],
    };
    let mut trainer = Trainer::<u16>::new(options).expect("valid options");
    for text in texts {
        trainer
            .text()
            .expect("not started")
            .add(text, true)
            .expect("it fits");
    }
    while trainer.step().expect("training works").is_none() {}
    trainer.merges().to_vec()
}

fn benches(criterion: &mut Criterion) {
    let texts = symbols(50);
    let num_symbols: usize = texts.iter().map(Vec::len).sum();
    let mut group = criterion.benchmark_group("train");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(num_symbols as u64));
    group.bench_function("50 records, 3500 merges", |bench| {
        bench.iter(|| train(&texts, 3500))
    });
    group.finish();

    let merges = Merges::new(train(&texts, 3500)).expect("trained merges are valid");
    let batch: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    let window = record(99);
    let mut group = criterion.benchmark_group("encode");
    for mode in ["greedy", "bpe"] {
        let encoder = Encoder::new(&merges, mode).expect("trained merges are valid");
        group.throughput(Throughput::Bytes(num_symbols as u64));
        group.bench_function(mode, |bench| bench.iter(|| encoder.encode_batch(&batch, 1)));
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{mode}, float window"), |bench| {
            bench.iter(|| encoder.encode_signals(&window, window.len(), quantiser(), 1));
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
