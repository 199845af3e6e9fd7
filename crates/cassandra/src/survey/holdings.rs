//! What each event occupies, told by the records alone.

use std::collections::{BTreeMap, BTreeSet};

use headwater_model::row::{EventId, Object};
use headwater_model::{EventName, Tenant};
use headwater_store::StoreError;
use headwater_store::log::survey::{Amount, EventUse};
use serde::Serialize;

use super::Survey;
use crate::index::keeps;
use crate::{place, rows};

/// What the keyspaces hold, once: each node has its share of the copies.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Holdings {
    /// What the keyspaces are called, without their endings.
    pub keyspace: String,
    /// What counts, by tenant and name; events without media too.
    pub events: Vec<EventUse>,
    /// Of events that are gone, or expired.
    pub no_longer_counted: Amount,
}

impl Survey {
    /// What each event occupies. Reads records, no payloads.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub async fn holdings(&self) -> Result<Holdings, StoreError> {
        let lives = self.lives().await?;
        let mut events: BTreeMap<EventId, EventUse> = lives.alive.iter().map(|(id, names)| empty(*id, names)).collect();
        let mut no_longer_counted = Amount::default();
        let mut pages = self.pages("records", &self.statements.rows);
        while let Some(page) = pages.next::<(i64, String, i64, String, String, Option<Vec<u8>>)>().await? {
            let rows = page.into_iter().filter_map(|columns| columns.5);
            for row in rows.filter_map(|row| rows::decode(&row).ok()).filter(|row| row.size > 0) {
                let id = row.key.event;
                if lives.is_over(place::event(id)) || !keeps(&row, self.options.grace, self.clock.wall()) {
                    add(&mut no_longer_counted, row.size);
                    continue;
                }
                let Some(used) = events.get_mut(&id) else { continue };
                add(&mut used.amount, row.size);
                if let Object::Segment { rendition, .. } | Object::Init { rendition } = &row.key.object {
                    used.renditions.insert(rendition.clone());
                }
                used.pipelines.insert(row.key.pipeline.clone());
                used.oldest = used.oldest.into_iter().chain([row.published]).min();
                used.newest = used.newest.max(Some(row.published));
            }
        }
        let mut events: Vec<_> = events.into_values().collect();
        events.sort_by(|one, other| (&one.tenant, &one.event).cmp(&(&other.tenant, &other.event)));
        Ok(Holdings { keyspace: self.options.keyspace.clone(), events, no_longer_counted })
    }
}

fn empty(id: i64, (tenant, event): &(Tenant, EventName)) -> (EventId, EventUse) {
    let id = EventId(id.cast_unsigned());
    let used = EventUse {
        tenant: Some(tenant.to_string()),
        event: Some(event.to_string()),
        id,
        amount: Amount::default(),
        renditions: BTreeSet::new(),
        pipelines: BTreeSet::new(),
        oldest: None,
        newest: None,
    };
    (id, used)
}

fn add(amount: &mut Amount, bytes: u64) {
    amount.objects += 1;
    amount.bytes += bytes;
}
