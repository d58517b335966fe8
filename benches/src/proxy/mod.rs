//! What the whole process costs: the gateway beside a bare hyper proxy and nginx.
//!
//! ```text
//! load (this process) ─► gateway | floor | nginx ─► mock
//!      one core               the other core        one core
//! ```
//!
//! Everything is on the loopback interface. What is compared is the CPU time
//! that the kernel has counted for the proxy's process, since that survives a
//! busy machine better than wall time does: the proxies take turns, and each
//! turn gives ratios between neighbours in time. The mock refuses requests that
//! were not rewritten, and the load counts only right answers, so that nobody
//! is fast by doing less.

mod chat;
mod client;
mod contenders;
mod cost;
pub mod floor;
mod folder;
pub mod load;
mod memory;
pub mod mock;
mod process;
mod restart;
mod soak;
mod stats;
mod stream;
mod table;
pub mod tls;
mod wire;

use std::path::Path;

use tokio::runtime::{Builder, Runtime};

use self::contenders::Stage;

/// Measures everything with the gateway's binary `gateway`, prints it, and writes it into `page` if there is one.
///
/// # Errors
/// A sentence that says what is missing or went wrong.
pub fn measure(gateway: &Path, examples: &Path, page: Option<&Path>) -> Result<(), String> {
    let runtime = prepare()?;
    let report = runtime.block_on(async {
        let stage = Stage::new(gateway, examples).await?;
        let cost = cost::measure(&stage).await?;
        eprint!("{}", table::cost(&cost));
        let few = stream::measure(&stage, &stream::FEW).await?;
        eprint!("{}", table::streams(&stream::FEW, &few));
        let many = stream::measure(&stage, &stream::MANY).await?;
        eprint!("{}", table::streams(&stream::MANY, &many));
        let memory = memory::measure(&stage).await?;
        eprint!("{}", table::memory(&memory));
        let restart = restart::measure(&stage).await?;
        eprint!("{}", table::restart(&restart));
        Ok::<_, String>(table::report(&cost, &few, &many, &memory, &restart))
    })?;
    println!("{report}");
    page.map_or(Ok(()), |page| crate::report::write_proxies(page, &report))
}

/// Measures CPU time per request alone, and prints it.
///
/// # Errors
/// A sentence that says what is missing or went wrong.
pub fn measure_cost(gateway: &Path, examples: &Path) -> Result<(), String> {
    prepare()?.block_on(async {
        let stage = Stage::new(gateway, examples).await?;
        print!("{}", table::cost(&cost::measure(&stage).await?));
        Ok(())
    })
}

/// Measures CPU time per request of two binaries of the gateway, and prints the second's over the first's.
///
/// # Errors
/// A sentence that says what is missing or went wrong.
pub fn compare(one: &Path, other: &Path, examples: &Path) -> Result<(), String> {
    let ratio = prepare()?.block_on(cost::compare(one, other, examples))?;
    println!("{:.3} ({:.3} to {:.3})", ratio.median, ratio.low, ratio.high);
    Ok(())
}

/// Measures how soon a killed gateway is there again, and prints it.
///
/// # Errors
/// A sentence that says what is missing or went wrong.
pub fn measure_restart(gateway: &Path, examples: &Path) -> Result<(), String> {
    prepare()?.block_on(async {
        let stage = Stage::new(gateway, examples).await?;
        print!("{}", table::restart(&restart::measure(&stage).await?));
        Ok(())
    })
}

/// Carries load through the gateway's binary for so many minutes, with faults, and prints what was seen.
///
/// # Errors
/// A sentence that says what was lost or grew.
pub fn soak(gateway: &Path, examples: &Path, minutes: u64) -> Result<(), String> {
    prepare()?.block_on(async {
        let mut stage = Stage::new(gateway, examples).await?;
        soak::run(&mut stage, minutes).await
    })
}

fn prepare() -> Result<Runtime, String> {
    process::pin_here(process::OWN_CORE)?;
    // Each of a proxy's takes one to its upstream as well.
    process::raise_file_limit(2 * memory::CONNECTIONS + 1000)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("no runtime: {error}"))
}
