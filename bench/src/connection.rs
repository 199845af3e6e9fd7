//! HTTP/1.1 as a load speaks it: sockets that are polled, heads that are only looked at, and bodies dropped in the
//! kernel, so that the load costs less than what it measures.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{RecvFlags, recv};

/// Room for a response head.
const HEAD_BYTES: usize = 4096;
/// Most bytes dropped in one call.
const SINK_BYTES: usize = 4 << 20;

/// Bytes that nobody looks at: the kernel is told to drop, so that this memory is never touched.
pub(crate) struct Sink(Vec<u8>);

impl Default for Sink {
    fn default() -> Self {
        Self(vec![0; SINK_BYTES])
    }
}

/// A response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status.
    pub(crate) status: u16,
    /// Bytes of the head.
    pub(crate) bytes: usize,
    /// Bytes of the body.
    pub(crate) content_length: u64,
}

impl Head {
    /// The head at the start of `text`; `None` while it is not all there.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let end = text.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&text[..end]).ok()?;
        let status = head.get(9..12)?.parse().ok()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
        });
        Some(Self { status, bytes: end + 4, content_length: length.unwrap_or(0) })
    }
}

/// One connection of a load: a request out, the answer in, never waiting.
pub(crate) struct Connection {
    stream: TcpStream,
    head: [u8; HEAD_BYTES],
    filled: usize,
    /// Body bytes still to come, once the head is known.
    rest: Option<(Head, u64)>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, head: [0; HEAD_BYTES], filled: 0, rest: None })
    }

    /// Sends some of `bytes`; how many.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<usize> {
        Ok(waiting(self.stream.write(bytes))?.unwrap_or(0))
    }

    /// Reads what has come; the answer's head once it is whole, its body dropped.
    pub(crate) fn receive(&mut self, sink: &mut Sink) -> Result<Option<Head>> {
        if self.rest.is_none() {
            let Some(read) = waiting(self.stream.read(&mut self.head[self.filled..]))? else { return Ok(None) };
            ensure!(read > 0, "the server closed the connection");
            self.filled += read;
            let Some(head) = Head::parse(&self.head[..self.filled]) else { return Ok(None) };
            let early = (self.filled - head.bytes) as u64;
            self.rest = Some((head, head.content_length.checked_sub(early).context("bytes behind the answer")?));
        }
        let Some((head, mut rest)) = self.rest else { return Ok(None) };
        while rest > 0 {
            let most = usize::try_from(rest).unwrap_or(SINK_BYTES).min(SINK_BYTES);
            let dropped = recv(&self.stream, &mut sink.0[..most], RecvFlags::TRUNC);
            let Some((_, dropped)) = waiting(dropped.map_err(io::Error::from))? else { break };
            ensure!(dropped > 0, "the server closed the connection within an answer");
            rest -= dropped as u64;
        }
        if rest > 0 {
            self.rest = Some((head, rest));
            return Ok(None);
        }
        (self.rest, self.filled) = (None, 0);
        Ok(Some(head))
    }
}

/// `None` if the call would have had to wait.
fn waiting<T>(result: io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Sends one request and waits for the answer's status, for what is not measured.
pub(crate) fn exchange(stream: &mut TcpStream, method: &str, path: &str, body: &[u8]) -> Result<u16> {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let (mut text, mut piece) = (Vec::new(), [0; HEAD_BYTES]);
    loop {
        if let Some(head) = Head::parse(&text)
            && text.len() as u64 >= head.bytes as u64 + head.content_length
        {
            return Ok(head.status);
        }
        match stream.read(&mut piece)? {
            0 => bail!("no answer to {method} {path}"),
            read => text.extend_from_slice(&piece[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nx: y\r\n\r\nbody";
        assert_eq!(Head::parse(text), Some(Head { status: 200, bytes: 45, content_length: 12 }));
        assert_eq!(Head::parse(&text[..40]), None);
    }
}
