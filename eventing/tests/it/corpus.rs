//! What the fuzz targets start from, and what they have found: every law holds for every file in their corpus.

use std::path::{Path, PathBuf};

use eventing::laws;

#[test]
fn the_laws_of_headers_hold_for_the_corpus() {
    each("headers", laws::headers);
}

#[test]
fn the_laws_of_framing_hold_for_the_corpus() {
    each("framing", laws::framing);
}

#[test]
fn the_laws_of_events_hold_for_the_corpus() {
    each("events", laws::event);
}

/// How many mutants of each file are tried, unless `MUTANTS` says otherwise.
const MUTANTS: u64 = 2_000;

/// What holds for any bytes.
type Law = fn(&[u8]);

#[test]
fn the_laws_hold_for_mutants_of_the_corpus() {
    let mutants = std::env::var("MUTANTS").map_or(MUTANTS, |count| count.parse().unwrap());
    let laws: [(&str, Law); 3] = [
        ("headers", laws::headers),
        ("framing", laws::framing),
        ("events", laws::event),
    ];
    for (target, law) in laws {
        let files = files(target);
        for (path, bytes) in &files {
            println!("{}", path.display());
            for seed in 0..mutants {
                let other = &files[usize::try_from(seed).unwrap() % files.len()].1;
                let mutant = mutated(bytes, other, seed);
                // The last one shown is the one that broke the law; it belongs into the corpus.
                let broken = std::panic::catch_unwind(|| law(&mutant)).is_err();
                assert!(
                    !broken,
                    "mutant {seed} of {} breaks a law: {mutant:?}",
                    path.display()
                );
            }
        }
    }
}

/// A few blind changes: a bit, a byte at a boundary, a cut, a repetition, the tail of another file.
fn mutated(bytes: &[u8], other: &[u8], seed: u64) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ bytes.len() as u64);
    let mut mutant = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(mutant.len() + 1);
        match random.below(6) {
            0 if at < mutant.len() => mutant[at] ^= 1 << random.below(8),
            1 if at < mutant.len() => mutant[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][random.below(6)],
            2 => mutant.truncate(at),
            3 => mutant.insert(at, u8::try_from(random.below(256)).unwrap()),
            4 => {
                let end = at + random.below(mutant.len() - at + 1);
                let piece = mutant[at..end].to_vec();
                mutant.splice(at..at, piece);
            }
            _ => {
                mutant.truncate(at);
                mutant.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
        }
    }
    mutant
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

fn each(target: &str, law: fn(&[u8])) {
    for (path, bytes) in files(target) {
        // The last one shown is the one that broke the law.
        println!("{}", path.display());
        law(&bytes);
    }
}

fn files(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect();
    assert!(
        files.len() > 9,
        "{} has {} files: it is gone",
        folder.display(),
        files.len()
    );
    files
}
