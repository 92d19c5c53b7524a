//! Decompression in bounded memory: RFC 1950 (zlib) and RFC 1951 (raw deflate).

use flate2::{Decompress, FlushDecompress, Status};

/// Why compressed bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InflateFault {
    /// Not one whole stream with nothing behind it.
    Malformed,
    /// It expands to more than the bound; no more than that was ever in memory.
    TooLarge,
}

/// zlib, to at most `max` bytes.
pub(crate) fn zlib(bytes: &[u8], max: usize) -> Result<Vec<u8>, InflateFault> {
    inflate(bytes, Decompress::new(true), max)
}

/// Raw deflate, to at most `max` bytes.
pub(crate) fn raw(bytes: &[u8], max: usize) -> Result<Vec<u8>, InflateFault> {
    inflate(bytes, Decompress::new(false), max)
}

fn inflate(bytes: &[u8], mut stream: Decompress, max: usize) -> Result<Vec<u8>, InflateFault> {
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(4).min(max).max(64));
    loop {
        let read = usize::try_from(stream.total_in()).expect("no more than a slice's length");
        let before = (read, out.len());
        let status = stream
            .decompress_vec(&bytes[read..], &mut out, FlushDecompress::None)
            .map_err(|_| InflateFault::Malformed)?;
        let read = usize::try_from(stream.total_in()).expect("no more than a slice's length");
        if out.len() > max {
            return Err(InflateFault::TooLarge);
        }
        match status {
            Status::StreamEnd if read == bytes.len() => return Ok(out),
            Status::StreamEnd => return Err(InflateFault::Malformed),
            Status::Ok | Status::BufError => {}
        }
        if out.len() == out.capacity() {
            let more = out.len().min(max + 1 - out.len()).max(1);
            out.reserve_exact(more);
        } else if before == (read, out.len()) {
            return Err(InflateFault::Malformed); // cut off: neither read nor written
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, ZlibEncoder};
    use std::io::Write as _;

    fn packed(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut z = ZlibEncoder::new(Vec::new(), Compression::best());
        let mut r = DeflateEncoder::new(Vec::new(), Compression::best());
        z.write_all(bytes).unwrap();
        r.write_all(bytes).unwrap();
        (z.finish().unwrap(), r.finish().unwrap())
    }

    #[test]
    fn gives_back_what_was_packed_up_to_the_bound() {
        for len in [0usize, 1, 63, 64, 65, 1000, 100_000] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * i % 251) as u8).collect();
            let (z, r) = packed(&bytes);
            assert_eq!(zlib(&z, len).unwrap(), bytes);
            assert_eq!(raw(&r, len).unwrap(), bytes);
            if len > 0 {
                assert_eq!(zlib(&z, len - 1).unwrap_err(), InflateFault::TooLarge);
                assert_eq!(raw(&r, len - 1).unwrap_err(), InflateFault::TooLarge);
            }
        }
    }

    #[test]
    fn refuses_bombs_fragments_and_appendages() {
        let (z, r) = packed(&vec![0; 50 << 20]);
        assert_eq!(zlib(&z, 1 << 16).unwrap_err(), InflateFault::TooLarge);
        assert_eq!(raw(&r, 1 << 16).unwrap_err(), InflateFault::TooLarge);
        let (z, r) = packed(b"a short text, a short text");
        for cut in 0..z.len() {
            assert_eq!(zlib(&z[..cut], 100).unwrap_err(), InflateFault::Malformed);
        }
        for cut in 0..r.len() {
            assert_eq!(raw(&r[..cut], 100).unwrap_err(), InflateFault::Malformed);
        }
        let longer = [z.as_slice(), b"x"].concat();
        assert_eq!(zlib(&longer, 100).unwrap_err(), InflateFault::Malformed);
        let longer = [r.as_slice(), b"x"].concat();
        assert_eq!(raw(&longer, 100).unwrap_err(), InflateFault::Malformed);
        assert_eq!(zlib(b"not zlib", 100).unwrap_err(), InflateFault::Malformed);
    }
}
