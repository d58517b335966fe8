//! Processes: started on a core of their own, asked for their CPU time and memory, and ended.

use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use super::wire::Wire;

/// The core of load and mock.
pub(super) const OWN_CORE: usize = 1;
/// The core of whoever is measured.
pub(super) const PROXY_CORE: usize = 0;

/// Time for a process to answer for the first time.
const START_MAX: Duration = Duration::from_secs(10);
/// Time for a process to end when asked.
const END_MAX: Duration = Duration::from_secs(5);

/// A process that ends with this value.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts `program` on `core`, and what the setting up of `with` adds to its command line.
    pub(super) fn start(program: &Path, core: usize, with: impl FnOnce(&mut Command)) -> Result<Self, String> {
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]).arg(program);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        with(&mut command);
        let child = command
            .spawn()
            .map_err(|error| format!("taskset cannot start {}: {error}", program.display()))?;
        Ok(Self { child })
    }

    /// Why the process is gone, if it is.
    pub(super) fn gone(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// CPU time that its threads and its children's have had until now.
    pub(super) fn cpu(&self) -> Result<Cpu, String> {
        let mut cpu = Cpu::default();
        cpu.read(self.child.id())
            .map_err(|error| format!("no CPU time of process {}: {error}", self.child.id()))?;
        Ok(cpu)
    }

    /// How many descriptors it has open.
    pub(super) fn descriptors(&self) -> Result<usize, String> {
        let folder = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(&folder)
            .map(Iterator::count)
            .map_err(|error| format!("{folder}: {error}"))
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or("no process")?;
        kill_process(pid, signal).map_err(|error| format!("no signal to {}: {error}", self.child.id()))
    }

    /// A line of `/proc/PID/status` that counts kB, in bytes: `VmRSS`, `VmHWM`.
    pub(super) fn memory(&self, line: &str) -> Result<u64, String> {
        let file = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        kilobytes(&status, line)
            .map(|kilobytes| kilobytes * 1024)
            .ok_or_else(|| format!("{file} has no {line}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let asked = Instant::now();
        while self.gone().is_none() && asked.elapsed() < END_MAX {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time by thread, in nanoseconds: the scheduler's own count.
#[derive(Debug, Default)]
pub(super) struct Cpu(BTreeMap<String, u64>);

impl Cpu {
    fn read(&mut self, pid: u32) -> io::Result<()> {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?;
            let statistics = fs::read_to_string(task.path().join("schedstat"))?;
            let time = statistics.split(' ').next().and_then(|time| time.parse().ok());
            self.0.insert(
                task.file_name().to_string_lossy().into_owned(),
                time.ok_or(io::ErrorKind::InvalidData)?,
            );
            let children = fs::read_to_string(task.path().join("children"))?;
            for child in children.split_ascii_whitespace().filter_map(|child| child.parse().ok()) {
                self.read(child)?;
            }
        }
        Ok(())
    }

    /// What was spent since `before`, in nanoseconds. A thread that ended meanwhile took its count along: an error.
    pub(super) fn since(&self, before: &Self) -> Result<u64, String> {
        if let Some(thread) = before.0.keys().find(|thread| !self.0.contains_key(*thread)) {
            return Err(format!("thread {thread} ended while its CPU time was measured"));
        }
        let (now, then): (u64, u64) = (self.0.values().sum(), before.0.values().sum());
        Ok(now.saturating_sub(then))
    }
}

fn kilobytes(status: &str, line: &str) -> Option<u64> {
    let value = status
        .lines()
        .find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// Waits until `process` accepts connections on `address`.
pub(super) async fn answers(process: &mut Process, address: SocketAddr) -> Result<(), String> {
    let begun = Instant::now();
    while begun.elapsed() < START_MAX {
        if Wire::connect(address).await.is_ok() {
            return Ok(());
        }
        if let Some(status) = process.gone() {
            return Err(format!("the process that should listen on {address} ended: {status}"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(format!("nothing listens on {address} after {START_MAX:?}"))
}

/// Below the kernel's range for outgoing connections, of which there are thousands: one of them took a port between its
/// choice and its use.
const PORTS: Range<u16> = 12_000..32_000;

/// An address of this machine that nobody listens on, another one each time.
pub(super) fn free_address() -> Result<SocketAddr, String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Elsewhere in each process: two may run at once.
    let begun = (process::id() as usize).wrapping_mul(37);
    let begun = begun.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let mut addresses = PORTS
        .cycle()
        .skip(begun % PORTS.len())
        .take(PORTS.len())
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    addresses
        .find(|address| TcpListener::bind(address).is_ok())
        .ok_or_else(|| "no free port below 32000".to_owned())
}

/// This program, which is also the upstream and the floor.
pub(super) fn this_program() -> Result<PathBuf, String> {
    env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))
}

/// Keeps this process, and those it starts without saying otherwise, on `core`.
pub(super) fn pin_here(core: usize) -> Result<(), String> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).map_err(|error| format!("needs two cores, and core {core} cannot be had: {error}"))
}

/// Lets this process and those it starts hold `files` open.
pub(super) fn raise_file_limit(files: usize) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = files as u64;
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum.map(|maximum| maximum.max(wanted)),
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| format!("{files} open files are not allowed: {error}"))
}

/// The monotonic clock, which all processes share.
pub(super) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + nanoseconds.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_right_line() {
        let status = "Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t     987 kB\n";
        assert_eq!(kilobytes(status, "VmRSS"), Some(987));
        assert_eq!(kilobytes(status, "VmSwap"), None);
    }

    #[test]
    fn work_of_a_child_shows_as_cpu_time() {
        let busy = Process::start(Path::new("/bin/sh"), 0, |command| {
            // Ends by itself should this test be interrupted.
            command.args(["-c", "(i=0; while [ $i -lt 3000000 ]; do i=$((i+1)); done) & wait"]);
        });
        let busy = busy.unwrap();
        let begun = Instant::now();
        let work = 50_000_000;
        while busy.cpu().map_or(0, |cpu| cpu.since(&Cpu::default()).unwrap()) < work {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", busy.cpu());
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_thread_that_ended_is_not_left_out_silently() {
        let cpu = |times: &[(&str, u64)]| Cpu(times.iter().map(|(id, time)| ((*id).to_owned(), *time)).collect());
        let before = cpu(&[("1", 10), ("2", 5)]);
        assert_eq!(cpu(&[("1", 11), ("2", 7), ("3", 4)]).since(&before), Ok(7));
        assert!(cpu(&[("1", 100)]).since(&before).is_err());
    }
}
