//! What a file says, shown so that it cannot speak for us.

/// The text with every character escaped that a terminal obeys or that changes what people read: control characters (line
/// ends too) and marks of writing direction. Others' texts are shown on one line each, and no line is theirs.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_mark(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Marks of writing direction, and separators of lines and paragraphs.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn nothing_in_a_text_is_obeyed() {
        let text = "x\n✓ all\u{1b}[8m\u{9b}1m\u{202e}\u{2066}\u{2028}é 若葉";
        let shown = plain(text);
        assert!(!shown.contains(|c: char| c.is_control()), "{shown:?}");
        assert_eq!(
            shown,
            "x\\u{a}✓ all\\u{1b}[8m\\u{9b}1m\\u{202e}\\u{2066}\\u{2028}é 若葉"
        );
    }
}
