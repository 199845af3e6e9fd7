//! Faults that the simulation can build into the engine, to show that its histories find them. Must never reach a build
//! that is no test's: there nothing is broken, and the compiler drops the question.

/// A fault of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The record is set before the chunks it names are staged.
    CommitsFirst,
    /// Nobody is passed over before a choice is made for ever.
    NoFence,
    /// Its own commit is taken in although others have set something over it that is known already.
    TellsOver,
    /// What other processes have noted is not looked at.
    IgnoresNotes,
    /// Others are told what changes once it has changed, not before.
    NotesLater,
    /// A comparison that failed is taken for one that succeeded.
    SetsBlindly,
}

/// Whether the engine has this fault.
#[cfg(not(feature = "broken"))]
pub(crate) const fn broken(_: Fault) -> bool {
    false
}

#[cfg(feature = "broken")]
pub use of_tests::Breaking;
#[cfg(feature = "broken")]
pub(crate) use of_tests::broken;

#[cfg(feature = "broken")]
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
