//! The receiving side.

use super::base::{Input, signature_base};
use super::nonces::{Mark, Nonces, Remembered};
use super::sign::content_digest;
use crate::clock;
use crate::http::{discard, read_body};
use crate::ledger::{Ledger, LedgerError};
use crate::problem::Problem;
use axum::extract::{FromRef, FromRequest, OriginalUri, Request};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tegata_consent::cose::verify_strict;
use tegata_consent::ids::{OrganisationId, PublicKey, VaultId};
use tegata_consent::organisation::OrganisationState;

/// How far `created` may lie from the receiver's clock, in seconds.
pub const WINDOW_S: i64 = 60;

/// Who signed a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyId {
    /// The owner of a vault; whether this service keeps that vault is another question.
    Vault(VaultId),
    /// Somebody with this key who says to be this organisation: [`authenticate_organisation`] asks the registry.
    Organisation(OrganisationId, PublicKey),
}

impl KeyId {
    fn parse(text: &str) -> Option<Self> {
        if let Some(vault) = text.strip_prefix("vault:") {
            return Some(Self::Vault(lower(vault)?));
        }
        let (organisation, key) = text.strip_prefix("org:")?.split_once(':')?;
        Some(Self::Organisation(lower(organisation)?, lower(key)?))
    }

    const fn key(&self) -> PublicKey {
        match self {
            Self::Vault(vault) => vault.key(),
            Self::Organisation(_, key) => *key,
        }
    }
}

/// Identifiers are written in lower case, and in no other way.
fn lower<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        None
    } else {
        text.parse().ok()
    }
}

/// Why a request is not taken for its signer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No signature, or more than one.
    #[error("the request needs one {0} header with one member, sig")]
    Header(&'static str),
    /// `Signature-Input` is not the profile's.
    #[error("Signature-Input: {0}")]
    Input(&'static str),
    /// Another algorithm.
    #[error("alg is {0:?}, expected \"ed25519\"")]
    Algorithm(String),
    /// For another purpose.
    #[error("tag is {0:?}, expected \"tegata\"")]
    Tag(String),
    /// No known kind of signer.
    #[error("keyid is neither vault:<vault id> nor org:<organisation id>:<key>")]
    KeyId,
    /// Not 16 bytes.
    #[error("nonce is not 16 bytes in base64url without padding")]
    Nonce,
    /// Too old, too far ahead, or from before this service started.
    #[error("created is {created_s}, the clock here says {now_s}")]
    Created {
        /// In the request, in seconds since 1970.
        created_s: i64,
        /// Here.
        now_s: i64,
    },
    /// A body whose digest is not covered.
    #[error("a request with a body covers its content-digest")]
    DigestMissing,
    /// The body is another one.
    #[error("the body is not the one that was signed")]
    Digest,
    /// The signature does not hold for this method, URL and body.
    #[error("the signature does not hold")]
    Signature,
    /// Seen before.
    #[error("this request was seen before")]
    Replayed,
    /// Too many requests to remember their nonces.
    #[error("too many signed requests at once")]
    Busy,
    /// The registry does not know the organisation.
    #[error("organisation {0} is not registered")]
    NotRegistered(OrganisationId),
    /// The key is not one with which the organisation signs now.
    #[error("organisation {0} does not sign with this key now")]
    NotItsKey(OrganisationId),
    /// The organisation is suspended.
    #[error("organisation {0} is suspended")]
    Suspended(OrganisationId),
    /// Signed by another kind of signer than this call is for.
    #[error("this call is for {0}")]
    OtherKind(&'static str),
}

impl SignatureError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Header(_) | Self::Input(_) | Self::Algorithm(_) | Self::KeyId | Self::Nonce => {
                "signature-malformed"
            }
            Self::Tag(_) => "signature-tag",
            Self::Created { .. } => "signature-created",
            Self::DigestMissing | Self::Digest => "signature-digest",
            Self::Signature => "signature",
            Self::Replayed => "signature-replayed",
            Self::Busy => "busy",
            Self::NotRegistered(_) => "not-registered",
            Self::NotItsKey(_) => "not-its-key",
            Self::Suspended(_) => "suspended",
            Self::OtherKind(_) => "signer",
        }
    }
}

