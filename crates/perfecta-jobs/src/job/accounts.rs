//! What a job has come to so far: keys, bytes, failures, and what is to be said at its end.

use perfecta_core::search::Plan;

use crate::error::{ExitClass, ItemError};
use crate::event::{ItemReport, Summary};
use crate::ledger::{Ledger, Status};
use crate::remarks::Remarks;

/// What the items of a job came to so far.
#[derive(Default)]
pub(super) struct Accounts {
    pub(super) keys_done: u64,
    pub(super) keys_total: u64,
    /// Bytes that were written, or may be: what items at work hold, what tables hold that were published,
    /// and what of a pack is no table's.
    pub(super) output_bytes: u64,
    /// Whether something that was to be replaced lies in the stage, and nowhere else.
    pub(super) is_displaced: bool,
    pub(super) remarks: Remarks,
    disk_full_in_a_row: u32,
    summary: Summary,
    first_failure: Option<(u32, ExitClass)>,
}

impl Accounts {
    /// Those of a job that has not begun: its keys, and the bytes that no table is to account for.
    pub(super) fn new(keys_total: u64, output_bytes: u64) -> Self {
        Self { keys_total, output_bytes, ..Self::default() }
    }

    /// An item is settled.
    pub(super) fn take(&mut self, position: u32, report: &ItemReport, plan: &Plan) {
        self.remarks.note(position, report, plan);
        self.summary.bytes += report.bytes;
        self.summary.files += u64::from(report.files);
        self.is_displaced |=
            matches!(&report.error, Some(ItemError::Output(error)) if error.is_displacing());
        match report.status {
            Status::Ok | Status::Unchanged => self.summary.keys += report.keys,
            Status::Failed => {
                let class =
                    report.error.as_ref().map_or(ExitClass::Internal, ItemError::exit_class);
                if self.first_failure.is_none_or(|(first, _)| position < first) {
                    self.first_failure = Some((position, class));
                }
            }
            Status::Cancelled => {}
        }
    }

    /// Bytes and files that were published and belong to no item alone.
    pub(super) fn published_beside(&mut self, bytes: u64, files: u32) {
        self.summary.bytes += bytes;
        self.summary.files += u64::from(files);
    }

    /// Counts an item that may have found the disk full: how many did, up to this one, since one found room.
    pub(super) fn count_disk_full(&mut self, report: &ItemReport) -> u32 {
        match &report.error {
            Some(ItemError::Output(error)) if error.is_full() => self.disk_full_in_a_row += 1,
            // It says nothing of the room: nearly always, it did not come to writing.
            Some(_) => return 0,
            None => self.disk_full_in_a_row = 0,
        }
        self.disk_full_in_a_row
    }

    /// Counts so many bytes as written, or says why they may not be.
    pub(super) fn reserve_output(&mut self, bytes: u64, bytes_max: u64) -> Result<(), ItemError> {
        let sum = self.output_bytes.checked_add(bytes).filter(|&sum| sum <= bytes_max);
        self.output_bytes = sum.ok_or(ItemError::OutputLimit { bytes, bytes_max })?;
        Ok(())
    }

    /// The summary of a job that is over, without its times.
    ///
    /// # Panics
    /// If more was published than was counted.
    pub(super) fn close(self, ledger: &Ledger) -> Summary {
        let (written, counted) = (self.summary.bytes, self.output_bytes);
        assert!(written <= counted, "{written} bytes were published, {counted} were counted");
        Summary {
            tables: ledger.admitted(),
            ok: ledger.ok(),
            unchanged: ledger.unchanged(),
            failed: ledger.failed(),
            cancelled: ledger.cancelled(),
            first_failure: self.first_failure.map(|(_, class)| class),
            ..self.summary
        }
    }
}
