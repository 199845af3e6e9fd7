//! Limits of the wire, each with its reason. The deadlines are those of contract §1.

use std::time::Duration;

/// From the first byte of a request head to its end (contract §1).
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests of a connection: twice the longest segment, so that a packager with a persistent connection
/// never finds it closed, and longer than the 60 s for which nginx keeps an idle upstream connection.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// The same while less than an eighth of a listener's places are left: those who do nothing make room for those who would.
pub const CROWDED_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// For which a body may stand still (contract §1).
pub const BODY_STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// From the head of a request to the end of its body (contract §1).
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// For which a reader may leave sent bytes unacknowledged before its connection is dropped: a stalled reader pins the
/// body it reads.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection is read, and its bytes thrown away, after an answer that came before the request's end: a
/// close with unread bytes resets the connection, and the client never sees why.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// How many bytes are thrown away then.
pub const LINGER_BYTES_MAX: usize = 16 << 20;
/// Largest request head. Real ones stay under 4 KiB; CMCD adds some hundred bytes. Past it: 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of one read where nothing is uploaded: requests are small, and buffers grow with reads.
pub const READ_BYTES_MAX: usize = 8 * 1024;
/// Most bytes of one read where uploads come: a slab of the store, so that each read fills one.
pub const UPLOAD_READ_BYTES_MAX: usize = 64 * 1024;
/// Longest request target: the least that RFC 9110 §4.1 asks of everyone, for queries with much CMCD. Past it: 414.
/// Paths of over 1,024 bytes name nothing (contract §2) and are told so by the listener.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Longest extension of one chunk of a body: nobody is known to send any.
pub const CHUNK_LINE_BYTES_MAX: usize = 1024;
/// Most header lines of a request. Past it: 431.
pub const HEADERS_MAX: usize = 64;
/// Connections of one listener, where the limit of open files allows: thrice the 10,000 held requests that a popular
/// event brings.
pub const CONNECTIONS_MAX: usize = 32_768;
/// Descriptors that no connection may take: the store's files, the listeners, the runtimes.
pub const DESCRIPTORS_RESERVED: usize = 256;
/// How long a drain waits for requests in progress: past the longest hold and the usual upload.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of a refused body is read before the answer, so that a packager that only listens after its upload hears
/// it; past that the connection is closed (contract §4).
pub const DRAIN_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Pending connections that the kernel keeps for a listener that is busy.
pub const BACKLOG: i32 = 4096;
/// How long our own client waits to connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
