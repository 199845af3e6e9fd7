//! Faults that a test can build into the engine, to show that the simulated schedules find them. Must never reach a build
//! that is no test's: there nothing is broken, and the compiler drops the question.

/// A fault of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Heads and footers are believed without their checks.
    UncheckedRecords,
    /// Payloads are believed without their digests.
    UncheckedPayloads,
    /// Expiry takes buckets that still take records.
    UnlinksOpen,
    /// A bucket goes without what still stands in it.
    ForgetsStanding,
    /// Of a bucket that a start left on the disk the last number is overlooked.
    ShortSpans,
}

/// Whether the engine has this fault.
#[cfg(not(test))]
pub(crate) const fn broken(_: Fault) -> bool {
    false
}

#[cfg(test)]
pub(crate) use of_tests::{Breaking, broken};

#[cfg(test)]
mod of_tests {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static BROKEN: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Whether the engine has this fault on this thread.
    pub(crate) fn broken(fault: Fault) -> bool {
        BROKEN.get() == Some(fault)
    }

    /// Breaks the engine on this thread until it is dropped.
    pub(crate) struct Breaking(());

    impl Breaking {
        pub(crate) fn with(fault: Option<Fault>) -> Self {
            BROKEN.set(fault);
            Self(())
        }
    }

    impl Drop for Breaking {
        fn drop(&mut self) {
            BROKEN.set(None);
        }
    }
}
