//! Why a request is not even read, with status, code and what to do: the one table of what the guard refuses.

use http::header;

use crate::limits::{HEAD_BYTES_MAX, HEAD_TIMEOUT, HEADERS_MAX, TARGET_BYTES_MAX};
use crate::{Problem, Response};

/// Why a request is refused before any handler sees it. The connection ends with the answer, because where the next
/// request would begin is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// The head was not complete in time.
    HeadTimeout = 1,
    /// TLS on a plain port.
    Tls,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Some other version of HTTP.
    Version,
    /// Not `METHOD TARGET HTTP/1.1`.
    RequestLine,
    /// No path of ours.
    Target,
    /// Over [`TARGET_BYTES_MAX`].
    TargetTooLong,
    /// CONNECT.
    Connect,
    /// A line that ends in LF alone.
    BareLineEnd,
    /// NUL, a lone CR and their like.
    ControlCharacter,
    /// A line that is no header.
    HeaderLine,
    /// `Name : value`.
    SpaceBeforeColon,
    /// A header over several lines.
    FoldedHeader,
    /// Over [`HEAD_BYTES_MAX`].
    HeadTooLarge,
    /// Over [`HEADERS_MAX`].
    TooManyHeaders,
    /// HTTP/1.1 without `Host`.
    NoHost,
    /// Two of them.
    SeveralHosts,
    /// One that names no host.
    Host,
    /// Both framings at once.
    LengthAndEncoding,
    /// No number.
    Length,
    /// Two of them.
    SeveralLengths,
    /// Chunks of something that would have to be decoded.
    UnknownEncoding,
    /// A body whose end cannot be known.
    EncodingNotChunked,
    /// Chunks in HTTP/1.0.
    EncodingInHttp10,
    /// Something else than `100-continue`.
    Expectation,
}

/// Status, code, title, field at fault, what to do.
type Row = (u16, &'static str, &'static str, Option<&'static str>, &'static str);

impl Refusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::HeadTimeout,
        Self::Tls,
        Self::Http2,
        Self::Version,
        Self::RequestLine,
        Self::Target,
        Self::TargetTooLong,
        Self::Connect,
        Self::BareLineEnd,
        Self::ControlCharacter,
        Self::HeaderLine,
        Self::SpaceBeforeColon,
        Self::FoldedHeader,
        Self::HeadTooLarge,
        Self::TooManyHeaders,
        Self::NoHost,
        Self::SeveralHosts,
        Self::Host,
        Self::LengthAndEncoding,
        Self::Length,
        Self::SeveralLengths,
        Self::UnknownEncoding,
        Self::EncodingNotChunked,
        Self::EncodingInHttp10,
        Self::Expectation,
    ];

    /// The refusal with that number.
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| *refusal as u8 == number)
    }

    #[rustfmt::skip]
    fn row(self) -> Row {
        match self {
            Self::HeadTimeout => (408, "head-timeout", "Request head too slow", None, "send it in one piece"),
            Self::Tls => (400, "tls", "TLS on a plain port", None, "these are bytes of TLS; use http://, or put a TLS proxy in front"),
            Self::Http2 => (400, "http2", "HTTP/2 on an HTTP/1.1 port", None, "this port speaks HTTP/1.1; do not assume HTTP/2"),
            Self::Version => (505, "http-version", "HTTP version not supported", None, "this port speaks HTTP/1.1 and HTTP/1.0"),
            Self::RequestLine => (400, "bad-request-line", "Malformed request line", None, "write `METHOD /path HTTP/1.1`, with single spaces"),
            Self::Target => (400, "bad-target", "Malformed request target", None, "write a path that begins with `/`; percent-encode what is not plain, and send no fragment"),
            Self::TargetTooLong => (414, "target-too-long", "Request target too long", None, "use a shorter path and query"),
            Self::Connect => (501, "connect", "CONNECT is not supported", None, "this is no proxy; ask for paths"),
            Self::BareLineEnd => (400, "bare-line-end", "Bare line end", None, "end every line with CR LF"),
            Self::ControlCharacter => (400, "control-character", "Control character in the request head", None, "send text; NUL, CR and the like have no place in a line"),
            Self::HeaderLine => (400, "bad-header", "Malformed header", None, "write `Name: value`"),
            Self::SpaceBeforeColon => (400, "space-before-colon", "Space before a colon", None, "write `Name: value`, with nothing between name and colon"),
            Self::FoldedHeader => (400, "folded-header", "Folded header", None, "write each header on one line"),
            Self::HeadTooLarge => (431, "head-too-large", "Request head too large", None, "send fewer and shorter headers"),
            Self::TooManyHeaders => (431, "too-many-headers", "Too many headers", None, "send fewer headers"),
            Self::NoHost => (400, "no-host", "No Host header", Some("host"), "HTTP/1.1 requires `Host`; name the server there"),
            Self::SeveralHosts => (400, "several-hosts", "Several Host headers", Some("host"), "send one `Host`"),
            Self::Host => (400, "bad-host", "Malformed Host header", Some("host"), "write `name:port`"),
            Self::LengthAndEncoding => (400, "ambiguous-length", "Content-Length and Transfer-Encoding", Some("content-length"), "send one of the two"),
            Self::Length => (400, "bad-length", "Malformed Content-Length", Some("content-length"), "write the body's bytes as one decimal number"),
            Self::SeveralLengths => (400, "several-lengths", "Several Content-Length headers", Some("content-length"), "send one `Content-Length`"),
            Self::UnknownEncoding => (501, "unknown-encoding", "Unknown transfer coding", Some("transfer-encoding"), "send the body as it is: `chunked` alone, or with a Content-Length"),
            Self::EncodingNotChunked => (400, "encoding-not-chunked", "Body without a known end", Some("transfer-encoding"), "write `Transfer-Encoding: chunked` once, or send a Content-Length"),
            Self::EncodingInHttp10 => (400, "encoding-in-http-1-0", "Transfer-Encoding in HTTP/1.0", Some("transfer-encoding"), "use HTTP/1.1, or send a Content-Length"),
            Self::Expectation => (417, "unknown-expectation", "Unknown expectation", Some("expect"), "only `100-continue` can be expected here"),
        }
    }

    /// The limit at issue, for those that are about one.
    fn limit(self) -> Option<String> {
        Some(match self {
            Self::HeadTimeout => format!("the request head was not complete after {} s", HEAD_TIMEOUT.as_secs()),
            Self::TargetTooLong => format!("a request target has at most {TARGET_BYTES_MAX} bytes"),
            Self::HeadTooLarge => format!("a request head has at most {HEAD_BYTES_MAX} bytes"),
            Self::TooManyHeaders => format!("a request has at most {HEADERS_MAX} headers"),
            _ => return None,
        })
    }

    /// As the client is told.
    #[must_use]
    pub fn problem(self) -> Problem {
        let (status, code, title, field, remedy) = self.row();
        let detail = self.limit().map_or_else(|| remedy.to_owned(), |limit| format!("{limit}; {remedy}"));
        let mut problem = Problem::new(status, code, title, detail);
        problem.field = field.map(str::to_owned);
        problem.header(header::CACHE_CONTROL, "no-store").header(header::CONNECTION, "close")
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        refusal.problem().into()
    }
}
