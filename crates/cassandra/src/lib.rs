//! The store engine on Apache Cassandra, with memcached in front of its chunks.
