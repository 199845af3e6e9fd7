//! Which server of a zone has which key: consistent hashing, so that a server that joins or leaves moves only its share.
//! Every node has to come to the same answer, whatever its version: the vectors in the test must never change. Pure.

use twox_hash::XxHash3_64;

/// Points of each server. With 160 the shares of a few servers differ by less than a tenth from each other, mostly.
const POINTS: u32 = 160;

/// Servers on a ring of hashes.
pub(crate) struct Ring<S> {
    servers: Vec<S>,
    /// Each point with whose it is, by point.
    points: Vec<(u64, usize)>,
}

impl<S> Ring<S> {
    /// A ring of servers by name; `None` without any.
    pub(crate) fn new(servers: Vec<(String, S)>) -> Option<Self> {
        let mut points = Vec::new();
        for (index, (name, _)) in servers.iter().enumerate() {
            points.extend((0..POINTS).map(|point| (hash(&format!("{name}#{point}")), index)));
        }
        points.sort_unstable();
        let servers: Vec<S> = servers.into_iter().map(|(_, server)| server).collect();
        (!servers.is_empty()).then_some(Self { servers, points })
    }

    /// The server of `key`: whose point comes next.
    pub(crate) fn server(&self, key: &str) -> &S {
        let hash = hash(key);
        let next = self.points.partition_point(|(point, _)| *point < hash);
        let (_, index) = self.points[next % self.points.len()];
        &self.servers[index]
    }
}

fn hash(text: &str) -> u64 {
    XxHash3_64::oneshot(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(names: &[&'static str]) -> Ring<&'static str> {
        Ring::new(names.iter().map(|name| ((*name).to_owned(), *name)).collect()).unwrap()
    }

    const FOUR: [&str; 4] = ["10.0.0.1:11211", "10.0.0.2:11211", "10.0.0.3:11211", "10.0.0.4:11211"];

    #[test]
    fn which_server_has_a_key_never_changes() {
        let ring = ring(&FOUR);
        for (key, server) in VECTORS {
            assert_eq!(*ring.server(key), server, "{key}");
        }
    }

    /// Made once, by another implementation of the hash. A build that disagrees would ask the wrong servers, and so would every mixed fleet.
    const VECTORS: [(&str, &str); 6] = [
        ("hw1:00000000000000000000000000000000:0", "10.0.0.3:11211"),
        ("hw1:00000000000000000000000000000000:1", "10.0.0.2:11211"),
        ("hw1:00000000000000000000000000000001:0", "10.0.0.3:11211"),
        ("hw1:0123456789abcdef0123456789abcdef:7", "10.0.0.2:11211"),
        ("hw1:ffffffffffffffffffffffffffffffff:0", "10.0.0.4:11211"),
        ("hw1:ffffffffffffffffffffffffffffffff:255", "10.0.0.1:11211"),
    ];

    #[test]
    fn the_order_of_servers_does_not_matter() {
        let (ring, turned) = (ring(&FOUR), ring(&[FOUR[3], FOUR[1], FOUR[0], FOUR[2]]));
        assert!((0..1000).all(|key| ring.server(&key.to_string()) == turned.server(&key.to_string())));
    }

    #[test]
    fn a_server_that_leaves_moves_its_share_alone() {
        let (four, three) = (ring(&FOUR), ring(&FOUR[..3]));
        let keys: Vec<String> = (0..10_000).map(|key| key.to_string()).collect();
        let moved = keys.iter().filter(|key| four.server(key) != three.server(key)).count();
        assert!(keys.iter().all(|key| *four.server(key) == FOUR[3] || four.server(key) == three.server(key)));
        assert!((1_500..3_500).contains(&moved), "{moved} of 10000 moved");
    }
}
