//! The workloads whose cost is watched, as cases that criterion times and callgrind counts.
//!
//! One list for both, so that a figure in wall time and a figure in instructions
//! are always of the same work.

pub mod bodies;
pub mod callgrind;
pub mod compile;
pub mod configs;
pub mod decide;
pub mod policies;
pub mod proxy;
pub mod report;
pub mod routes;
pub mod scan;
pub mod tokens;

use core::fmt;

/// One piece of work that can be repeated.
pub struct Case {
    /// What is measured: `scan`, `decide`, …
    pub group: &'static str,
    /// On which input, and by whom: `2 KB, serde_json`.
    pub name: String,
    /// Bytes of input per run, where speed in bytes says something.
    pub bytes: Option<u64>,
    /// Runs that a count of instructions needs: fewer where one run is long.
    pub counted_runs: u32,
    prepare: Box<dyn FnOnce() -> Work>,
}

/// What a case repeats. The indirect call costs about two nanoseconds, the same for rivals.
pub type Work = Box<dyn FnMut()>;

impl Case {
    /// A case of `group` called `name`, without throughput, counted over a thousand runs.
    ///
    /// `prepare` builds what the work needs and is not measured. What the work computes must pass through
    /// [`core::hint::black_box`], or the compiler may leave it out.
    pub fn new<W: FnMut() + 'static>(
        group: &'static str,
        name: impl Into<String>,
        prepare: impl FnOnce() -> W + 'static,
    ) -> Self {
        Self {
            group,
            name: name.into(),
            bytes: None,
            counted_runs: 1000,
            prepare: Box::new(|| Box::new(prepare())),
        }
    }

    /// Says how many bytes one run reads.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = u64::try_from(bytes).ok();
        self
    }

    /// Says how many runs a count of instructions needs.
    #[must_use]
    pub fn counted_runs(mut self, runs: u32) -> Self {
        self.counted_runs = runs;
        self
    }

    /// Prepares the work.
    #[must_use]
    pub fn prepare(self) -> Work {
        (self.prepare)()
    }

    /// `group/name`, which is unique.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.id()).finish()
    }
}

/// Every case there is.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = decide::cases();
    cases.extend(policies::cases());
    cases.extend(routes::cases());
    cases.extend(tokens::cases());
    cases.extend(scan::cases());
    cases.extend(compile::cases());
    cases
}
