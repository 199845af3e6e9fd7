//! Places for the connections of one listener. Each listener has a share of the process's descriptors to itself, so
//! that a crowd of readers can keep neither publishers nor operators out, nor the store from its files.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{CONNECTIONS_MAX, DESCRIPTORS_RESERVED};

/// What a listener is for, which decides how its connections are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Large bodies come in. A client that half-closes has sent all it had and listens for the answer.
    Uploads,
    /// Large bodies go out, after a hold perhaps. A client that half-closes has gone.
    Downloads,
    /// Small questions of operators, who must get through when all else is full. As for downloads.
    Control,
}

impl Traffic {
    /// Sixteenths of the descriptors. Packagers hold some dozen connections each, a shield thousands.
    const fn share(self) -> usize {
        match self {
            Self::Uploads => 3,
            Self::Downloads => 12,
            Self::Control => 1,
        }
    }
}

/// The places of a listener.
#[derive(Clone)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    most: usize,
}

impl Places {
    /// As many as the process's limit of descriptors allows, which the binary has raised by now.
    pub(crate) fn new(traffic: Traffic) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let descriptors = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self::of(descriptors, traffic)
    }

    fn of(descriptors: usize, traffic: Traffic) -> Self {
        let most = (descriptors.saturating_sub(DESCRIPTORS_RESERVED) / 16).saturating_mul(traffic.share());
        let most = most.clamp(1, CONNECTIONS_MAX);
        Self { free: Arc::new(Semaphore::new(most)), most }
    }

    /// A place, once there is one. `None` never comes: the semaphore is not closed.
    pub(crate) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Whether hardly any are left: connections that rest should make room.
    pub(crate) fn are_short(&self) -> bool {
        self.free.available_permits() <= self.most / 8
    }

    /// Returns when nobody has a place any more.
    pub(crate) async fn all_free(&self) {
        let most = u32::try_from(self.most).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(most).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_share_the_descriptors() {
        let most = |descriptors, traffic| Places::of(descriptors, traffic).most;
        let all = [Traffic::Uploads, Traffic::Downloads, Traffic::Control];
        for descriptors in [1024, 20_000, 65_536] {
            let taken: usize = all.map(|traffic| most(descriptors, traffic)).iter().sum();
            assert!(taken + DESCRIPTORS_RESERVED <= descriptors, "{descriptors}");
        }
        assert_eq!(all.map(|traffic| most(1 << 20, traffic)), [CONNECTIONS_MAX; 3]);
        assert_eq!(all.map(|traffic| most(0, traffic)), [1; 3]);
    }

    #[tokio::test]
    async fn places_are_short_before_they_are_gone() {
        let places = Places::of(DESCRIPTORS_RESERVED + 256, Traffic::Control);
        let mut taken = Vec::new();
        while !places.are_short() {
            taken.push(places.take().await);
        }
        assert_eq!((taken.len(), places.most), (14, 16));
        drop(taken);
        places.all_free().await;
    }
}
