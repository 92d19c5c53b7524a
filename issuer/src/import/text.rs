//! Text as city halls write it: encodings, full-width letters and digits, half-width kana.

use encoding_rs::{CoderResult, Decoder, SHIFT_JIS, UTF_8};
use std::collections::VecDeque;
use std::io::{self, Read};

/// How a file is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// UTF-8 where the whole file is valid UTF-8, with or without a byte order mark; else CP932.
    #[default]
    Auto,
    /// UTF-8, with or without a byte order mark.
    #[serde(rename = "utf-8")]
    Utf8,
    /// Windows code page 932, Microsoft's Shift_JIS.
    Cp932,
}

const CHUNK_BYTES: usize = 64 * 1024;

/// Finds the encoding of a whole file, reading it once in constant memory.
///
/// # Errors
/// Those of reading.
pub fn detect(mut file: impl Read) -> io::Result<Encoding> {
    let mut decoder = UTF_8.new_decoder_without_bom_handling();
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut text = vec![0; CHUNK_BYTES * 3 + 16];
    loop {
        let read = file.read(&mut bytes)?;
        let mut rest = &bytes[..read];
        loop {
            let (result, consumed, _, replaced) =
                decoder.decode_to_utf8(rest, &mut text, read == 0);
            if replaced {
                return Ok(Encoding::Cp932);
            }
            rest = &rest[consumed..];
            if result == CoderResult::InputEmpty {
                break;
            }
        }
        if read == 0 {
            return Ok(Encoding::Utf8);
        }
    }
}

/// A reader that gives UTF-8, whatever the file's encoding, and stops at a row that is longer than allowed.
///
/// Bytes that do not decode become U+FFFD, which no value accepts: the row fails, not the file.
pub struct Decoded<R> {
    inner: R,
    decoder: Decoder,
    raw: Vec<u8>,
    text: Vec<u8>,
    text_start: usize,
    text_end: usize,
    /// The decoder has given its last text and must not be asked again.
    finished: bool,
    raw_read_bytes: u64,
    budget_bytes: usize,
    /// How much text was given.
    given_bytes: u64,
    /// Where in it `\r` and `\n` stand, behind what was asked for with [`Self::line_at`]. No more than fits the budget of
    /// a row and the reader's buffer.
    breaks: VecDeque<(u64, u8)>,
    line: u64,
}

impl<R: Read> Decoded<R> {
    /// Reads `inner` in an encoding; [`Encoding::Auto`] counts as UTF-8 here.
    pub fn new(inner: R, encoding: Encoding) -> Self {
        let decoder = match encoding {
            Encoding::Cp932 => SHIFT_JIS.new_decoder_without_bom_handling(),
            Encoding::Auto | Encoding::Utf8 => UTF_8.new_decoder_with_bom_removal(),
        };
        Self {
            inner,
            decoder,
            raw: vec![0; CHUNK_BYTES],
            text: vec![0; CHUNK_BYTES * 3 + 16],
            text_start: 0,
            text_end: 0,
            finished: false,
            raw_read_bytes: 0,
            budget_bytes: usize::MAX,
            given_bytes: 0,
            breaks: VecDeque::new(),
            line: 1,
        }
    }

    /// The line, as an editor counts them, of what stands at a byte of the text, or of the next line that is not empty. To be
    /// asked in rising order. `\r\n`, `\n` and `\r` end a line.
    pub fn line_at(&mut self, byte: u64) -> u64 {
        let mut at = byte;
        while let Some(&(place, end)) = self.breaks.front()
            && place <= at
        {
            self.breaks.pop_front();
            if place == at {
                at += 1;
            }
            let pair = end == b'\r' && self.breaks.front() == Some(&(place + 1, b'\n'));
            self.line += u64::from(!pair);
        }
        self.line
    }

    /// How many bytes of the file were read.
    pub const fn raw_read_bytes(&self) -> u64 {
        self.raw_read_bytes
    }

    /// Allows so many more bytes of text before the next row must have ended.
    pub const fn allow(&mut self, bytes: usize) {
        self.budget_bytes = bytes;
    }

    /// Decodes the next piece of the file; `text` has room for any piece of `raw`'s length.
    fn fill(&mut self) -> io::Result<()> {
        let read = self.inner.read(&mut self.raw)?;
        self.raw_read_bytes += read as u64;
        let (result, consumed, written, _) =
            self.decoder
                .decode_to_utf8(&self.raw[..read], &mut self.text, read == 0);
        if result != CoderResult::InputEmpty || consumed != read {
            return Err(io::Error::other(
                "a decoded piece of the file is longer than any could be",
            ));
        }
        self.finished = read == 0;
        (self.text_start, self.text_end) = (0, written);
        Ok(())
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.text_start == self.text_end && !self.finished {
            self.fill()?;
        }
        let length = out.len().min(self.text_end - self.text_start);
        self.budget_bytes = self
            .budget_bytes
            .checked_sub(length)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, RowTooLong))?;
        out[..length].copy_from_slice(&self.text[self.text_start..self.text_start + length]);
        self.text_start += length;
        let ends = (self.given_bytes..).zip(out[..length].iter().copied());
        self.breaks
            .extend(ends.filter(|(_, letter)| matches!(letter, b'\r' | b'\n')));
        self.given_bytes += length as u64;
        Ok(length)
    }
}

/// A row is longer than allowed: most often a quotation mark that is never closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row is too long, or a quotation mark is never closed")]
pub struct RowTooLong;

