//! Every statement, prepared once. All are safe to be sent twice, and marked so, or the driver would not hedge them. The
//! conditional ones too: a record holds a token, so who is told that a condition no longer holds sees whether that was
//! by an attempt of their own.

use headwater_model::row::Version;
use scylla::client::session::Session;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use crate::options::PAGE_ROWS;
use crate::schema::{CHUNKS, Names, STANDING};
use crate::session::Profiles;
use crate::tables::Reach;
use crate::{OpenError, version};

/// The statements by table.
pub(crate) struct Statements {
    pub(crate) rows: Rows,
    pub(crate) listing: Listing,
    pub(crate) events: Events,
    pub(crate) changes: Changes,
    pub(crate) chunks: Chunks,
}

/// Of candidate records.
pub(crate) struct Rows {
    pub(crate) insert: PreparedStatement,
    pub(crate) replace: PreparedStatement,
    pub(crate) delete: PreparedStatement,
    pub(crate) erase: PreparedStatement,
    pub(crate) read: PreparedStatement,
    pub(crate) read_serial: PreparedStatement,
    pub(crate) scan: Scan,
}

/// Of what there may be.
pub(crate) struct Listing {
    pub(crate) insert_row: PreparedStatement,
    pub(crate) read_rows: PreparedStatement,
    pub(crate) delete_rows: PreparedStatement,
    pub(crate) insert_block: PreparedStatement,
    pub(crate) read_blocks: PreparedStatement,
    pub(crate) read_blocks_down: PreparedStatement,
    pub(crate) delete_blocks: PreparedStatement,
    pub(crate) insert_shelf: PreparedStatement,
    pub(crate) read_shelves: PreparedStatement,
    pub(crate) delete_shelves: PreparedStatement,
    /// One for each table.
    pub(crate) scans: [Scan; 3],
}

/// Of event entries.
pub(crate) struct Events {
    pub(crate) insert: PreparedStatement,
    pub(crate) replace: PreparedStatement,
    pub(crate) freed: PreparedStatement,
    pub(crate) read: PreparedStatement,
    pub(crate) read_serial: PreparedStatement,
    pub(crate) scan: Scan,
}

/// Of notes of changes.
pub(crate) struct Changes {
    pub(crate) insert: PreparedStatement,
    pub(crate) read: PreparedStatement,
}

/// Of media.
pub(crate) struct Chunks {
    expiring: ChunkTable,
    standing: ChunkTable,
}

impl Chunks {
    /// Those of the table that has the chunks of `version`.
    pub(crate) fn of(&self, version: Version) -> &ChunkTable {
        if version::stays(version) { &self.standing } else { &self.expiring }
    }
}

/// Of a table of chunks.
pub(crate) struct ChunkTable {
    pub(crate) insert: PreparedStatement,
    pub(crate) read: PreparedStatement,
    pub(crate) read_far: PreparedStatement,
    pub(crate) delete: PreparedStatement,
}

/// Of a whole table.
pub(crate) struct Scan {
    here: PreparedStatement,
    both: PreparedStatement,
}

impl Scan {
    /// The one that asks so far.
    pub(crate) fn by(&self, reach: Reach) -> &PreparedStatement {
        match reach {
            Reach::Here => &self.here,
            Reach::Both => &self.both,
        }
    }
}

impl Statements {
    /// Prepares all.
    pub(crate) async fn prepare(session: &Session, names: &Names, profiles: &Profiles) -> Result<Self, OpenError> {
        let preparer = Preparer { session, profiles, names };
        let (rows, listing, events, changes, chunks) = tokio::try_join!(
            preparer.rows(),
            preparer.listing(),
            preparer.events(),
            preparer.changes(),
            preparer.chunks()
        )?;
        Ok(Self { rows, listing, events, changes, chunks })
    }
}

/// Which part of a table is asked for, by tokens of its `key`.
fn tokens(key: &str) -> String {
    format!(" WHERE token({key}) > ? AND token({key}) <= ?")
}

struct Preparer<'a> {
    session: &'a Session,
    profiles: &'a Profiles,
    names: &'a Names,
}

