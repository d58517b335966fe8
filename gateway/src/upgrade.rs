//! One process after another without a gap: the newer takes over the listening
//! sockets of the older, which then drains.
//!
//! Both are started with `--upgrade PATH`. The sockets themselves pass, with
//! the clients that wait in their queues: sockets that were merely bound again
//! would lose those.
//!
//! ```text
//! older                         newer
//! waits at PATH                 loads its configuration, opens its logs
//!        ◄────── hello ─────────
//!        ─────── sockets ──────►
//!        ◄────── ready ─────────
//!        ─────── go on ────────►
//! drains, ends                  serves on them, waits at PATH
//! ```
//!
//! If the newer ends before it is ready, or is too late, the older goes on as if nothing had been; the newer serves
//! nobody before it has heard that the older does not.

use std::fs::{self, Permissions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::limits::{UPGRADE, UPGRADE_ANSWER, UPGRADE_HELLO, UPGRADE_SOCKETS_MAX};
use crate::log;
use crate::reload::Refused;

/// Everything that is said is one of these, of four bytes; a socket goes along with two of them.
type Word = [u8; 4];

/// The first word, of the newer. It names the version of all that follows.
const HELLO: Word = *b"LG2\n";
const READY: Word = *b"RDY\n";
const GO_ON: Word = *b"GO!\n";
const END: Word = *b"END\n";
const ADMIN: Word = *b"ADM\n";

/// A socket of a logical port.
const fn of_port(port: u16) -> Word {
    let [high, low] = port.to_be_bytes();
    [b'P', high, low, b'\n']
}

/// What passes from one process to the next.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// With their logical ports.
    pub(crate) ports: Vec<(u16, TcpListener)>,
    pub(crate) admin: Option<TcpListener>,
}

/// The older process, which waits to hear that this one is ready.
#[derive(Debug)]
pub(crate) struct Predecessor {
    stream: BlockingStream,
    path: PathBuf,
}

/// Asks the process that waits at `path` for its sockets. `None` if there is none.
pub(crate) fn take_over(path: &Path) -> Result<Option<(Predecessor, Sockets)>, Refused> {
    // This process's own socket will take the place of what is there.
    if fs::metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
        return Err(Refused(format!(
            "error: `--upgrade` names `{}`, which is no socket; name a path at which nothing is\n",
            path.display()
        )));
    }
    let mut stream = match BlockingStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(path, &error)),
    };
    let listener = rustix::net::sockopt::socket_peercred(&stream).map_err(|error| failed(path, &error.into()))?;
    if !is_trusted(listener.uid.as_raw()) {
        return Err(failed(
            path,
            &io::Error::other(format!(
                "it is of user {}, who would share every connection; only one's own and root's are taken over from",
                listener.uid.as_raw()
            )),
        ));
    }
    let sockets = stream
        .set_read_timeout(Some(UPGRADE_ANSWER))
        .and_then(|()| stream.write_all(&HELLO))
        .and_then(|()| receive(&stream));
    let sockets = sockets.map_err(|error| failed(path, &error))?;
    let path = path.to_owned();
    Ok(Some((Predecessor { stream, path }, sockets)))
}

