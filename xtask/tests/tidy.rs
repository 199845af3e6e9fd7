//! The house rules, as a test, so that nobody has to remember to check them.

use std::path::Path;

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root");
    let breaches = xtask::tidy::check(root).expect("the workspace can be read");
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}
