//! The `quorate` binary; everything is in the library beside it.

use std::process::ExitCode;

// Measured with storage: 20 % less CPU per operation than the system's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    quorate_server::run()
}
