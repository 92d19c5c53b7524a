//! JSON-LD to RDF, by the parts of `ssi` that do it. The only module that names its types.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use serde_json::{Map, Value};
use ssi_json_ld::context_processing::{self, Process as _};
use ssi_json_ld::expansion::{Action, Options, Policy};
use ssi_json_ld::rdf_types::{Id, LexicalQuad, LiteralType, Term as RdfTerm};
use ssi_json_ld::syntax::{
    Context as LocalContext, LangTag, Parse as _, TryFromJson as _, Value as JsonLdValue,
};
use ssi_json_ld::{Context as ActiveContext, ContextLoader, Expand as _};
use ssi_rdf::{AnyLdEnvironment as _, LdEnvironment};
use tegata_credential::data_integrity::{
    ContextError, Contexts, DataIntegrityError, canonical, percent_encodes_utf8,
};

use crate::rdfc::{BLANKS_MAX, QUADS_MAX, Quad, Term, literal};

/// Most lists of contexts that are kept processed.
const ACTIVE_MAX: usize = 64;
const RDF_REST: &str = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#rest>";
const RDF_NIL: &str = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#nil>";
const XSD_STRING: &str = "http://www.w3.org/2001/XMLSchema#string";
const XSD_DOUBLE: &str = "http://www.w3.org/2001/XMLSchema#double";

/// Turns documents into RDF, with the contexts it was made with and no others. It opens no connection: there is no code in
/// it that could.
pub(crate) struct JsonLd {
    loader: ContextLoader,
    /// What lists of contexts come to, once processed.
    active: Mutex<HashMap<String, ActiveContext>>,
}

impl JsonLd {
    pub(crate) fn new(contexts: &Contexts) -> Result<Self, ContextError> {
        let documents: HashMap<String, String> = contexts
            .documents()
            .map(|(url, text)| (url.to_owned(), text.to_owned()))
            .collect();
        let loader = ContextLoader::empty().with_context_map_from(documents);
        let loader = loader.map_err(|error| ContextError {
            url: String::new(),
            what: error.to_string(),
        })?;
        Ok(Self {
            loader,
            active: Mutex::default(),
        })
    }

    /// The RDF of a document that names its contexts. Undefined terms and unknown contexts are errors.
    pub(crate) fn to_rdf(
        &self,
        mut document: Map<String, Value>,
    ) -> Result<Vec<Quad>, DataIntegrityError> {
        let context = document.remove("@context").unwrap_or_default();
        if document.values().any(has_direction) {
            return Err(wrong(&"@direction is not signed by this suite"));
        }
        if document.values().any(has_other_language) {
            return Err(wrong(&"@language is no language tag (RFC 5646)"));
        }
        if document.values().any(has_other_octets) {
            return Err(wrong(&"an IRI percent-encodes what is not UTF-8"));
        }
        // Expansion is the costly part: what cannot fit is refused before it.
        if document.values().map(nameless).sum::<usize>() > BLANKS_MAX {
            return Err(DataIntegrityError::GraphTooComplex("2,000 blank nodes"));
        }
        let context = self.active(&context)?;
        let mut environment = LdEnvironment::default();
        let options = Options {
            policy: Policy {
                invalid: Action::Reject,
                allow_undefined: false,
                ..Policy::default()
            },
            ..Options::default()
        };
        let expanded = json_ld(&Value::Object(document))?
            .expand_full(
                &mut environment.vocabulary,
                context,
                None,
                &self.loader,
                options,
                (),
            )
            .now_or_never()
            .ok_or_else(waits)?
            .map_err(|error| wrong(&error))?;
        let quads = environment
            .quads_of(&expanded)
            .map_err(|error| wrong(&error))?;
        if quads.len() > QUADS_MAX {
            return Err(DataIntegrityError::GraphTooComplex("20,000 quads"));
        }
        let mut blanks = Blanks::default();
        let mut quads: Vec<Quad> = quads
            .iter()
            .map(|quad| blanks.quad(quad))
            .collect::<Result<_, _>>()?;
        end_lists(&mut quads);
        Ok(quads)
    }

    /// What the value of `@context` comes to. Half of the work on a credential, and always the same.
    fn active(&self, context: &Value) -> Result<ActiveContext, DataIntegrityError> {
        let name = context.to_string();
        let known = || self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(active) = known().get(&name) {
            return Ok(active.clone());
        }
        let local =
            LocalContext::try_from_json(json_ld(context)?).map_err(|error| wrong(&error))?;
        let active = local
            .process_full(
                &mut (),
                &ActiveContext::default(),
                &self.loader,
                None,
                context_processing::Options::default(),
                (),
            )
            .now_or_never()
            .ok_or_else(waits)?
            .map_err(|error| wrong(&error))?
            .into_processed();
        let mut known = known();
        if known.len() < ACTIVE_MAX {
            known.insert(name, active.clone());
        }
        Ok(active)
    }
}

impl std::fmt::Debug for JsonLd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonLd").finish_non_exhaustive()
    }
}

/// A value as JSON-LD's parser has it; numbers as ECMAScript writes them, so that 5.0 is the integer that every other processor
/// sees.
fn json_ld(value: &Value) -> Result<JsonLdValue, DataIntegrityError> {
    let text = canonical(value);
    let text = std::str::from_utf8(&text).map_err(|error| wrong(&error))?;
    let (value, _) = JsonLdValue::parse_str(text).map_err(|error| wrong(&error))?;
    Ok(value)
}

