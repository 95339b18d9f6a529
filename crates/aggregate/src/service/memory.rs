//! How much memory the state may take, and how much it takes.

use std::sync::Arc;

use telemetry::{Meter, Telemetry};

use crate::engine::{Engine, EngineError, StateSize, Totals};
use crate::error::ServiceError;
use crate::options::AggregationOptions;
use crate::spill::Spill;

/// Gives both stages the memory that they may take together, and the disk for the rest.
pub(super) fn spill(
    options: &AggregationOptions,
    engine: &mut Engine,
    totals: &mut Totals,
) -> Result<(), ServiceError> {
    let Some(wanted) = &options.spill else {
        return Ok(());
    };
    let spill = Spill::open(wanted).map_err(|source| EngineError::Scratch {
        name: options.name.clone(),
        source,
    })?;
    match engine.is_in_parts() {
        // The one has the identities, the other the rows.
        true => {
            engine.spill_to(spill.half());
            totals.spill_to(spill.half());
        }
        false => engine.spill_to(spill),
    }
    Ok(())
}

/// How much state there is, as metrics.
pub(super) struct Levels([Arc<Meter>; 6]);

impl Levels {
    pub(super) fn new(telemetry: &Telemetry, label: &str) -> Self {
        let names = [
            "aggregation_rows",
            "aggregation_identities",
            "aggregation_rows_spilled",
            "aggregation_identities_spilled",
            "aggregation_state_memory_bytes",
            "aggregation_state_disk_bytes",
        ];
        Self(names.map(|name| telemetry.meter(name, label)))
    }

    pub(super) fn set(&self, size: &StateSize) {
        let level = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let levels = [
            level(size.rows),
            level(size.identities),
            level(size.rows_spilled),
            level(size.identities_spilled),
            level(size.memory_bytes),
            i64::try_from(size.disk_bytes).unwrap_or(i64::MAX),
        ];
        let meters = self.0.iter().zip(levels);
        meters.for_each(|(meter, level)| meter.set(level));
    }
}
