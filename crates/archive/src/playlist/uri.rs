//! Paths of objects as URI references and as attributes.

use std::fmt::Write;

use headwater_model::template::Template;

/// A path as a reference that is relative to its manifest. Templates allow only characters that a path may have
/// unescaped (RFC 3986 §3.3), but for one trap: a colon in the first part would make it a scheme (§4.2).
pub(super) fn relative(path: &str) -> String {
    let mut uri = dot(path).to_owned();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// A template as such a reference: its characters are those of a path already, and the `%` of `$Number%05d$` stays.
pub(super) fn template(template: &Template) -> String {
    let text = template.to_string();
    format!("{}{text}", dot(&text))
}

fn dot(path: &str) -> &'static str {
    if path.split('/').next().is_some_and(|first| first.contains(':')) { "./" } else { "" }
}

/// Text between the double quotes of an XML attribute.
pub(super) fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text between the double quotes of an HLS attribute, which knows no escapes.
pub(super) fn quoted(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() && *letter != '"').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_in_the_first_part_is_no_scheme() {
        assert_eq!(relative("a:b/1.m4s"), "./a:b/1.m4s");
        assert_eq!(relative("v/1:2.m4s"), "v/1:2.m4s");
    }

    #[test]
    fn a_template_keeps_its_widths() {
        let padded = Template::parse("$RepresentationID$/$Number%05d$.m4s").unwrap();
        assert_eq!(template(&padded), "$RepresentationID$/$Number%05d$.m4s");
    }

    #[test]
    fn what_a_path_cannot_have_is_escaped() {
        assert_eq!(relative("v/a b?#%.m4s"), "v/a%20b%3F%23%25.m4s");
        assert_eq!(attribute("a&b<c>\"d\""), "a&amp;b&lt;c&gt;&quot;d&quot;");
        assert_eq!(quoted("a\"b\nc"), "abc");
    }
}
