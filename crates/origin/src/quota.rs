//! Quotas of tenants and of each of their events: how much one may keep and how fast it may publish, and the refusals that say so.
//!
//! What is stored is asked of the store, which keeps count; here is only what is on its way there. An upload reserves
//! before its body is asked for and gives the reservation back once the store counts it, so what is stored does not
//! exceed a quota, however many uploads come at once. For a moment an upload may count twice, never not at all. The one
//! exception: what a replacement takes the place of may be deleted or expire before it lands, and others may have used
//! that room by then; a quota is exceeded by no more than the objects being replaced at that time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_model::{EventName, Tenant};
use headwater_store::{Store, Usage};
use headwater_wire::Problem;
use http::header;
use parking_lot::{Mutex, MutexGuard};

use crate::catalog::Catalog;
use crate::config::TenantConfig;

/// What can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Objects stored: every pipeline's segments, init segments and loose objects.
    Objects,
    /// Bytes stored.
    Bytes,
    /// Objects stored of one event.
    EventObjects,
    /// Bytes stored of one event.
    EventBytes,
    /// Bytes of one object.
    ObjectBytes,
    /// Events.
    Events,
    /// Renditions of one event, the declared ones included.
    Renditions,
    /// Uploads in a second.
    Rate,
}

impl Quota {
    /// The tenant's configuration key.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Objects => "max_objects",
            Self::Bytes => "max_bytes",
            Self::EventObjects => "max_event_objects",
            Self::EventBytes => "max_event_bytes",
            Self::ObjectBytes => "max_object_bytes",
            Self::Events => "max_events",
            Self::Renditions => "max_renditions",
            Self::Rate => "max_publish_per_second",
        }
    }

    /// The stable end of a refusal's `type`.
    const fn code(self) -> &'static str {
        match self {
            Self::Objects => "quota-objects",
            Self::Bytes => "quota-bytes",
            Self::EventObjects => "quota-event-objects",
            Self::EventBytes => "quota-event-bytes",
            Self::ObjectBytes => "quota-object-bytes",
            Self::Events => "quota-events",
            Self::Renditions => "quota-renditions",
            Self::Rate => "quota-rate",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Objects | Self::Bytes => {
                "delete events or objects, let media expire (a shorter dvr_window_s), or have the quota raised"
            }
            Self::EventObjects | Self::EventBytes => {
                "delete objects of the event, let its media expire (a shorter dvr_window_s), or have the quota raised"
            }
            Self::ObjectBytes => "send shorter segments or have the quota raised",
            Self::Events => "delete an event that is over, or have the quota raised",
            Self::Renditions => "publish to the renditions that are there, or have the quota raised",
            Self::Rate => "send it again after Retry-After, publish less often, or have the quota raised",
        }
    }
}

/// The quotas of one tenant; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// See [`Quota::Objects`].
    pub objects: Option<u64>,
    /// See [`Quota::Bytes`].
    pub bytes: Option<u64>,
    /// See [`Quota::EventObjects`].
    pub event_objects: Option<u64>,
    /// See [`Quota::EventBytes`].
    pub event_bytes: Option<u64>,
    /// See [`Quota::ObjectBytes`].
    pub object_bytes: Option<u64>,
    /// See [`Quota::Events`].
    pub events: Option<u64>,
    /// See [`Quota::Renditions`].
    pub renditions: Option<u64>,
    /// See [`Quota::Rate`].
    pub per_second: Option<u64>,
}

impl Quotas {
    /// As configured.
    #[must_use]
    pub fn of(config: &TenantConfig) -> Self {
        Self {
            objects: config.max_objects,
            bytes: config.max_bytes,
            event_objects: config.max_event_objects,
            event_bytes: config.max_event_bytes,
            object_bytes: config.max_object_bytes,
            events: config.max_events,
            renditions: config.max_renditions,
            per_second: config.max_publish_per_second,
        }
    }

    /// Every quota with its value.
    #[must_use]
    pub const fn all(&self) -> [(Quota, Option<u64>); 8] {
        [
            (Quota::Objects, self.objects),
            (Quota::Bytes, self.bytes),
            (Quota::EventObjects, self.event_objects),
            (Quota::EventBytes, self.event_bytes),
            (Quota::ObjectBytes, self.object_bytes),
            (Quota::Events, self.events),
            (Quota::Renditions, self.renditions),
            (Quota::Rate, self.per_second),
        ]
    }

    /// The largest object that can ever be stored, and by which quota.
    #[must_use]
    pub fn largest(&self) -> Option<(Quota, u64)> {
        let limits = [
            (Quota::ObjectBytes, self.object_bytes),
            (Quota::EventBytes, self.event_bytes),
            (Quota::Bytes, self.bytes),
        ];
        limits.into_iter().filter_map(|(quota, most)| Some((quota, most?))).min_by_key(|(_, most)| *most)
    }

