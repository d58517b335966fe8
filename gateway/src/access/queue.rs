//! From the workers to the file, without a worker ever waiting for a disk.
//!
//! Each worker appends to a buffer of its own, behind a lock that only the
//! writer thread also takes, for the time of a swap. A buffer that is full
//! drops the line and counts it. The writer is woken by the first line and
//! gathers for a moment, so that a busy gateway pays one system call for
//! hundreds of lines and an idle one none.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::limits::{LOG_GATHER, LOG_QUEUE_BYTES_MAX};

/// The lines on their way to the file.
#[derive(Debug)]
pub(crate) struct Queue {
    shards: Box<[Mutex<Vec<u8>>]>,
    waiting: AtomicBool,
    wake: (Mutex<State>, Condvar),
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    lines: bool,
    closed: bool,
}

/// Ends the writer thread: what is queued is written before [`Writer::close`] returns.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

impl Queue {
    /// A queue for `workers` workers and the thread that empties it into `file`.
    pub(crate) fn start(workers: usize, file: impl Write + Send + 'static) -> io::Result<(Arc<Self>, Writer)> {
        let queue = Arc::new(Self {
            shards: (0..workers).map(|_| Mutex::default()).collect(),
            waiting: AtomicBool::new(false),
            wake: Default::default(),
            dropped: AtomicU64::new(0),
        });
        let reader = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || reader.empty_into(file))?;
        Ok((Arc::clone(&queue), Writer { queue, thread }))
    }

    /// Has `write` append one line to the buffer of worker `index`. Never blocks on the file.
    pub(crate) fn append(&self, index: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(shard) = self.shards.get(index) else { return };
        {
            let mut shard = lock(shard);
            if shard.len() >= LOG_QUEUE_BYTES_MAX {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            write(&mut shard);
        }
        if !self.waiting.swap(true, Ordering::AcqRel) {
            lock(&self.wake.0).lines = true;
            self.wake.1.notify_one();
        }
    }

    /// Lines dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn empty_into(&self, mut file: impl Write) {
        let mut buffer = Vec::new();
        loop {
            let closed = self.wait();
            if !closed {
                std::thread::sleep(LOG_GATHER);
            }
            self.waiting.store(false, Ordering::Release);
            for shard in &self.shards {
                buffer.clear();
                core::mem::swap(&mut *lock(shard), &mut buffer);
                // A full disk or a closed pipe must not stop the gateway; the lines are lost and counted.
                if !buffer.is_empty() && file.write_all(&buffer).and_then(|()| file.flush()).is_err() {
                    let lines = buffer.iter().filter(|byte| **byte == b'\n').count();
                    self.dropped.fetch_add(lines as u64, Ordering::Relaxed);
                }
            }
            if closed {
                return;
            }
        }
    }

    /// Sleeps until there is something to write; whether the queue was closed.
    fn wait(&self) -> bool {
        let mut state = lock(&self.wake.0);
        while !state.lines && !state.closed {
            state = self.wake.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.lines = false;
        state.closed
    }
}

impl Writer {
    /// Writes what is queued and ends the thread.
    pub(crate) fn close(self) {
        lock(&self.queue.wake.0).closed = true;
        self.queue.wake.1.notify_one();
        let _ = self.thread.join();
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
    fn every_line_is_written_before_close_returns() {
        let written = Arc::default();
        let (queue, writer) = Queue::start(2, Sink(Arc::clone(&written))).unwrap();
        for n in 0..1000 {
            queue.append(n % 2, |line| line.extend_from_slice(b"line\n"));
        }
        writer.close();
        assert_eq!(lock(&written).len(), 5000);
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
        let (queue, writer) = Queue::start(1, Stuck(stuck)).unwrap();
        let line = vec![b'x'; 1024 * 1024];
        for _ in 0..100 {
            queue.append(0, |out| {
                out.extend_from_slice(&line);
                out.push(b'\n');
            });
        }
        assert!(queue.dropped() >= 80, "{}", queue.dropped());
        drop(release);
        writer.close();
        assert_eq!(queue.dropped(), 100);
    }
}
