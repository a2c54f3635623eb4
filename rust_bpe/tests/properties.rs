//! Random texts and merge lists against the slow forms of the same rules.

use std::collections::HashSet;

use ecg_bpe::encode::Encoder;
use ecg_bpe::merges::{Merges, NUM_BASE_IDS};
use ecg_bpe::quantise::Quantiser;
use ecg_bpe::recount::train_by_recount;
use ecg_bpe::text::Cell;
use ecg_bpe::train::{Options, Stop, Trainer};
use proptest::collection::vec;
use proptest::prelude::*;

fn options(num_merges: usize, min_count: u64) -> Options {
    Options {
        num_merges,
        min_count,
        num_threads: 1,
        prefix: vec![],
    }
}

fn train<C: Cell>(texts: &[Vec<u8>], options: Options) -> (Vec<(u32, u32)>, Vec<u64>, Stop) {
    let mut trainer = Trainer::<C>::new(options).unwrap();
    for text in texts {
        trainer.text().unwrap().add(text, true).unwrap();
    }
    loop {
        if let Some(stop) = trainer.step().unwrap() {
            return (trainer.merges().to_vec(), trainer.counts().to_vec(), stop);
        }
    }
}

/// Runs of few letters: many ties, many overlapping pairs.
fn text() -> impl Strategy<Value = Vec<u8>> {
    vec((97u8..101, 1usize..9), 0..60).prop_map(|runs| {
        runs.into_iter()
            .flat_map(|(letter, length)| vec![letter; length])
            .collect()
    })
}

/// Any merge list that names earlier ids, also ones that no training gives.
fn merge_list() -> impl Strategy<Value = Vec<(u32, u32)>> {
    vec((any::<u16>(), any::<u16>()), 0..30).prop_map(|numbers| {
        let mut seen = HashSet::new();
        let mut pairs = Vec::new();
        for (left, right) in numbers {
            let pick = |number: u16, known: usize| match number as usize % (4 + known) {
                letter @ 0..=3 => 97 + letter as u32,
                merge => (NUM_BASE_IDS + merge - 4) as u32,
            };
            let pair = (pick(left, pairs.len()), pick(right, pairs.len()));
            if seen.insert(pair) && Merges::new([pairs.clone(), vec![pair]].concat()).is_ok() {
                pairs.push(pair);
            }
        }
        pairs
    })
}

/// Every merge in order over the whole sequence.
fn encode_by_rank(pairs: &[(u32, u32)], data: &[u8]) -> Vec<u32> {
    let mut ids: Vec<u32> = data.iter().map(|&byte| u32::from(byte)).collect();
    for (k, &pair) in pairs.iter().enumerate() {
        let mut out = Vec::new();
        let mut i = 0;
        while i < ids.len() {
            let is_pair = i + 1 < ids.len() && (ids[i], ids[i + 1]) == pair;
            out.push(if is_pair {
                (NUM_BASE_IDS + k) as u32
            } else {
                ids[i]
            });
            i += 1 + usize::from(is_pair);
        }
        ids = out;
    }
    ids
}

