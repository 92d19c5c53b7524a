//! JSON for the state machine: a small dialect that every validator reads alike (`over-asking.md`, section 2).
//!
//! No general JSON library decides here: which numbers, repeated names or depths they take depends on version and features, and
//! validators must not differ. Whitespace and escapes are refused, for nothing that is wanted needs them and each would be a
//! place to hide a text in.

/// Most objects and arrays inside one another.
const DEPTH_MAX: usize = 8;
/// Most members of one object, and most elements of one array.
const WIDTH_MAX: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Flag(bool),
    /// Not negative, without fraction or exponent, at most 15 digits.
    Number(u64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Why a text is not of the dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or more of it than the dialect has.
    #[error("not JSON without whitespace, escapes, fractions and negative numbers")]
    Malformed,
    /// A member's name is there twice.
    #[error("a member is there twice")]
    Twice,
    /// Too deep, or too many members or elements.
    #[error("more than 8 deep, or more than 128 members or elements")]
    TooLarge,
}

impl Json {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let text = str::from_utf8(bytes).map_err(|_| JsonError::Malformed)?;
        let mut reader = Reader { rest: text };
        let value = reader.value(0)?;
        if reader.rest.is_empty() {
            Ok(value)
        } else {
            Err(JsonError::Malformed)
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) const fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    pub(crate) fn object(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        match self.rest.bytes().next() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            Some(b'"') => self.text().map(Json::Text),
            Some(b'0'..=b'9') => self.number(),
            _ if self.takes("true") => Ok(Json::Flag(true)),
            _ if self.takes("false") => Ok(Json::Flag(false)),
            _ if self.takes("null") => Ok(Json::Null),
            _ => Err(JsonError::Malformed),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.opens('{', depth)?;
        let mut members: Vec<(String, Json)> = Vec::new();
        while !self.ends('}', members.len())? {
            let name = self.text()?;
            if members.iter().any(|(other, _)| *other == name) {
                return Err(JsonError::Twice);
            }
            if !self.takes(":") {
                return Err(JsonError::Malformed);
            }
            members.push((name, self.value(depth)?));
        }
        Ok(Json::Object(members))
    }

    fn list(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.opens('[', depth)?;
        let mut list = Vec::new();
        while !self.ends(']', list.len())? {
            list.push(self.value(depth)?);
        }
        Ok(Json::List(list))
    }

    fn opens(&mut self, bracket: char, depth: usize) -> Result<(), JsonError> {
        self.rest = self
            .rest
            .strip_prefix(bracket)
            .ok_or(JsonError::Malformed)?;
        if depth > DEPTH_MAX {
            return Err(JsonError::TooLarge);
        }
        Ok(())
    }

    /// Whether the container ends here; if not, the next of its parts follows. `count` of them were read.
    fn ends(&mut self, bracket: char, count: usize) -> Result<bool, JsonError> {
        if let Some(rest) = self.rest.strip_prefix(bracket) {
            self.rest = rest;
            return Ok(true);
        }
        if count == WIDTH_MAX {
            return Err(JsonError::TooLarge);
        }
        if count > 0 && !self.takes(",") {
            return Err(JsonError::Malformed);
        }
        Ok(false)
    }

    fn text(&mut self) -> Result<String, JsonError> {
        let open = self.rest.strip_prefix('"').ok_or(JsonError::Malformed)?;
        let (text, rest) = open.split_once('"').ok_or(JsonError::Malformed)?;
        if text.chars().any(|char| char == '\\' || char.is_control()) {
            return Err(JsonError::Malformed);
        }
        self.rest = rest;
        Ok(text.to_owned())
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let digit = |char: char| char.is_ascii_digit();
        let end = self
            .rest
            .find(|char| !digit(char))
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        if digits.len() > 15 || leading_zero {
            return Err(JsonError::Malformed);
        }
        self.rest = rest;
        digits
            .parse()
            .map(Json::Number)
            .map_err(|_| JsonError::Malformed)
    }

    fn takes(&mut self, word: &str) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_the_dialect_is_read() {
        let text = r#"{"a":[1,0,999999999999999,null,true,false,"手形"],"b":{"c":{}},"d":[]}"#;
        let value = Json::parse(text.as_bytes()).unwrap();
        let members = value.object().unwrap();
        assert_eq!(members.len(), 3);
        let list = members[0].1.list().unwrap();
        assert_eq!(list[2].number(), Some(999_999_999_999_999));
        assert_eq!(list[6].text(), Some("手形"));
        assert_eq!(members[2].1, Json::List(Vec::new()));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "[,1]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "[1 ]",
            " 1",
            "1 ",
            "-1",
            "1.5",
            "1e3",
            "01",
            "1000000000000000",
            "\"a\\n\"",
            "\"\\u0061\"",
            "\"a\nb\"",
            "\"a",
            "nul",
            "truefalse",
            "[1][2]",
        ] {
            assert_eq!(
                Json::parse(text.as_bytes()),
                Err(JsonError::Malformed),
                "{text}"
            );
        }
        assert_eq!(Json::parse(b"\"\xff\""), Err(JsonError::Malformed));
        assert_eq!(
            Json::parse(br#"{"a":{"b":1,"b":2}}"#),
            Err(JsonError::Twice)
        );
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Json::parse(nested(8).as_bytes()).is_ok());
        for deep in [9, 100_000] {
            assert_eq!(
                Json::parse(nested(deep).as_bytes()),
                Err(JsonError::TooLarge)
            );
        }
        let wide = |n: usize| format!("[{}]", vec!["0"; n].join(","));
        assert!(Json::parse(wide(128).as_bytes()).is_ok());
        assert_eq!(Json::parse(wide(129).as_bytes()), Err(JsonError::TooLarge));
    }
}
