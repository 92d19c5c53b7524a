//! Parameters of OAuth requests: each at most once, empty ones as if they were not there (RFC 6749 §3.1).

use super::error::OAuthError;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, FromRequest, Query, Request};
use axum::http::{HeaderValue, header};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// A form as axum reads it.
pub(crate) struct Posted(pub(super) Result<Form<Vec<(String, String)>>, FormRejection>);

impl<S: Send + Sync> FromRequest<S> for Posted {
    type Rejection = Infallible;
    async fn from_request(mut request: Request, state: &S) -> Result<Self, Infallible> {
        // In capitals it is the same media type (RFC 9110 §8.3.1), which axum does not know.
        let media_type = request.headers().get(header::CONTENT_TYPE);
        let lower = media_type.map(|text| text.as_bytes().to_ascii_lowercase());
        if let Some(Ok(lower)) = lower.map(HeaderValue::try_from) {
            request.headers_mut().insert(header::CONTENT_TYPE, lower);
        }
        Ok(Self(Form::from_request(request, state).await))
    }
}

/// A query as axum reads it.
pub(super) type Asked = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// Parameters by name.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub(super) fn of_form(Posted(form): Posted) -> Result<Self, OAuthError> {
        match form {
            Ok(Form(pairs)) => Self::new(pairs),
            // The rejection's own text could repeat what was sent.
            Err(rejection) => Err(OAuthError::new(
                "invalid_request",
                "the body is too large, or no application/x-www-form-urlencoded",
            )
            .status(rejection.status())),
        }
    }

    pub(super) fn of_query(query: Asked) -> Result<Self, OAuthError> {
        match query {
            Ok(Query(pairs)) => Self::new(pairs),
            Err(_) => Err(OAuthError::new("invalid_request", "the query is malformed")),
        }
    }

    fn new(pairs: Vec<(String, String)>) -> Result<Self, OAuthError> {
        let mut all = BTreeMap::new();
        for (name, value) in pairs {
            if all.insert(name, value).is_some() {
                return Err(OAuthError::new(
                    "invalid_request",
                    "a parameter is there twice",
                ));
            }
        }
        all.retain(|_, value| !value.is_empty());
        Ok(Self(all))
    }

    /// A parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter that must be there.
    pub(super) fn need(&self, name: &str) -> Result<&str, OAuthError> {
        let missing = || OAuthError::new("invalid_request", format!("{name} is missing"));
        self.get(name).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_forms_media_type_is_the_same_in_capitals() {
        let read = async |media_type: &str| {
            let request = Request::post("/").header(header::CONTENT_TYPE, media_type);
            let request = request.body("a=b".into()).unwrap();
            let Ok(posted) = Posted::from_request(request, &()).await;
            Parameters::of_form(posted).is_ok_and(|form| form.get("a") == Some("b"))
        };
        assert!(read("application/x-www-form-urlencoded").await);
        assert!(read("Application/X-WWW-Form-URLencoded; charset=UTF-8").await);
        assert!(!read("application/json").await);
    }
}