/// From every position the longest spelling, later merges first.
fn encode_by_length(merges: &Merges, data: &[u8]) -> Vec<u32> {
    let words: Vec<Vec<u8>> = (0..merges.num_ids() as u32)
        .map(|id| {
            let mut word = vec![];
            merges.expand(id, &mut word);
            word
        })
        .collect();
    let mut ids = vec![];
    let mut start = 0;
    while start < data.len() {
        let best = (0..words.len())
            .filter(|&id| data[start..].starts_with(&words[id]))
            .max_by_key(|&id| (words[id].len(), id))
            .unwrap();
        ids.push(best as u32);
        start += words[best].len();
    }
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn training_equals_a_full_recount(
        texts in vec(text(), 0..4), num_merges in 0usize..60, min_count in 1u64..4,
    ) {
        let views: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let (merges, counts) = train_by_recount(&views, num_merges, min_count);
        for (ours, our_counts, stop) in [
            train::<u16>(&texts, options(num_merges, min_count)),
            train::<u32>(&texts, options(num_merges, min_count)),
        ] {
            prop_assert_eq!(&ours, &merges);
            prop_assert_eq!(&our_counts, &counts);
            let is_complete = merges.len() == num_merges;
            prop_assert_eq!(stop, if is_complete { Stop::NumMerges } else { Stop::MinCount });
        }
    }

    #[test]
    fn resuming_equals_one_run(
        texts in vec(text(), 0..4), num_merges in 0usize..40, share in 0.0f64..1.0,
    ) {
        let (merges, counts, _) = train::<u16>(&texts, options(num_merges, 1));
        let done = (share * merges.len() as f64) as usize;
        let prefix = merges[..done].to_vec();
        let again = train::<u16>(&texts, Options { prefix, ..options(num_merges, 1) });
        prop_assert_eq!(again.0, merges);
        prop_assert_eq!(again.1, counts[done..].to_vec());
    }

    #[test]
    fn encoders_equal_their_definitions(pairs in merge_list(), data in text()) {
        let merges = Merges::new(pairs.clone()).unwrap();
        let greedy = Encoder::new(&merges, "greedy").unwrap();
        prop_assert_eq!(greedy.encode(&data), encode_by_length(&merges, &data));
        let bpe = Encoder::new(&merges, "bpe").unwrap();
        prop_assert_eq!(bpe.encode(&data), encode_by_rank(&pairs, &data));
        for encoder in [greedy, bpe] {
            let ids: Vec<i64> = encoder.encode(&data).into_iter().map(i64::from).collect();
            prop_assert_eq!(encoder.decode(&ids).unwrap(), data.clone());
        }
    }

    #[test]
    fn batches_equal_single_calls(texts in vec(text(), 0..6), num_threads in 0usize..4) {
        let merges = Merges::new(train::<u16>(&texts, options(30, 1)).0).unwrap();
        let views: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        for mode in ["greedy", "bpe"] {
            let encoder = Encoder::new(&merges, mode).unwrap();
            let single: Vec<_> = views.iter().map(|text| encoder.encode(text)).collect();
            prop_assert_eq!(encoder.encode_batch(&views, num_threads), single);
        }
    }

    #[test]
    fn symbols_stay_in_the_alphabet(values in vec(any::<f64>(), 0..50), num_symbols in 1u8..=159) {
        let quantiser = Quantiser::new(-1.0, 2.5, num_symbols.into()).unwrap();
        let mut symbols = vec![];
        quantiser.symbols(&values, &mut symbols);
        prop_assert!(symbols.iter().all(|&s| (97..=96 + num_symbols).contains(&s)));
    }

    #[test]
    fn numbers_of_symbols_without_letters_are_refused(num_symbols in any::<i64>()) {
        let quantiser = Quantiser::new(-1.0, 2.5, num_symbols);
        prop_assert_eq!(quantiser.is_ok(), (1..=159).contains(&num_symbols));
    }
}

#[test]
fn numbers_of_symbols_at_the_ends() {
    let is_taken = |number| Quantiser::new(-1.0, 2.5, number).is_ok();
    assert_eq!(
        [0, 1, 159, 160, 256, -1].map(is_taken),
        [false, true, true, false, false, false]
    );
}

#[test]
fn threads_do_not_change_a_long_text() {
    // longer than the parts that threads take, and rich in ties
    let mut state = 1u32;
    let text: Vec<u8> = (0..3_000_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            97 + (state >> 30) as u8
        })
        .collect();
    let texts = [text];
    let one = train::<u16>(&texts, options(300, 1));
    for num_threads in [2, 8] {
        let more = train::<u16>(
            &texts,
            Options {
                num_threads,
                ..options(300, 1)
            },
        );
        assert_eq!(more.0, one.0);
        assert_eq!(more.1, one.1);
    }
}

#[test]
fn tokens_do_not_grow_beyond_the_limit() {
    let texts = [vec![b'a'; 3 << 20]];
    let (merges, _, stop) = train::<u16>(&texts, options(100, 1));
    assert_eq!(stop, Stop::TokenLength);
    assert!(Merges::new(merges).is_ok());
}

#[test]
fn wrong_merges_and_ids_are_refused() {
    assert!(Merges::new(vec![(256, 97)]).is_err());
    assert!(Merges::new((0..60).map(|k| (255 + k, 255 + k)).collect()).is_err());
    let encoder = Encoder::new(&Merges::new(vec![(97, 97)]).unwrap(), "greedy").unwrap();
    assert!(encoder.decode(&[257]).is_err());
    assert!(encoder.decode(&[-1]).is_err());
    assert!(Encoder::new(&Merges::new(vec![]).unwrap(), "other").is_err());
}

#[test]
fn a_trainer_refuses_late_text_and_impossible_wishes() {
    let mut trainer = Trainer::<u16>::new(options(1, 1)).unwrap();
    trainer.step().unwrap();
    assert!(trainer.text().is_err());
    assert!(Trainer::<u16>::new(options(usize::MAX, 1)).is_err());
    assert!(Trainer::<u16>::new(Options {
        prefix: vec![(97, 97)],
        ..options(0, 1)
    })
    .is_err());
}
