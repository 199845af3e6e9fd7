//! The watch page: plain HTML and script, so that the first look at Headwater needs no player and no library.

use std::sync::Arc;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use http::header;

use crate::Origin;

pub(super) fn router() -> Router<Arc<Origin>> {
    let script =
        || async { ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("watch/watch.js")) };
    Router::new()
        .route("/watch", get(|| async { Html(include_str!("watch/watch.html")) }))
        .route("/watch.js", get(script))
}
