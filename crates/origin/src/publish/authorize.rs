//! Who publishes, and for which pipeline (contract §2): by credential, by header, by `@a` in the path, in this order;
//! they must not disagree.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use headwater_model::Pipeline;
use headwater_wire::Problem;
use http::{HeaderMap, header};

use crate::config::{Publisher, TenantSpec};

/// The header by which a publisher names its pipeline.
pub const PIPELINE_HEADER: &str = "headwater-pipeline";

/// Checks the credential. `Ok(None)`: it stands for no pipeline.
///
/// # Errors
/// 401 without a credential, 403 with a wrong one.
pub fn credential(tenant: &TenantSpec, headers: &HeaderMap, peer: IpAddr) -> Result<Option<Pipeline>, Problem> {
    if tenant.publishers.is_empty() {
        if peer.to_canonical().is_loopback() {
            return Ok(None);
        }
        let detail =
            "this tenant has no publishers, so it is open to this machine alone; add [[tenants.NAME.publishers]]";
        return Err(Problem::new(403, "not-local", "Publishing is open to this machine alone", detail));
    }
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        let detail = "send HTTP Basic or a bearer token of one of the tenant's publishers";
        return Err(Problem::new(401, "no-credential", "Credential required", detail)
            .field("authorization")
            .header(header::WWW_AUTHENTICATE, "Basic realm=\"headwater\", charset=\"UTF-8\""));
    };
    let publisher = given.to_str().ok().and_then(|given| tenant.publishers.iter().find(|known| matches(known, given)));
    match publisher {
        Some(publisher) => Ok(publisher.pipeline.clone()),
        None => Err(Problem::new(403, "wrong-credential", "Wrong credential", "no publisher of this tenant has it")
            .field("authorization")),
    }
}

fn matches(publisher: &Publisher, given: &str) -> bool {
    let Some((scheme, value)) = given.split_once(' ') else { return false };
    let wanted = match scheme.to_ascii_lowercase().as_str() {
        "basic" => BASE64.encode(format!("{}:{}", publisher.user, publisher.secret)),
        "bearer" => publisher.secret.clone(),
        _ => return false,
    };
    is_same(wanted.as_bytes(), value.trim().as_bytes())
}

/// Compares without telling by the time it takes how much agrees.
fn is_same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// The pipeline that credential, header and path agree on; `None` if none of them names one.
///
/// # Errors
/// 403 if they disagree or the header names none that can exist.
pub fn pipeline(
    credential: Option<Pipeline>,
    headers: &HeaderMap,
    path: Option<&Pipeline>,
) -> Result<Option<Pipeline>, Problem> {
    let header = match headers.get(PIPELINE_HEADER) {
        None => None,
        Some(value) => {
            let text = String::from_utf8_lossy(value.as_bytes());
            Some(Pipeline::new(text.trim()).map_err(|error| forbidden(error.to_string()))?)
        }
    };
    let named = [("credential", credential.as_ref()), ("header", header.as_ref()), ("path", path)];
    let mut named = named.into_iter().filter_map(|(source, pipeline)| Some((source, pipeline?)));
    let Some((first, pipeline)) = named.next() else { return Ok(None) };
    match named.find(|(_, other)| *other != pipeline) {
        None => Ok(Some(pipeline.clone())),
        Some((source, other)) => Err(forbidden(format!(
            "the {first} says pipeline `{pipeline}`, the {source} says `{other}`; let them agree or leave one out"
        ))),
    }
}

/// 403 for a pipeline that may not publish.
pub fn forbidden(detail: String) -> Problem {
    Problem::new(403, "wrong-pipeline", "Not this publisher's pipeline", detail).field(PIPELINE_HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(pipeline: Option<&str>) -> TenantSpec {
        let pipeline = pipeline.map(|name| Pipeline::new(name).unwrap());
        let publisher = Publisher { user: "enc".into(), secret: "s3cret".into(), pipeline };
        TenantSpec { publishers: vec![publisher], ..TenantSpec::default() }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn status(result: Result<Option<Pipeline>, Problem>) -> u16 {
        result.map_or_else(|problem| problem.status.as_u16(), |_| 200)
    }

    #[test]
    fn basic_and_bearer_credentials_are_checked() {
        let peer = IpAddr::from([10, 0, 0, 1]);
        let given = |value| headers(&[("authorization", value)]);
        for (value, want) in [
            ("Basic ZW5jOnMzY3JldA==", 200),
            ("Bearer s3cret", 200),
            ("bearer s3cret", 200),
            ("Bearer s3cret2", 403),
            ("Basic eDp5", 403),
            ("Digest x", 403),
            ("s3cret", 403),
        ] {
            assert_eq!(status(credential(&tenant(None), &given(value), peer)), want, "{value}");
        }
        assert_eq!(status(credential(&tenant(None), &HeaderMap::new(), peer)), 401);
    }

    #[test]
    fn a_tenant_without_publishers_is_open_to_this_machine_alone() {
        let open = TenantSpec::default();
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        for (peer, want) in [(IpAddr::from([127, 0, 0, 1]), 200), (mapped, 200), (IpAddr::from([10, 0, 0, 1]), 403)] {
            assert_eq!(status(credential(&open, &HeaderMap::new(), peer)), want, "{peer}");
        }
    }

    #[test]
    fn credential_header_and_path_must_agree() {
        let name = |text| Pipeline::new(text).unwrap();
        let (a, b) = (name("a"), name("b"));
        let header_a = headers(&[("headwater-pipeline", "a")]);
        assert_eq!(pipeline(None, &HeaderMap::new(), None).unwrap(), None);
        assert_eq!(pipeline(Some(a.clone()), &header_a, Some(&a)).unwrap(), Some(a.clone()));
        assert_eq!(pipeline(None, &header_a, None).unwrap(), Some(a.clone()));
        for refused in [
            pipeline(Some(b.clone()), &header_a, None),
            pipeline(None, &header_a, Some(&b)),
            pipeline(Some(a), &HeaderMap::new(), Some(&b)),
            pipeline(None, &headers(&[("headwater-pipeline", "A!")]), None),
        ] {
            assert_eq!(status(refused), 403);
        }
    }
}
