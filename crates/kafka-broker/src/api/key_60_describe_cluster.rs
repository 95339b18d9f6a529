//! DescribeCluster: one broker, which is the controller too.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::key_03_metadata::StrCluster;
use super::{Context, NO_OPERATIONS, Reply};
use crate::shared::NODE_ID;

pub(super) fn handle(
    context: &Context<'_>,
    _: DescribeClusterRequest,
) -> Reply<DescribeClusterResponse> {
    let (host, port) = context.advertised();
    let broker = DescribeClusterBroker::default()
        .with_broker_id(NODE_ID.into())
        .with_host(host)
        .with_port(port);
    let cluster = context.shared.core().state.cluster;
    Reply::Now(
        DescribeClusterResponse::default()
            .with_cluster_id(StrCluster(cluster).text())
            .with_controller_id(NODE_ID.into())
            .with_cluster_authorized_operations(NO_OPERATIONS)
            .with_endpoint_type(1)
            .with_brokers(vec![broker]),
    )
}
