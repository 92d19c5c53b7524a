//! What a file says, shown so that it cannot speak for us.

/// The text with every character escaped that a terminal obeys, that changes what people read, or that they do not see:
/// control characters (line ends too), marks of writing direction, and what has no width. Others' texts are shown on one line
/// each, and no line is theirs.
#[must_use]
pub fn plain(text: &str) -> String {
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

/// A text of several lines, such as where an error is in a file: each as [`plain`] has it, and all but the first indented by
/// so many spaces.
#[must_use]
pub fn plain_lines(text: &str, indent: usize) -> String {
    let lines: Vec<String> = text.trim_end().lines().map(plain).collect();
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

/// Marks of writing direction, separators of lines and paragraphs, and characters without width.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::{plain, plain_lines};

    #[test]
    fn nothing_in_a_text_is_obeyed() {
        let text = "x\n✓ all\u{1b}[8m\u{9b}1m\u{202e}\u{2066}\u{2028}é 若葉";
        let shown = plain(text);
        assert!(!shown.contains(|c: char| c.is_control()), "{shown:?}");
        assert_eq!(
            shown,
            "x\\u{a}✓ all\\u{1b}[8m\\u{9b}1m\\u{202e}\\u{2066}\\u{2028}é 若葉"
        );
        for unseen in "\u{200b}\u{200d}\u{2060}\u{2064}\u{feff}".chars() {
            let shown = plain(&format!("City{unseen}"));
            assert!(shown.starts_with("City\\u{"), "{shown:?}");
        }
    }

    #[test]
    fn no_line_of_several_is_theirs() {
        let shown = plain_lines("node.toml: line 1\n✓ sound\u{1b}[8m\n", 2);
        assert_eq!(shown, "node.toml: line 1\n  ✓ sound\\u{1b}[8m");
    }
}