impl Preparer<'_> {
    async fn record(&self, text: String) -> Result<PreparedStatement, OpenError> {
        self.profiles.record.prepare(self.session, text, PAGE_ROWS).await
    }

    async fn write(&self, text: String) -> Result<PreparedStatement, OpenError> {
        self.profiles.write.prepare(self.session, text, PAGE_ROWS).await
    }

    async fn read(&self, text: String) -> Result<PreparedStatement, OpenError> {
        self.profiles.read.prepare(self.session, text, PAGE_ROWS).await
    }

    async fn scan(&self, text: String) -> Result<Scan, OpenError> {
        let here = self.profiles.scan.prepare(self.session, text, PAGE_ROWS).await?;
        Ok(Scan { both: far(here.clone()), here })
    }

    async fn rows(&self) -> Result<Rows, OpenError> {
        let rows = format!("{}.rows", self.names.control);
        let one = "event = ? AND shelf = ? AND number = ? AND name = ? AND pipeline = ?";
        // No INSERT: it would leave a mark that there is a row, which outlives what stands in it.
        let insert = format!("UPDATE {rows} USING TTL ? SET row = ? WHERE {one} IF row = null");
        let read = self.read(format!("SELECT row FROM {rows} WHERE {one}")).await?;
        Ok(Rows {
            insert: self.record(insert).await?,
            replace: self.record(format!("UPDATE {rows} USING TTL ? SET row = ? WHERE {one} IF row = ?")).await?,
            delete: self.record(format!("DELETE FROM {rows} WHERE {one} IF row = ?")).await?,
            erase: self.write(format!("DELETE FROM {rows} WHERE {one}")).await?,
            read_serial: serial(read.clone()),
            read,
            scan: self
                .scan(format!("SELECT pipeline, row FROM {rows}{}", tokens("event, shelf, number, name, pipeline")))
                .await?,
        })
    }

    async fn listing(&self) -> Result<Listing, OpenError> {
        let control = &self.names.control;
        let (listing, blocks, shelves) =
            (format!("{control}.listing"), format!("{control}.blocks"), format!("{control}.shelves"));
        let shelf = "event = ? AND shelf = ?";
        let columns = "(event, shelf, block, number, name, pipeline)";
        let insert_row = format!("INSERT INTO {listing} {columns} VALUES (?, ?, ?, ?, ?, ?) USING TTL ?");
        let block = format!("{shelf} AND block = ?");
        let slice = format!("{block} AND number >= ? AND number <= ?");
        let insert_block = format!("INSERT INTO {blocks} (event, shelf, block) VALUES (?, ?, ?) USING TTL ?");
        let down = format!("SELECT block FROM {blocks} WHERE {shelf} ORDER BY block DESC");
        let read_blocks = format!("SELECT block FROM {blocks} WHERE {shelf} AND block >= ? AND block <= ?");
        Ok(Listing {
            insert_row: self.write(insert_row).await?,
            read_rows: self.read(format!("SELECT number, name, pipeline FROM {listing} WHERE {slice}")).await?,
            delete_rows: self.write(format!("DELETE FROM {listing} WHERE {block}")).await?,
            insert_block: self.write(insert_block).await?,
            read_blocks: self.read(read_blocks).await?,
            read_blocks_down: self.read(down).await?,
            delete_blocks: self.write(format!("DELETE FROM {blocks} WHERE {shelf}")).await?,
            insert_shelf: self.write(format!("INSERT INTO {shelves} (event, shelf) VALUES (?, ?)")).await?,
            read_shelves: self.read(format!("SELECT shelf FROM {shelves} WHERE event = ?")).await?,
            delete_shelves: self.write(format!("DELETE FROM {shelves} WHERE event = ?")).await?,
            scans: [
                self.scan(format!("SELECT event FROM {listing}{}", tokens("event, shelf, block"))).await?,
                self.scan(format!("SELECT event FROM {blocks}{}", tokens("event, shelf"))).await?,
                self.scan(format!("SELECT event FROM {shelves}{}", tokens("event"))).await?,
            ],
        })
    }

    async fn events(&self) -> Result<Events, OpenError> {
        let events = format!("{}.events", self.names.control);
        let one = "tenant = ? AND name = ?";
        let columns = "(tenant, name, rev, entry, ended)";
        let insert = format!("INSERT INTO {events} {columns} VALUES (?, ?, ?, ?, ?) IF NOT EXISTS");
        let replace = format!("UPDATE {events} SET rev = ?, entry = ?, ended = ? WHERE {one} IF rev = ?");
        let read = self.read(format!("SELECT entry, ended FROM {events} WHERE {one}")).await?;
        Ok(Events {
            insert: self.record(insert).await?,
            replace: self.record(replace).await?,
            freed: self.record(format!("UPDATE {events} SET ended = ? WHERE {one} IF ended = ?")).await?,
            read_serial: serial(read.clone()),
            read,
            scan: self.scan(format!("SELECT name, rev, entry, ended FROM {events}")).await?,
        })
    }

    async fn changes(&self) -> Result<Changes, OpenError> {
        let changes = format!("{}.changes", self.names.control);
        let columns = "(shard, bucket, at, nonce, node, kind, key)";
        let since = "shard = ? AND bucket = ? AND at >= ?";
        Ok(Changes {
            insert: self.write(format!("INSERT INTO {changes} {columns} VALUES (?, ?, ?, ?, ?, ?, ?)")).await?,
            read: self.read(format!("SELECT at, nonce, node, kind, key FROM {changes} WHERE {since}")).await?,
        })
    }

    async fn chunks(&self) -> Result<Chunks, OpenError> {
        let (expiring, standing) = tokio::try_join!(self.chunk_table(CHUNKS), self.chunk_table(STANDING))?;
        Ok(Chunks { expiring, standing })
    }

    async fn chunk_table(&self, table: &str) -> Result<ChunkTable, OpenError> {
        let chunks = format!("{}.{table}", self.names.media);
        let one = "version = ? AND part = ?";
        let insert = format!("INSERT INTO {chunks} (version, part, bytes) VALUES (?, ?, ?) USING TTL ?");
        let read = format!("SELECT bytes FROM {chunks} WHERE {one}");
        Ok(ChunkTable {
            insert: self.write(insert).await?,
            read_far: far(self.profiles.far.prepare(self.session, read.clone(), PAGE_ROWS).await?),
            read: self.read(read).await?,
            delete: self.write(format!("DELETE FROM {chunks} WHERE {one}")).await?,
        })
    }
}

/// The same question, asked of a quorum of each datacentre. Of a row that one lacks it puts back the columns it asks for: so
/// it has to ask for all.
fn far(mut statement: PreparedStatement) -> PreparedStatement {
    statement.set_consistency(Consistency::EachQuorum);
    statement
}

/// The same question, asked so that what is half done is done or given up first.
fn serial(mut statement: PreparedStatement) -> PreparedStatement {
    statement.set_consistency(Consistency::LocalSerial);
    statement
}
