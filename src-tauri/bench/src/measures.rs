//! What is measured, in the order of the table.

mod answer;
mod bulk;
mod end;
mod flood;
mod idle;
mod list;
mod shims;
mod start;
mod submit;

use crate::options::Options;
use crate::table::Row;

type Measure = fn(&Options) -> anyhow::Result<Vec<Row>>;

pub(crate) const ALL: [(&str, Measure); 9] = [
    ("submit", submit::measure),
    ("start", start::measure),
    ("end", end::measure),
    ("answer", answer::measure),
    ("bulk", bulk::measure),
    ("list", list::measure),
    ("flood", flood::measure),
    ("idle", idle::measure),
    ("shims", shims::measure),
];
