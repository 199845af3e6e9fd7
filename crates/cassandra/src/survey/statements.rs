//! What a survey asks beside what the engine asks: whole tables by ranges of tokens, and whether a thing is there.

use headwater_model::row::Version;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use crate::options::Options;
use crate::schema::{CHUNKS, Names, STANDING};
use crate::session::{Cluster, Profile, Profiles};
use crate::tables::Reach;
use crate::{OpenError, version};

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
    pub(super) chunks: Chunks,
    pub(super) standing: Chunks,
    /// The same questions to every node that should know, of all datacentres: before what only one of them knows is
    /// taken away from all.
    pub(super) everywhere: Everywhere,
    pub(super) listed: PreparedStatement,
    pub(super) block: PreparedStatement,
    /// Takes a place off the listing, unless it was listed again since.
    pub(super) unlist: PreparedStatement,
}

/// Of a table of chunks.
pub(super) struct Chunks {
    pub(super) all: PreparedStatement,
    /// How long a chunk still lives.
    pub(super) ttl: PreparedStatement,
    /// The same as [`Everywhere`].
    pub(super) everywhere: PreparedStatement,
}

/// What every node is asked that should know.
pub(super) struct Everywhere {
    pub(super) row: PreparedStatement,
    pub(super) listing: PreparedStatement,
    pub(super) events: PreparedStatement,
}

impl Statements {
    /// Those of the table that has the chunks of `version`.
    pub(super) fn chunks_of(&self, version: Version) -> &Chunks {
        if version::stays(version) { &self.standing } else { &self.chunks }
    }

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
        let chunks = async |table: &str| {
            let one = format!("FROM {media}.{table} WHERE version = ? AND part = ?");
            let all = all("version, part", &format!("{media}.{table}"), "version, part");
            Ok::<_, OpenError>(Chunks {
                all: prepare(all, scan, CHUNKS_PAGE).await?,
                ttl: prepare(format!("SELECT TTL(bytes) {one}"), read, 1).await?,
                everywhere: everywhere(&prepare(format!("SELECT bytes {one}"), read, 1).await?),
            })
        };
        let entry = "event = ? AND shelf = ? AND block = ? AND number = ? AND name = ? AND pipeline = ?";
        let block = format!("SELECT block FROM {control}.blocks WHERE event = ? AND shelf = ? AND block = ?");
        let unlist = format!("DELETE FROM {control}.listing USING TIMESTAMP ? WHERE {entry}");
        let listing = prepare(all(listing, &format!("{control}.listing"), "event, shelf, block"), scan, PAGE).await?;
        let everywhere = Everywhere {
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
            chunks: chunks(CHUNKS).await?,
            standing: chunks(STANDING).await?,
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
