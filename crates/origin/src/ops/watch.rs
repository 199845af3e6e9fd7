//! The watch page: plain HTML, CSS and script, so that the first look at Headwater needs no player and no library. It
//! fetches nothing from elsewhere; the policy it is served with makes sure.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use headwater_wire::Problem;
use http::header;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Origin;
use crate::ops::{Path, Refused};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, content type, content.
const FILES: [(&str, &str, &str); 7] = [
    ("watch.css", CSS, include_str!("watch/watch.css")),
    ("watch.js", SCRIPT, include_str!("watch/watch.js")),
    ("origin.js", SCRIPT, include_str!("watch/origin.js")),
    ("player.js", SCRIPT, include_str!("watch/player.js")),
    ("mp4.js", SCRIPT, include_str!("watch/mp4.js")),
    ("view.js", SCRIPT, include_str!("watch/view.js")),
    ("controls.js", SCRIPT, include_str!("watch/controls.js")),
];

/// Scripts and styles are ours alone; segments come from the deliver listener, wherever it is.
const POLICY: &str = "default-src 'self'; connect-src 'self' http: https:; media-src blob:; img-src data:; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

pub(super) fn router() -> OpenApiRouter<Arc<Origin>> {
    OpenApiRouter::new().routes(routes!(page)).routes(routes!(part))
}

/// The watch page.
#[utoipa::path(get, path = "/watch", tag = "watch",
    responses((status = 200, content_type = "text/html", body = String)))]
async fn page() -> Response {
    file(HTML, include_str!("watch/watch.html"))
}

/// A style or script of the watch page.
#[utoipa::path(get, path = "/watch/{file}", tag = "watch", params(("file" = String, Path)),
    responses((status = 200, description = "CSS or JavaScript"), (status = 404, description = "no part of the page")))]
async fn part(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, content)) => file(kind, content),
        None => {
            let detail = format!("`{name}` is no part of the watch page; open /watch");
            Refused::from(Problem::new(404, "unknown-path", "Unknown path", detail)).into_response()
        }
    }
}

/// Asked for anew each time: an old script must not meet a new origin.
fn file(kind: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_page_names_is_served() {
        let sources = FILES.iter().map(|(_, _, content)| *content).chain([include_str!("watch/watch.html")]);
        for source in sources {
            let quoted = source.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css"));
            for named in quoted.filter_map(|text| text.rsplit('/').next()) {
                assert!(FILES.iter().any(|(known, ..)| *known == named), "{named}");
            }
        }
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for (name, _, content) in FILES {
            assert!(!content.contains("http://") && !content.contains("https://"), "{name}");
        }
    }
}