/// Whether a process of this user may be given sockets, and may give them.
fn is_trusted(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

fn failed(path: &Path, error: &io::Error) -> Refused {
    let why = match error.kind() {
        io::ErrorKind::WouldBlock => format!("it does not answer within {} s", UPGRADE_ANSWER.as_secs()),
        _ => error.to_string(),
    };
    Refused(format!(
        "error: cannot take over from the process at `{}`: {why}\n",
        path.display()
    ))
}

impl Predecessor {
    /// Tells it that all of its sockets are served here from now on. Unless it answers that it drains, it goes on itself.
    pub(crate) fn drain(mut self) -> Result<(), Refused> {
        let mut said = Word::default();
        let asked = self.stream.write_all(&READY);
        match asked.and_then(|()| self.stream.read_exact(&mut said)) {
            Ok(()) if said == GO_ON => Ok(()),
            Ok(()) => Err(failed(&self.path, &not_understood())),
            Err(error) => Err(failed(&self.path, &error)),
        }
    }
}

fn not_understood() -> io::Error {
    io::Error::other("it says what this version does not understand")
}

fn receive(stream: &BlockingStream) -> io::Result<Sockets> {
    let mut sockets = Sockets::default();
    for _ in 0..UPGRADE_SOCKETS_MAX {
        match receive_one(stream)? {
            (END, None) => return Ok(sockets),
            (ADMIN, Some(socket)) => sockets.admin = Some(socket),
            ([b'P', high, low, b'\n'], Some(socket)) => {
                sockets.ports.push((u16::from_be_bytes([high, low]), socket));
            }
            _ => return Err(not_understood()),
        }
    }
    Err(io::Error::other("it has more sockets than can be"))
}

fn receive_one(stream: &BlockingStream) -> io::Result<(Word, Option<TcpListener>)> {
    let mut word = Word::default();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut word)];
    let received = recvmsg(stream, &mut parts, &mut control, RecvFlags::empty())?;
    let mut socket = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for descriptor in descriptors {
                fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
                socket = Some(TcpListener::from(descriptor));
            }
        }
    }
    if received.bytes == 0 {
        return Err(io::Error::other("it hung up"));
    }
    if received.bytes < word.len() {
        let rest = word.get_mut(received.bytes..).unwrap_or_default();
        (&*stream).read_exact(rest)?;
    }
    Ok((word, socket))
}

/// Where the process that comes after this one finds it.
#[derive(Debug)]
pub(crate) struct Door {
    listener: UnixListener,
    /// Until the process is ready, so that the one before can still be found.
    aside: PathBuf,
    path: PathBuf,
}

impl Door {
    /// Makes the socket, aside. Within a runtime.
    pub(crate) fn new(path: &Path) -> Result<Self, Refused> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}", std::process::id()));
        let aside = PathBuf::from(aside);
        // Left by a process of the same number.
        let _ = fs::remove_file(&aside);
        let listener = UnixListener::bind(&aside).and_then(|listener| {
            fs::set_permissions(&aside, Permissions::from_mode(0o600))?;
            Ok(listener)
        });
        match listener {
            Ok(listener) => Ok(Self {
                listener,
                aside,
                path: path.to_owned(),
            }),
            Err(error) => Err(Refused(format!(
                "error: cannot wait at `{}` for the next process (`--upgrade`): {error}\n",
                path.display()
            ))),
        }
    }

    /// Puts it in its place, where the process before had its own.
    pub(crate) fn open(&self) {
        if let Err(error) = fs::rename(&self.aside, &self.path) {
            let path = self.path.display().to_string();
            log::warning(
                "the next process cannot take over",
                &[("path", &path), ("error", &error.to_string())],
            );
        }
    }

    /// The next process of the same user, or of root's.
    pub(crate) async fn knocked(&self) -> Successor {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(crate::limits::ACCEPT_PAUSE).await;
                continue;
            };
            let user = stream.peer_cred().map(|peer| peer.uid());
            if user.is_ok_and(is_trusted) {
                return Successor(stream);
            }
            log::warning("another user's process may not take over", &[]);
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Nothing is there once it has been opened.
        let _ = fs::remove_file(&self.aside);
    }
}

/// A newer process that asks for the sockets.
#[derive(Debug)]
pub(crate) struct Successor(UnixStream);

