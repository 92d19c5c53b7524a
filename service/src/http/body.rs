//! Bodies: bounded, strict, and refused with problem details that do not repeat them.

use crate::problem::Problem;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use minicbor::{Decode, Encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tegata_consent::{cbor, deposit, fetch, header as ledger_header, invitation, order, proof};

/// What may come as a body of deterministic CBOR.
pub trait CborBody: Encode<()> + for<'b> Decode<'b, ()> {
    /// Longest encoding in bytes.
    const LIMIT: usize;
}

macro_rules! cbor_bodies {
    ($($name:ty = $limit:expr),* $(,)?) => { $(impl CborBody for $name { const LIMIT: usize = $limit; })* };
}
cbor_bodies! {
    invitation::Drawer = 1024,
    deposit::SealedRecord = deposit::SealedRecord::LIMIT,
    deposit::DrawerList = deposit::DrawerList::LIMIT,
    order::GrantSubmission = order::GrantSubmission::LIMIT,
    fetch::FetchRequest = fetch::FetchRequest::LIMIT,
    fetch::FetchAnswer = fetch::FetchAnswer::LIMIT,
    fetch::GrantHistory = fetch::GrantHistory::LIMIT,
    ledger_header::CertifiedHeader = ledger_header::CertifiedHeader::LIMIT,
    proof::Receipt = proof::Receipt::LIMIT,
    proof::StateProof = proof::StateProof::LIMIT,
}

/// A body that is not what it should be: 413, 415 or 400 [`Problem`]s.
pub type Reject = Problem;

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// 413, or 400 where the body broke off.
pub async fn read_body(body: Body, limit: usize) -> Result<Bytes, Reject> {
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Problem::malformed("the body broke off"))?;
        if bytes.len() + piece.len() > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// How much is read of a body that is refused, in bytes.
const UNREAD_MAX: usize = 256 * 1024;

/// Reads what comes of a body that is refused, within bounds: a sender that is still sending would see a broken connection
/// instead of the reason.
pub async fn discard(body: Body) {
    let _ = read_body(body, UNREAD_MAX).await;
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "The body is too large",
    )
    .detail(format!("at most {limit} bytes"))
}

/// Refuses a body that was compressed on its way: none is unpacked here, since few bytes may become very many. Every service
/// does; only a route that answers in a form of its own asks itself.
///
/// # Errors
/// 415, with what is taken.
pub fn as_it_is(headers: &HeaderMap) -> Result<(), Reject> {
    let identity = |value: &header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(identity)
    {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "content-encoding",
        "The body is compressed; send it as it is",
    ))
}

fn expect_type(headers: &HeaderMap, expected: &'static str) -> Result<(), Reject> {
    let found = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let found = found.split(';').next().unwrap_or_default().trim();
    let found = found.to_ascii_lowercase();
    if found == expected || found.ends_with("+json") && expected == "application/json" {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "media-type",
        "The body has another media type than expected",
    )
    .detail(format!("expected {expected}")))
}

/// Deterministic CBOR, as extractor (at most [`CborBody::LIMIT`] bytes, strictly read) and as answer.
#[derive(Debug, Clone)]
pub struct Cbor<T>(pub T);

impl<T: CborBody, S: Send + Sync> FromRequest<S> for Cbor<T> {
    type Rejection = Reject;
    async fn from_request(request: Request, _: &S) -> Result<Self, Reject> {
        expect_type(request.headers(), "application/cbor")?;
        let bytes = read_body(request.into_body(), T::LIMIT).await?;
        Self::parse(&bytes)
    }
}

impl<T: CborBody> Cbor<T> {
    /// Reads a body that is in memory already (after its signature was checked).
    ///
    /// # Errors
    /// 400, naming the place.
    pub fn parse(bytes: &[u8]) -> Result<Self, Reject> {
        cbor::decode(bytes, T::LIMIT)
            .map(Self)
            .map_err(|error| Problem::malformed(error.to_string()))
    }
}

impl<T: Encode<()>> IntoResponse for Cbor<T> {
    fn into_response(self) -> Response {
        Encoded(cbor::encode(&self.0)).into_response()
    }
}

