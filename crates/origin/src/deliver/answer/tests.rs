use headwater_model::Timestamp;

use super::condition::etag;
use super::*;
use crate::testing::segment_row;

fn answer(headers: &[(&'static str, &str)], method: Method) -> Response {
    let mut row = segment_row("v", 7, "a", 1_000_000);
    row.size = 10;
    let media = Some(Media {
        row: Candidate::alone(row),
        body: Body::from(bytes::Bytes::from_static(b"0123456789")),
        tier: Tier::Memory,
        kind: None,
    });
    let answer = Answer {
        outcome: Outcome::Hit,
        class: Class::Live,
        freshness: Freshness::Immutable,
        media,
        flight: None,
        json: None,
        event: None,
        subject: None,
    };
    let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    answer.into_response(&method, &headers, Duration::ZERO)
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

#[test]
fn ranges_are_answered_as_rfc_9110_says() {
    for (range, status, content_range, length) in [
        ("bytes=0-3", 206, "bytes 0-3/10", "4"),
        ("bytes=4-", 206, "bytes 4-9/10", "6"),
        ("bytes=-3", 206, "bytes 7-9/10", "3"),
        ("bytes=-30", 206, "bytes 0-9/10", "10"),
        ("bytes=8-99999999999999999999999", 206, "bytes 8-9/10", "2"),
        ("bytes=10-", 416, "bytes */10", "0"),
        ("bytes=-0", 416, "bytes */10", "0"),
        ("bytes=0-1,3-4", 200, "", "10"),
        ("bytes=5-4", 200, "", "10"),
        ("bytes=a-b", 200, "", "10"),
        ("items=0-1", 200, "", "10"),
        ("bytes=", 200, "", "10"),
    ] {
        let response = answer(&[("range", range)], Method::GET);
        assert_eq!(response.status().as_u16(), status, "{range}");
        assert_eq!(header(&response, "content-range"), content_range, "{range}");
        assert_eq!(header(&response, "content-length"), length, "{range}");
    }
}

#[test]
fn a_range_of_other_bytes_becomes_the_whole() {
    let tag = etag(&segment_row("v", 7, "a", 1_000_000));
    let date = Timestamp::from_millis(1_000_000).to_http_date();
    for (condition, status) in [(tag.as_str(), 206), ("\"x\"", 200), (date.as_str(), 206), ("W/\"x\"", 200)] {
        let response = answer(&[("range", "bytes=0-1"), ("if-range", condition)], Method::GET);
        assert_eq!(response.status().as_u16(), status, "{condition}");
    }
}

#[test]
fn conditions_go_in_their_order() {
    let tag = etag(&segment_row("v", 7, "a", 1_000_000));
    let weak = format!("\"y\", W/{tag}");
    let date = Timestamp::from_millis(1_000_000).to_http_date();
    let early = Timestamp::from_millis(999_000).to_http_date();
    for (headers, status) in [
        (vec![("if-none-match", tag.as_str())], 304),
        (vec![("if-none-match", weak.as_str())], 304),
        (vec![("if-none-match", "*")], 304),
        (vec![("if-none-match", "\"x\""), ("if-modified-since", date.as_str())], 200),
        (vec![("if-modified-since", date.as_str())], 304),
        (vec![("if-modified-since", early.as_str())], 200),
        (vec![("if-modified-since", "soon")], 200),
        (vec![("if-match", "\"x\"")], 412),
        (vec![("if-match", tag.as_str())], 200),
    ] {
        let response = answer(&headers, Method::GET);
        assert_eq!(response.status().as_u16(), status, "{headers:?}");
        assert_eq!(header(&response, "cache-control"), "public, max-age=31536000, immutable");
    }
}

#[test]
fn head_has_the_same_headers_and_no_body() {
    let (get, head) = (answer(&[], Method::GET), answer(&[], Method::HEAD));
    assert_eq!(get.headers(), head.headers());
    assert_eq!((get.body().length(), head.body().length()), (Some(10), Some(0)));
}

#[test]
fn a_ttl_is_told_in_seconds_and_in_milliseconds() {
    let told = |ttl| {
        let response =
            Answer::refusal(Outcome::TooEarly, ttl).into_response(&Method::GET, &HeaderMap::new(), Duration::ZERO);
        (header(&response, "cache-control"), header(&response, "headwater-max-age-ms"))
    };
    use headwater_model::Millis;
    assert_eq!(told(Ttl::Exact(Millis(1951))), ("max-age=1".into(), "1951".into()));
    assert_eq!(told(Ttl::Seconds(5)), ("max-age=5".into(), String::new()));
    assert_eq!(told(Ttl::Exact(Millis(u64::MAX))), ("max-age=2147483648".into(), "999999999999999".into()));
}
