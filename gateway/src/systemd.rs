//! What systemd is told, and the sockets that it gives.
//!
//! After `sd_notify(3)` and `sd_listen_fds(3)`. Without systemd nothing here
//! does anything.

use core::time::Duration;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use listenfd::ListenFd;
use rustix::time::{ClockId, clock_gettime};
use socket2::SockRef;
use tokio::sync::{mpsc, oneshot};

use crate::log;
use crate::ports::Given;
use crate::reload::Refused;
use crate::worker::Command;

/// The sockets that systemd gives. To be called once, before there is a second thread: it takes them out of the
/// environment.
pub(crate) fn sockets() -> Result<Vec<Given>, Refused> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let mut sockets = ListenFd::from_env();
    let mut given = Vec::new();
    for index in 0..sockets.len() {
        let name = names.next().unwrap_or_default();
        let socket = sockets.take_tcp_listener(index).and_then(|socket| {
            let socket = socket.ok_or(io::ErrorKind::NotFound)?;
            match SockRef::from(&socket).is_listener()? {
                true => Ok(socket),
                false => Err(io::Error::other("it does not listen; its unit needs `Accept=no`")),
            }
        });
        match socket {
            Ok(socket) => given.push(Given { name, socket }),
            Err(error) => {
                return Err(Refused(format!(
                    "error: socket {} of systemd (`{name}`) cannot be used: {error}\n  \
                     only TCP sockets that listen can, as `ListenStream=PORT` makes them\n",
                    index.saturating_add(1)
                )));
            }
        }
    }
    Ok(given)
}

/// Tells systemd how the process is.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<UnixDatagram>,
    /// How long it may be silent before systemd ends it.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the environment says.
    pub(crate) fn from_env() -> Self {
        let address = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty());
        let socket = address.and_then(|address| match connect(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                log::warning("systemd cannot be told anything", &[("error", &error.to_string())]);
                None
            }
        });
        Self {
            socket,
            watchdog: watchdog(),
        }
    }

    /// It serves.
    pub(crate) fn ready(&self, snapshot: &str) {
        self.send(&format!("READY=1\nSTATUS=serving snapshot {snapshot}"));
    }

    /// It serves what it served before, as what it was told to load is refused.
    pub(crate) fn still_ready(&self, snapshot: &str) {
        self.send(&format!(
            "READY=1\nSTATUS=the new configuration is refused, still serving snapshot {snapshot}"
        ));
    }

    /// It loads its configuration again, and will say when it has.
    pub(crate) fn reloading(&self) {
        // By the time of it systemd knows that this is the reload which it has asked for.
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// It ends, within `limit`.
    pub(crate) fn stopping(&self, limit: Duration) {
        let micros = limit.saturating_add(STOP_SPARE).as_micros();
        self.send(&format!("STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={micros}"));
    }

    fn send(&self, text: &str) {
        if let Some(socket) = &self.socket {
            // Who does not listen is not waited for; there is nobody else to tell.
            let _ = socket.send(text.as_bytes());
        }
    }
}

/// Time to end after the time to drain is over.
const STOP_SPARE: Duration = Duration::from_secs(5);

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
        return Ok(socket);
    }
    socket.connect(address)?;
    Ok(socket)
}

/// How long systemd lets this process be silent.
fn watchdog() -> Option<Duration> {
    let of = |name| env::var(name).ok();
    let is_ours = of("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
    let micros: u64 = of("WATCHDOG_USEC").filter(|_| is_ours)?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// Tells systemd's watchdog that all is well, for as long as every worker answers.
///
/// A process whose main thread lives while a worker hangs is not well: the clients of that worker wait.
pub(crate) async fn keep_watch(notifier: Arc<Notifier>, workers: Vec<mpsc::UnboundedSender<Command>>) {
    let Some(limit) = notifier.watchdog else { return };
    // Half of it, as sd_watchdog_enabled(3) recommends.
    let mut ticks = tokio::time::interval(limit / 2);
    loop {
        ticks.tick().await;
        for worker in &workers {
            let (answer, answered) = oneshot::channel();
            // A worker that has ended need not answer.
            if worker.send(Command::Ping(answer)).is_ok() {
                let _ = answered.await;
            }
        }
        notifier.send("WATCHDOG=1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn worker_that_hangs_starves_the_watchdog() {
        let (ours, systemd) = UnixDatagram::pair().unwrap();
        systemd.set_nonblocking(true).unwrap();
        let notifier = Arc::new(Notifier {
            socket: Some(ours),
            watchdog: Some(Duration::from_millis(20)),
        });
        let (well, mut pings) = mpsc::unbounded_channel();
        let (hangs, _never_read) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Command::Ping(answer)) = pings.recv().await {
                let _ = answer.send(());
            }
        });
        let hears = || systemd.recv(&mut [0; 64]).is_ok();
        let watch = tokio::spawn(keep_watch(Arc::clone(&notifier), vec![well.clone()]));
        while !hears() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        watch.abort();
        let _ = watch.await;
        while hears() {}
        tokio::spawn(keep_watch(notifier, vec![well, hangs]));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!hears(), "all is said to be well while a worker hangs");
    }
}
