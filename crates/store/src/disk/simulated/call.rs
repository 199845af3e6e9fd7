//! What a simulated disk can be told to fail.

/// A call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`crate::disk::File::read_at`].
    Read,
    /// [`crate::disk::File::write_at`].
    Write,
    /// [`crate::disk::File::sync_data`].
    Sync,
    /// [`crate::disk::File::truncate`].
    Truncate,
    /// [`crate::disk::Disk::create`].
    Create,
    /// [`crate::disk::Disk::unlink`].
    Unlink,
    /// [`crate::disk::Disk::rename`].
    Rename,
    /// [`crate::disk::File::punch`].
    Punch,
    /// [`crate::disk::Disk::sync_dir`].
    SyncDir,
}