/// CBOR that is encoded already.
#[derive(Debug, Clone)]
pub struct Encoded<B = Vec<u8>>(pub B);

impl<B: Into<Body>> IntoResponse for Encoded<B> {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/cbor")], self.0.into()).into_response()
    }
}

/// A signed envelope (RFC 9052).
#[derive(Debug, Clone)]
pub struct Cose<B = Vec<u8>>(pub B);

impl<B: Into<Body>> IntoResponse for Cose<B> {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/cose")], self.0.into()).into_response()
    }
}

/// JSON of at most 1 MiB, as extractor and as answer. Refusals name the place and never what stands there.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

/// Longest JSON body in bytes.
const JSON_MAX: usize = 1 << 20;

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Reject;
    async fn from_request(request: Request, _: &S) -> Result<Self, Reject> {
        expect_type(request.headers(), "application/json")?;
        Self::parse(&read_body(request.into_body(), JSON_MAX).await?)
    }
}

impl<T: DeserializeOwned> Json<T> {
    /// Reads a body that is in memory already.
    ///
    /// # Errors
    /// 400, naming the place.
    pub fn parse(bytes: &[u8]) -> Result<Self, Reject> {
        serde_json::from_slice(bytes).map(Self).map_err(|error| {
            let what = if error.is_data() {
                "a member is missing, unknown or of another kind"
            } else {
                "not JSON"
            };
            Problem::malformed(format!(
                "{what}: line {}, column {}",
                error.line(),
                error.column()
            ))
        })
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::post;
    use tegata_consent::ids::{DrawerId, SealKey};
    use tower::ServiceExt;

    fn drawer() -> invitation::Drawer {
        let (drawer_key, reader_key) = (SealKey([2; 32]), SealKey([3; 32]));
        invitation::Drawer {
            id: DrawerId([1; 16]),
            category: "vaccination".into(),
            epoch: 1,
            drawer_key,
            reader_key,
        }
    }

    async fn status(media_type: &str, body: Vec<u8>) -> (u16, String) {
        let router: Router = Router::new()
            .route(
                "/cbor",
                post(|Cbor(drawer): Cbor<invitation::Drawer>| async move { drawer.category }),
            )
            .route(
                "/json",
                post(|Json(number): Json<u8>| async move { number.to_string() }),
            );
        let path = if media_type.ends_with("json") {
            "/json"
        } else {
            "/cbor"
        };
        let request = Request::post(path)
            .header("content-type", media_type)
            .body(Body::from(body))
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn cbor_is_read_strictly() {
        let good = cbor::encode(&drawer());
        assert_eq!(
            status("application/cbor", good.clone()).await,
            (200, "vaccination".into())
        );
        assert_eq!(status("text/plain", good.clone()).await.0, 415);
        assert_eq!(
            status("application/cbor", [good.clone(), vec![0]].concat())
                .await
                .0,
            400
        );
        assert_eq!(status("application/cbor", vec![0; 1025]).await.0, 413);
        assert_eq!(
            status("application/cbor", good[..good.len() - 1].to_vec())
                .await
                .0,
            400
        );
    }

    #[tokio::test]
    async fn json_refusals_do_not_repeat_the_body() {
        assert_eq!(
            status("application/json", b"7".to_vec()).await,
            (200, "7".into())
        );
        let (code, text) = status("application/json", b"\"Sakura\"".to_vec()).await;
        assert_eq!(code, 400);
        assert!(
            text.contains("column") && !text.contains("Sakura"),
            "{text}"
        );
        assert_eq!(
            status("application/json", vec![b' '; JSON_MAX + 1]).await.0,
            413
        );
    }

    #[test]
    fn compressed_bodies_are_not_taken() {
        let headers = |value: &str| {
            HeaderMap::from_iter([(header::CONTENT_ENCODING, value.parse().unwrap())])
        };
        assert!(as_it_is(&HeaderMap::new()).is_ok() && as_it_is(&headers("Identity")).is_ok());
        for encoding in ["gzip", "br", "identity, gzip", ""] {
            let problem = as_it_is(&headers(encoding)).unwrap_err();
            assert_eq!(
                (problem.status().as_u16(), problem.code()),
                (415, "content-encoding")
            );
        }
    }
}
