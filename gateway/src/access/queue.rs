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
    closed: bool,
}

/// Ends the writer thread: what is queued is written before [`Writer::close`] returns.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

impl Queue {
    /// A queue and the thread, called `name`, that empties it into `file`.
    pub(crate) fn start(name: &str, file: impl Write + Send + 'static) -> io::Result<(Arc<Self>, Writer)> {
        let queue = Arc::new(Self::default());
        let reader = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || reader.empty_into(file))?;
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

    fn empty_into(&self, mut file: impl Write) {
        let mut lines = Vec::new();
        while self.wait() {
            core::mem::swap(&mut lock(&self.state).lines, &mut lines);
            // A full disk or a closed pipe must not stop the gateway; the lines are lost and counted.
            if file.write_all(&lines).and_then(|()| file.flush()).is_err() {
                let count = memchr::memchr_iter(b'\n', &lines).count();
                self.dropped.fetch_add(count as u64, Ordering::Relaxed);
            }
            lines.clear();
            lines.shrink_to(LOG_BUFFER_BYTES_KEPT);
        }
    }

    /// Sleeps until there is something to write; `false` when there never will be.
    fn wait(&self) -> bool {
        let mut state = lock(&self.state);
        while state.lines.is_empty() && !state.closed {
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let closed = state.closed;
        let any = !state.lines.is_empty();
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

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

    #[test]
    fn every_line_is_written_in_order_before_close_returns() {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (queue, writer) = Queue::start("log", Sink(Arc::clone(&written))).unwrap();
        for n in 0..1000 {
            queue.append(format!("line {n}\n").as_bytes());
        }
        writer.close();
        let wanted: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        assert_eq!(*lock(&written), wanted.into_bytes());
        assert_eq!(queue.dropped(), 0);
    }

    /// A file that never takes anything.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_file_drops_lines_and_never_blocks() {
        let (release, stuck) = mpsc::channel();
        let (queue, writer) = Queue::start("log", Stuck(stuck)).unwrap();
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
        let (release, stuck) = mpsc::channel();
        let (queue, writer) = Queue::start("log", Stuck(stuck)).unwrap();
        queue.append(b"line\n");
        writer.close();
        drop(release);
    }
}
