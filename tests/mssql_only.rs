#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod sink_rows;
mod sink_sqlserver;
mod support;
mod truth;
mod outages;
mod old_tables;
mod one_row;
mod killed;
mod private;
mod told_to_end;
