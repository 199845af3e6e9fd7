//! What a survey asks beside what the engine asks: whole tables by ranges of tokens, and whether a thing is there.

use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use crate::OpenError;
use crate::options::Options;
use crate::schema::Names;
use crate::session::{Cluster, Profile, Profiles};
use crate::tables::Reach;

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
    /// The same questions to every node that should know, of all datacentres: before what only one of them knows is
    /// taken away from all.
    pub(super) everywhere: Everywhere,
    pub(super) listed: PreparedStatement,
    pub(super) block: PreparedStatement,
    /// Takes a place off the listing, unless it was listed again since.
    pub(super) unlist: PreparedStatement,
}

/// What every node is asked that should know.
pub(super) struct Everywhere {
    pub(super) chunk: PreparedStatement,
    pub(super) row: PreparedStatement,
    pub(super) listing: PreparedStatement,
    pub(super) events: PreparedStatement,
}

impl Statements {
    /// Prepares all.
    pub(super) async fn prepare(cluster: &Cluster, options: &Options, profiles: &Profiles) -> Result<Self, OpenError> {
        let session = &cluster.session;
        let Names { control, media } = Names::new(options)?;
        let prepare = async |text: String, profile: &Profile, page: i32| profile.prepare(session, text, page).await;
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
        let listing = prepare(all(listing, &format!("{control}.listing"), "event, shelf, block"), scan, PAGE).await?;
        let everywhere = Everywhere {
            chunk: everywhere(&prepare(format!("SELECT bytes {chunk}"), read, 1).await?),
            row: everywhere(&cluster.statements.rows.read),
            listing: everywhere(&listing),
            events: everywhere(cluster.statements.events.scan.by(Reach::Here)),
        };
        Ok(Self {
            rows: prepare(all(&format!("{rows}, row"), &format!("{control}.rows"), rows), scan, PAGE).await?,
            listing,
            blocks: prepare(all("event, shelf, block", &format!("{control}.blocks"), "event, shelf"), scan, PAGE)
                .await?,
            shelves: prepare(all("event, shelf", &format!("{control}.shelves"), "event"), scan, PAGE).await?,
            chunks: prepare(all("version, part", &format!("{media}.chunks"), "version, part"), scan, CHUNKS_PAGE)
                .await?,
            chunk: prepare(format!("SELECT TTL(bytes) {chunk}"), read, 1).await?,
            everywhere,
            listed: prepare(format!("SELECT number FROM {control}.listing WHERE {entry}"), read, 1).await?,
            block: prepare(block, read, 1).await?,
            unlist: prepare(unlist, &profiles.write, 1).await?,
        })
    }
}

fn everywhere(statement: &PreparedStatement) -> PreparedStatement {
    let mut statement = statement.clone();
    statement.set_consistency(Consistency::All);
    statement
}
