//! Nonces seen, each for as long as its request would still be taken.

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};

/// Most nonces remembered: 2,000 requests a second over the whole time.
const NONCES_MAX: usize = 250_000;

#[derive(Default)]
pub(super) struct Nonces {
    seen: HashSet<[u8; 32]>,
    /// By the last second at which the request would be taken.
    until: BTreeMap<i64, Vec<[u8; 32]>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remembered {
    New,
    Replayed,
    Full,
}

impl Nonces {
    /// Remembers a signer's nonce until after `until_s`, and forgets those whose time is over.
    pub(super) fn remember(
        &mut self,
        keyid: &str,
        nonce: &[u8; 16],
        until_s: i64,
        now_s: i64,
    ) -> Remembered {
        let still_taken = self.until.split_off(&now_s);
        for (_, digests) in std::mem::replace(&mut self.until, still_taken) {
            for digest in digests {
                self.seen.remove(&digest);
            }
        }
        let digest: [u8; 32] = Sha256::new()
            .chain_update(nonce)
            .chain_update(keyid)
            .finalize()
            .into();
        if self.seen.contains(&digest) {
            return Remembered::Replayed;
        }
        if self.seen.len() >= NONCES_MAX {
            return Remembered::Full;
        }
        self.seen.insert(digest);
        self.until.entry(until_s).or_default().push(digest);
        Remembered::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_counts_once_per_signer_and_is_forgotten_in_time() {
        let mut nonces = Nonces::default();
        assert_eq!(nonces.remember("a", &[1; 16], 60, 0), Remembered::New);
        assert_eq!(nonces.remember("a", &[1; 16], 60, 60), Remembered::Replayed);
        assert_eq!(nonces.remember("b", &[1; 16], 70, 60), Remembered::New);
        assert_eq!(nonces.remember("a", &[2; 16], 70, 61), Remembered::New);
        assert_eq!(
            (nonces.seen.len(), nonces.until.len()),
            (2, 1),
            "the first one is past its time"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut nonces = Nonces::default();
        for number in 0..NONCES_MAX as u128 {
            assert_eq!(
                nonces.remember("a", &number.to_be_bytes(), 60, 0),
                Remembered::New
            );
        }
        assert_eq!(
            nonces.remember("a", &u128::MAX.to_be_bytes(), 60, 0),
            Remembered::Full
        );
        assert_eq!(
            nonces.remember("a", &u128::MAX.to_be_bytes(), 130, 61),
            Remembered::New
        );
    }
}
