//! memcached in front of the chunks.

/// What can be chosen about memcached.
#[derive(Clone, Debug)]
pub struct Options {}
