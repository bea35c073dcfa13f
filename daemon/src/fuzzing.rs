//! What of the broker reads what lies on a disk or was inherited, for the fuzzer (`tests/fuzz`) and for
//! the inputs that it found: each target takes any bytes, and panics where a promise does not hold.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::notify::inherited;
use crate::store;

/// A target.
pub type Target = fn(&[u8]);

/// Every target but that of the bus, by the name of its folder in `tests/fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[("inherited", inherited::fuzzed), ("rows", store::fuzzed)];

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzzer begins with, and every input that once went wrong.
    #[test]
    fn the_corpus_holds() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
        for (name, target) in TARGETS {
            let mut inputs = 0;
            for entry in std::fs::read_dir(corpus.join(name)).unwrap() {
                target(&std::fs::read(entry.unwrap().path()).unwrap());
                inputs += 1;
            }
            assert!(inputs > 0, "{name} has nothing to begin with");
        }
    }
}
