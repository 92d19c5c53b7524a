//! Closed documents: every member is a term that a context defines, and every value is one that JSON-LD keeps.
//!
//! JSON-LD drops what it does not know without a word. In an `eddsa-rdfc-2022` proof such members are not signed, so that
//! anybody may add them; in an `eddsa-jcs-2022` proof they are signed and mean nothing. Both suites therefore refuse them.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::contexts::{Contexts, Meaning, Scope, Term, Terms};
use super::error::DataIntegrityError;

/// Most values (members and elements) in one document.
pub const VALUES_MAX: usize = 20_000;

/// The largest integer that every JSON reader holds exactly (RFC 7493 §2.2): 2^53 − 1.
const INTEGER_MAX: u64 = (1 << 53) - 1;

type Active<'a> = Vec<&'a Terms>;

/// Checks a document whose `@context` names these contexts.
///
/// # Errors
/// [`DataIntegrityError`] with the path of the first fault.
pub(crate) fn check_closed(
    document: &Map<String, Value>,
    contexts: &Contexts,
) -> Result<(), DataIntegrityError> {
    let mut walk = Walk {
        contexts,
        path: Vec::new(),
        values: 0,
    };
    let active = walk.own_context(document)?;
    walk.node(document, &active, &active, true)
}

/// Looks a term up, the innermost context first; what an outer `@vocab` makes of any word is `None` inside.
fn look_up<'a>(active: &[&'a Terms], name: &str) -> Option<Option<&'a Term>> {
    if let Some(term) = active.iter().rev().find_map(|terms| terms.get(name)) {
        return (term.meaning != Meaning::Nothing).then_some(Some(term));
    }
    let is_word = !name.is_empty() && !name.contains(':') && !name.starts_with('@');
    (is_word && active.iter().any(|terms| terms.has_vocab())).then_some(None)
}

enum Step<'a> {
    Member(&'a str),
    Element(usize),
}

struct Walk<'a> {
    contexts: &'a Contexts,
    path: Vec<Step<'a>>,
    values: usize,
}