impl Successor {
    /// Gives it the sockets. Whether it serves on them: otherwise this process goes on.
    pub(crate) async fn serves<'s>(
        self,
        ports: impl Iterator<Item = (u16, &'s TcpListener)>,
        admin: Option<&TcpListener>,
    ) -> bool {
        let process = self.0.peer_cred().ok().and_then(|peer| peer.pid());
        let process = process.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        log::info("a newer process takes over", &[("process", &process)]);
        let mut stream = self.0;
        let handed = timeout(UPGRADE, async {
            timeout(UPGRADE_HELLO, expect(&mut stream, HELLO)).await??;
            for (port, socket) in ports {
                send(&stream, of_port(port), Some(socket.as_fd())).await?;
            }
            if let Some(admin) = admin {
                send(&stream, ADMIN, Some(admin.as_fd())).await?;
            }
            send(&stream, END, None).await?;
            expect(&mut stream, READY).await?;
            send(&stream, GO_ON, None).await
        });
        let error = match handed.await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it was not ready within {} s", UPGRADE.as_secs()),
        };
        log::warning(
            "the newer process has not taken over, this one goes on",
            &[("process", &process), ("error", &error)],
        );
        false
    }
}

async fn expect(stream: &mut UnixStream, word: Word) -> io::Result<()> {
    let mut said = Word::default();
    stream.read_exact(&mut said).await?;
    if said == word { Ok(()) } else { Err(not_understood()) }
}

async fn send(stream: &UnixStream, word: Word, socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let descriptors: &[BorrowedFd<'_>] = socket.as_slice();
    stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            // So few bytes are written whole or not at all.
            sendmsg(stream, &[IoSlice::new(&word)], &mut control, SendFlags::NOSIGNAL)?;
            Ok(())
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a process that says `word` to one that waits there is answered.
    async fn stranger(word: &[u8]) -> bool {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs = theirs.into_std().unwrap();
        theirs.write_all(word).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        Successor(ours).serves(core::iter::empty(), None).await
    }

    #[tokio::test]
    async fn who_says_something_else_takes_nothing_over() {
        for word in [&b""[..], b"LG", b"GET / HTTP/1.1\r\n\r\n", b"LG1\nRDY\n", b"LG2\n"] {
            assert!(!stranger(word).await, "{word:?}");
        }
        assert!(stranger(b"LG2\nRDY\n").await);
    }

    #[test]
    fn nobody_serves_beside_a_process_that_goes_on() {
        for said in [&b""[..], b"END\n"] {
            let (stream, mut older) = BlockingStream::pair().unwrap();
            older.write_all(said).unwrap();
            drop(older);
            let path = PathBuf::from("at");
            let why = Predecessor { stream, path }.drain().unwrap_err();
            assert!(why.0.contains("cannot take over from the process at `at`"), "{}", why.0);
        }
    }

    #[test]
    fn other_users_are_not_trusted() {
        let own = rustix::process::geteuid().as_raw();
        assert!(is_trusted(own) && is_trusted(0));
        assert!(!is_trusted(own + 1));
    }

    #[tokio::test]
    async fn sockets_pass_with_their_ports() {
        let sockets = [80, 443, 443].map(|port| (port, TcpListener::bind("127.0.0.1:0").unwrap()));
        let admin = TcpListener::bind("127.0.0.1:0").unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs = theirs.into_std().unwrap();
        theirs.set_nonblocking(false).unwrap();
        let newer = tokio::task::spawn_blocking(move || {
            theirs.write_all(&HELLO).unwrap();
            let taken = receive(&theirs).unwrap();
            let path = PathBuf::new();
            Predecessor { stream: theirs, path }.drain().unwrap();
            taken
        });
        let ports = sockets.iter().map(|(port, socket)| (*port, socket));
        assert!(Successor(ours).serves(ports, Some(&admin)).await);
        let taken = newer.await.unwrap();
        let address = |socket: &TcpListener| socket.local_addr().unwrap();
        let there = |sockets: &[(u16, TcpListener)]| -> Vec<_> {
            sockets.iter().map(|(port, socket)| (*port, address(socket))).collect()
        };
        assert_eq!(there(&taken.ports), there(&sockets));
        assert_eq!(address(&taken.admin.unwrap()), address(&admin));
    }
}
