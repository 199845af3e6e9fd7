//! Asks a node one question in CQL's native protocol (version 4): enough to know that it is up and sees the others.
//! A driver would make every `cargo xtask` wait for its build.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A node that does not answer by then is asked again.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Reads every token range of a keyspace that has two copies on any two nodes, and hardly any rows.
const QUESTION: &str = "SELECT session_id FROM system_traces.sessions LIMIT 1";

const OPCODE_READY: u8 = 0x02;
const OPCODE_RESULT: u8 = 0x08;

/// How many nodes have to answer.
#[derive(Clone, Copy)]
pub(crate) enum Consistency {
    /// The node itself, for what it has.
    One,
    /// All that have a copy.
    All,
}

/// Whether the node at `address` answers.
pub(crate) fn query(address: SocketAddr, consistency: Consistency) -> bool {
    ask(address, consistency).unwrap_or(false)
}

fn ask(address: SocketAddr, consistency: Consistency) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(&frame(0x01, b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0"))?;
    if answer(&mut stream)? != OPCODE_READY {
        return Ok(false);
    }
    let (question, consistency): (&str, [u8; 2]) = match consistency {
        Consistency::One => ("SELECT key FROM system.local", [0, 1]),
        Consistency::All => (QUESTION, [0, 5]),
    };
    let mut body = u32::try_from(question.len()).unwrap_or(0).to_be_bytes().to_vec();
    body.extend(question.as_bytes());
    body.extend(consistency);
    // No flags: no values, no paging.
    body.push(0);
    stream.write_all(&frame(0x07, &body))?;
    Ok(answer(&mut stream)? == OPCODE_RESULT)
}

fn frame(opcode: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x04, 0, 0, 0, opcode];
    frame.extend(u32::try_from(body.len()).unwrap_or(0).to_be_bytes());
    frame.extend(body);
    frame
}

/// The opcode of the answer; what it says is read and dropped.
fn answer(stream: &mut TcpStream) -> std::io::Result<u8> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    std::io::copy(&mut stream.take(length.into()), &mut std::io::sink())?;
    Ok(head[4])
}
