//! A request head (RFC 9112 §2-3, §6), line by line as it comes: refused at the first byte that makes it ambiguous.

use super::{Framing, Refusal};
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};

/// What has been seen of a head. Offsets count from its first byte.
#[derive(Default)]
pub(super) struct Head {
    /// Where the line begins that is under way.
    line: usize,
    /// Up to where there is no line end to be found.
    scanned: usize,
    request: Option<RequestLine>,
    headers: usize,
    has_host: bool,
    length: Option<u64>,
    encoding: Encoding,
}

#[derive(Clone, Copy)]
struct RequestLine {
    version: Version,
    is_head: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Encoding {
    #[default]
    None,
    Chunked,
}

impl Head {
    /// Reads on in `bytes`, which begin with the head: its length and the body's framing once it is whole.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Option<(usize, Framing)>, Refusal> {
        while let Some(found) = memchr::memchr(b'\n', &bytes[self.scanned..]) {
            let end = self.scanned + found;
            let line = bytes[self.line..end].strip_suffix(b"\r").ok_or(Refusal::BareLineEnd)?;
            (self.line, self.scanned) = (end + 1, end + 1);
            if self.line > HEAD_BYTES_MAX {
                return Err(self.too_large());
            }
            match self.request {
                // Some clients end a body with a line end too many (RFC 9112 §2.2).
                None if line.is_empty() => {}
                None => self.request = Some(request_line(line)?),
                Some(request) if line.is_empty() => return Ok(Some((self.line, self.framing(request)?))),
                Some(_) => self.header(line)?,
            }
        }
        self.check_part(bytes)?;
        self.scanned = bytes.len();
        Ok(None)
    }

    /// Whether it is known to be a HEAD request's.
    pub(super) fn is_of_head_request(&self) -> bool {
        self.request.is_some_and(|request| request.is_head)
    }

    /// Whether a line that has not ended can still become one: what is no HTTP must not wait for a line end.
    fn check_part(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let line = &bytes[self.line..];
        if self.request.is_none() && line.first().is_some_and(|first| *first != b'\r' && !is_token(&[*first])) {
            return Err(if line[0] == TLS_HANDSHAKE { Refusal::Tls } else { Refusal::RequestLine });
        }
        // The last byte seen again: a CR may have been the end of what had come.
        let fresh = &bytes[self.scanned.saturating_sub(1).max(self.line)..];
        if has_control(fresh.strip_suffix(b"\r").unwrap_or(fresh)) {
            return Err(Refusal::ControlCharacter);
        }
        if bytes.len() > HEAD_BYTES_MAX || (self.request.is_none() && line.len() > REQUEST_LINE_BYTES_MAX) {
            return Err(self.too_large());
        }
        Ok(())
    }

