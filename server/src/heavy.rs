//! Work on bodies of megabytes, kept from holding up the requests that share a thread with it.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

/// Below this, handing over costs more than the work.
const HEAVY_BYTES: usize = 512 << 10;

/// Runs `work` over so many `bytes`; the thread's other tasks go elsewhere meanwhile if they are many.
pub(crate) fn over<R>(bytes: usize, work: impl FnOnce() -> R) -> R {
    // A runtime with one thread, as tests have, has nobody who could take over.
    let elsewhere = |runtime: Handle| runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
    if bytes >= HEAVY_BYTES && Handle::try_current().is_ok_and(elsewhere) { block_in_place(work) } else { work() }
}
