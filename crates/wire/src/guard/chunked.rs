//! A chunked body (RFC 9112 §7.1), read only for its end. Strict where senders and proxies have been told apart by
//! laxness: every line ends in CRLF, sizes are plain hexadecimal.

use crate::limits::{CHUNK_LINE_BYTES_MAX, HEAD_BYTES_MAX};

/// The chunks are none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Whether the body is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// More will come.
    NotYet,
    /// It is.
    Reached,
}

/// Most digits of a size: those of 64 bits.
const DIGITS_MAX: u8 = 16;

#[derive(Clone, Copy)]
enum At {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The start of a trailer line, or of the empty line at the end.
    Line,
    Trailer,
    TrailerLf,
    EndLf,
}

/// Where in a chunked body.
pub(super) struct Chunked {
    at: At,
    /// Of the chunk, what is to come.
    size: u64,
    digits: u8,
    /// Bytes of this chunk's extension, or of all trailers.
    spent: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { at: At::Size, size: 0, digits: 0, spent: 0 }
    }
}

impl Chunked {
    /// Reads on: how many of `bytes` belong to the body, and whether it ends with them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(usize, End), Malformed> {
        let mut taken = 0;
        while let Some(byte) = bytes.get(taken) {
            if let At::Data = self.at {
                let now = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - taken);
                taken += now;
                self.size -= now as u64;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            taken += 1;
            if let (At::EndLf, b'\n') = (self.at, byte) {
                return Ok((taken, End::Reached));
            }
            self.at = self.step(*byte)?;
        }
        Ok((taken, End::NotYet))
    }

    fn step(&mut self, byte: u8) -> Result<At, Malformed> {
        Ok(match (self.at, byte) {
            (At::Size, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Size, b';' | b' ' | b'\t') if self.digits > 0 => At::Extension,
            (At::Size, _) => {
                let digit = (byte as char).to_digit(16).ok_or(Malformed)?;
                self.digits += 1;
                if self.digits > DIGITS_MAX {
                    return Err(Malformed);
                }
                self.size = self.size << 4 | u64::from(digit);
                At::Size
            }
            (At::Extension, b'\r') => At::SizeLf,
            (At::Extension, _) => self.text(byte, CHUNK_LINE_BYTES_MAX, At::Extension)?,
            (At::SizeLf, b'\n') => {
                (self.digits, self.spent) = (0, 0);
                if self.size == 0 { At::Line } else { At::Data }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            (At::Line, b'\r') => At::EndLf,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::Line | At::Trailer, _) => self.text(byte, HEAD_BYTES_MAX, At::Trailer)?,
            (At::TrailerLf, b'\n') => At::Line,
            _ => return Err(Malformed),
        })
    }

    /// A byte that is only skipped.
    fn text(&mut self, byte: u8, most: usize, next: At) -> Result<At, Malformed> {
        self.spent += 1;
        let is_text = byte == b'\t' || !byte.is_ascii_control();
        if is_text && self.spent <= most { Ok(next) } else { Err(Malformed) }
    }
}
