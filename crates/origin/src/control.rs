//! Changes of events, one at a time: each is written to the store first and shows in the catalog when it is durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_model::document::Document;
use headwater_model::event::{Entry, Event, Published, RevisionError};
use headwater_model::notification::NotifyError;
use headwater_model::row::EventId;
use headwater_model::{EventName, Tenant};
use headwater_store::{Body, Store, StoreError};
use tokio::sync::Mutex;

use crate::catalog::Catalog;
use crate::config::TenantSpec;
use crate::live::Live;
use crate::quota::{Exceeded, Quota, Quotas};

/// Most events alive on one node: each costs some KiB of memory, and an upload to an unknown name makes one.
pub const EVENTS_MAX: usize = 10_000;

/// Attempts at a change while other processes change the same event: each means that one of them succeeded.
const CONFLICTS_MAX: usize = 8;

/// What others have published is heard of within 2 s here, or this node calls nothing absent; what is changed here is in
/// force there in the same time.
const UNHEARD_NS: i128 = 4_000_000_000;

/// Makes, changes and ends events.
pub struct Control {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    tenants: BTreeMap<Tenant, TenantSpec>,
    /// One change at a time; holds the last event id given.
    turn: Mutex<u64>,
}

/// Why an event was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// 404.
    #[error("there is no tenant `{0}`; add it to the configuration file")]
    UnknownTenant(String),
    /// 404.
    #[error("tenant `{tenant}` has no event `{event}`; put its document first")]
    UnknownEvent {
        /// Whose event.
        tenant: String,
        /// Which.
        event: String,
    },
    /// 409: stored media forbids the change.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// 409: an event that never had media cannot end.
    #[error(
        "nothing of the event is published yet, so it has no last segment; delete it, or put a document with end_number"
    )]
    NothingToEnd,
    /// 429.
    #[error("there are {EVENTS_MAX} events; delete some that are over")]
    TooManyEvents,
    /// 422: a field of the request breaks a rule.
    #[error("`{field}`: {problem}")]
    Invalid {
        /// Which field.
        field: String,
        /// What is wrong and what to write.
        problem: String,
    },
    /// 422: the notification does not fit.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// 409: too many of something; the message says of what, and the remedy.
    #[error("{0}")]
    TooMany(String),
    /// 507: the tenant's quota is used up.
    #[error(transparent)]
    Quota(#[from] Exceeded),
    /// As the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether an event was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Created,
    /// Its document was replaced.
    Changed,
    /// It had that document already.
    Unchanged,
}