impl From<SignatureError> for Problem {
    fn from(error: SignatureError) -> Self {
        let status = match &error {
            SignatureError::Busy => StatusCode::SERVICE_UNAVAILABLE,
            SignatureError::Suspended(_) | SignatureError::OtherKind(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        };
        Self::new(
            status,
            error.code(),
            "The request's signature is not accepted",
        )
        .detail(error.to_string())
    }
}

/// Checks signed requests to one service, and remembers their nonces for as long as they would be taken.
///
/// Nonces are kept in memory, so requests that were created before this verifier are refused: a restart opens no way to
/// replay what was served before it.
pub struct Verifier {
    public_url: String,
    started_s: i64,
    /// Of organisations, and of vaults: owners of vaults must not crowd out organisations.
    nonces: [Mutex<Nonces>; 2],
}

/// A request whose signature holds, was not seen before, and is not remembered yet.
///
/// Anybody can make a key and sign with it. So a service first finds out whether it knows the signer, and only then
/// remembers the nonce ([`Verifier::remember`]): what strangers send is refused either way, and takes up no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unseen {
    key_id: KeyId,
    mark: Mark,
    created_s: i64,
}

impl Unseen {
    /// Who signed.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key_id
    }
}

impl Verifier {
    /// For the service that is registered under `public_url`.
    #[must_use]
    pub fn new(public_url: &str) -> Self {
        Self::started_at(public_url, clock::now_s())
    }

