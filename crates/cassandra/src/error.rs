//! Why the engine could not be opened, and what a driver's error means to who asked the store.

use headwater_store::StoreError;

use crate::schema::VERSION;

/// Why the engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An option makes no sense.
    #[error("`{field}`: {problem}")]
    Option {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// No contact point answers.
    #[error(
        "`contact_points`: no Cassandra node answers at {points}: {problem}; check that they are up and speak CQL there"
    )]
    Unreachable {
        /// Those that were asked.
        points: String,
        /// What the driver says.
        problem: String,
    },
    /// Cassandra wants another login, or one at all.
    #[error("`user` and `password`: Cassandra at {points} does not let us in: {problem}; name a role that it knows")]
    Login {
        /// Those that were asked.
        points: String,
        /// What the driver says.
        problem: String,
    },
    /// The schema could not be made or used.
    #[error("the schema cannot be made or used: {0}; check `datacentre`, `replication` and the rights of the user")]
    Schema(String),
    /// A later build has made or changed the schema.
    #[error(
        "the schema in the cluster has version {version}, this build knows up to {VERSION}: run the newer build, or name \
         another `keyspace`"
    )]
    Later {
        /// Its version.
        version: i32,
    },
    /// An earlier build has made the schema.
    #[error(
        "the schema in the cluster has version {version}, this build needs {VERSION}: stop all servers, then run \
         `headwater store init`, which brings it there"
    )]
    Earlier {
        /// Its version.
        version: i32,
    },
    /// There is nothing to look at.
    #[error(
        "there is no table {table}: nothing has been stored there; check `keyspace`, or make it with `headwater store init`"
    )]
    Nothing {
        /// The table that is missing.
        table: String,
    },
    /// What is recorded could not be read at start.
    #[error("the records cannot be read: {0}")]
    Load(#[from] StoreError),
}

impl OpenError {
    pub(crate) fn schema(error: impl std::fmt::Display) -> Self {
        Self::Schema(error.to_string())
    }
}

/// A call of the driver failed while the engine was `doing` something.
pub(crate) fn unavailable(doing: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{doing}: {error}; check that a quorum of this datacentre's Cassandra nodes is up"))
}

/// What was read back is none of ours.
pub(crate) fn damaged(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("{what}: {error}"))
}

/// What `column` names is of a datacentre that the options do not name, so it does not count here. Who goes on without it
/// says so, or it would be found out by what is missing.
pub(crate) fn stranger(column: &str) -> StoreError {
    damaged(column, "`store.replication` does not name this datacentre; name it, with 0 copies if it was given up")
}

/// What cannot be read is left out where many are read for readers, and said: the others are none the worse for it. Not for
/// who deletes what nothing names.
pub(crate) fn readable<T: Default>(read: Result<T, StoreError>, what: &str) -> Result<T, StoreError> {
    match read {
        Err(StoreError::Damaged(error)) => {
            tracing::error!(error, "{what} and is left out; `headwater store check` tells where it is");
            Ok(T::default())
        }
        read => read,
    }
}
