//! CMCD (CTA-5004): what players tell of themselves, in headers or in the query. It is counted, so that an operator sees
//! what arrives, and never read: it changes nothing of what is served, so none of it can be wrong.

use http::request::Parts;

/// How a request told CMCD: the label `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmcd {
    /// In one of the headers `CMCD-Request`, `CMCD-Object`, `CMCD-Session`, `CMCD-Status`.
    Header,
    /// In the query, as `CMCD=`.
    Query,
    /// Not at all.
    None,
}

impl Cmcd {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Header, Self::Query, Self::None];

    /// The label's value.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Query => "query",
            Self::None => "none",
        }
    }

    /// How `head` tells it. Names alone are looked at, once each.
    #[must_use]
    pub fn of(head: &Parts) -> Self {
        let is_told = |query: &str| query.split('&').any(|pair| pair.starts_with("CMCD="));
        if head.headers.keys().any(|name| is_header(name.as_str())) {
            Self::Header
        } else if head.uri.query().is_some_and(is_told) {
            Self::Query
        } else {
            Self::None
        }
    }
}

fn is_header(name: &str) -> bool {
    name.strip_prefix("cmcd-").is_some_and(|rest| matches!(rest, "request" | "object" | "session" | "status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, headers: &[&str]) -> Cmcd {
        let request = http::Request::builder().uri(uri);
        let request = headers.iter().fold(request, |request, name| request.header(*name, "br=3200,%%%"));
        Cmcd::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn headers_and_queries_are_told_apart() {
        assert_eq!(of("/live/e/v/1.m4s", &["CMCD-Session", "range"]), Cmcd::Header);
        assert_eq!(of("/live/e/v/1.m4s?CMCD=br%3D3200", &["cmcd-status"]), Cmcd::Header);
        assert_eq!(of("/live/e/v/1.m4s?x=1&CMCD=br%3D3200", &[]), Cmcd::Query);
        assert_eq!(of("/live/e/v/1.m4s?CMCD=", &[]), Cmcd::Query);
        assert_eq!(of("/live/e/v/1.m4s?notCMCD=1&cmcd", &["cmcd-other", "range"]), Cmcd::None);
    }
}
