//! Events as files: what was served of an event, in a directory or a bucket, playable as DASH and HLS, and back into
//! another store byte for byte with the same choices.
//!
//! Both ways are clients of a running origin: they see what every client sees and work with every engine, on another
//! machine too. Nothing here reads the environment, and a playlist or manifest never names an object that is not there
//! yet.
//!
//! Read in this order: [`manifest`], [`place`], [`origin`], [`export`], [`playlist`], [`import`].

pub mod digest;
pub mod export;
pub mod import;
pub mod manifest;
pub mod origin;
pub mod place;
pub mod playlist;
pub mod progress;

pub use manifest::Manifest;
pub use origin::Origin;
pub use place::Place;
pub use progress::Progress;
