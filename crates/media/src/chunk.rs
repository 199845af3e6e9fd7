//! Where CMAF chunks end in a segment that is still arriving, so that its bytes are passed on at borders that a
//! player can use (contract §5, low latency). Looks at box headers only.

use crate::boxes::{Broken, TopLevel};
use crate::source::Source;

/// The end of the last chunk that is there in full, looking from `from` (0, or an earlier answer); `None` if not
/// one more chunk is. A chunk is everything up to the end of an `mdat`.
///
/// # Errors
/// [`Broken::Malformed`] if no further byte can make boxes of this.
pub fn last_chunk_end<S: Source + ?Sized>(source: &S, from: u64) -> Result<Option<u64>, Broken> {
    let mut end = None;
    for header in TopLevel::from(source, from) {
        match header {
            Ok(header) if header.is(b"mdat") => end = Some(header.end),
            Ok(_) | Err(Broken::Incomplete { .. }) => {}
            Err(malformed) => return Err(malformed),
        }
    }
    Ok(end)
}
