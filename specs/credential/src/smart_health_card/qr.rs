//! The text of a QR code: `shc:/` and two digits for each character of the JWS, its code less 45.

use super::{MAX_BYTES, MAX_QR_BYTES, ShcError, ShcIssueError};

/// What the text begins with.
pub const PREFIX: &str = "shc:/";
/// The most QR codes that one card is read from.
const MAX_CHUNKS: usize = 64;
/// The code of the least character of a JWS, `-`; a pair of digits is a code less this.
const LEAST: u8 = b'-';
/// The largest pair of digits: `z`.
const LARGEST: u8 = b'z' - LEAST;

/// The text of one QR code. Cards in several are not made: the framework deprecates them.
///
/// # Errors
/// [`ShcIssueError::TooLarge`] for a card of more than [`MAX_QR_BYTES`].
pub fn to_qr(card: &str) -> Result<String, ShcIssueError> {
    if card.len() > MAX_QR_BYTES {
        return Err(ShcIssueError::TooLarge(card.len()));
    }
    let mut text = String::with_capacity(PREFIX.len() + card.len() * 2);
    text.push_str(PREFIX);
    for character in card.bytes() {
        let pair = character.saturating_sub(LEAST);
        text.push(char::from(b'0' + pair / 10));
        text.push(char::from(b'0' + pair % 10));
    }
    Ok(text)
}

/// The JWS in the text of a QR code, or of several (`shc:/1/3/…`), separated by white space and in
/// any order.
///
/// # Errors
/// [`ShcError::TooLarge`], [`ShcError::Prefix`], [`ShcError::Digits`], [`ShcError::ChunkMissing`].
pub fn from_qr(text: &str) -> Result<String, ShcError> {
    if text.len() > MAX_BYTES * 2 {
        return Err(ShcError::TooLarge);
    }
    let mut chunks: Vec<Option<&str>> = Vec::new();
    let mut first = None;
    for code in text.split_whitespace() {
        let rest = code.strip_prefix(PREFIX).ok_or(ShcError::Prefix)?;
        let (place, count, digits) = match rest.split('/').collect::<Vec<_>>()[..] {
            [digits] => (1, 1, digits),
            [place, count, digits] => (number(place)?, number(count)?, digits),
            _ => return Err(ShcError::Digits),
        };
        if count > MAX_CHUNKS || place > count {
            return Err(ShcError::Digits);
        }
        let missing = ShcError::ChunkMissing {
            found: place,
            count,
        };
        if first.get_or_insert(count) != &count {
            return Err(missing);
        }
        chunks.resize(count, None);
        if chunks[place - 1].replace(digits).is_some() {
            return Err(missing);
        }
    }
    let count = chunks.len();
    let found = chunks
        .iter()
        .position(Option::is_some)
        .ok_or(ShcError::Prefix)?
        + 1;
    let chunks: Option<Vec<&str>> = chunks.into_iter().collect();
    let chunks = chunks.ok_or(ShcError::ChunkMissing { found, count })?;
    let mut card = String::with_capacity(text.len() / 2);
    for pair in chunks.iter().flat_map(|digits| digits.as_bytes().chunks(2)) {
        let [tens, units] = pair else {
            return Err(ShcError::Digits);
        };
        if !tens.is_ascii_digit() || !units.is_ascii_digit() {
            return Err(ShcError::Digits);
        }
        let pair = (tens - b'0') * 10 + (units - b'0');
        if pair > LARGEST {
            return Err(ShcError::Digits);
        }
        card.push(char::from(pair + LEAST));
    }
    Ok(card)
}

/// A chunk's place or count: 1 to 999.
fn number(text: &str) -> Result<usize, ShcError> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..1000).contains(number));
    number
        .filter(|_| text.bytes().all(|c| c.is_ascii_digit()))
        .ok_or(ShcError::Digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let card = "eyJ6.-_zZ09.AB";
        let text = to_qr(card).unwrap();
        assert!(text.starts_with("shc:/5676"));
        assert_eq!(from_qr(&text).unwrap(), card);
        assert_eq!(
            to_qr(&"x".repeat(MAX_QR_BYTES + 1)).unwrap_err().code(),
            "shc_too_large"
        );
    }

    #[test]
    fn several_codes_are_one_card_once_all_are_there() {
        assert_eq!(from_qr("shc:/2/2/67 shc:/1/2/5676").unwrap(), "eyp");
        for text in [
            "shc:/1/2/56",
            "shc:/1/2/56 shc:/1/2/56",
            "shc:/1/2/56 shc:/2/3/56",
            "shc:/56 shc:/1/2/56",
        ] {
            assert_eq!(
                from_qr(text).unwrap_err().code(),
                "shc_chunk_missing",
                "{text}"
            );
        }
        for text in [
            "shc:/0/2/56",
            "shc:/3/2/56",
            "shc:/+1/2/56",
            "shc:/1/999/56",
            "shc:/1/2/3/56",
            "shc:/1/56",
            "shc:/5",
            "shc:/78",
            "shc:/5x",
            "shc:/５６",
        ] {
            assert_eq!(
                from_qr(text).unwrap_err().code(),
                "shc_digits_invalid",
                "{text}"
            );
        }
        assert_eq!(
            from_qr("SHC:/56").unwrap_err().code(),
            "shc_prefix_unexpected"
        );
        assert_eq!(from_qr("").unwrap_err().code(), "shc_prefix_unexpected");
    }
}
