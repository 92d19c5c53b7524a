//! JSON-LD contexts (JSON-LD 1.1), from the binary: what each term means, and which terms there are.
//!
//! Only as much of JSON-LD as closed documents need: definitions, type-scoped and property-scoped contexts. A context that
//! uses more is refused when it is read, not misread.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use crate::json;

/// The context of the data model (VCDM 2.0).
pub const CREDENTIALS_V2: &str = "https://www.w3.org/ns/credentials/v2";
/// The context of Data Integrity proofs.
pub const DATA_INTEGRITY_V2: &str = "https://w3id.org/security/data-integrity/v2";

/// Deepest nesting of scoped contexts.
const SCOPES_MAX: usize = 16;

/// Why a context is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("context {url}: {what}")]
pub struct ContextError {
    /// Which.
    pub url: String,
    /// What is wrong with it.
    pub what: String,
}

/// The contexts that are known. Cheap to clone; `Default` knows those of W3C for credentials and proofs.
#[derive(Debug, Clone)]
pub struct Contexts(Arc<HashMap<String, Known>>);

#[derive(Debug, Clone)]
struct Known {
    text: Arc<str>,
    terms: Arc<Terms>,
}

/// What one context defines.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    terms: HashMap<String, Term>,
    /// `@vocab` is set: every plain word is a term.
    has_vocab: bool,
}

/// What a term means, as far as it decides which values are allowed.
#[derive(Debug)]
pub(crate) struct Term {
    pub(crate) meaning: Meaning,
    pub(crate) scope: Scope,
}

/// What may stand as a term's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// An alias of `@id`.
    Id,
    /// An alias of `@type`.
    Type,
    /// Text, number, truth value, or an object.
    Plain,
    /// An IRI, or an object.
    Iri,
    /// An IRI or a term, or an object.
    Vocab,
    /// Any JSON.
    Json,
    /// Explicitly nothing (`null`).
    Nothing,
}

/// A context that holds inside a term's value.
#[derive(Debug)]
pub(crate) enum Scope {
    /// None of its own.
    Same,
    /// One more.
    More(Arc<Terms>),
    /// A fresh start: the value brings its own.
    Fresh,
}

impl Default for Contexts {
    fn default() -> Self {
        static STANDARD: LazyLock<Contexts> = LazyLock::new(|| {
            let add = |contexts: Contexts, url, text| {
                contexts
                    .with(url, text)
                    .expect("tests read the embedded contexts")
            };
            let contexts = Contexts(Arc::new(HashMap::new()));
            let contexts = add(
                contexts,
                CREDENTIALS_V2,
                include_str!("../../contexts/credentials-v2.jsonld"),
            );
            add(
                contexts,
                DATA_INTEGRITY_V2,
                include_str!("../../contexts/data-integrity-v2.jsonld"),
            )
        });
        STANDARD.clone()
    }
}

impl Contexts {
    /// These, and one more: the JSON-LD document `text`, known as `url`.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn with(&self, url: &str, text: &str) -> Result<Self, ContextError> {
        let wrong = |what: String| ContextError {
            url: url.to_owned(),
            what,
        };
        let document =
            json::parse_object(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let context = document.get("@context").and_then(Value::as_object);
        let context = context.ok_or_else(|| wrong("no object under @context".into()))?;
        let terms = Terms::read(context, 0).map_err(wrong)?;
        let mut all = HashMap::clone(&self.0);
        all.insert(
            url.to_owned(),
            Known {
                text: text.into(),
                terms: Arc::new(terms),
            },
        );
        Ok(Self(Arc::new(all)))
    }

    /// Each URL with its document: for software that reads JSON-LD itself.
    pub fn documents(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(url, known)| (url.as_str(), &*known.text))
    }

    /// What the context at a URL defines.
    pub(crate) fn terms(&self, url: &str) -> Option<&Arc<Terms>> {
        self.0.get(url).map(|known| &known.terms)
    }
}

impl Terms {
    pub(crate) fn get(&self, name: &str) -> Option<&Term> {
        self.terms.get(name)
    }

    pub(crate) fn has_vocab(&self) -> bool {
        self.has_vocab
    }

    fn read(context: &Map<String, Value>, depth: usize) -> Result<Self, String> {
        if depth > SCOPES_MAX {
            return Err("scoped contexts nested too deep".into());
        }
        let mut out = Self::default();
        for (name, definition) in context {
            match name.as_str() {
                "@protected" | "@version" => {}
                "@vocab" if definition.is_string() => out.has_vocab = true,
                keyword if keyword.starts_with('@') => {
                    return Err(format!("{keyword} is not read"));
                }
                _ => {
                    let term =
                        Term::read(definition, depth).map_err(|what| format!("{name}: {what}"))?;
                    out.terms.insert(name.clone(), term);
                }
            }
        }
        Ok(out)
    }
}

impl Term {
    fn read(definition: &Value, depth: usize) -> Result<Self, String> {
        let plain = |meaning| {
            Ok(Self {
                meaning,
                scope: Scope::Same,
            })
        };
        let definition = match definition {
            Value::Null => return plain(Meaning::Nothing),
            Value::String(iri) => return plain(meaning_of(Some(iri), None)?),
            Value::Object(definition) => definition,
            _ => return Err("neither text nor object".into()),
        };
        for name in definition.keys() {
            if !["@id", "@type", "@container", "@context", "@protected"].contains(&name.as_str()) {
                return Err(format!("{name} is not read"));
            }
        }
        let text = |name: &str| definition.get(name).and_then(Value::as_str);
        if let Some(container) = definition.get("@container")
            && !["@set", "@list", "@graph"]
                .iter()
                .any(|known| container == known)
        {
            return Err(format!("@container {container} is not read"));
        }
        let scope = match definition.get("@context") {
            None => Scope::Same,
            Some(Value::Null) => Scope::Fresh,
            Some(Value::Object(context)) => Scope::More(Arc::new(Terms::read(context, depth + 1)?)),
            Some(_) => return Err("a scoped context that is not an object".into()),
        };
        Ok(Self {
            meaning: meaning_of(text("@id"), text("@type"))?,
            scope,
        })
    }
}

fn meaning_of(id: Option<&str>, kind: Option<&str>) -> Result<Meaning, String> {
    Ok(match (id, kind) {
        (Some("@id"), None) => Meaning::Id,
        (Some("@type"), None) => Meaning::Type,
        (Some(keyword), _) if keyword.starts_with('@') => {
            return Err(format!("an alias of {keyword} is not read"));
        }
        (_, Some("@id")) => Meaning::Iri,
        (_, Some("@vocab")) => Meaning::Vocab,
        (_, Some("@json")) => Meaning::Json,
        (_, Some(keyword)) if keyword.starts_with('@') => {
            return Err(format!("@type {keyword} is not read"));
        }
        _ => Meaning::Plain,
    })
}
