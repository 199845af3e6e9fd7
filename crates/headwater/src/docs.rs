//! The generated pages under docs/: written by `cargo xtask docs`, and a test each that fails when one is stale.

use std::path::Path;

use crate::config::keys;

/// Set by `cargo xtask docs`: pages are written instead of compared.
const UPDATE: &str = "HEADWATER_UPDATE_DOCS";

#[expect(clippy::disallowed_methods, reason = "a test asks whether it is to write")]
fn check(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stands == page, "docs/{name} is stale; run `cargo xtask docs`");
}

#[test]
fn the_configuration_page_is_fresh() {
    check("configuration.md", &keys::page());
}

#[test]
fn the_metrics_page_is_fresh() {
    check("metrics.md", &headwater_origin::metrics::page());
}

#[test]
fn the_openapi_document_is_fresh() {
    check("openapi.json", &format!("{}\n", headwater_origin::ops::openapi().trim_end()));
}
