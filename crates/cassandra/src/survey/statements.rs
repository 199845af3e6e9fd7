//! What a survey asks beside what the engine asks: whole tables by ranges of tokens, and whether a thing is there.

use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use crate::OpenError;
use crate::options::Options;
use crate::schema::Names;
use crate::session::Profiles;

/// Entries in a page of small things: a few hundred KiB.
const PAGE: i32 = 1000;
/// Chunks in a page. Only their keys come, but a node passes over their bytes.
const CHUNKS_PAGE: i32 = 250;

/// The statements.
pub(super) struct Statements {
    pub(super) rows: PreparedStatement,
    pub(super) listing: PreparedStatement,
    pub(super) blocks: PreparedStatement,
    pub(super) shelves: PreparedStatement,
    pub(super) chunks: PreparedStatement,
    /// How long a chunk still lives.
    pub(super) chunk: PreparedStatement,
    /// A chunk as every node has it that should.
    pub(super) chunk_everywhere: PreparedStatement,
    pub(super) listed: PreparedStatement,
    pub(super) block: PreparedStatement,
    /// Takes a place off the listing, unless it was listed again since.
    pub(super) unlist: PreparedStatement,
}

impl Statements {
    /// Prepares all.
    pub(super) async fn prepare(session: &Session, options: &Options, profiles: &Profiles) -> Result<Self, OpenError> {
        let Names { control, media } = Names::new(options)?;
        let prepare = async |text: String, profile: &ExecutionProfileHandle, page: i32| {
            let mut statement = session.prepare(text).await.map_err(OpenError::schema)?;
            statement.set_execution_profile_handle(Some(profile.clone()));
            statement.set_is_idempotent(true);
            statement.set_page_size(page);
            Ok::<_, OpenError>(statement)
        };
        let all = |columns: &str, table: &str, key: &str| {
            let range = format!("token({key}) > ? AND token({key}) <= ?");
            format!("SELECT {columns} FROM {table} WHERE {range}")
        };
        let (scan, read) = (&profiles.scan, &profiles.read);
        let rows = "event, shelf, number, name, pipeline";
        let listing = "event, shelf, block, number, name, pipeline";
        let chunk = format!("FROM {media}.chunks WHERE version = ? AND part = ?");
        let entry = "event = ? AND shelf = ? AND block = ? AND number = ? AND name = ? AND pipeline = ?";
        let block = format!("SELECT block FROM {control}.blocks WHERE event = ? AND shelf = ? AND block = ?");
        let unlist = format!("DELETE FROM {control}.listing USING TIMESTAMP ? WHERE {entry}");
        let mut chunk_everywhere = prepare(format!("SELECT bytes {chunk}"), read, 1).await?;
        chunk_everywhere.set_consistency(Consistency::All);
        Ok(Self {
            rows: prepare(all(&format!("{rows}, row"), &format!("{control}.rows"), rows), scan, PAGE).await?,
            listing: prepare(all(listing, &format!("{control}.listing"), "event, shelf, block"), scan, PAGE).await?,
            blocks: prepare(all("event, shelf, block", &format!("{control}.blocks"), "event, shelf"), scan, PAGE)
                .await?,
            shelves: prepare(all("event, shelf", &format!("{control}.shelves"), "event"), scan, PAGE).await?,
            chunks: prepare(all("version, part", &format!("{media}.chunks"), "version, part"), scan, CHUNKS_PAGE)
                .await?,
            chunk: prepare(format!("SELECT TTL(bytes) {chunk}"), read, 1).await?,
            chunk_everywhere,
            listed: prepare(format!("SELECT number FROM {control}.listing WHERE {entry}"), read, 1).await?,
            block: prepare(block, read, 1).await?,
            unlist: prepare(unlist, &profiles.write, 1).await?,
        })
    }
}
