//! Which node is asked first. A node that hangs costs a hedge each time it is asked, until its connection is closed after
//! seconds: a publish asks several times in a row. So who was asked and has said nothing for as long as a hedge waits is
//! asked after the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_store::stamp::{Clock, SystemClock};
use parking_lot::Mutex;
use scylla::cluster::{ClusterState, NodeRef};
use scylla::errors::RequestAttemptError;
use scylla::policies::load_balancing::{FallbackPlan, LoadBalancingPolicy, RoutingInfo};
use scylla::routing::Shard;

use crate::hedge::Pace;
use crate::options::SILENCE_MAX;

/// Nodes that were asked and have not answered since. Shared by requests of all kinds.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    /// By host id: asked first at this time.
    since: Mutex<HashMap<u128, Duration>>,
    /// The real one: the driver waits by no other.
    clock: SystemClock,
}

impl Silence {
    /// `node` was asked. Who has been silent for [`SILENCE_MAX`] gets another chance.
    fn asked(&self, node: u128, now: Duration) {
        let mut since = self.since.lock();
        let first = since.entry(node).or_insert(now);
        if now.saturating_sub(*first) >= SILENCE_MAX {
            *first = now;
        }
    }

    /// It answered, whatever it said.
    fn heard(&self, node: u128) {
        self.since.lock().remove(&node);
    }

    /// Whether to ask others first: it has said nothing for `span`.
    fn keeps(&self, node: u128, span: Duration, now: Duration) -> bool {
        let asked = self.since.lock().get(&node).copied();
        asked.is_some_and(|asked| (span..SILENCE_MAX).contains(&now.saturating_sub(asked)))
    }
}

/// The order of another policy, with silent nodes at its end.
#[derive(Debug)]
pub(crate) struct SilentLast {
    pub(crate) order: Arc<dyn LoadBalancingPolicy>,
    pub(crate) silence: Arc<Silence>,
    /// Silent is who takes longer than a hedge waits.
    pub(crate) pace: Arc<Pace>,
}

impl SilentLast {
    fn is_silent(&self, node: NodeRef<'_>) -> bool {
        self.silence.keeps(node.host_id.as_u128(), self.pace.hedge_after(), self.silence.clock.monotonic())
    }
}

impl LoadBalancingPolicy for SilentLast {
    fn pick<'a>(
        &'a self,
        request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> Option<(NodeRef<'a>, Option<Shard>)> {
        let first = self.order.pick(request, cluster)?;
        let other = || self.order.fallback(request, cluster).find(|(node, _)| !self.is_silent(node));
        let picked = if self.is_silent(first.0) { other().unwrap_or(first) } else { first };
        self.silence.asked(picked.0.host_id.as_u128(), self.silence.clock.monotonic());
        Some(picked)
    }

    fn fallback<'a>(&'a self, request: &'a RoutingInfo<'_>, cluster: &'a ClusterState) -> FallbackPlan<'a> {
        let (silent, speaking): (Vec<_>, Vec<_>) =
            self.order.fallback(request, cluster).partition(|(node, _)| self.is_silent(node));
        Box::new(speaking.into_iter().chain(silent))
    }

    fn on_request_success(&self, request: &RoutingInfo<'_>, latency: Duration, node: NodeRef<'_>) {
        self.silence.heard(node.host_id.as_u128());
        self.order.on_request_success(request, latency, node);
    }

    fn on_request_failure(
        &self,
        request: &RoutingInfo<'_>,
        latency: Duration,
        node: NodeRef<'_>,
        error: &RequestAttemptError,
    ) {
        self.silence.heard(node.host_id.as_u128());
        self.order.on_request_failure(request, latency, node, error);
    }

    fn name(&self) -> String {
        format!("{}, silent nodes last", self.order.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: u128 = 1;
    const HEDGE: Duration = Duration::from_millis(75);

    fn at(ms: u64) -> Duration {
        Duration::from_secs(100) + Duration::from_millis(ms)
    }

    #[test]
    fn who_answers_in_time_is_never_silent() {
        let silence = Silence::default();
        for turn in 0..100 {
            silence.asked(NODE, at(turn * 100));
            assert!(!silence.keeps(NODE, HEDGE, at(turn * 100 + 70)));
            silence.heard(NODE);
            assert!(!silence.keeps(NODE, HEDGE, at(turn * 100 + 99)));
        }
    }

    #[test]
    fn who_says_nothing_is_silent_from_the_first_question_on() {
        let silence = Silence::default();
        silence.asked(NODE, at(0));
        // Asked again does not begin anew.
        silence.asked(NODE, at(60));
        assert!(!silence.keeps(NODE, HEDGE, at(74)));
        assert!(silence.keeps(NODE, HEDGE, at(75)));
        assert!(!silence.keeps(NODE + 1, HEDGE, at(75)));
        silence.heard(NODE);
        assert!(!silence.keeps(NODE, HEDGE, at(76)));
    }

    #[test]
    fn the_silent_are_tried_again() {
        let silence = Silence::default();
        silence.asked(NODE, at(0));
        assert!(silence.keeps(NODE, HEDGE, at(2999)));
        assert!(!silence.keeps(NODE, HEDGE, at(3000)));
        silence.asked(NODE, at(3000));
        assert!(!silence.keeps(NODE, HEDGE, at(3074)));
        assert!(silence.keeps(NODE, HEDGE, at(3075)));
    }
}
