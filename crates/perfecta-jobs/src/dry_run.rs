//! What a job would do, from lengths alone.

use perfecta_core::geometry::Geometry;

use crate::config::Job;
use crate::error::JobError;
use crate::event::DryRun;
use crate::inputs::plan_items;
use crate::runtime::Runtime;

/// About what a manifest of one artifact comes to.
const MANIFEST_BYTES: u64 = 800;

/// What a job would do, from the lengths of its key files.
///
/// # Errors
/// As [`run`](crate::run).
pub fn dry_run(job: &Job, runtime: &Runtime<'_>) -> Result<DryRun, JobError> {
    let mut engine = runtime.engines.engine();
    let items = plan_items(job, engine.as_mut())?;
    let mut dry_run = DryRun::default();
    for item in items {
        if let Some(refusal) = item.refusal {
            dry_run.refused.push((item.keys_file, refusal));
            continue;
        }
        let num_keys = item.num_keys(job);
        dry_run.tables += 1;
        dry_run.keys += num_keys;
        let geometry = usize::try_from(num_keys).ok().and_then(Geometry::for_keys);
        if let (Some(renderer), Some(_), Some(geometry)) = (runtime.renderer, &job.output, geometry)
        {
            let estimate =
                renderer.estimate(num_keys, job.keys.width.of(&item.keys_file), geometry);
            dry_run.files += estimate.files + 1;
            dry_run.bytes += estimate.bytes + MANIFEST_BYTES;
        }
    }
    Ok(dry_run)
}