impl Control {
    /// For a store whose entries are in `catalog`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, catalog: Arc<Catalog>, tenants: BTreeMap<Tenant, TenantSpec>) -> Self {
        Self { store, catalog, tenants, turn: Mutex::new(0) }
    }

    /// The tenant of that name.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Option<(&Tenant, &TenantSpec)> {
        self.tenants.get_key_value(name)
    }

    /// All tenants.
    pub fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.tenants.keys()
    }

    /// Makes the event or replaces its document.
    ///
    /// # Errors
    /// [`ControlError`]; nothing has changed then.
    pub async fn put(
        &self,
        tenant: &Tenant,
        name: &EventName,
        document: Document,
    ) -> Result<(Arc<Live>, Put), ControlError> {
        let mut turn = self.turn.lock().await;
        let quotas = self.known_tenant(tenant)?.quotas;
        let Some(live) = self.catalog.live(tenant.as_str(), name.as_str()) else {
            match self.create(&mut turn, tenant, name, document.clone()).await {
                Err(ControlError::Store(StoreError::Conflict { .. })) => {}
                created => return Ok((created?, Put::Created)),
            }
            // Another process has made it: then this is a change of it.
            let Some(live) = self.catalog.live(tenant.as_str(), name.as_str()) else {
                return Err(unknown_event(tenant, name));
            };
            let put = self.revise(&live, |event| Ok(event.revised(document.clone(), self.published(&live))?)).await?;
            return Ok((live, put));
        };
        check_renditions(tenant, &quotas, Some(&live), &document)?;
        let put = self.revise(&live, |event| Ok(event.revised(document.clone(), self.published(&live))?)).await?;
        Ok((live, put))
    }

    /// The event, made from the tenant's default document if there is none.
    ///
    /// # Errors
    /// [`ControlError::UnknownEvent`] if the tenant makes none by itself.
    pub async fn ensure(&self, tenant: &Tenant, name: &EventName) -> Result<Arc<Live>, ControlError> {
        if let Some(live) = self.catalog.live(tenant.as_str(), name.as_str()) {
            return Ok(live);
        }
        let spec = self.known_tenant(tenant)?;
        let Some(document) = spec.auto_document.clone() else { return Err(unknown_event(tenant, name)) };
        let mut turn = self.turn.lock().await;
        match self.catalog.live(tenant.as_str(), name.as_str()) {
            Some(live) => Ok(live),
            None => match self.create(&mut turn, tenant, name, document).await {
                // Another process has made it.
                Err(conflict @ ControlError::Store(StoreError::Conflict { .. })) => {
                    self.catalog.live(tenant.as_str(), name.as_str()).ok_or(conflict)
                }
                created => created,
            },
        }
    }

    /// Deletes the event; `false` if there is none. Its media goes with it.
    ///
    /// # Errors
    /// [`ControlError`]; nothing has changed then.
    pub async fn delete(&self, tenant: &Tenant, name: &EventName) -> Result<bool, ControlError> {
        let _turn = self.turn.lock().await;
        self.known_tenant(tenant)?;
        for attempt in 1.. {
            let Some(live) = self.catalog.live(tenant.as_str(), name.as_str()) else { return Ok(false) };
            let _gate = live.gate.write().await;
            let counters = live.event().counters();
            let mut last = counters;
            last.rev += 1;
            let entry = Entry::Gone { tenant: tenant.clone(), name: name.clone(), counters: last };
            if self.write(entry, counters.rev, attempt).await? {
                return Ok(true);
            }
        }
        unreachable!("the last attempt says why it failed")
    }

    /// Ends the event with its highest stored segment.
    ///
    /// # Errors
    /// [`ControlError`]; nothing has changed then.
    pub async fn end(&self, tenant: &Tenant, name: &EventName) -> Result<Arc<Live>, ControlError> {
        let _turn = self.turn.lock().await;
        self.known_tenant(tenant)?;
        let Some(live) = self.catalog.live(tenant.as_str(), name.as_str()) else {
            return Err(unknown_event(tenant, name));
        };
        self.revise(&live, |event| {
            let Published::UpTo(highest) = live.published() else { return Err(ControlError::NothingToEnd) };
            let end_number = Some(event.document.end_number.map_or(highest, |end| end.min(highest)));
            let document = Document { end_number, ..event.document.clone() };
            Ok(event.revised(document, Published::UpTo(highest))?)
        })
        .await?;
        Ok(live)
    }

    /// Changes an event by `change`, which gives the new event, or `None` if nothing is to be changed.
    ///
    /// # Errors
    /// [`ControlError`]; nothing has changed then.
    pub async fn change(
        &self,
        tenant: &Tenant,
        name: &EventName,
        mut change: impl FnMut(&Live, &Event) -> Result<Option<Event>, ControlError>,
    ) -> Result<Arc<Live>, ControlError> {
        let _turn = self.turn.lock().await;
        self.known_tenant(tenant)?;
        for attempt in 1.. {
            let Some(live) = self.catalog.live(tenant.as_str(), name.as_str()) else {
                return Err(unknown_event(tenant, name));
            };
            let old = live.event();
            let Some(new) = change(&live, &old)? else { return Ok(live) };
            if self.write(Entry::Alive(Box::new(new)), old.rev, attempt).await? {
                return Ok(live);
            }
        }
        unreachable!("the last attempt says why it failed")
    }

    /// Writes an entry over revision `expected`; `false` if another process came first. Then the catalog knows what
    /// stands, and the change is to be made on that.
    async fn write(&self, entry: Entry, expected: u64, attempt: usize) -> Result<bool, ControlError> {
        match self.store.write_entry(entry, expected).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict { .. }) if attempt < CONFLICTS_MAX => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn known_tenant(&self, tenant: &Tenant) -> Result<&TenantSpec, ControlError> {
        self.tenants.get(tenant).ok_or_else(|| ControlError::UnknownTenant(tenant.to_string()))
    }

    async fn create(
        &self,
        last_id: &mut u64,
        tenant: &Tenant,
        name: &EventName,
        document: Document,
    ) -> Result<Arc<Live>, ControlError> {
        if self.catalog.count() >= EVENTS_MAX {
            return Err(ControlError::TooManyEvents);
        }
        let quotas = self.known_tenant(tenant)?.quotas;
        quotas.one_more(Quota::Events, tenant, self.catalog.of_tenant(tenant.as_str()).len() as u64)?;
        check_renditions(tenant, &quotas, None, &document)?;
        let counters = self.catalog.counters(tenant, name);
        let id = if self.store.shared().is_some() {
            shared_id(tenant, name, counters.rev)
        } else {
            *last_id = u64::try_from(self.store.stamp().nanos()).unwrap_or(0).max(*last_id + 1);
            EventId(*last_id)
        };
        let event = Event::new(id, tenant.clone(), name.clone(), document, counters);
        self.store.write_entry(Entry::Alive(Box::new(event)), counters.rev).await?;
        self.catalog.live(tenant.as_str(), name.as_str()).ok_or_else(|| unknown_event(tenant, name))
    }

    /// What is published of an event, and may be published by other processes before they know of a change.
    fn published(&self, live: &Live) -> Published {
        match live.published() {
            Published::UpTo(highest) if self.store.shared().is_some() => {
                let segment = live.event().document.segment.nanos(1).max(1);
                let unheard = (UNHEARD_NS + segment - 1) / segment;
                Published::UpTo(highest.saturating_add(unheard as u64))
            }
            published => published,
        }
    }

    async fn revise(
        &self,
        live: &Live,
        mut change: impl FnMut(&Event) -> Result<Event, ControlError>,
    ) -> Result<Put, ControlError> {
        for attempt in 1.. {
            // No segment is recorded from the look at the highest number until the new rules are in force.
            let _gate = live.gate.write().await;
            let old = live.event();
            let new = change(&old)?;
            if new.rev == old.rev {
                return Ok(Put::Unchanged);
            }
            if self.write(Entry::Alive(Box::new(new)), old.rev, attempt).await? {
                return Ok(Put::Changed);
            }
        }
        unreachable!("the last attempt says why it failed")
    }
}

/// Whether a document that declares these renditions fits; those that are there already stay, whatever the quota.
fn check_renditions(
    tenant: &Tenant,
    quotas: &Quotas,
    live: Option<&Live>,
    document: &Document,
) -> Result<(), Exceeded> {
    let is_there = |rendition: &str| live.is_some_and(|live| live.tail(rendition).is_some());
    let there = live.map_or(0, |live| live.tails().len()) as u64;
    let fresh = document.renditions.iter().filter(|spec| !is_there(spec.id.as_str())).count() as u64;
    if fresh == 0 { Ok(()) } else { quotas.one_more(Quota::Renditions, tenant, there + fresh - 1) }
}

/// The id of the life of an event that begins after revision `rev`, where several processes give them. Two datacentres
/// that make an event at once, and may not reach each other, make the same: what is published to either is of one event.
fn shared_id(tenant: &Tenant, name: &EventName, rev: u64) -> EventId {
    let life = Body::from(bytes::Bytes::from(format!("{tenant}/{name}/{rev}")));
    EventId(life.digest().0 as u64)
}

fn unknown_event(tenant: &Tenant, event: &EventName) -> ControlError {
    ControlError::UnknownEvent { tenant: tenant.to_string(), event: event.to_string() }
}