    /// As [`Self::new`], refusing requests created before `started_s`, in seconds since 1970.
    #[must_use]
    pub fn started_at(public_url: &str, started_s: i64) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            started_s,
            nonces: Default::default(),
        }
    }

    /// Checks a request whose whole body is here. Each request is taken once.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, parts: &Parts, body: &[u8]) -> Result<KeyId, SignatureError> {
        self.verify_at(parts, body, clock::now_s())
    }

    /// As [`Self::verify`], at a time in seconds since 1970.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify_at(
        &self,
        parts: &Parts,
        body: &[u8],
        now_s: i64,
    ) -> Result<KeyId, SignatureError> {
        let unseen = self.check_at(parts, body, now_s)?;
        self.remember_at(&unseen, now_s)
    }

    /// As [`Self::verify`], without remembering the request.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn check(&self, parts: &Parts, body: &[u8]) -> Result<Unseen, SignatureError> {
        self.check_at(parts, body, clock::now_s())
    }

    /// Reads a request with a body of at most `limit` bytes, and checks it as [`Self::check`] does. Whoever does not say who
    /// it is hears that before anything is said of the body.
    ///
    /// # Errors
    /// A [`Problem`]: 401, or what is wrong with the body.
    pub async fn read(
        &self,
        request: Request,
        limit: usize,
    ) -> Result<(Parts, Bytes, Unseen), Problem> {
        let (parts, body) = request.into_parts();
        if let Err(error) = has_signature(&parts.headers) {
            discard(body).await;
            return Err(error.into());
        }
        let body = read_body(body, limit).await?;
        let unseen = self.check(&parts, &body)?;
        Ok((parts, body, unseen))
    }

    /// Remembers a checked request of a signer whom this service knows, so that it is taken once.
    ///
    /// # Errors
    /// [`SignatureError::Replayed`] where it was remembered meanwhile, [`SignatureError::Busy`] where its signer sends more
    /// than can be remembered.
    pub fn remember(&self, unseen: &Unseen) -> Result<KeyId, SignatureError> {
        self.remember_at(unseen, clock::now_s())
    }

    fn remember_at(&self, unseen: &Unseen, now_s: i64) -> Result<KeyId, SignatureError> {
        let until_s = unseen.created_s + WINDOW_S;
        if until_s < now_s {
            // its nonce would be forgotten at once
            let created_s = unseen.created_s;
            return Err(SignatureError::Created { created_s, now_s });
        }
        let mut nonces = self.nonces_of(unseen.key_id);
        match nonces.remember(unseen.mark, until_s, now_s) {
            Remembered::New => Ok(unseen.key_id),
            Remembered::Replayed => Err(SignatureError::Replayed),
            Remembered::Full => Err(SignatureError::Busy),
        }
    }

    fn nonces_of(&self, key_id: KeyId) -> MutexGuard<'_, Nonces> {
        let nonces = &self.nonces[usize::from(matches!(key_id, KeyId::Vault(_)))];
        nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_at(&self, parts: &Parts, body: &[u8], now_s: i64) -> Result<Unseen, SignatureError> {
        let params = only(&parts.headers, "signature-input", 1000)
            .ok_or(SignatureError::Header("Signature-Input"))?;
        let params = params
            .strip_prefix("sig=")
            .ok_or(SignatureError::Header("Signature-Input"))?;
        let input = Input::parse(params)?;
        let key_id = KeyId::parse(&input.keyid).ok_or(SignatureError::KeyId)?;
        let nonce = URL_SAFE_NO_PAD
            .decode(&input.nonce)
            .ok()
            .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        let nonce = nonce.ok_or(SignatureError::Nonce)?;
        let created_s = input.created_s;
        if created_s.abs_diff(now_s) > WINDOW_S.unsigned_abs() || created_s < self.started_s {
            return Err(SignatureError::Created { created_s, now_s });
        }
        let digest = only(&parts.headers, "content-digest", 1000);
        match (input.digest, digest) {
            (false, _) if !body.is_empty() => return Err(SignatureError::DigestMissing),
            (true, Some(digest)) if *digest == content_digest(body) => {}
            (true, _) => return Err(SignatureError::Digest),
            (false, _) => {}
        }
        let signature =
            only(&parts.headers, "signature", 200).ok_or(SignatureError::Header("Signature"))?;
        let signature = signature
            .strip_prefix("sig=:")
            .and_then(|text| text.strip_suffix(':'));
        let signature = STANDARD.decode(signature.ok_or(SignatureError::Header("Signature"))?);
        let signature = signature.map_err(|_| SignatureError::Header("Signature"))?;
        let target = self.target_uri(parts);
        let mut components = vec![
            ("@method", parts.method.as_str()),
            ("@target-uri", target.as_str()),
        ];
        if let (true, Some(digest)) = (input.digest, digest) {
            components.push(("content-digest", digest));
        }
        let base = signature_base(&components, params);
        verify_strict(&key_id.key(), base.as_bytes(), &signature)
            .map_err(|_| SignatureError::Signature)?;
        let mark = Mark::new(&input.keyid, &nonce);
        if self.nonces_of(key_id).has(&mark) {
            return Err(SignatureError::Replayed);
        }
        Ok(Unseen {
            key_id,
            mark,
            created_s,
        })
    }

    /// The registered URL with path and query as they came (nested routers cut the path; the original is kept).
    fn target_uri(&self, parts: &Parts) -> String {
        let uri = parts
            .extensions
            .get::<OriginalUri>()
            .map_or(&parts.uri, |original| &original.0);
        format!(
            "{}{}",
            self.public_url,
            uri.path_and_query().map_or("/", |path| path.as_str())
        )
    }
}

fn has_signature(headers: &HeaderMap) -> Result<(), SignatureError> {
    for name in ["Signature-Input", "Signature"] {
        if !headers.contains_key(name) {
            return Err(SignatureError::Header(name));
        }
    }
    Ok(())
}

/// The one value of a header.
fn only<'a>(headers: &'a HeaderMap, name: &str, limit: usize) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() || value.len() > limit {
        return None;
    }
    value.to_str().ok()
}

/// Asks the registry, with proof, whether this is the organisation: the key is one with which it signs now, and it is not
/// suspended. "Now" is the time of the proof's header.
///
/// # Errors
/// A 401 or 403 [`Problem`]; 503 where the ledger is stale.
pub async fn authenticate_organisation(
    ledger: &Ledger,
    key_id: KeyId,
) -> Result<OrganisationState, Problem> {
    let KeyId::Organisation(id, key) = key_id else {
        return Err(SignatureError::OtherKind("organisations").into());
    };
    let proven = ledger
        .organisation(&id)
        .await
        .map_err(|error: LedgerError| Problem::from(error))?;
    let now_ms = proven.header.header().time_ms;
    let state = proven.value.ok_or(SignatureError::NotRegistered(id))?;
    if !state.signs_with(&key, now_ms) {
        return Err(SignatureError::NotItsKey(id).into());
    }
    if state.suspended_at(now_ms) {
        return Err(SignatureError::Suspended(id).into());
    }
    Ok(state)
}