impl<'a> Walk<'a> {
    /// `document` is a node; `outer` is what holds inside it, `active` the same with what its types add.
    fn node(
        &mut self,
        node: &'a Map<String, Value>,
        outer: &[&'a Terms],
        base: &[&'a Terms],
        has_own_context: bool,
    ) -> Result<(), DataIntegrityError> {
        let mut active: Active<'a> = base.to_vec();
        self.types(node, base, &mut active)?;
        for (name, value) in node {
            if name == "@context" {
                if has_own_context {
                    continue;
                }
                return Err(DataIntegrityError::ContextNested(self.at(name)));
            }
            if has_own_context && name == "proof" {
                continue; // a proof is read member by member on its own
            }
            self.path.push(Step::Member(name));
            let term = look_up(&active, name)
                .ok_or_else(|| DataIntegrityError::TermUndefined(self.pointer()))?;
            let (meaning, scope) = term.map_or((Meaning::Plain, &Scope::Same), |term| {
                (term.meaning, &term.scope)
            });
            match meaning {
                Meaning::Type => {}
                Meaning::Id => match value {
                    Value::String(id) => self.iri(id)?,
                    _ => return Err(DataIntegrityError::IriNotAbsolute(self.pointer())),
                },
                Meaning::Json => self.any(value)?,
                Meaning::Nothing => return Err(DataIntegrityError::TermUndefined(self.pointer())),
                Meaning::Plain | Meaning::Iri | Meaning::Vocab => {
                    let inner = match scope {
                        Scope::Same => None,
                        Scope::More(more) => Some([outer, &[&**more]].concat()),
                        Scope::Fresh => Some(Vec::new()),
                    };
                    self.value(
                        value,
                        meaning,
                        inner.as_deref().unwrap_or(outer),
                        &active,
                        true,
                    )?;
                }
            }
            self.path.pop();
        }
        Ok(())
    }

    /// The types of a node, each of which must be defined; their scoped contexts are added, in the order of their names
    /// (JSON-LD 1.1 API §5.1.2).
    fn types(
        &mut self,
        node: &'a Map<String, Value>,
        base: &[&'a Terms],
        active: &mut Active<'a>,
    ) -> Result<(), DataIntegrityError> {
        for (name, value) in node {
            if !matches!(look_up(base, name), Some(Some(term)) if term.meaning == Meaning::Type) {
                continue;
            }
            self.path.push(Step::Member(name));
            let mut types: Vec<&str> = match value {
                Value::String(one) => vec![one],
                Value::Array(many) if !many.is_empty() => {
                    let texts: Option<_> = many.iter().map(Value::as_str).collect();
                    texts.ok_or_else(|| DataIntegrityError::TypeUndefined(self.pointer()))?
                }
                _ => return Err(DataIntegrityError::ValueEmpty(self.pointer())),
            };
            self.count(types.len())?;
            types.sort_unstable();
            for kind in types {
                match look_up(base, kind) {
                    Some(Some(term)) if !matches!(term.meaning, Meaning::Id | Meaning::Type) => {
                        if let Scope::More(more) = &term.scope {
                            active.push(more);
                        }
                    }
                    Some(None) => {}
                    _ if is_absolute_iri(kind) => {}
                    _ => return Err(DataIntegrityError::TypeUndefined(self.pointer())),
                }
            }
            self.path.pop();
        }
        Ok(())
    }

    fn value(
        &mut self,
        value: &'a Value,
        meaning: Meaning,
        inner: &[&'a Terms],
        active: &[&'a Terms],
        may_be_list: bool,
    ) -> Result<(), DataIntegrityError> {
        self.count(1)?;
        match value {
            Value::Null => Err(DataIntegrityError::ValueEmpty(self.pointer())),
            Value::Array(items) => {
                if items.is_empty() || !may_be_list {
                    return Err(DataIntegrityError::ValueEmpty(self.pointer()));
                }
                for (at, item) in items.iter().enumerate() {
                    self.path.push(Step::Element(at));
                    self.value(item, meaning, inner, active, false)?;
                    self.path.pop();
                }
                Ok(())
            }
            Value::Object(object) if object.contains_key("@value") => self.value_object(object),
            Value::Object(object) if inner.is_empty() => {
                let own = self.own_context(object)?;
                self.node(object, &own, &own, true)
            }
            Value::Object(object) => self.node(object, inner, inner, false),
            Value::String(text) => match meaning {
                Meaning::Iri => self.iri(text),
                Meaning::Vocab if look_up(inner, text).or(look_up(active, text)).is_some() => {
                    Ok(())
                }
                Meaning::Vocab => self.iri(text),
                _ => Ok(()),
            },
            Value::Number(_) | Value::Bool(_)
                if matches!(meaning, Meaning::Iri | Meaning::Vocab) =>
            {
                Err(DataIntegrityError::IriNotAbsolute(self.pointer()))
            }
            Value::Number(number) => self.number(number),
            Value::Bool(_) => Ok(()),
        }
    }

    /// A value object: text with its language, as the data model has for names and descriptions (VCDM 2.0 §11.1).
    fn value_object(&mut self, object: &'a Map<String, Value>) -> Result<(), DataIntegrityError> {
        for (name, value) in object {
            self.count(1)?;
            match (name.as_str(), value) {
                ("@language", Value::String(tag)) if !is_language_tag(tag) => {
                    return Err(DataIntegrityError::ValueEmpty(self.at(name)));
                }
                ("@value" | "@language" | "@direction", Value::String(_)) => {}
                ("@value" | "@language" | "@direction", _) => {
                    return Err(DataIntegrityError::ValueEmpty(self.at(name)));
                }
                _ => return Err(DataIntegrityError::TermUndefined(self.at(name))),
            }
        }
        Ok(())
    }

    /// JSON as such: only bounded.
    fn any(&mut self, value: &'a Value) -> Result<(), DataIntegrityError> {
        self.count(1)?;
        match value {
            Value::Number(number) => self.number(number),
            Value::Array(items) => items.iter().try_for_each(|item| self.any(item)),
            Value::Object(object) => object.values().try_for_each(|value| self.any(value)),
            _ => Ok(()),
        }
    }

    /// The contexts that a document names, all of them known.
    fn own_context(
        &mut self,
        document: &'a Map<String, Value>,
    ) -> Result<Active<'a>, DataIntegrityError> {
        let form = |walk: &Self| DataIntegrityError::ContextForm(walk.at("@context"));
        let Some(Value::Array(urls)) = document.get("@context") else {
            return Err(form(self));
        };
        if urls.first().and_then(Value::as_str) != Some(super::contexts::CREDENTIALS_V2) {
            return Err(form(self));
        }
        let mut active = Vec::with_capacity(urls.len() + 4);
        for url in urls {
            self.count(1)?;
            let url = url.as_str().ok_or_else(|| form(self))?;
            let terms = self.contexts.terms(url);
            let terms = terms.ok_or_else(|| DataIntegrityError::ContextUnknown(url.to_owned()))?;
            active.push(&**terms);
        }
        Ok(active)
    }

    fn iri(&self, text: &str) -> Result<(), DataIntegrityError> {
        if is_absolute_iri(text) {
            Ok(())
        } else {
            Err(DataIntegrityError::IriNotAbsolute(self.pointer()))
        }
    }

    fn number(&self, number: &serde_json::Number) -> Result<(), DataIntegrityError> {
        let whole = number
            .as_u64()
            .or_else(|| number.as_i64().map(i64::unsigned_abs));
        let is_exact = match whole {
            Some(whole) => whole <= INTEGER_MAX,
            None => number
                .as_f64()
                .is_some_and(|number| number.abs() < INTEGER_MAX as f64),
        };
        if is_exact {
            Ok(())
        } else {
            Err(DataIntegrityError::Number(self.pointer()))
        }
    }

    fn count(&mut self, values: usize) -> Result<(), DataIntegrityError> {
        self.values += values;
        if self.values > VALUES_MAX {
            return Err(DataIntegrityError::TooLarge("20,000 values"));
        }
        Ok(())
    }

    fn pointer(&self) -> String {
        let mut out = String::new();
        for step in &self.path {
            let _ = match step {
                Step::Member(name) => {
                    write!(out, "/{}", name.replace('~', "~0").replace('/', "~1"))
                }
                Step::Element(at) => write!(out, "/{at}"),
            };
        }
        out
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.pointer())
    }
}

/// Whether it looks like a language tag (RFC 5646 §2.1): JSON-LD drops what does not without a word.
fn is_language_tag(text: &str) -> bool {
    let is_subtag = |subtag: &str| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let first = text.split('-').next().unwrap_or_default();
    text.split('-').all(is_subtag) && first.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Whether what is percent-encoded in an IRI is UTF-8, as RFC 3987 §3.1 makes it. The library that compares IRIs knows no other
/// and panics.
#[must_use]
pub fn percent_encodes_utf8(iri: &str) -> bool {
    if !iri.contains('%') {
        return true;
    }
    let mut bytes = iri.bytes();
    let mut decoded = Vec::with_capacity(iri.len());
    while let Some(byte) = bytes.next() {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let mut ahead = bytes.clone();
        let pair = (ahead.next().and_then(digit), ahead.next().and_then(digit));
        match pair {
            (Some(high), Some(low)) if byte == b'%' => {
                decoded.push(high << 4 | low);
                bytes = ahead;
            }
            _ => decoded.push(byte),
        }
    }
    str::from_utf8(&decoded).is_ok()
}

/// Whether `text` is an absolute IRI (RFC 3987), narrower than the grammar where readers differ: no blank node, no brackets,
/// one fragment at most, and nothing percent-encoded but UTF-8.
pub(crate) fn is_absolute_iri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme || rest.is_empty() || rest.bytes().filter(|byte| *byte == b'#').count() > 1 {
        return false;
    }
    let mut chars = rest.chars();
    while let Some(char) = chars.next() {
        let is_allowed = match char {
            '%' => {
                let hex = |char: Option<char>| char.is_some_and(|char| char.is_ascii_hexdigit());
                hex(chars.next()) && hex(chars.next())
            }
            'a'..='z' | 'A'..='Z' | '0'..='9' => true,
            ':' | '/' | '?' | '#' | '@' | '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ','
            | ';' | '=' | '-' | '.' | '_' | '~' => true,
            // `ucschar` of RFC 3987 in the basic plane.
            '\u{a0}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{ffef}' => true,
            _ => false,
        };
        if !is_allowed {
            return false;
        }
    }
    percent_encodes_utf8(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iris() {
        for good in [
            "urn:uuid:58172aac",
            "did:web:a.example#k",
            "https://a.example/x?y=%41#z",
            "https://例え.example/",
            "https://a.example/%E4%BE%8b/%41%25",
        ] {
            assert!(is_absolute_iri(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "/a",
            "_:b0",
            "a b:c",
            "1a:b",
            "urn:",
            "urn:a b",
            "urn:<a>",
            "urn:a%4",
            "urn:%ff",
            "urn:%e4/%be%8b",
            "urn:a#b#c",
            "https://[::1]/",
        ] {
            assert!(!is_absolute_iri(bad), "{bad}");
        }
    }
}
