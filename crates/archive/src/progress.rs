//! What a person wants to hear while an event is copied.

/// Hears how far the work is.
pub trait Progress {
    /// A stretch of work begins: what it is, how many objects it has, and how many bytes they are.
    fn begin(&self, what: &'static str, objects: u64, bytes: u64);
    /// An object of so many bytes is done.
    fn done(&self, bytes: u64);
    /// Something that a person should know, in a sentence.
    fn note(&self, sentence: &str);
}
