//! QR codes for screens and paper.

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

/// The text does not fit into a QR code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes do not fit into a QR code")]
pub struct QrError(pub usize);

/// A QR code (ISO/IEC 18004, level M) as an SVG document with its quiet zone, black on white.
///
/// # Errors
/// [`QrError`] for more than about 2,300 bytes.
pub fn svg(text: &str) -> Result<String, QrError> {
    let code =
        QrCode::with_error_correction_level(text, EcLevel::M).map_err(|_| QrError(text.len()))?;
    Ok(code
        .render::<svg::Color<'_>>()
        .min_dimensions(240, 240)
        .quiet_zone(true)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_becomes_a_picture() {
        let picture = svg("https://wallet.example/#/pair?issuer=00&code=ABCD").unwrap();
        assert!(picture.contains("<svg") && picture.contains("path"));
        assert_ne!(
            picture,
            svg("https://wallet.example/#/pair?issuer=01&code=ABCD").unwrap()
        );
        assert_eq!(svg(&"x".repeat(5000)), Err(QrError(5000)));
    }
}
