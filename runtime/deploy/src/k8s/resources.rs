//! What the containers may take. A coordinator's memory follows from the stages' limits; its CPUs are limited, for it runs as many stages
//! concurrently as it has CPUs.

use serde_json::{Value as Json, json};
use tidemill_core::pipeline::{Pipeline, deployment::SQL_MEMORY_BYTES};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// The process itself, the models that it serves, and what it copies.
const BASE_BYTES: u64 = GIB;
/// CPUs of the coordinator, and so stages that run concurrently.
const COORDINATOR_CPUS: usize = 2;
/// Memory of a server: models, instances, and the bodies of requests.
const SERVER_BYTES: u64 = 2 * GIB;
/// The share of its requested CPU at which a server gets another beside it.
pub(super) const CPU_UTILIZATION: u32 = 70;

/// The coordinator's: the base and the largest stage are kept free for it; as many of the largest stages as run concurrently, and SQL, may be
/// taken.
pub(super) fn coordinator(pipeline: &Pipeline) -> Json {
    let mut stages: Vec<u64> = pipeline
        .nodes
        .iter()
        .flat_map(|node| std::iter::repeat_n(node.memory_bytes, node.concurrency.min(COORDINATOR_CPUS)))
        .collect();
    stages.sort_unstable_by(|a, b| b.cmp(a));
    let largest = stages.first().copied().unwrap_or_default();
    let together: u64 = stages.iter().take(COORDINATOR_CPUS).sum();
    json!({
        "requests": { "cpu": "250m", "memory": quantity(BASE_BYTES + largest), "ephemeral-storage": "4Gi" },
        "limits": { "cpu": COORDINATOR_CPUS.to_string(), "memory": quantity(BASE_BYTES + SQL_MEMORY_BYTES + together) },
    })
}

/// A server's. What it may take is kept free for it: a node that runs out of memory evicts first what takes more than was kept free, and an
/// evicted pod loses its log. There is no limit of the CPU, which would make answers wait, nor of the disk, which would evict.
pub(super) fn server() -> Json {
    json!({
        "requests": { "cpu": "1", "memory": quantity(SERVER_BYTES), "ephemeral-storage": "1Gi" },
        "limits": { "memory": quantity(SERVER_BYTES) },
    })
}

/// Bytes as Kubernetes writes them.
fn quantity(bytes: u64) -> String {
    match bytes % GIB {
        0 => format!("{}Gi", bytes / GIB),
        _ => format!("{}Mi", bytes.div_ceil(MIB)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_whole() {
        assert_eq!(quantity(3 * GIB), "3Gi");
        assert_eq!(quantity(GIB + 1), "1025Mi");
    }
}
