//! Places as a person names them, and the credentials of buckets. The environment is that of other S3 tools.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use headwater_archive::Place;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

/// Longest time for which a bucket's failures are retried. After it, an error says so, and the command can be run again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// Most retries in it.
const RETRIES_MAX: usize = 6;

/// How buckets are reached. Everything else comes from `AWS_…` variables as for other tools (AWS_ACCESS_KEY_ID,
/// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_WEB_IDENTITY_TOKEN_FILE …); secrets are no flags, since every process
/// of a machine can read those.
#[derive(clap::Args)]
pub(super) struct PlaceArgs {
    /// The endpoint of an S3-compatible server; http:// is allowed [env: AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3].
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,
    /// The region of the bucket [env: AWS_REGION, AWS_DEFAULT_REGION; else us-east-1].
    #[arg(long, value_name = "REGION")]
    s3_region: Option<String>,
}

/// A directory or a part of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PlaceRef {
    Folder(PathBuf),
    Bucket { bucket: String, prefix: String },
}

impl FromStr for PlaceRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return match text.split_once("://") {
                Some((scheme, _)) => {
                    Err(format!("`{scheme}://` is no place to write to; use a directory or s3://BUCKET/PREFIX"))
                }
                None if text.is_empty() => Err("name a directory or s3://BUCKET/PREFIX".to_owned()),
                None => Ok(Self::Folder(text.into())),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err("there is no bucket in it; write s3://BUCKET/PREFIX".to_owned());
        }
        Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }
}

impl PlaceRef {
    /// Opens it; a directory is made if it is to be `made`.
    ///
    /// # Errors
    /// It cannot be used.
    pub(super) fn open(&self, args: &PlaceArgs, made: bool) -> Result<Place> {
        match self {
            Self::Folder(path) => Place::folder(path, made),
            Self::Bucket { bucket, prefix } => Place::bucket(builder(args), bucket, prefix),
        }
    }
}

fn builder(args: &PlaceArgs) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::from_env();
    if let Some(region) = &args.s3_region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &args.s3_endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    let is_http = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let retry =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT };
    let agent = http::HeaderValue::from_static(concat!("headwater/", env!("CARGO_PKG_VERSION")));
    let options = ClientOptions::new().with_user_agent(agent).with_allow_http(is_http);
    builder.with_client_options(options).with_allow_http(is_http).with_retry(retry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(bucket: &str, prefix: &str) -> PlaceRef {
        PlaceRef::Bucket { bucket: bucket.into(), prefix: prefix.into() }
    }

    #[test]
    fn a_place_is_a_directory_or_a_bucket() {
        assert_eq!("out/game".parse(), Ok(PlaceRef::Folder("out/game".into())));
        assert_eq!("s3://vod/live/game7/".parse(), Ok(bucket("vod", "live/game7")));
        assert_eq!("s3://vod".parse(), Ok(bucket("vod", "")));
    }

    #[test]
    fn anything_else_is_no_place() {
        for (text, words) in [("s3:///x", "no bucket"), ("gs://vod/x", "s3://BUCKET"), ("", "directory")] {
            assert!(text.parse::<PlaceRef>().unwrap_err().contains(words), "{text}");
        }
    }
}