    /// Whether one more fits where `used` are in use.
    ///
    /// # Errors
    /// [`Exceeded`] if not.
    pub fn one_more(&self, quota: Quota, tenant: &Tenant, used: u64) -> Result<(), Exceeded> {
        let most = self.all().into_iter().find_map(|(other, most)| most.filter(|_| other == quota));
        match most.filter(|most| used >= *most) {
            Some(most) => Err(Exceeded::new(quota, tenant, most, used)),
            None => Ok(()),
        }
    }
}

/// A refusal: which quota of whom, and how things stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tenant `{tenant}` has {key} = {most} and {used} in use{by}{wants}; {remedy}", key = quota.key(),
    remedy = quota.remedy(), wants = wants(*quota, *wanted), by = by(event.as_ref()))]
pub struct Exceeded {
    quota: Quota,
    tenant: String,
    /// Whose event it is that has no room, where it is not the tenant.
    event: Option<EventName>,
    most: u64,
    used: u64,
    /// Bytes that were to be added.
    wanted: u64,
    /// Seconds after which it may fit.
    retry_after: Option<u64>,
}

fn wants(quota: Quota, wanted: u64) -> String {
    match quota {
        Quota::Bytes | Quota::EventBytes | Quota::ObjectBytes if wanted > 0 => {
            format!(", this upload needs at least {wanted}")
        }
        _ => String::new(),
    }
}

fn by(event: Option<&EventName>) -> String {
    event.map_or_else(String::new, |event| format!(" by event `{event}`"))
}

impl Exceeded {
    fn new(quota: Quota, tenant: &Tenant, most: u64, used: u64) -> Self {
        Self { quota, tenant: tenant.to_string(), event: None, most, used, wanted: 0, retry_after: None }
    }

    /// An upload of over `most` bytes, `wanted` if that is known, which would not fit if all were free.
    #[must_use]
    pub fn alone(quota: Quota, tenant: &Tenant, most: u64, wanted: Option<u64>) -> Self {
        Self { wanted: wanted.unwrap_or(0), ..Self::new(quota, tenant, most, 0) }
    }

    /// 413 for what can never fit, 429 for what comes too fast, 507 for what has no room.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let of_all = matches!(self.quota, Quota::Bytes | Quota::EventBytes);
        let alone = self.quota == Quota::ObjectBytes || (of_all && self.wanted > self.most);
        let (status, title) = match self.quota {
            _ if alone => (413, "The object is larger than the tenant's quota"),
            Quota::Rate => (429, "The tenant publishes too fast"),
            Quota::EventObjects | Quota::EventBytes => (507, "The event's quota is used up"),
            _ => (507, "The tenant's quota is used up"),
        };
        let problem = Problem::new(status, self.quota.code(), title, self.to_string()).field(self.quota.key());
        match self.retry_after {
            Some(seconds) => problem.header(header::RETRY_AFTER, &seconds.to_string()),
            None => problem,
        }
    }
}

/// What tenants have stored, and what is on its way.
pub struct Meter {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    tenants: HashMap<Tenant, Arc<Mutex<State>>>,
}

/// What is known of one tenant.
#[derive(Default)]
pub struct State {
    /// Reserved by uploads in progress, by event.
    reserved: HashMap<EventName, Usage>,
    bucket: Option<Bucket>,
}

/// Tokens for uploads: a second's worth at most, so that a ladder's segments may come at once.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Duration,
}

