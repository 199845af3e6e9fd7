//! Whole tables in pages: the ring of tokens in equal ranges, one page after the other, each tried again if a node that
//! should answer has just died. Pages, not ranges, because what was seen must not be seen twice.

use headwater_store::StoreError;
use scylla::deserialize::row::DeserializeRow;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::prepared::PreparedStatement;

use super::Survey;
use crate::error::{damaged, unavailable};
use crate::options::SCANS_MAX;
use crate::ring::border;

/// Ranges of the ring: as fine as a bar shows.
const RANGES: u64 = 128;

/// A table being read.
pub(super) struct Pages<'a> {
    survey: &'a Survey,
    statement: &'a PreparedStatement,
    range: u64,
    state: PagingState,
}

impl Survey {
    /// Begins to read a table; `what` is shown.
    pub(super) fn pages<'a>(&'a self, what: &'static str, statement: &'a PreparedStatement) -> Pages<'a> {
        self.progress.begin(what, RANGES);
        Pages { survey: self, statement, range: 0, state: PagingState::start() }
    }
}

impl Pages<'_> {
    /// The next page, at the survey's pace; `None` after the last.
    pub(super) async fn next<T>(&mut self) -> Result<Option<Vec<T>>, StoreError>
    where
        T: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        if self.range == RANGES {
            return Ok(None);
        }
        let mut tries = 1;
        let (page, next) = loop {
            match self.page().await {
                Err(error) if tries < SCANS_MAX => {
                    tracing::warn!(%error, "a page cannot be read yet; trying again");
                    tries += 1;
                    self.survey.pace(self.survey.rate.entries as usize).await;
                }
                answer => break answer?,
            }
        };
        match next {
            PagingStateResponse::HasMorePages { state } => self.state = state,
            PagingStateResponse::NoMorePages => {
                (self.range, self.state) = (self.range + 1, PagingState::start());
                self.survey.progress.done(1);
            }
        }
        let page = page.into_rows_result().map_err(|error| damaged("a page", error))?;
        let rows = page.rows::<T>().map_err(|error| damaged("a page", error))?;
        let rows: Result<Vec<T>, _> = rows.collect();
        let rows = rows.map_err(|error| damaged("a page", error))?;
        self.survey.pace(rows.len()).await;
        Ok(Some(rows))
    }

    async fn page(&self) -> Result<(scylla::response::query_result::QueryResult, PagingStateResponse), StoreError> {
        let values = (border(self.range, RANGES), border(self.range + 1, RANGES));
        let page = self.survey.cluster.session.execute_single_page(self.statement, values, self.state.clone()).await;
        page.map_err(|error| unavailable("reading a page", error))
    }
}
