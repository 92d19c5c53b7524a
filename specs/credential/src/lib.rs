//! Credentials, pure: keys, SD-JWT VC with key binding, Token Status List.
//!
//! No clock, no randomness of its own, no I/O, no network: time is an argument (`at`, Unix
//! seconds), randomness is an argument (`&mut impl CryptoRng`).
//!
//! # The API in one look
//!
//! | step | who | call |
//! |---|---|---|
//! | sign a record | issuer | [`sd_jwt::issue`] with an [`sd_jwt::Issuance`] and a [`keys::SigningKey`] |
//! | read what it claims, believe nothing | anybody | [`sd_jwt::SdJwt::parse`], then `issuer()`, `vct()`, `key_id()`, `issued_at()` |
//! | believe it | wallet, verifier | [`sd_jwt::SdJwt::verify`] with the issuer's key → [`sd_jwt::VerifiedSdJwt`] |
//! | show some of it | wallet | [`sd_jwt::SdJwt::present`] with an [`sd_jwt::KeyBinding`] and the holder's key |
//! | believe what was shown | verifier | [`sd_jwt::SdJwt::verify_with_key_binding`] with an [`sd_jwt::KeyBindingPolicy`] → [`sd_jwt::VerifiedPresentation`] |
//! | publish what is revoked | issuer | [`status_list::StatusList::from_entries`], [`status_list::sign`] |
//! | look a status up | wallet, verifier | [`status_list::StatusListToken::parse`], `verify` → [`status_list::VerifiedStatusList::status_at`] |
//! | the same in CBOR | issuer, verifier | [`status_list::sign_cwt`], [`status_list::StatusListCwt`] |
//! | sign or believe a W3C credential or presentation | anybody | [`data_integrity::sign_credential`], [`data_integrity::Verifier`] → [`data_integrity::VerifiedCredential`] |
//! | look its status up | verifier | [`bitstring::VerifiedBitstring`] |
//! | find a key of a DID, in its time | verifier | [`did::Did`], [`did::DidDocument::method_for`] |
//! | write a QR code that is checked offline | issuer | [`hcert::issue`], [`smart_health_card::issue`] |
//! | believe it | venue | [`hcert::Hcert::verify`], [`smart_health_card::SmartHealthCard::verify`] with a [`trust_list::TrustList`] |
//!
//! Verification is a type: [`sd_jwt::VerifiedSdJwt`], [`sd_jwt::VerifiedPresentation`] and
//! [`status_list::VerifiedStatusList`] cannot be made except by verifying. A `VerifiedSdJwt`
//! says that the signature is by the key the caller named, that the digests fit and that the
//! credential is valid in time. It does *not* say that the issuer is accredited, that the status
//! list has no entry for it, or that the claims fit the record type's schema: those checks need
//! the registry, the status list and the catalogue, and are the caller's.
//!
//! Every error has a stable reason code: `error.code()`, `snake_case`, never reworded. The pages
//! beside this crate (`sd-jwt-vc.md`, `status-list.md`) list them, and `vectors/` freezes them.
//!
//! # Example
//! ```
//! # use tegata_credential::{keys::*, sd_jwt::*};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut rng = rand::rng();
//! let issuer = SigningKey::generate(Algorithm::EdDsa, &mut rng);
//! let holder = SigningKey::generate(Algorithm::Es256, &mut rng);
//! let claims = serde_json::json!({"lot_number": "AB-12", "place": {"name": "Sakura Clinic"}});
//! let credential = issue(
//!     &Issuance {
//!         disclosable: &["lot_number".into(), Path::new(["place", "name"])],
//!         holder: Some(&holder.public_key()),
//!         status: Some(StatusReference { uri: "https://clinic.example/status/1".into(), index: 7 }),
//!         ..Issuance::new("https://clinic.example", "urn:tegata:vaccination:1", 1_760_000_000, &claims)
//!     },
//!     &issuer,
//!     &mut rng,
//! )?;
//! let shown = SdJwt::parse(&credential)?.present(
//!     &["lot_number".into()],
//!     &KeyBinding::new("https://verifier.example", "nonce-1", 1_760_000_100),
//!     &holder,
//! )?;
//! let verified = SdJwt::parse(&shown)?.verify_with_key_binding(
//!     &issuer.public_key(),
//!     &KeyBindingPolicy { audience: "https://verifier.example", nonce: "nonce-1", max_age_s: 300 },
//!     1_760_000_110,
//! )?;
//! assert_eq!(verified.credential().claims()["lot_number"], "AB-12");
//! # Ok(()) }
//! ```

mod base45;
pub mod bitstring;
mod cbor;
pub mod cose;
pub mod data_integrity;
pub mod dcql;
pub mod did;
pub mod hcert;
mod inflate;
pub mod json;
pub mod jwe;
pub mod jws;
pub mod key_file;
pub mod keys;
pub mod openid4vp;
pub mod rfc3339;
pub mod sd_jwt;
pub mod smart_health_card;
pub mod status_list;
pub mod trust_list;
pub mod verification_key;
pub mod x509;

/// How far another party's clock may be ahead of ours, in seconds: `iat` and `nbf` may lie this
/// far in the future. Expiry has no such tolerance.
pub const CLOCK_SKEW_S: i64 = 60;
