//! How far it is, on stderr: a bar for people at a terminal, nothing else for scripts. Notes are told in both cases.

use std::cell::RefCell;
use std::io::IsTerminal;

use headwater_archive::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Bytes, speed and the rest of the time.
const TEMPLATE: &str = "{msg:7} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";

/// The same for steps of no particular size.
const STEPS: &str = "{msg:9} {wide_bar} {percent}% {eta}";

/// The bar.
pub(crate) struct Bar {
    is_shown: bool,
    bar: RefCell<ProgressBar>,
}

impl Bar {
    pub(crate) fn new(json: bool) -> Self {
        let is_shown = !json && std::io::stderr().is_terminal();
        Self { is_shown, bar: RefCell::new(ProgressBar::hidden()) }
    }

    /// What comes next, in so many steps.
    pub(crate) fn begin_steps(&self, what: &'static str, steps: u64) {
        self.show(what, steps, STEPS);
    }

    fn show(&self, what: &'static str, length: u64, template: &str) {
        self.end();
        if self.is_shown {
            let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
            // The template is a constant; without it the bar is only plainer.
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(what);
            *self.bar.borrow_mut() = bar;
        }
    }

    /// Clears it.
    pub(crate) fn end(&self) {
        self.bar.borrow().finish_and_clear();
    }
}

impl Progress for Bar {
    fn begin(&self, what: &'static str, _objects: u64, bytes: u64) {
        self.show(what, bytes, TEMPLATE);
    }

    fn done(&self, bytes: u64) {
        self.bar.borrow().inc(bytes);
    }

    fn note(&self, sentence: &str) {
        self.bar.borrow().suspend(|| eprintln!("note: {sentence}"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}
