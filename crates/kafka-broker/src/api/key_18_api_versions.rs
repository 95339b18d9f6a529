//! ApiVersions: what the broker understands.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::{APIS, Context, Reply};

pub(super) fn handle(_: &Context<'_>, _: ApiVersionsRequest) -> Reply<ApiVersionsResponse> {
    Reply::Now(list())
}

/// The answer to a version that is not known: try again with one of these.
pub(super) fn refused() -> ApiVersionsResponse {
    list().with_error_code(ResponseError::UnsupportedVersion.code())
}

fn list() -> ApiVersionsResponse {
    let keys = APIS.iter().map(|api| {
        ApiVersion::default()
            .with_api_key(api.key as i16)
            .with_min_version(api.min)
            .with_max_version(api.max)
    });
    ApiVersionsResponse::default()
        .with_api_keys(keys.collect())
        .with_finalized_features_epoch(-1)
}