/// Extractor: a signed request with a body of at most `LIMIT` bytes, checked by the `Arc<Verifier>` of the state.
///
/// It is taken once, from [`Self::once`] or [`Self::organisation`] on: a handler calls one of them as soon as it knows the
/// signer, before it changes or shows anything.
pub struct SignedRequest<const LIMIT: usize = 1_048_576> {
    /// Who signed.
    pub key: KeyId,
    /// The body.
    pub body: Bytes,
    unseen: Unseen,
    verifier: Arc<Verifier>,
}

impl<S, const LIMIT: usize> FromRequest<S> for SignedRequest<LIMIT>
where
    S: Send + Sync,
    Arc<Verifier>: FromRef<S>,
{
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let verifier = Arc::<Verifier>::from_ref(state);
        let (_, body, unseen) = verifier.read(request, LIMIT).await?;
        Ok(Self {
            key: unseen.key(),
            body,
            unseen,
            verifier,
        })
    }
}

impl<const LIMIT: usize> SignedRequest<LIMIT> {
    /// Remembers the request, whose signer is known: a second time it is refused.
    ///
    /// # Errors
    /// 401 where it was taken before, 503 where its signer sends too much.
    pub fn once(&self) -> Result<KeyId, Problem> {
        Ok(self.verifier.remember(&self.unseen)?)
    }

    /// The vault whose owner signed.
    ///
    /// # Errors
    /// 403 where an organisation signed.
    pub fn vault(&self) -> Result<VaultId, Problem> {
        match self.key {
            KeyId::Vault(vault) => Ok(vault),
            KeyId::Organisation(..) => Err(SignatureError::OtherKind("owners of vaults").into()),
        }
    }

    /// The organisation that signed, as it stands in the registry ([`authenticate_organisation`]); takes the request
    /// ([`Self::once`]).
    ///
    /// # Errors
    /// As both.
    pub async fn organisation(&self, ledger: &Ledger) -> Result<OrganisationState, Problem> {
        let state = authenticate_organisation(ledger, self.key).await?;
        self.once()?;
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{Signer, sign};
    use axum::http::{Method, Request};
    use ed25519_dalek::SigningKey;
    use tegata_consent::ids::Nonce;

    const URL: &str = "https://host.example";
    const NOW_S: i64 = 1_800_000_000;

    fn request(signer: &Signer) -> Parts {
        let mut request = Request::builder().uri("/v1/x").body(()).unwrap();
        let target = format!("{URL}/v1/x");
        let headers = sign(signer, &Method::GET, &target, b"", NOW_S, Nonce([1; 16]));
        request.headers_mut().extend(headers);
        request.into_parts().0
    }

    #[test]
    fn vaults_do_not_crowd_out_organisations() {
        let verifier = Verifier::started_at(URL, 0);
        let key = SigningKey::from_bytes(&[5; 32]);
        let vault = Signer::vault(key.clone());
        let organisation = Signer::organisation(OrganisationId([3; 32]), key);
        let of_vault = verifier.check_at(&request(&vault), b"", NOW_S).unwrap();
        let mut number = 0_u128;
        loop {
            let mark = Mark::new(&format!("vault:{}", number % 4_000), &number.to_be_bytes());
            number += 1;
            let mut nonces = verifier.nonces_of(of_vault.key());
            if nonces.remember(mark, NOW_S + 60, NOW_S) == Remembered::Full {
                break;
            }
        }
        assert_eq!(
            verifier.verify_at(&request(&vault), b"", NOW_S),
            Err(SignatureError::Busy)
        );
        assert!(
            verifier
                .verify_at(&request(&organisation), b"", NOW_S)
                .is_ok()
        );
    }
}
