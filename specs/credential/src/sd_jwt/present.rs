//! Presenting: the holder chooses what to show and signs for whom.

use serde_json::{Map, Value};

use super::{KEY_BINDING_TYP, Path, PresentError, SdJwt, kit, verify::sd_hash};
use crate::jws;
use crate::keys::SigningKey;

/// What a key binding JWT says (RFC 9901 §4.3).
#[derive(Debug, Clone, PartialEq)]
pub struct KeyBinding<'a> {
    /// `aud`: the verifier it is for.
    pub audience: &'a str,
    /// `nonce`: the verifier's, from its request.
    pub nonce: &'a str,
    /// `iat`, Unix seconds.
    pub issued_at: i64,
    /// Further claims, such as `transaction_data_hashes`.
    pub extra: Map<String, Value>,
}

impl<'a> KeyBinding<'a> {
    /// A key binding without further claims.
    #[must_use]
    pub fn new(audience: &'a str, nonce: &'a str, issued_at: i64) -> Self {
        Self {
            audience,
            nonce,
            issued_at,
            extra: Map::new(),
        }
    }
}

impl SdJwt {
    /// The credential with the disclosures at and beneath `paths` alone (and those they are
    /// nested in), without key binding. No path: only what is always visible.
    ///
    /// # Errors
    /// [`PresentError::NoSuchClaim`] for a path at which there is no disclosure.
    pub fn disclose(&self, paths: &[Path]) -> Result<String, PresentError> {
        kit::select(self.presented(), paths)
    }

    /// As [`SdJwt::disclose`], signed by the holder: an SD-JWT+KB. Any key binding that was
    /// there is replaced.
    ///
    /// # Errors
    /// [`PresentError`]; `holder_key_mismatch` unless `holder` is the key in `cnf.jwk`.
    pub fn present(
        &self,
        paths: &[Path],
        binding: &KeyBinding<'_>,
        holder: &SigningKey,
    ) -> Result<String, PresentError> {
        if self.cnf_key()? != Some(holder.public_key()) {
            return Err(PresentError::HolderKeyMismatch);
        }
        let mut presentation = self.disclose(paths)?;
        let mut claims = binding.extra.clone();
        for (name, value) in [
            ("aud", Value::from(binding.audience)),
            ("nonce", binding.nonce.into()),
            ("iat", binding.issued_at.into()),
            ("sd_hash", sd_hash(&presentation).into()),
        ] {
            if claims.insert(name.to_owned(), value).is_some() {
                return Err(PresentError::ReservedClaim(name.to_owned()));
            }
        }
        presentation.push_str(&jws::sign(KEY_BINDING_TYP, false, &claims, holder));
        Ok(presentation)
    }
}
