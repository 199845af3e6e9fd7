//! Handles that are made once and found again without a lock: a request only adds to them.

use std::collections::HashMap;
use std::hash::Hash;

use arc_swap::ArcSwap;

/// Handles by the values of their labels. Must be kept to values that operators choose, not clients: each stays.
pub(super) struct Handles<K, V>(ArcSwap<HashMap<K, V>>);

impl<K, V> Default for Handles<K, V> {
    fn default() -> Self {
        Self(ArcSwap::default())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Handles<K, V> {
    /// Uses the handle of `key`, made by `make` if there is none.
    pub(super) fn with(&self, key: &K, make: impl FnOnce() -> V, add: impl FnOnce(&V)) {
        if let Some(handle) = self.0.load().get(key) {
            return add(handle);
        }
        // Two at once make the same series twice, which are one to the recorder.
        let handle = make();
        self.0.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(key.clone(), handle.clone());
            all
        });
        add(&handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_made_once() {
        let handles = Handles::default();
        let mut made = 0;
        for _ in 0..3 {
            handles.with(
                &"a",
                || {
                    made += 1;
                    7
                },
                |handle| assert_eq!(*handle, 7),
            );
        }
        assert_eq!(made, 1);
    }
}
