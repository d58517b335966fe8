//! `fault`: istiod's `TranslateFault`.

use crate::compile::rows::{RowWriter, number};
use crate::config::resource::HttpFault;
use crate::tables::FaultRow;

/// An index into `faults`; `None` when it never happens.
pub(super) fn compile(fault: &HttpFault, rows: &mut RowWriter<'_>) -> Option<u32> {
    let row = FaultRow {
        delay: fault.delay.filter(|(chance, _)| chance.0 > 0),
        abort: fault.abort.filter(|(chance, _)| chance.0 > 0),
    };
    if row.delay.is_none() && row.abort.is_none() {
        return None;
    }
    rows.rows.faults.push(row);
    Some(number(rows.rows.faults.len().saturating_sub(1)))
}
