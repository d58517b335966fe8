//! From the workers to the file, without a worker ever waiting for a disk.
//!
//! Lines are appended, in the order they are made, to a buffer behind a lock
//! that is held for the time of a copy. A buffer that is full drops the line and
//! counts it. The writer thread is woken by the first line and gathers for a
//! moment, so that a busy gateway pays one system call for hundreds of lines and
//! an idle one none.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::limits::{LOG_CLOSE, LOG_GATHER, LOG_QUEUE_BYTES_MAX};
use crate::log;

/// The lines on their way to the file.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// Whether the file is to be opened again, as it may have been moved away.
    reopen: bool,
    closed: bool,
}

/// Ends the writer thread: what is queued is written before [`Writer::close`] returns.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

impl Queue {
    /// A queue and the thread, called `name`, that empties it into what `open` opens.
    pub(crate) fn start<W: Write + Send + 'static>(
        name: &str,
        open: impl Fn() -> io::Result<W> + Send + 'static,
    ) -> io::Result<(Arc<Self>, Writer)> {
        let queue = Arc::new(Self::default());
        let reader = Arc::clone(&queue);
        let file = open()?;
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || reader.empty_into(file, open))?;
        let writer = Writer {
            queue: Arc::clone(&queue),
            thread,
        };
        Ok((queue, writer))
    }

    /// Adds a line. Never waits for the file.
    pub(crate) fn append(&self, line: &[u8]) {
        let mut state = lock(&self.state);
        if state.lines.len().saturating_add(line.len()) > LOG_QUEUE_BYTES_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        drop(state);
        if first {
            self.wake.notify_one();
        }
    }

    /// Lines dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn empty_into<W: Write>(&self, mut file: W, open: impl Fn() -> io::Result<W>) {
        let mut lines = Vec::new();
        // Whether the file ends in the middle of a line.
        let mut torn = false;
        while self.wait() {
            let mut state = lock(&self.state);
            core::mem::swap(&mut state.lines, &mut lines);
            let reopen = core::mem::take(&mut state.reopen);
            drop(state);
            if reopen {
                match open() {
                    Ok(opened) => (file, torn) = (opened, false),
                    Err(error) => cannot_reopen(&error),
                }
            }
            if torn && !lines.is_empty() {
                torn = write(&mut file, b"\n") == 0;
            }
            // A full disk or a closed pipe must not stop the gateway; the lines are lost and counted.
            let (written, lost) = lines.split_at(if torn { 0 } else { write(&mut file, &lines) });
            torn = written.last().map_or(torn, |last| *last != b'\n');
            let count = memchr::memchr_iter(b'\n', lost).count();
            self.dropped.fetch_add(count as u64, Ordering::Relaxed);
            lines.clear();
            lines.shrink_to(LOG_BUFFER_BYTES_KEPT);
        }
    }

    /// Sleeps until there is something to write; `false` when there never will be.
    fn wait(&self) -> bool {
        let mut state = lock(&self.state);
        while state.lines.is_empty() && !state.reopen && !state.closed {
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let closed = state.closed;
        let any = !state.lines.is_empty() || state.reopen;
        drop(state);
        if !closed {
            std::thread::sleep(LOG_GATHER);
        }
        any
    }
}

/// Room kept between batches; a burst's is given back.
const LOG_BUFFER_BYTES_KEPT: usize = 256 * 1024;

/// How often the end of the thread is looked for.
const CLOSE_POLL: Duration = Duration::from_millis(1);

impl Writer {
    /// Has the file opened again, for the lines that are not written yet: whoever moved it away has its lines to there.
    pub(crate) fn reopen(&self) {
        lock(&self.queue.state).reopen = true;
        self.queue.wake.notify_one();
    }

    /// Writes what is queued and ends the thread, unless the file is stuck: nobody waits for that.
    pub(crate) fn close(self) {
        lock(&self.queue.state).closed = true;
        self.queue.wake.notify_one();
        let begun = Instant::now();
        while !self.thread.is_finished() && begun.elapsed() < LOG_CLOSE {
            std::thread::sleep(CLOSE_POLL);
        }
    }
}

/// Writes as much as the file takes; how much that is.
fn write(file: &mut impl Write, bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => break,
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    match file.flush() {
        Ok(()) => bytes.len().saturating_sub(rest.len()),
        Err(_) => 0,
    }
}

