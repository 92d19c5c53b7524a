//! Members of JSON objects that are all known, and texts that can hardly be about a person.

use super::EvidenceError;
use crate::codes::is_label;
use crate::json::Json;
use crate::request::is_reference;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Most elements of a list.
pub(super) const LIST_MAX: usize = 128;

/// An object whose members are all known.
pub(super) struct Fields<'a>(&'a [(String, Json)]);

impl<'a> Fields<'a> {
    pub(super) fn of(
        value: &'a Json,
        what: &'static str,
        required: &[&'static str],
        optional: &[&'static str],
    ) -> Result<Self, EvidenceError> {
        let fields = Self(value.object().ok_or(EvidenceError::Member(what))?);
        let known =
            |name: &String| required.contains(&name.as_str()) || optional.contains(&name.as_str());
        if !fields.0.iter().all(|(name, _)| known(name)) {
            return Err(EvidenceError::Member(what));
        }
        match required.iter().find(|name| fields.get(name).is_none()) {
            Some(missing) => Err(EvidenceError::Member(missing)),
            None => Ok(fields),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Json> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value)
    }

    pub(super) fn required(&self, name: &'static str) -> Result<&'a Json, EvidenceError> {
        self.get(name).ok_or(EvidenceError::Member(name))
    }

    pub(super) fn text(&self, name: &'static str) -> Result<&'a str, EvidenceError> {
        text(self.required(name)?, name)
    }

    pub(super) fn number(&self, name: &'static str) -> Result<u64, EvidenceError> {
        let number = self.required(name)?.number();
        number.ok_or(EvidenceError::Member(name))
    }

    pub(super) fn list(&self, name: &'static str) -> Result<&'a [Json], EvidenceError> {
        list(self.required(name)?, name, LIST_MAX)
    }

    pub(super) fn optional_list(&self, name: &'static str) -> Result<&'a [Json], EvidenceError> {
        self.get(name)
            .map_or(Ok(&[]), |value| list(value, name, LIST_MAX))
    }

    pub(super) fn is(&self, name: &'static str, word: &str) -> Result<(), EvidenceError> {
        self.one_of(name, &[word])
    }

    pub(super) fn one_of(&self, name: &'static str, known: &[&str]) -> Result<(), EvidenceError> {
        words(std::slice::from_ref(self.required(name)?), name, known)
    }

    pub(super) fn flags(&self, names: &[&'static str]) -> Result<(), EvidenceError> {
        let is_flag = |name: &&&'static str| matches!(self.get(name), None | Some(Json::Flag(_)));
        match names.iter().find(|name| !is_flag(name)) {
            Some(wrong) => Err(EvidenceError::Member(wrong)),
            None => Ok(()),
        }
    }
}

pub(super) fn text<'a>(value: &'a Json, name: &'static str) -> Result<&'a str, EvidenceError> {
    value.text().ok_or(EvidenceError::Member(name))
}

/// A list that is not empty.
pub(super) fn list<'a>(
    value: &'a Json,
    name: &'static str,
    most: usize,
) -> Result<&'a [Json], EvidenceError> {
    let list = value.list();
    let fits = |list: &&[Json]| (1..=most).contains(&list.len());
    list.filter(fits).ok_or(EvidenceError::Member(name))
}

/// Names of parts of a query.
pub(super) fn labels(values: &[Json], name: &'static str) -> Result<(), EvidenceError> {
    if values
        .iter()
        .all(|value| value.text().is_some_and(is_label))
    {
        Ok(())
    } else {
        Err(EvidenceError::Member(name))
    }
}

/// Texts of a closed list.
pub(super) fn words(
    values: &[Json],
    name: &'static str,
    known: &[&str],
) -> Result<(), EvidenceError> {
    let is_known = |value: &Json| value.text().is_some_and(|text| known.contains(&text));
    if values.iter().all(is_known) {
        Ok(())
    } else {
        Err(EvidenceError::Member(name))
    }
}

/// 256 bits in base64url, or 128 bits in hexadecimal.
pub(super) fn random(value: &Json, name: &'static str) -> Result<(), EvidenceError> {
    let text = text(value, name)?;
    let is_256_bits = text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok();
    if is_reference(text) || is_256_bits {
        Ok(())
    } else {
        Err(EvidenceError::Member(name))
    }
}

pub(super) fn decode(text: &str) -> Result<Vec<u8>, EvidenceError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| EvidenceError::Encoding)
}
