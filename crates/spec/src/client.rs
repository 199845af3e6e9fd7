//! A blocking HTTP/1.1 client that sends what it is told, letter by letter, and takes every answer as a value. One
//! connection for each request; no TLS, no redirects, no retries.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::case::Framing;

/// Longer than any answer may take: `event.json` is held for 25 s.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long an invitation to send the body (`100 Continue`) is waited for.
const INVITATION: Duration = Duration::from_secs(3);
/// How often a request whose end is kept back looks whether it has been answered.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A request with everything filled in.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// `host:port`.
    pub(crate) address: String,
    /// Its method.
    pub(crate) method: String,
    /// Its target, as it goes over the wire.
    pub(crate) target: String,
    /// Its headers beside those that frame it.
    pub(crate) headers: Vec<(String, String)>,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// How the body is sent.
    pub(crate) framing: Framing,
}

/// What to do with an end that was kept back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Send it.
    Finish,
    /// Say that nothing more will come.
    Cut,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: u16,
    /// Its headers, in their order.
    pub(crate) headers: Vec<(String, String)>,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// From the first byte sent to the last one received.
    pub(crate) took: Duration,
    /// Whether it was preceded by `100 Continue`.
    pub(crate) continued: bool,
}

impl Reply {
    /// A header's values, joined.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// Sends `request` and reads the answer. With `end`, the last of the body waits for a word from there.
///
/// # Errors
/// If there is no whole answer, for a person.
pub(crate) fn exchange(request: &Outgoing, end: Option<&Receiver<End>>) -> Result<Reply, String> {
    let started = Instant::now();
    let told =
        |error: std::io::Error| format!("no whole answer after {:.1} s: {error}", started.elapsed().as_secs_f64());
    let mut stream = TcpStream::connect(&request.address).map_err(|error| format!("{}: {error}", request.address))?;
    stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE))).map_err(told)?;
    let invited = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("expect"));
    let mut reply = Reply::default();
    // A server that has refused already may have closed: what it said counts, not that it took no more.
    let _ = stream.write_all(&head(request));
    if invited {
        stream.set_read_timeout(Some(INVITATION)).map_err(told)?;
        let (status, headers) = read_head(&mut stream).map_err(told)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
        reply.continued = status == 100;
        (reply.status, reply.headers) = (status, headers);
    }
    if !invited || reply.continued {
        send_body(&mut stream, request, end);
        (reply.status, reply.headers) = final_head(&mut stream).map_err(told)?;
    }
    reply.body = read_body(&mut stream, &request.method, &reply).map_err(told)?;
    reply.took = started.elapsed();
    Ok(reply)
}

fn head(request: &Outgoing) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    let mut line = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
    line("Host", &request.address);
    line("Connection", "close");
    for (name, value) in &request.headers {
        line(name, value);
    }
    let has_body =
        !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE") || !request.body.is_empty();
    match request.framing {
        Framing::Length if has_body => line("Content-Length", &request.body.len().to_string()),
        Framing::Length => {}
        Framing::Lying(length) => line("Content-Length", &length.to_string()),
        Framing::Chunked | Framing::Endless => line("Transfer-Encoding", "chunked"),
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn send_body(stream: &mut TcpStream, request: &Outgoing, end: Option<&Receiver<End>>) {
    let mut bytes = match request.framing {
        Framing::Length | Framing::Lying(_) => request.body.clone(),
        Framing::Chunked | Framing::Endless => chunks(&request.body),
    };
    if request.framing == Framing::Chunked {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    if let Some(end) = end {
        let rest = bytes.split_off(bytes.len() - bytes.len().min(1));
        let _ = stream.write_all(&bytes);
        match end_or_answer(stream, end) {
            Some(End::Finish) => bytes = rest,
            Some(End::Cut) => {
                let _ = stream.shutdown(Shutdown::Write);
                return;
            }
            None => return,
        }
    }
    let _ = stream.write_all(&bytes);
    if matches!(request.framing, Framing::Lying(_) | Framing::Endless) {
        let _ = stream.shutdown(Shutdown::Write);
    }
}

/// Waits for the word to go on; `None` if the server answers before.
fn end_or_answer(stream: &TcpStream, end: &Receiver<End>) -> Option<End> {
    let mut byte = [0];
    let _ = stream.set_nonblocking(true);
    let word = loop {
        match end.recv_timeout(LOOK_EVERY) {
            Ok(word) => break Some(word),
            Err(RecvTimeoutError::Disconnected) => break Some(End::Cut),
            // A connection that has ended counts as an answer: the next read says what is wrong.
            Err(RecvTimeoutError::Timeout) if stream.peek(&mut byte).is_ok() => break None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    let _ = stream.set_nonblocking(false);
    word
}

/// Two chunks, so that a border lies within the body.
fn chunks(body: &[u8]) -> Vec<u8> {
    let parts = [&body[..body.len() / 2], &body[body.len() / 2..]];
    let chunk = |part: &&[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
    parts.iter().filter(|part| !part.is_empty()).flat_map(chunk).collect()
}

fn final_head(stream: &mut TcpStream) -> std::io::Result<(u16, Vec<(String, String)>)> {
    loop {
        let (status, headers) = read_head(stream)?;
        if status >= 200 {
            return Ok((status, headers));
        }
    }
}

fn read_head(stream: &mut TcpStream) -> std::io::Result<(u16, Vec<(String, String)>)> {
    let mut lines = vec![read_line(stream)?];
    while lines.last().is_some_and(|line| !line.is_empty()) {
        lines.push(read_line(stream)?);
    }
    let status = lines[0].split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| invalid(format!("`{}` is no status line", lines[0])))?;
    let header = |line: &String| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Ok((status, lines[1..].iter().filter_map(header).collect()))
}

fn read_line(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        if stream.read(&mut byte)? == 0 || line.len() > 65_536 {
            return Err(invalid("the connection ended within the head".to_owned()));
        }
        line.push(byte[0]);
    }
    line.truncate(line.len() - 2);
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn read_body(stream: &mut TcpStream, method: &str, reply: &Reply) -> std::io::Result<Vec<u8>> {
    if method == "HEAD" || matches!(reply.status, 204 | 304) {
        return Ok(Vec::new());
    }
    let chunked = reply.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    if chunked {
        return read_chunks(stream);
    }
    let mut body = Vec::new();
    match reply.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => {
            body.resize(length.min(ANSWER_BYTES_MAX), 0);
            stream.read_exact(&mut body)?;
        }
        None => {
            stream.take(ANSWER_BYTES_MAX as u64).read_to_end(&mut body)?;
        }
    }
    Ok(body)
}

fn read_chunks(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?;
        let size = line.split(';').next().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let size = size.filter(|size| body.len() + size <= ANSWER_BYTES_MAX);
        let size = size.ok_or_else(|| invalid(format!("`{line}` is no chunk's size")))?;
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        // The line's end after the chunk, or after the trailers, of which we know none.
        read_line(stream)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn invalid(problem: String) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, problem)
}