fn cannot_reopen(error: &io::Error) {
    let thread = std::thread::current();
    log::warning(
        "a log cannot be opened again, the file that was open is written on",
        &[
            ("log", thread.name().unwrap_or_default()),
            ("error", &error.to_string()),
        ],
    );
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[derive(Clone)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A disk with room for so many bytes.
    #[derive(Clone)]
    struct Disk(Sink, Arc<AtomicU64>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = usize::try_from(self.1.load(Ordering::Relaxed)).unwrap();
            let taken = bytes.get(..room).unwrap_or(bytes);
            if taken.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1.fetch_sub(taken.len() as u64, Ordering::Relaxed);
            self.0.write(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_was_full_costs_the_lines_that_it_had_no_room_for_and_no_other() {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let room = Arc::new(AtomicU64::new(8));
        let disk = Disk(Sink(Arc::clone(&written)), Arc::clone(&room));
        let (queue, writer) = Queue::start("log", move || Ok(disk.clone())).unwrap();
        let dropped = |count| {
            while queue.dropped() < count {
                std::thread::sleep(CLOSE_POLL);
            }
        };
        queue.append(b"one\ntwo\nthree\n");
        dropped(1);
        room.store(3, Ordering::Relaxed);
        queue.append(b"four\n");
        dropped(2);
        queue.append(b"five\n");
        dropped(3);
        room.store(100, Ordering::Relaxed);
        queue.append(b"six\n");
        writer.close();
        assert_eq!(*lock(&written), b"one\ntwo\nfou\nsix\n");
        assert_eq!(queue.dropped(), 3);
    }

    #[test]
    fn every_line_is_written_in_order_before_close_returns() {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let sink = Sink(Arc::clone(&written));
        let (queue, writer) = Queue::start("log", move || Ok(sink.clone())).unwrap();
        for n in 0..1000 {
            queue.append(format!("line {n}\n").as_bytes());
        }
        writer.close();
        let wanted: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        assert_eq!(*lock(&written), wanted.into_bytes());
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_opened_again_is_written_on() {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let again: Arc<Mutex<Vec<u8>>> = Arc::default();
        let files = Mutex::new(vec![
            Some(Sink(Arc::clone(&again))),
            None,
            Some(Sink(Arc::clone(&written))),
        ]);
        let open = move || {
            lock(&files)
                .pop()
                .flatten()
                .ok_or_else(|| io::ErrorKind::PermissionDenied.into())
        };
        let (queue, writer) = Queue::start("log", open).unwrap();
        for (line, holds) in [("first\n", &written), ("second\n", &written), ("third\n", &again)] {
            queue.append(line.as_bytes());
            while !lock(holds).ends_with(line.as_bytes()) {
                std::thread::yield_now();
            }
            writer.reopen();
            while lock(&queue.state).reopen {
                std::thread::yield_now();
            }
        }
        assert_eq!(*lock(&written), b"first\nsecond\n");
        writer.close();
    }

    /// A file that never takes anything.
    struct Stuck(Arc<Mutex<mpsc::Receiver<()>>>);

    impl Stuck {
        fn until_released() -> (mpsc::Sender<()>, impl Fn() -> io::Result<Self> + Send) {
            let (release, stuck) = mpsc::channel();
            let stuck = Arc::new(Mutex::new(stuck));
            (release, move || Ok(Self(Arc::clone(&stuck))))
        }
    }

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = lock(&self.0).recv();
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_file_drops_lines_and_never_blocks() {
        let (release, stuck) = Stuck::until_released();
        let (queue, writer) = Queue::start("log", stuck).unwrap();
        let mut line = vec![b'x'; 1024 * 1024];
        line.push(b'\n');
        for _ in 0..100 {
            queue.append(&line);
        }
        assert!(queue.dropped() >= 80, "{}", queue.dropped());
        drop(release);
        // `Writer::close` gives up on a slow machine before all of these lines are counted.
        lock(&queue.state).closed = true;
        queue.wake.notify_one();
        writer.thread.join().unwrap();
        assert_eq!(queue.dropped(), 100);
    }

    #[test]
    fn a_file_that_stays_stuck_holds_nobody_up_at_the_end() {
        let (release, stuck) = Stuck::until_released();
        let (queue, writer) = Queue::start("log", stuck).unwrap();
        queue.append(b"line\n");
        writer.close();
        drop(release);
    }
}