    fn too_large(&self) -> Refusal {
        if self.request.is_none() { Refusal::TargetTooLong } else { Refusal::HeadTooLarge }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if matches!(line[0], b' ' | b'\t') {
            return Err(Refusal::FoldedHeader);
        }
        self.headers += 1;
        if self.headers > HEADERS_MAX {
            return Err(Refusal::TooManyHeaders);
        }
        let colon = memchr::memchr(b':', line).ok_or(Refusal::HeaderLine)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) {
            let is_spaced = matches!(name.last(), Some(b' ' | b'\t'));
            return Err(if is_spaced { Refusal::SpaceBeforeColon } else { Refusal::HeaderLine });
        }
        if has_control(value) {
            return Err(Refusal::ControlCharacter);
        }
        // The length sorts out nearly every other header.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value.trim_ascii()),
            6 if name.eq_ignore_ascii_case(b"expect") => expect(value.trim_ascii()),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length(value.trim_ascii()),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.encoding(value.trim_ascii()),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.has_host, true) {
            return Err(Refusal::SeveralHosts);
        }
        if value.iter().all(|byte| HOST[*byte as usize]) { Ok(()) } else { Err(Refusal::Host) }
    }

    /// Digits only. Twice the same is refused too: no sender needs it, and it takes two readers to agree on it.
    fn length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(Refusal::SeveralLengths);
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::Length);
        }
        let digits = std::str::from_utf8(value).map_err(|_| Refusal::Length)?;
        self.length = Some(digits.parse().ok().filter(|length| *length <= LENGTH_MAX).ok_or(Refusal::Length)?);
        Ok(())
    }

    fn encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.encoding == Encoding::Chunked {
            return Err(Refusal::EncodingNotChunked);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or(value).trim_ascii();
            let is_chunked = last.len() < value.len() && last.eq_ignore_ascii_case(b"chunked");
            return Err(if is_chunked { Refusal::UnknownEncoding } else { Refusal::EncodingNotChunked });
        }
        self.encoding = Encoding::Chunked;
        Ok(())
    }

    /// RFC 9112 §6.3.
    fn framing(&self, request: RequestLine) -> Result<Framing, Refusal> {
        if request.version == Version::Http11 && !self.has_host {
            return Err(Refusal::NoHost);
        }
        match (self.encoding, self.length) {
            (Encoding::Chunked, Some(_)) => Err(Refusal::LengthAndEncoding),
            (Encoding::Chunked, None) if request.version == Version::Http10 => Err(Refusal::EncodingInHttp10),
            (Encoding::Chunked, None) => Ok(Framing::Chunked),
            (Encoding::None, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

/// The first byte of a TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// Longest method. The longest registered one has 17 letters.
const METHOD_BYTES_MAX: usize = 24;
/// Longest request line: method, target, version and two spaces.
const REQUEST_LINE_BYTES_MAX: usize = METHOD_BYTES_MAX + 1 + TARGET_BYTES_MAX + VERSION_BYTES;
/// A space and `HTTP/1.1`.
const VERSION_BYTES: usize = 9;
/// Largest `Content-Length`: hyper keeps the two greatest numbers for bodies of unknown length.
const LENGTH_MAX: u64 = u64::MAX - 2;

/// RFC 9112 §3: one space between method, target and version, and no others.
fn request_line(line: &[u8]) -> Result<RequestLine, Refusal> {
    if line[0] == TLS_HANDSHAKE {
        return Err(Refusal::Tls);
    }
    if has_control(line) {
        return Err(Refusal::ControlCharacter);
    }
    let space = memchr::memchr(b' ', line).ok_or(Refusal::RequestLine)?;
    let (method, rest) = (&line[..space], &line[space + 1..]);
    if !is_token(method) || method.len() > METHOD_BYTES_MAX || rest.len() <= VERSION_BYTES {
        return Err(if rest == b"* HTTP/2.0" { Refusal::Http2 } else { Refusal::RequestLine });
    }
    let (target, version) = rest.split_at(rest.len() - VERSION_BYTES);
    let version = match version {
        b" HTTP/1.1" => Version::Http11,
        b" HTTP/1.0" => Version::Http10,
        b" HTTP/2.0" if method == b"PRI" => return Err(Refusal::Http2),
        [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(Refusal::Version),
        _ => return Err(Refusal::RequestLine),
    };
    if target.len() > TARGET_BYTES_MAX {
        return Err(Refusal::TargetTooLong);
    }
    if method == b"CONNECT" {
        return Err(Refusal::Connect);
    }
    check_target(method, target)?;
    Ok(RequestLine { version, is_head: method == b"HEAD" })
}

/// A path, an absolute `http` URL, or `*` of OPTIONS (RFC 9112 §3.2).
fn check_target(method: &[u8], target: &[u8]) -> Result<(), Refusal> {
    let is_good = match target[0] {
        b'/' => is_path(target),
        b'*' => target == b"*" && method == b"OPTIONS",
        // Rare: only clients that take us for a proxy write it.
        _ => {
            let scheme = target.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"http://"));
            scheme && !target.contains(&b'#') && http::Uri::try_from(target).is_ok()
        }
    };
    if is_good { Ok(()) } else { Err(Refusal::Target) }
}

/// What `http::Uri` takes for a path and a query, except a fragment, which no request has (RFC 9110 §7.1).
fn is_path(target: &[u8]) -> bool {
    let (path, query) = target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()));
    let good = |table: &[bool; 256], text: &[u8]| text.iter().fold(true, |good, byte| good & table[*byte as usize]);
    good(&PATH, path)
        && good(&QUERY, query.get(1..).unwrap_or_default())
        && (target.is_ascii() || std::str::from_utf8(target).is_ok())
}

const PATH: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = matches!(byte, 0x21..=0x22 | 0x24..=0x3B | 0x3D | 0x40..=0x5F | 0x61..=0x7E | 0x80..=0xFF);
        byte += 1;
    }
    table
};

const QUERY: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = matches!(byte, 0x21 | 0x24..=0x3B | 0x3D | 0x3F..=0x7E | 0x80..=0xFF);
        byte += 1;
    }
    table
};

/// What is visible and does not end an authority (RFC 3986 §3.2).
const HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7F {
        table[byte as usize] = !matches!(
            byte,
            b'/' | b'\\' | b'?' | b'#' | b'@' | b',' | b'<' | b'>' | b'"' | b'{' | b'}' | b'|' | b'^' | b'`'
        );
        byte += 1;
    }
    table
};

/// RFC 9110 §5.6.2.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().fold(true, |good, byte| good & TOKEN[*byte as usize])
}

/// Without branches, so that the compiler looks at many bytes at once.
fn has_control(text: &[u8]) -> bool {
    text.iter().fold(false, |found, byte| found | ((*byte < 0x20) & (*byte != b'\t')) | (*byte == 0x7F))
}

/// Only what we know how to meet (RFC 9110 §10.1.1).
fn expect(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"100-continue") { Ok(()) } else { Err(Refusal::Expectation) }
}
