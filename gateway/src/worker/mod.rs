//! One thread, one runtime: a worker accepts, decides and forwards on its own.
//!
//! Workers share a port through `SO_REUSEPORT` and nothing per request but the
//! snapshot pointer. Everything here is for one thread and needs no locks.

pub(crate) mod view;

use core::cell::{Cell, RefCell};
use core::hint::black_box;
use core::ops::Deref;
use core::sync::atomic::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use arc_swap::{ArcSwap, Cache};
use lockgate_core::decide::Scratch;
use lockgate_core::llm::body::BodyScan;
use lockgate_core::llm::usage::{Framing, UsageMeter, UsageSearch};
use tokio::runtime::LocalOptions;
use tokio::sync::{Notify, mpsc, oneshot};

use self::view::View;
use crate::access::Draft;
use crate::entropy::Entropy;
use crate::limits::{ACCEPT_WARNING, SWEEP};
use crate::listener;
use crate::live::Live;
use crate::metrics::Shard;
use crate::metrics::labels::Label;
use crate::shared::Shared;
use crate::upstream::Pool;

/// What a worker is told from outside.
#[derive(Debug)]
pub(crate) enum Command {
    /// Serve this socket, whose logical port is given.
    Listen(u16, std::net::TcpListener),
    /// Stop serving a logical port.
    Unlisten(u16),
    /// Accept nothing more, finish what runs, and end.
    Drain,
    /// End at once: what still runs is cut, and logged.
    Cut,
    /// Say that the worker is alive.
    Ping(oneshot::Sender<()>),
}

/// A running worker.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) thread: JoinHandle<()>,
}

/// What a worker's connections and requests use.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shard: Arc<Shard>,
    /// Copies of requests that are on their way to mirrors.
    pub(crate) mirrors_under_way: Cell<usize>,
    pub(crate) entropy: Entropy,
    /// Working memory of decisions, of which there is one at a time.
    pub(crate) scratch: RefCell<Box<Scratch>>,
    /// Where an access log line is written before it is queued.
    pub(crate) draft: RefCell<Draft>,
    scans: RefCell<Vec<Box<BodyScan>>>,
    /// Tells the answers that need a meter.
    pub(crate) usage: UsageSearch,
    #[expect(clippy::vec_box, reason = "each is lent in the box that it is kept in")]
    meters: RefCell<Vec<Box<UsageMeter>>>,
    newest: RefCell<Cache<Newest, Arc<Live>>>,
    view: RefCell<Rc<View>>,
    /// Of the views before it: pools that it has not taken over, as long as a request has them.
    replaced: RefCell<Vec<Weak<Pool>>>,
    /// What metrics call the models that they have admitted, so that they need not be asked for each answer.
    models: RefCell<BTreeMap<Box<str>, Label>>,
    connections: Cell<usize>,
    /// When it was last said that none can be accepted.
    warned: Cell<Option<Instant>>,
    /// Wakes the worker when its last connection is gone.
    quiet: Notify,
}

/// A request among those that there are at once, for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Counted(Rc<Worker>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.shared.load.request_ended();
    }
}

/// Where the newest snapshot is.
#[derive(Debug)]
struct Newest(Arc<Shared>);

impl Deref for Newest {
    type Target = ArcSwap<Live>;

    fn deref(&self) -> &Self::Target {
        &self.0.live
    }
}

/// Runs hyper's tasks of HTTP/2 on the worker's own thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnThisThread;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisThread
where
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Scans kept for the next bodies; a burst's surplus is freed.
const SCANS_KEPT_MAX: usize = 64;

/// Meters kept for the next answers, of 1 KiB each.
const METERS_KEPT_MAX: usize = 64;

/// Room for which the allocator asks the system, so that it looks at what it could give back meanwhile.
const NUDGE_BYTES: usize = 1024 * 1024;

impl Handle {
    /// Starts worker `index`.
    pub(crate) fn start(index: usize, shared: Arc<Shared>) -> io::Result<Self> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // Only name lookups block.
        runtime.enable_all().max_blocking_threads(4);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || match runtime.build_local(LocalOptions::default()) {
                Ok(runtime) => runtime.block_on(run(index, shared, receiver)),
                Err(error) => crate::log::warning("a worker cannot start", &[("error", &error.to_string())]),
            })?;
        Ok(Self { commands, thread })
    }
}