impl Meter {
    /// For `tenants` of this store.
    pub fn new<'a>(store: Arc<dyn Store>, catalog: Arc<Catalog>, tenants: impl Iterator<Item = &'a Tenant>) -> Self {
        Self { store, catalog, tenants: tenants.map(|tenant| (tenant.clone(), Arc::default())).collect() }
    }

    /// What a tenant has stored now.
    #[must_use]
    pub fn stored(&self, tenant: &Tenant) -> Usage {
        let events: Vec<_> = self.catalog.of_tenant(tenant.as_str()).iter().map(|live| live.event().id).collect();
        self.store.usage(&events)
    }

    /// What one event has stored now.
    fn stored_of(&self, tenant: &Tenant, event: &EventName) -> Usage {
        let live = self.catalog.live(tenant.as_str(), event.as_str());
        live.map_or_else(Usage::default, |live| self.store.usage(&[live.event().id]))
    }

    /// Counts an upload that comes at `now` of the monotonic clock.
    ///
    /// # Errors
    /// [`Exceeded`] if the tenant's uploads come too fast.
    pub fn pass(&self, tenant: &Tenant, quotas: &Quotas, now: Duration) -> Result<(), Exceeded> {
        let (Some(most), Some(state)) = (quotas.per_second, self.tenants.get(tenant)) else { return Ok(()) };
        let rate = most as f64;
        let mut state = state.lock();
        let bucket = state.bucket.get_or_insert(Bucket { tokens: rate, filled: now });
        let spent = now.saturating_sub(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + spent * rate).min(rate);
        bucket.filled = bucket.filled.max(now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        // A token is there within a second, whatever the rate: it is a whole number of at least 1.
        Err(Exceeded { retry_after: Some(1), ..Exceeded::new(Quota::Rate, tenant, most, most) })
    }

    /// One at a time: whoever looks at how many there are and adds one.
    pub fn turn(&self, tenant: &Tenant) -> Option<MutexGuard<'_, State>> {
        self.tenants.get(tenant).map(|state| state.lock())
    }

    /// Reserves room in `event` for an upload of `length` bytes, as far as that is known, in the place of `replaced`.
    ///
    /// # Errors
    /// [`Exceeded`] if there is no room.
    pub fn reserve(
        self: &Arc<Self>,
        (tenant, event): (&Tenant, &EventName),
        quotas: &Quotas,
        length: Option<u64>,
        replaced: impl FnOnce() -> Option<u64>,
    ) -> Result<Option<Reservation>, Exceeded> {
        let limits = [quotas.objects, quotas.bytes, quotas.event_objects, quotas.event_bytes];
        if limits.iter().all(Option::is_none) {
            return Ok(None);
        }
        let Some(state) = self.tenants.get(tenant).cloned() else { return Ok(None) };
        let mut reservation = Reservation {
            meter: Arc::clone(self),
            state,
            tenant: tenant.clone(),
            event: event.clone(),
            quotas: *quotas,
            replaced: replaced(),
            held: Usage::default(),
        };
        // Who does not tell a length has a byte at least.
        reservation.grow(length.unwrap_or(1))?;
        Ok(Some(reservation))
    }
}

/// Room for one upload, until the store counts it.
pub struct Reservation {
    meter: Arc<Meter>,
    state: Arc<Mutex<State>>,
    tenant: Tenant,
    event: EventName,
    quotas: Quotas,
    replaced: Option<u64>,
    held: Usage,
}

impl Reservation {
    /// Makes it room for `length` bytes.
    ///
    /// # Errors
    /// [`Exceeded`] if there is none; what is held already stays.
    pub fn grow(&mut self, length: u64) -> Result<(), Exceeded> {
        let wanted = Usage {
            objects: u64::from(self.replaced.is_none()),
            bytes: length.saturating_sub(self.replaced.unwrap_or(0)),
        };
        let mut state = self.state.lock();
        self.check(&state, wanted)?;
        let reserved = state.reserved.entry(self.event.clone()).or_default();
        *reserved -= self.held;
        *reserved += wanted;
        self.held = wanted;
        Ok(())
    }

    fn check(&self, state: &State, wanted: Usage) -> Result<(), Exceeded> {
        let quotas = &self.quotas;
        let mut all = self.meter.stored(&self.tenant);
        state.reserved.values().for_each(|reserved| all += *reserved);
        all -= self.held;
        let mut own = Usage::default();
        if quotas.event_objects.is_some() || quotas.event_bytes.is_some() {
            own = self.meter.stored_of(&self.tenant, &self.event);
            own += state.reserved.get(&self.event).copied().unwrap_or_default();
            own -= self.held;
        }
        let limits = [
            (Quota::EventObjects, quotas.event_objects, own.objects, wanted.objects),
            (Quota::EventBytes, quotas.event_bytes, own.bytes, wanted.bytes),
            (Quota::Objects, quotas.objects, all.objects, wanted.objects),
            (Quota::Bytes, quotas.bytes, all.bytes, wanted.bytes),
        ];
        for (quota, most, used, wanted) in limits {
            let Some(most) = most.filter(|most| wanted > 0 && used.saturating_add(wanted) > *most) else { continue };
            let event = matches!(quota, Quota::EventObjects | Quota::EventBytes).then(|| self.event.clone());
            return Err(Exceeded { wanted, event, ..Exceeded::new(quota, &self.tenant, most, used) });
        }
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        let Some(reserved) = state.reserved.get_mut(&self.event) else { return };
        *reserved -= self.held;
        if *reserved == Usage::default() {
            state.reserved.remove(&self.event);
        }
    }
}

#[cfg(test)]
#[path = "quota/tests.rs"]
mod tests;
