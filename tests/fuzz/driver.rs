//! The loop: take a seed, mutate it, run the target, keep what led to something new.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Executions of a target unless `GAGGLE_FUZZ_RUNS` says otherwise.
const RUNS: u64 = 5_000;
/// Bytes that an input may have.
const LONGEST: usize = 64 * 1024;
/// Inputs that are kept to mutate further.
const KEPT: usize = 4096;
/// Numbers at which programs tend to break.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x0000_ffff_ffff_ffff,
    i64::MAX as u64,
    u64::MAX - 1,
    u64::MAX,
];
/// Bytes with a meaning in one of the formats.
const MARKS: &[u8] = b"{}[]\":,\\/%.0-+eE\0\n\r\x7f\x80\xff";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn folder(kind: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(kind)
        .join(name)
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let files = |kind| {
        fs::read_dir(folder(kind, name))
            .into_iter()
            .flatten()
            .flatten()
    };
    let mut files: Vec<PathBuf> = files("seeds")
        .chain(files("corpus"))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).expect("a readable seed"))
        .collect()
}

/// Runs `target` on its `own` seeds, on those in fuzz/seeds and on what a longer run left in
/// fuzz/corpus, then on mutations of them.
pub(crate) fn fuzz(name: &str, own: &[Vec<u8>], target: impl Fn(&[u8]) -> String) {
    let seed = number("GAGGLE_FUZZ_SEED").unwrap_or_else(gaggle::io::random::seed);
    let runs = number("GAGGLE_FUZZ_RUNS").unwrap_or(RUNS);
    println!("{name}: {runs} executions, GAGGLE_FUZZ_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut kept = seeds(name);
    kept.extend_from_slice(own);
    kept.push(Vec::new());
    let mut shapes = BTreeSet::new();
    for (execution, input) in kept.iter().enumerate() {
        shapes.insert(run(name, &target, input, execution as u64, seed));
    }
    for execution in kept.len() as u64..runs {
        let input = mutated(&kept, &mut rng);
        let shape = run(name, &target, &input, execution, seed);
        if kept.len() < KEPT && shapes.insert(shape) {
            kept.push(input);
        }
    }
    println!("{name}: {} shapes of outcome", shapes.len());
    if number("GAGGLE_FUZZ_KEEP").is_some() {
        keep(name, &kept);
    }
}

/// Leaves inputs in fuzz/corpus, where the guided fuzzer goes on from them.
fn keep(name: &str, inputs: &[Vec<u8>]) {
    let corpus = folder("corpus", name);
    fs::create_dir_all(&corpus).expect("a folder for what was learned");
    for input in inputs {
        fs::write(corpus.join(blake3::hash(input).to_hex().as_str()), input).expect("a file");
    }
}

/// One execution; a panic is kept as a file and told with what repeats it.
fn run(
    name: &str,
    target: &impl Fn(&[u8]) -> String,
    input: &[u8],
    execution: u64,
    seed: u64,
) -> String {
    catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|_| {
        let kept = folder("artifacts", name);
        let file = kept.join(blake3::hash(input).to_hex().as_str());
        let saved = fs::create_dir_all(&kept).and_then(|()| fs::write(&file, input));
        panic!(
            "{name} broke on execution {execution}; the input of {} bytes is in {}: {saved:?}; \
             repeat with GAGGLE_FUZZ_SEED={seed} cargo test --test fuzz",
            input.len(),
            file.display(),
        )
    })
}

fn mutated(kept: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = kept[rng.random_range(0..kept.len())].clone();
    for _ in 0..1_u32 << rng.random_range(0..4_u32) {
        mutate(&mut bytes, kept, rng);
    }
    bytes.truncate(LONGEST);
    bytes
}

/// One change, of a kind drawn at random.
fn mutate(bytes: &mut Vec<u8>, kept: &[Vec<u8>], rng: &mut StdRng) {
    let at = rng.random_range(0..=bytes.len());
    let rest = bytes.len() - at;
    let length = rng.random_range(0..=rest.min(64));
    match rng.random_range(0..10_u32) {
        0 if rest > 0 => bytes[at] ^= 1 << rng.random_range(0..8_u32),
        1 if rest > 0 => bytes[at] = rng.random(),
        2 if rest > 0 => bytes[at] = MARKS[rng.random_range(0..MARKS.len())],
        3 => bytes.insert(at, MARKS[rng.random_range(0..MARKS.len())]),
        4 => bytes.insert(at, rng.random()),
        5 => drop(bytes.drain(at..at + length)),
        6 => bytes.truncate(at),
        7 => {
            let again = bytes[at..at + length].repeat(rng.random_range(1..=8));
            bytes.splice(at..at, again);
        }
        8 => {
            let other = &kept[rng.random_range(0..kept.len())];
            let from = rng.random_range(0..=other.len());
            let to = rng.random_range(from..=other.len());
            bytes.splice(at..at + length, other[from..to].iter().copied());
        }
        _ => edge(bytes, at, rng),
    }
}

/// Writes a number at which programs tend to break, in one of its forms.
fn edge(bytes: &mut Vec<u8>, at: usize, rng: &mut StdRng) {
    let number = EDGES[rng.random_range(0..EDGES.len())];
    let width = 1 << rng.random_range(0..4_u32);
    let form = match rng.random_range(0..3_u32) {
        0 => number.to_le_bytes()[..width].to_vec(),
        1 => number.to_be_bytes()[8 - width..].to_vec(),
        _ => number.to_string().into_bytes(),
    };
    let end = (at + form.len()).min(bytes.len());
    bytes.splice(at..end, form);
}
