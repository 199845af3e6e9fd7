//! Masks (contract §7): ranges of segments of one pipeline that are not served.

use serde::{Deserialize, Serialize};

use crate::name::{Pipeline, Rendition};

/// Most masks of an event: an operator works with a handful, and every selection looks at each.
pub const MASKS_MAX: usize = 256;

/// A range of one pipeline's segments that counts as absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// Its name in the ops API.
    pub id: u64,
    /// Whose segments.
    pub pipeline: Pipeline,
    /// Of which renditions; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renditions: Option<Vec<Rendition>>,
    /// The first number.
    pub from: u64,
    /// The last number; open if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Why, for people.
    pub reason: String,
}

impl Mask {
    /// Whether the mask hides `pipeline`'s candidate of segment `number` of `rendition`.
    #[must_use]
    pub fn covers(&self, pipeline: &Pipeline, rendition: &Rendition, number: u64) -> bool {
        self.pipeline == *pipeline
            && self.renditions.as_ref().is_none_or(|all| all.contains(rendition))
            && self.from <= number
            && self.to.is_none_or(|to| number <= to)
    }
}

/// Whether any of `masks` hides `pipeline`'s candidate.
#[must_use]
pub fn is_masked(masks: &[Mask], pipeline: &Pipeline, rendition: &Rendition, number: u64) -> bool {
    masks.iter().any(|mask| mask.covers(pipeline, rendition, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_covers_its_range_of_its_pipeline() {
        let (a, b) = (Pipeline::new("a").unwrap(), Pipeline::new("b").unwrap());
        let (v, w) = (Rendition::new("v").unwrap(), Rendition::new("w").unwrap());
        let mask = Mask {
            id: 1,
            pipeline: a.clone(),
            renditions: Some(vec![v.clone()]),
            from: 5,
            to: Some(7),
            reason: "black".into(),
        };
        for number in 5..=7 {
            assert!(mask.covers(&a, &v, number));
        }
        assert!(!mask.covers(&a, &v, 4) && !mask.covers(&a, &v, 8));
        assert!(!mask.covers(&b, &v, 5) && !mask.covers(&a, &w, 5));
        let open = Mask { renditions: None, to: None, ..mask };
        assert!(open.covers(&a, &w, u64::MAX));
    }
}
