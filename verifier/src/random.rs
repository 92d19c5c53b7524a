//! Where randomness comes in: the one edge of this crate that draws it.

use rand::CryptoRng;
use rand::RngExt;

/// The thread's generator, seeded by the system.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge where a service draws randomness"
)]
pub(crate) fn rng() -> impl CryptoRng {
    rand::rng()
}

/// Fresh random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    rng().random()
}
