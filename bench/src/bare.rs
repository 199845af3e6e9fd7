//! A server with nothing around hyper: the same bytes from memory in one piece, five headers, and uploads read to
//! their end and forgotten. What Headwater costs beyond it is Headwater's.

use std::convert::Infallible;
use std::io::Write;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The sizes it has bodies of, under `/SIZE`.
const SIZES: [usize; 2] = [1 << 20, 32 << 10];

/// Serves on a free port, whose number it prints, until it is killed.
pub(crate) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        std::io::stdout().flush()?;
        let bodies = SIZES.map(|size| (format!("/{size}"), Bytes::from(vec![7; size])));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let bodies = bodies.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(|request| answer(&bodies, request));
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

async fn answer(bodies: &[(String, Bytes)], request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::PUT {
        let mut body = request.into_body();
        while let Some(Ok(_)) = body.frame().await {}
        return Ok(response(StatusCode::CREATED, Bytes::new()));
    }
    let body = bodies.iter().find(|(path, _)| path == request.uri().path());
    Ok(match body {
        Some((_, body)) => response(StatusCode::OK, body.clone()),
        None => response(StatusCode::NOT_FOUND, Bytes::from_static(b"not found\n")),
    })
}

fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header(CONTENT_LENGTH, body.len())
        .header(CONTENT_TYPE, "video/mp4")
        .header(CACHE_CONTROL, "public, max-age=31536000, immutable")
        .header(ETAG, "\"0123456789abcdef0123456789abcdef\"")
        .header(ACCEPT_RANGES, "bytes")
        .body(Full::new(body));
    response.unwrap_or_default()
}
