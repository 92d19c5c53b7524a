//! Signed requests: the one profile of RFC 9421 that services and wallets use (`specs/API.md`).
//!
//! Covered: `"@method" "@target-uri"`, and with a body `"content-digest"` (RFC 9530, `sha-256`). Parameters: `created`,
//! `nonce`, `keyid`, `alg="ed25519"`, `tag="tegata"`. Label `sig`. Everything else is refused: a second signature, further
//! components or parameters, a component twice.

mod base;
mod nonces;
mod sign;
mod verify;

pub use sign::{Signer, content_digest, send_signed, sign};
pub use verify::{
    KeyId, SignatureError, SignedRequest, Unseen, Verifier, WINDOW_S, authenticate_organisation,
};
