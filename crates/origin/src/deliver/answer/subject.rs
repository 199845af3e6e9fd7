//! The answer's surrogate keys.

use http::HeaderMap;

use super::Answer;
use crate::surrogate::Subject;

impl Answer {
    /// With surrogate keys about `subject`.
    #[must_use]
    pub fn about(self, subject: Option<Subject>) -> Self {
        Self { subject, ..self }
    }

    /// Adds them.
    pub(super) fn tell_subject(&self, headers: &mut HeaderMap) {
        if let Some(subject) = &self.subject {
            subject.tell(self.media.as_ref().map(|media| &*media.row), headers);
        }
    }
}