/// Full-width letters, digits and signs become ASCII, half-width kana full-width, all dashes `-`; white space goes, and
/// letters become lower-case: what two spellings of one word have in common.
#[must_use]
pub fn plain(text: &str) -> String {
    half_width(text)
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// Full-width letters, digits and signs become ASCII, half-width kana full-width. White space stays, at the ends it goes.
#[must_use]
pub fn half_width(text: &str) -> String {
    const KANA: &str = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン゛゜";
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\u{ff01}'..='\u{ff5e}' => {
                out.push(
                    char::from_u32(c as u32 - 0xfee0)
                        .expect("U+FF01 to U+FF5E lie above U+0021 to U+007E"),
                );
            }
            '\u{3000}' => out.push(' '),
            '\u{2212}' | '\u{2010}'..='\u{2015}' => out.push('-'),
            '\u{ff9e}' | '\u{ff9f}' => match out.pop() {
                Some(base) => out.extend(voiced(base, c)),
                None => out.push(c),
            },
            '\u{ff61}'..='\u{ff9d}' => out.extend(KANA.chars().nth(c as usize - 0xff61)),
            _ => out.push(c),
        }
    }
    out
}

/// A kana with its sound mark as one character where there is one.
fn voiced(base: char, mark: char) -> impl Iterator<Item = char> {
    let half = mark == '\u{ff9f}';
    let joined = match (base, half) {
        ('ウ', false) => Some('ヴ'),
        ('ハ' | 'ヒ' | 'フ' | 'ヘ' | 'ホ', true) => char::from_u32(base as u32 + 2),
        ('カ'..='ト' | 'ハ'..='ホ', false) => char::from_u32(base as u32 + 1),
        _ => None,
    };
    match joined {
        Some(joined) => [Some(joined), None],
        None => [Some(base), Some(if half { '゜' } else { '゛' })],
    }
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        let lines = |text: &str, bytes: &[u64]| -> Vec<u64> {
            let mut decoded = Decoded::new(text.as_bytes(), Encoding::Utf8);
            io::copy(&mut decoded, &mut io::sink()).unwrap();
            bytes.iter().map(|byte| decoded.line_at(*byte)).collect()
        };
        assert_eq!(lines("a\nb\n\nc", &[0, 2, 4]), [1, 2, 4]);
        assert_eq!(lines("a\r\nb\r\n\r\nc", &[0, 2, 5]), [1, 2, 4]);
        assert_eq!(lines("a\rb\r\rc", &[0, 1, 3]), [1, 2, 4]);
        assert_eq!(lines("\n\na", &[0]), [3]);
        assert_eq!(lines("\"a\r\nb\"\r\nc", &[0, 8]), [1, 3]);
    }

    fn read(bytes: &[u8], encoding: Encoding) -> String {
        let mut text = String::new();
        Decoded::new(bytes, encoding)
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn encodings_are_found_and_read() {
        let text = "宛名番号,接種日\n１,令和５年４月１日\n";
        let (cp932, _, unmappable) = SHIFT_JIS.encode(text);
        assert!(!unmappable);
        let with_mark = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        for (bytes, encoding) in [
            (text.as_bytes(), Encoding::Utf8),
            (with_mark.as_slice(), Encoding::Utf8),
            (&*cp932, Encoding::Cp932),
        ] {
            assert_eq!(detect(bytes).unwrap(), encoding);
            assert_eq!(read(bytes, encoding), text);
        }
        assert_eq!(detect(b"a,b\n".as_slice()).unwrap(), Encoding::Utf8);
        // A sequence cut off at the end of the file is not UTF-8.
        assert_eq!(detect(&"あ".as_bytes()[..2]).unwrap(), Encoding::Cp932);
    }

    #[test]
    fn characters_survive_the_border_of_a_chunk() {
        for pad in CHUNK_BYTES - 5..CHUNK_BYTES + 2 {
            let text = format!("{}明治大正昭和", "x".repeat(pad));
            assert_eq!(detect(text.as_bytes()).unwrap(), Encoding::Utf8);
            assert_eq!(read(text.as_bytes(), Encoding::Utf8), text);
            let (cp932, _, _) = SHIFT_JIS.encode(&text);
            assert_eq!(read(&cp932, Encoding::Cp932), text);
        }
    }

    #[test]
    fn a_row_without_end_is_stopped() {
        let mut reader = Decoded::new(io::repeat(b'x'), Encoding::Utf8);
        reader.allow(1_000_000);
        let mut sink = Vec::new();
        let error = reader.read_to_end(&mut sink).unwrap_err();
        assert!(error.get_ref().unwrap().is::<RowTooLong>());
        assert!(sink.len() <= 1_000_000);
    }

    #[test]
    fn spellings_meet() {
        for (written, common) in [
            ("　ＢＣＧ ", "bcg"),
            ("ﾋﾌﾞ", "ヒブ"),
            ("ﾛﾀｳｲﾙｽ", "ロタウイルス"),
            ("ﾊﾟﾋﾟﾛｰﾏ", "パピローマ"),
            ("身長（ｃｍ）", "身長(cm)"),
            ("１２．５", "12.5"),
            ("ＤＰＴ－ＩＰＶ", "dpt-ipv"),
            ("DPT−IPV", "dpt-ipv"),
            ("ﾞ", "ﾞ"),
            ("ｱﾞ", "ア゛"),
        ] {
            assert_eq!(plain(written), common, "{written}");
        }
    }
}
