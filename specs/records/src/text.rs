//! What the texts of a record may hold: letters that people see. Control characters and marks that turn the direction of
//! writing show a reader something else than what was signed (Unicode Technical Report 36, section 2.10), so the schemas
//! refuse them, and intake names the element or column.

/// The pattern of texts of one line in the schemas.
pub const LINE: &str = r"^[^\u0000-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069\uFEFF]*$";
/// The pattern of longer texts in the schemas: with line ends and tabs.
pub const LINES: &str =
    r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069\uFEFF]*$";

/// Whether a text fits [`LINE`].
#[must_use]
pub fn is_line(text: &str) -> bool {
    !text.chars().any(is_hidden)
}

/// Whether a text fits [`LINES`].
#[must_use]
pub fn is_lines(text: &str) -> bool {
    let hidden = |letter| is_hidden(letter) && !['\t', '\n', '\r'].contains(&letter);
    !text.chars().any(hidden)
}

/// Control characters (C0, DELETE, C1), embeddings, overrides and isolates of writing direction, and the byte order mark.
const fn is_hidden(letter: char) -> bool {
    matches!(letter,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_patterns_say_what_the_functions_do() {
        let validator = |pattern: &str| {
            let schema = json!({ "type": "string", "pattern": pattern });
            jsonschema::validator_for(&schema).unwrap()
        };
        let (line, lines) = (validator(LINE), validator(LINES));
        for letter in ('\0'..='\u{ffff}').chain(['\u{10000}', '\u{10ffff}']) {
            let text = format!("a{letter}b");
            assert_eq!(line.is_valid(&json!(text)), is_line(&text), "{letter:?}");
            assert_eq!(lines.is_valid(&json!(text)), is_lines(&text), "{letter:?}");
        }
        assert!(!is_line("one\ntwo") && is_lines("one\r\n\ttwo"));
        assert!(!line.is_valid(&json!("one\n")), "also at the end");
        assert!(is_line("予防接種\u{3000}第1回 𠮷"));
    }
}
