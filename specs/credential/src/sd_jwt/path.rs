//! Claim paths: where a claim sits in a credential (SD-JWT VC type metadata, `path`; the same
//! thing as the claims path pointer of OpenID4VP and DCQL).

use std::fmt;

use serde::{Deserialize, Serialize};

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PathStep {
    /// The member with that name.
    Name(String),
    /// The element at that index, from 0.
    Index(usize),
    /// Every element; `null` in JSON.
    All,
}

impl From<&str> for PathStep {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}
impl From<String> for PathStep {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}
impl From<usize> for PathStep {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// A path to a claim: in JSON an array of names, indexes and `null`, such as
/// `["place", "name"]` or `["doses", null, "date"]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(Vec<PathStep>);

impl Path {
    /// The path through `steps`.
    pub fn new<S: Into<PathStep>>(steps: impl IntoIterator<Item = S>) -> Self {
        Self(steps.into_iter().map(Into::into).collect())
    }

    /// The steps.
    #[must_use]
    pub fn steps(&self) -> &[PathStep] {
        &self.0
    }

    /// The first step's name.
    #[must_use]
    pub fn head(&self) -> Option<&str> {
        match self.0.first() {
            Some(PathStep::Name(name)) => Some(name),
            _ => None,
        }
    }
}

impl From<&str> for Path {
    /// A claim at the top level.
    fn from(name: &str) -> Self {
        Self::new([name])
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Name(name) if i == 0 => f.write_str(name)?,
                PathStep::Name(name) => write!(f, ".{name}")?,
                PathStep::Index(index) => write!(f, "[{index}]")?,
                PathStep::All => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}
