//! The two digests of an object: the origin's own, which is its `ETag`, and SHA-256, which any tool can check.

use std::fmt::Write;

use headwater_model::row::Digest;
use sha2::{Digest as _, Sha256};
use twox_hash::XxHash3_128;

/// The `ETag` that an origin gives `bytes`, without its quotes.
#[must_use]
pub fn etag(bytes: &[u8]) -> String {
    Digest(XxHash3_128::oneshot(bytes)).to_string()
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// In hexadecimal digits.
#[must_use]
pub fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::with_capacity(digest.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_is_what_every_tool_prints() {
        assert_eq!(hex(&sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
