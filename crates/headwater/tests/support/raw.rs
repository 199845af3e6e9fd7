//! A bare connection, for requests that no client would send and for answers that are timed by the byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// A piece of a chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Some of it.
    Data(Vec<u8>),
    /// Its proper end.
    End,
    /// The connection ended before the body did.
    Broken,
}

/// A connection to a listener.
pub struct Raw(TcpStream);

impl Raw {
    /// Connects to `host:port`.
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).expect("a socket option");
        Self(stream)
    }

    /// Connects and sends `text`.
    pub fn send(address: &str, text: &str) -> Self {
        let mut raw = Self::connect(address);
        raw.write(text.as_bytes());
        raw
    }

    /// Sends bytes; a server that has closed already is no failure here, its answer tells.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
        let _ = self.0.flush();
    }

    /// Says that nothing more will come.
    pub fn finish(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Whether nothing comes for `span`.
    pub fn is_silent_for(&mut self, span: Duration) -> bool {
        self.0.set_read_timeout(Some(span)).expect("a socket option");
        let mut byte = [0];
        match self.0.peek(&mut byte) {
            Ok(_) => false,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// Reads the head of the next answer: status and text; 0 if the connection ends first.
    pub fn read_head(&mut self) -> (u16, String) {
        self.0.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                Ok(_) => break,
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break,
                Err(error) => panic!("after `{}`: {error}", String::from_utf8_lossy(&head)),
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, text)
    }

    /// Reads the next chunk of a chunked body.
    pub fn read_piece(&mut self) -> Piece {
        self.0.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        let mut size = Vec::new();
        while !size.ends_with(b"\r\n") {
            let mut byte = [0];
            if self.0.read_exact(&mut byte).is_err() {
                return Piece::Broken;
            }
            size.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&size);
        let size = usize::from_str_radix(text.trim(), 16).unwrap_or_else(|_| panic!("no chunk size: `{text}`"));
        let mut data = vec![0; size + 2];
        match self.0.read_exact(&mut data) {
            Err(_) => Piece::Broken,
            Ok(()) if size == 0 => Piece::End,
            Ok(()) => Piece::Data(data[..size].to_vec()),
        }
    }

    /// Reads what comes until the connection ends.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        self.0.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest);
        rest
    }

    /// Everything up to the server's end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        self.0.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        let mut all = Vec::new();
        self.0
            .read_to_end(&mut all)
            .unwrap_or_else(|error| panic!("after `{}`: {error}", String::from_utf8_lossy(&all)));
        all
    }

    /// The status of the next answer.
    pub fn status(&mut self) -> u16 {
        self.read_head().0
    }

    /// Whether the server has ended the connection, or does so within `span`.
    pub fn ends_within(&mut self, span: Duration) -> bool {
        self.0.set_read_timeout(Some(span)).expect("a socket option");
        let mut rest = [0; 4096];
        loop {
            match self.0.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
    }
}
