//! Request lines and the indented lines under them.

use crate::case::{Body, Framing, Listener, Request};

/// `PATH`, `PATH <- BODY`, either after `publish:`, `deliver:` or `ops:`.
pub(super) fn head(method: &str, rest: &str) -> Result<Request, String> {
    let (path, body) = match rest.split_once(" <- ") {
        Some((path, text)) => (path, Body::Text(text.to_owned())),
        None => (rest, Body::Empty),
    };
    let listeners = [("publish:", Listener::Publish), ("deliver:", Listener::Deliver), ("ops:", Listener::Ops)];
    let listener = listeners.iter().find(|(prefix, _)| path.starts_with(prefix));
    let path = listener.map_or(path, |(prefix, _)| &path[prefix.len()..]);
    if !path.starts_with(['/', '{']) {
        return Err("after the method write a path that begins with `/` or `{event}`".to_owned());
    }
    Ok(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        listener: listener.map(|(_, listener)| *listener),
        headers: Vec::new(),
        body,
        framing: Framing::Length,
        unfinished: false,
    })
}

/// A header, the body, or how to send it.
pub(super) fn detail(request: &mut Request, line: &str) -> Result<(), String> {
    let (word, rest) = line.split_once(' ').map_or((line, ""), |(word, rest)| (word, rest.trim_start()));
    if let Some(name) = word.strip_suffix(':') {
        request.headers.push((name.to_owned(), rest.to_owned()));
        return Ok(());
    }
    match word {
        "body" => request.body = Body::Text(rest.to_owned()),
        "fill" => request.body = Body::Fill(number(rest)?),
        "init" => request.body = Body::Init(rest.to_owned()),
        "media" => request.body = Body::Media(media(rest)?),
        "send" => send(request, rest)?,
        _ => return Err("write `Header: value`, `body TEXT`, `fill BYTES`, `media …`, `init …` or `send …`".to_owned()),
    }
    Ok(())
}

fn media(rest: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    if words.len() < 3 {
        return Err("write `media LETTER RENDITION NUMBER [FAULT]`, like `media a v180 {next} short`".to_owned());
    }
    Ok(words)
}

fn send(request: &mut Request, rest: &str) -> Result<(), String> {
    match rest {
        "chunked" => request.framing = Framing::Chunked,
        "chunked without end" => request.framing = Framing::Endless,
        "all but the end" => request.unfinished = true,
        _ => match rest.strip_prefix("length ") {
            Some(length) => request.framing = Framing::Lying(number(length)?),
            None => {
                let ways = "`chunked`, `chunked without end`, `length NUMBER` or `all but the end`";
                return Err(format!("after `send` write {ways}"));
            }
        },
    }
    Ok(())
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is no number"))
}