async fn run(index: usize, shared: Arc<Shared>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let worker = Rc::new(Worker::new(index, shared));
    let mut listeners = listener::Listeners::default();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Listen(port, socket)) => listeners.add(&worker, port, socket),
                Some(Command::Unlisten(port)) => listeners.remove(port, worker.shared.times.drain),
                Some(Command::Ping(answer)) => drop(answer.send(())),
                Some(Command::Drain | Command::Cut) | None => break,
            },
            _ = sweep.tick() => worker.sweep(),
        }
    }
    listeners.close().await;
    while worker.connections.get() > 0 {
        tokio::select! {
            () = worker.quiet.notified() => {}
            Some(command) = commands.recv() => match command {
                Command::Ping(answer) => drop(answer.send(())),
                Command::Cut => return,
                Command::Listen(..) | Command::Unlisten(_) | Command::Drain => {}
            },
        }
    }
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>) -> Self {
        let shard = shared.metrics.shard(index);
        let mut newest = Cache::new(Newest(Arc::clone(&shared)));
        let view = View::new(&shared, Arc::clone(newest.load()), None, &shard);
        Self {
            shard,
            mirrors_under_way: Cell::new(0),
            entropy: Entropy::new(),
            scratch: RefCell::default(),
            draft: RefCell::default(),
            models: RefCell::default(),
            scans: RefCell::default(),
            usage: UsageSearch::new(),
            meters: RefCell::default(),
            newest: RefCell::new(newest),
            view: RefCell::new(view),
            replaced: RefCell::default(),
            connections: Cell::new(0),
            warned: Cell::new(None),
            quiet: Notify::new(),
            shared,
        }
    }

    /// The view of the newest snapshot.
    pub(crate) fn view(&self) -> Rc<View> {
        let mut newest = self.newest.borrow_mut();
        let newest = newest.load();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(&view.live, newest) {
            let next = View::new(&self.shared, Arc::clone(newest), Some(&view), &self.shard);
            let taken: BTreeSet<*const Pool> = next.pools().iter().map(Rc::as_ptr).collect();
            let left = view.pools().iter().filter(|pool| !taken.contains(&Rc::as_ptr(pool)));
            self.replaced.borrow_mut().extend(left.map(Rc::downgrade));
            *view = next;
        }
        Rc::clone(&view)
    }

    /// A scan for one body; give it back with [`Worker::put_scan`].
    pub(crate) fn take_scan(&self) -> Box<BodyScan> {
        self.scans
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Box::new(BodyScan::new(self.shared.load.bounds().body_bytes)))
    }

    /// Keeps a scan for the next body.
    pub(crate) fn put_scan(&self, mut scan: Box<BodyScan>) {
        let mut scans = self.scans.borrow_mut();
        if scans.len() < SCANS_KEPT_MAX {
            scan.reset();
            scans.push(scan);
        }
    }

    /// A meter for one answer; give it back with [`Worker::put_meter`].
    pub(crate) fn take_meter(&self, framing: Framing) -> Box<UsageMeter> {
        match self.meters.borrow_mut().pop() {
            Some(mut meter) => {
                meter.restart(framing);
                meter
            }
            None => Box::new(UsageMeter::new(framing)),
        }
    }

    /// Keeps a meter for the next answer.
    pub(crate) fn put_meter(&self, meter: Box<UsageMeter>) {
        let mut meters = self.meters.borrow_mut();
        if meters.len() < METERS_KEPT_MAX {
            meters.push(meter);
        }
    }

    /// What metrics call a model.
    pub(crate) fn model_label(&self, model: &str) -> Label {
        let mut models = self.models.borrow_mut();
        if let Some(label) = models.get(model) {
            return *label;
        }
        let label = self.shared.metrics.labels.of_model(model);
        // One beyond the bound may still be admitted under another name: that of something configured.
        if label != Label::OTHER {
            models.insert(model.into(), label);
        }
        label
    }

    /// Counts a request.
    pub(crate) fn count(self: &Rc<Self>) -> Counted {
        self.shared.load.request_began();
        Counted(Rc::clone(self))
    }

    /// Whether the process has as many connections as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.metrics.connections() >= i64::from(self.shared.load.bounds().connections)
    }

    pub(crate) fn connection_opened(&self) {
        self.shard.connections_total.fetch_add(1, Ordering::Relaxed);
        self.shard.connections.fetch_add(1, Ordering::Relaxed);
        self.connections.set(self.connections.get().saturating_add(1));
    }

    pub(crate) fn connection_closed(&self) {
        self.shard.connections.fetch_sub(1, Ordering::Relaxed);
        self.connections.set(self.connections.get().saturating_sub(1));
        if self.connections.get() == 0 {
            self.quiet.notify_one();
        }
    }

    /// Says that connections cannot be accepted, now and then.
    pub(crate) fn cannot_accept(&self, error: &io::Error) {
        let now = Instant::now();
        let is_said = |at: Instant| now.saturating_duration_since(at) < ACCEPT_WARNING;
        if !self.warned.get().is_some_and(is_said) {
            self.warned.set(Some(now));
            crate::log::warning("cannot accept connections", &[("error", &error.to_string())]);
        }
    }

    fn sweep(&self) {
        // Also lets go of a snapshot that no request has asked for since a reload.
        let view = self.view();
        let now = Instant::now();
        for pool in view.pools() {
            pool.sweep(now);
        }
        let mut replaced = self.replaced.borrow_mut();
        replaced.retain(|pool| pool.upgrade().inspect(|pool| pool.retire(now)).is_some());
        drop(replaced);
        // It gives nothing back while nobody asks it for anything, so that an idle gateway would keep what a burst took.
        drop(black_box(Vec::<u8>::with_capacity(NUDGE_BYTES)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::rt::Executor;

    struct Ends(Rc<Cell<bool>>);

    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    /// Connections are spawned as this one is, and hyper's streams of HTTP/2 by the executor.
    #[test]
    fn a_panic_ends_its_task_alone() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(LocalOptions::default())
            .unwrap();
        let (of_connection, of_stream) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let (one, other) = (Ends(Rc::clone(&of_connection)), Ends(Rc::clone(&of_stream)));
        let answer = runtime.block_on(async {
            let bystander = tokio::task::spawn_local(async {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                "answer"
            });
            let connection = tokio::task::spawn_local(async move {
                let _open = one;
                tokio::task::yield_now().await;
                panic!("in a connection");
            });
            OnThisThread.execute(async move {
                let _record = other;
                panic!("in a stream");
            });
            assert!(connection.await.unwrap_err().is_panic());
            bystander.await.unwrap()
        });
        assert_eq!(answer, "answer");
        assert!(
            of_connection.get() && of_stream.get(),
            "what a task holds is given back"
        );
    }
}
