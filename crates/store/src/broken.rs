//! Faults that tests can build into the engine on Cassandra and into the origin, which share nothing else, to show that
//! histories find them: into one simulated world, or by [`VARIABLE`] into a process. Must never reach a build that is no
//! test's: there nothing is broken, and the compiler drops the question.

/// Names the fault of a process of a build for tests.
pub const VARIABLE: &str = "HEADWATER_TEST_FAULT";

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The record is set before the chunks it names are staged.
    CommitsFirst,
    /// Nobody is passed over before a choice is made for ever, nor says of itself that it comes too late.
    NoFence,
    /// The choice falls on what came first to the node that is asked.
    ByArrival,
    /// What the other datacentre has recorded is served for ever without a mark.
    NoHold,
    /// Its own commit is taken in although others have set something over it that is known already.
    TellsOver,
    /// What other processes have noted is not looked at.
    IgnoresNotes,
    /// Others are told what changes once it has changed, not before.
    NotesLater,
    /// A comparison that failed is taken for one that succeeded.
    SetsBlindly,
}

/// Whether this build has this fault.
#[cfg(not(feature = "broken"))]
#[must_use]
pub const fn broken(_: Fault) -> bool {
    false
}

/// Breaks this process as the value of [`VARIABLE`] says. Nobody looks at that where nothing can be broken.
#[cfg(not(feature = "broken"))]
pub fn break_process(_: impl FnOnce() -> Option<String>) {}

#[cfg(feature = "broken")]
pub use of_tests::{Breaking, break_process, broken};

#[cfg(feature = "broken")]
mod of_tests {
    use std::cell::Cell;
    use std::sync::OnceLock;

    use super::{Fault, VARIABLE};

    const ALL: [Fault; 8] = [
        Fault::CommitsFirst,
        Fault::NoFence,
        Fault::ByArrival,
        Fault::NoHold,
        Fault::TellsOver,
        Fault::IgnoresNotes,
        Fault::NotesLater,
        Fault::SetsBlindly,
    ];

    static OF_PROCESS: OnceLock<Option<Fault>> = OnceLock::new();

    thread_local! {
        static BROKEN: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Whether it is broken so on this thread, or as a whole.
    #[must_use]
    pub fn broken(fault: Fault) -> bool {
        BROKEN.get().or_else(|| OF_PROCESS.get().copied().flatten()) == Some(fault)
    }

    /// Breaks this process as the value of [`VARIABLE`] says.
    ///
    /// # Panics
    /// If it is the name of no fault.
    pub fn break_process(read: impl FnOnce() -> Option<String>) {
        let named = |name: String| {
            let fault = ALL.into_iter().find(|fault| format!("{fault:?}") == name);
            fault.unwrap_or_else(|| panic!("{VARIABLE}={name} is none of {ALL:?}"))
        };
        OF_PROCESS.get_or_init(|| read().map(named));
    }

    /// Breaks the engine on this thread until it is dropped.
    pub struct Breaking(());

    impl Breaking {
        /// With `fault`; nothing is broken without one.
        #[must_use]
        pub fn with(fault: Option<Fault>) -> Self {
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
