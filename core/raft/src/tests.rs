//! The whole node, on a disk that can be held up, fail and crash.

mod crashes;
mod limits;
mod storage_suite;
