//! Nonces seen, each for as long as its request would still be taken.
//!
//! Nobody's nonces are forgotten before their time, so nothing can be replayed. What is bounded is how many there may be:
//! one signer alone may hold [`ONE_MAX`], and once [`ALL_MAX`] are held only those are still taken who hold few. So whoever
//! floods a service is told to wait, and the others are served.

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};

/// From here on only signers with few nonces are taken: 2,000 requests a second over the whole time.
const ALL_MAX: usize = 250_000;
/// Above this nobody is.
const EVER_MAX: usize = 2 * ALL_MAX;
/// Most nonces of one signer: 200 requests a second over the whole time.
const ONE_MAX: u32 = 25_000;
/// Few nonces: what a person's wallet needs in two minutes.
const FEW: u32 = 256;

/// What tells one signed request from all others, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    signer: [u8; 32],
    request: [u8; 32],
}

impl Mark {
    pub(super) fn new(keyid: &str, nonce: &[u8; 16]) -> Self {
        let request = Sha256::new().chain_update(nonce).chain_update(keyid);
        Self {
            signer: Sha256::digest(keyid.as_bytes()).into(),
            request: request.finalize().into(),
        }
    }
}

#[derive(Default)]
pub(super) struct Nonces {
    seen: HashSet<[u8; 32]>,
    /// How many each signer holds.
    held: HashMap<[u8; 32], u32>,
    /// By the last second at which the request would be taken.
    until: BTreeMap<i64, Vec<Mark>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remembered {
    New,
    Replayed,
    Full,
}

impl Nonces {
    /// Whether this request was remembered and would still be taken.
    pub(super) fn has(&self, mark: &Mark) -> bool {
        self.seen.contains(&mark.request)
    }

    /// Remembers a signer's nonce until after `until_s`, and forgets those whose time is over.
    pub(super) fn remember(&mut self, mark: Mark, until_s: i64, now_s: i64) -> Remembered {
        self.forget(now_s);
        if self.has(&mark) {
            return Remembered::Replayed;
        }
        let held = self.held.entry(mark.signer).or_default();
        let all = self.seen.len();
        let most = if all < ALL_MAX {
            ONE_MAX
        } else if all < EVER_MAX {
            FEW
        } else {
            0
        };
        if *held >= most {
            if *held == 0 {
                self.held.remove(&mark.signer);
            }
            return Remembered::Full;
        }
        *held += 1;
        self.seen.insert(mark.request);
        self.until.entry(until_s).or_default().push(mark);
        Remembered::New
    }

    fn forget(&mut self, now_s: i64) {
        let still_taken = self.until.split_off(&now_s);
        let over = std::mem::replace(&mut self.until, still_taken);
        for mark in over.into_values().flatten() {
            self.seen.remove(&mark.request);
            if let Some(held) = self.held.get_mut(&mark.signer) {
                *held -= 1;
                if *held == 0 {
                    self.held.remove(&mark.signer);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(keyid: &str, number: u128) -> Mark {
        Mark::new(keyid, &number.to_be_bytes())
    }

    #[test]
    fn a_nonce_counts_once_per_signer_and_is_forgotten_in_time() {
        let mut nonces = Nonces::default();
        assert_eq!(nonces.remember(mark("a", 1), 60, 0), Remembered::New);
        assert_eq!(nonces.remember(mark("a", 1), 60, 60), Remembered::Replayed);
        assert_eq!(nonces.remember(mark("b", 1), 70, 60), Remembered::New);
        assert_eq!(nonces.remember(mark("a", 2), 70, 61), Remembered::New);
        assert!(!nonces.has(&mark("a", 1)) && nonces.has(&mark("a", 2)));
        assert_eq!(
            (nonces.seen.len(), nonces.until.len(), nonces.held.len()),
            (2, 1, 2),
            "the first one is past its time"
        );
    }

    #[test]
    fn one_signer_alone_cannot_crowd_out_the_others() {
        let mut nonces = Nonces::default();
        for number in 0..u128::from(ONE_MAX) {
            assert_eq!(nonces.remember(mark("a", number), 60, 0), Remembered::New);
        }
        let next = u128::from(ONE_MAX);
        assert_eq!(nonces.remember(mark("a", next), 60, 0), Remembered::Full);
        assert_eq!(nonces.remember(mark("b", next), 60, 0), Remembered::New);
        assert_eq!(
            nonces.remember(mark("a", 0), 60, 0),
            Remembered::Replayed,
            "what it held before is not forgotten"
        );
        assert_eq!(nonces.remember(mark("a", next), 130, 61), Remembered::New);
        assert_eq!(nonces.held.len(), 1, "a signer without nonces is forgotten");
    }

    #[test]
    fn many_who_flood_stop_themselves_and_memory_is_bounded() {
        let mut nonces = Nonces::default();
        let flooders: Vec<String> = (0..10).map(|number| format!("flooder {number}")).collect();
        for flooder in &flooders {
            for number in 0..u128::from(ONE_MAX) {
                assert_eq!(
                    nonces.remember(mark(flooder, number), 60, 0),
                    Remembered::New
                );
            }
        }
        let next = u128::from(ONE_MAX);
        for flooder in &flooders {
            assert_eq!(
                nonces.remember(mark(flooder, next), 60, 0),
                Remembered::Full
            );
        }
        for number in 0..u128::from(FEW) {
            assert_eq!(
                nonces.remember(mark("owner", number), 60, 0),
                Remembered::New
            );
        }
        assert_eq!(
            nonces.remember(mark("owner", next), 60, 0),
            Remembered::Full
        );
        let mut number = 0;
        while nonces.remember(mark(&format!("stranger {number}"), 0), 60, 0) == Remembered::New {
            number += 1;
        }
        assert_eq!(nonces.seen.len(), EVER_MAX);
        assert_eq!(
            nonces.held.len(),
            flooders.len() + 1 + number,
            "whoever is refused leaves nothing behind"
        );
    }
}
