//! Parameters of OAuth requests: each at most once, empty ones as if they were not there (RFC 6749 §3.1).

use super::error::OAuthError;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query};
use std::collections::BTreeMap;

/// A form as axum reads it.
pub(super) type Posted = Result<Form<Vec<(String, String)>>, FormRejection>;
/// A query as axum reads it.
pub(super) type Asked = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// Parameters by name.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub(super) fn of_form(form: Posted) -> Result<Self, OAuthError> {
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