fn wrong(error: &dyn std::fmt::Display) -> DataIntegrityError {
    DataIntegrityError::JsonLd(error.to_string())
}

/// Whether text says in which direction it runs. RDF has no place for that (JSON-LD 1.1 API §8.2.2), so that anybody could say
/// it after signing.
fn has_direction(value: &Value) -> bool {
    match value {
        Value::Array(many) => many.iter().any(has_direction),
        Value::Object(object) => {
            object.contains_key("@value") && object.contains_key("@direction")
                || object.values().any(has_direction)
        }
        _ => false,
    }
}

/// Whether text says a language by what is no language tag to the function that decides on it: the RDF would be the same without,
/// so that anybody could say it after signing.
fn has_other_language(value: &Value) -> bool {
    match value {
        Value::Array(many) => many.iter().any(has_other_language),
        Value::Object(object) => {
            let language = object.get("@language").and_then(Value::as_str);
            object.contains_key("@value") && language.is_some_and(|tag| LangTag::new(tag).is_err())
                || object.values().any(has_other_language)
        }
        _ => false,
    }
}

/// Whether what may be an IRI percent-encodes anything but UTF-8: iref panics when it compares one.
fn has_other_octets(value: &Value) -> bool {
    let is_other = |text: &str| {
        let may_be_iri = text.contains(':') && !text.contains(char::is_whitespace);
        may_be_iri && !percent_encodes_utf8(text)
    };
    match value {
        Value::Array(many) => many.iter().any(has_other_octets),
        Value::Object(object) => {
            object.keys().any(|name| is_other(name)) || object.values().any(has_other_octets)
        }
        Value::String(text) => is_other(text),
        _ => false,
    }
}

/// How many nodes a value has that nothing names: each becomes a blank node.
fn nameless(value: &Value) -> usize {
    match value {
        Value::Array(many) => many.iter().map(nameless).sum(),
        Value::Object(object) => {
            let is_nameless = !object.contains_key("id") && !object.contains_key("@value");
            usize::from(is_nameless) + object.values().map(nameless).sum::<usize>()
        }
        _ => 0,
    }
}

fn waits() -> DataIntegrityError {
    wrong(&"the loader waits, and has nothing to wait for")
}

/// Writes the end of each list as `rdf:nil`. `json-ld` leaves a nameless node of which nothing is said.
fn end_lists(quads: &mut [Quad]) {
    let subjects: HashSet<Term> = quads.iter().map(|quad| quad.subject.clone()).collect();
    for quad in quads.iter_mut().filter(|quad| quad.predicate == RDF_REST) {
        if matches!(quad.object, Term::Blank(_)) && !subjects.contains(&quad.object) {
            quad.object = Term::Text(RDF_NIL.to_owned());
        }
    }
}

/// Numbers blank nodes as they are met.
#[derive(Default)]
struct Blanks(HashMap<String, u32>);

impl Blanks {
    fn quad(&mut self, quad: &LexicalQuad) -> Result<Quad, DataIntegrityError> {
        let subject = self.id(&quad.0)?;
        let object = match &quad.2 {
            RdfTerm::Id(id) => self.id(id)?,
            RdfTerm::Literal(value) => Term::Text(match &value.type_ {
                LiteralType::LangString(language) => {
                    literal(&value.value, None, Some(language.as_str()))
                }
                LiteralType::Any(datatype) => match datatype.as_str() {
                    XSD_STRING => literal(&value.value, None, None),
                    XSD_DOUBLE => literal(&canonical_double(&value.value), Some(XSD_DOUBLE), None),
                    other => literal(&value.value, Some(other), None),
                },
            }),
        };
        Ok(Quad {
            subject,
            predicate: format!("<{}>", quad.1),
            object,
            graph: quad.3.as_ref().map(|graph| self.id(graph)).transpose()?,
        })
    }

    fn id(&mut self, id: &Id) -> Result<Term, DataIntegrityError> {
        match id {
            Id::Iri(iri) => Ok(Term::Text(format!("<{iri}>"))),
            Id::Blank(blank) => {
                let next = self.0.len();
                if next > BLANKS_MAX {
                    return Err(DataIntegrityError::GraphTooComplex("2,000 blank nodes"));
                }
                let number = *self.0.entry(blank.to_string()).or_insert(next as u32);
                Ok(Term::Blank(number))
            }
        }
    }
}

/// A double as JSON-LD writes it (JSON-LD 1.1 API §8.6): sixteen digits, an exponent, no zeros at the end.
fn canonical_double(text: &str) -> String {
    let Ok(number) = text.parse::<f64>() else {
        return text.to_owned();
    };
    let text = format!("{number:.15E}");
    let Some((mantissa, exponent)) = text.split_once('E') else {
        return text;
    };
    let mantissa = mantissa.trim_end_matches('0');
    let zero = if mantissa.ends_with('.') { "0" } else { "" };
    format!("{mantissa}{zero}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_canonical() {
        for (text, wanted) in [
            ("16.4", "1.64E1"),
            ("0.5", "5.0E-1"),
            ("-1e-7", "-1.0E-7"),
            ("0.30000000000000004", "3.0E-1"),
        ] {
            assert_eq!(canonical_double(text), wanted);
        }
    }
}
