//! What clients of several nodes may count on (contract §4 and §5), as a check of what they did and saw.
//!
//! [`history`] is pure: whoever drives nodes, simulated or real ones, records into it and has it checked. The simulated
//! ones are in `tests/worlds`: nobody else needs them.

pub mod history;
