//! The two programs, started with a configuration each and ended with the value that stands for them.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a start may take: Envoy brings up hundreds of listeners.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Dropping it ends it.
#[derive(Debug)]
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which the next request will have told.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Below what systems hand out to connections: a port must still be free when a program opens it.
const PORTS: Range<u16> = 20_000..32_000;

/// Ports that nothing listens on.
///
/// # Errors
/// There are not enough.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    let ports: Vec<u16> = PORTS.filter(is_free).take(count).collect();
    if ports.len() < count {
        return Err(io::Error::other(format!("{} ports are free of {count}", ports.len())));
    }
    Ok(ports)
}

/// Starts Envoy and waits until all of `ports` are open.
///
/// # Errors
/// It does not start; its log says why.
pub fn envoy(program: &Path, folder: &Path, bootstrap: &Value, ports: &[u16]) -> io::Result<Running> {
    let file = folder.join("envoy.json");
    fs::write(&file, bootstrap.to_string())?;
    let mut command = Command::new(program);
    command
        .arg("-c")
        .arg(&file)
        .args(["--concurrency", "1", "--disable-hot-restart", "-l", "warn"]);
    start(command, &folder.join("envoy.log"), ports)
}

/// Starts Lockgate with `resources` and waits until `port` is open.
///
/// # Errors
/// It does not start; its log says why.
pub fn lockgate(program: &Path, folder: &Path, resources: &[Value], port: u16) -> io::Result<Running> {
    let folder = folder.join(format!("set-{port}"));
    // An earlier run may have left more files than this set has.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for (index, resource) in resources.iter().enumerate() {
        fs::write(folder.join(format!("{index:02}.json")), resource.to_string())?;
    }
    let mut command = Command::new(program);
    command
        .arg("serve")
        .arg("-f")
        .arg(&folder)
        .args(["--listen", &format!("80=0.0.0.0:{port}")])
        .args(["--admin", "off", "--workers", "1", "--access-log", "/dev/null"]);
    start(command, &folder.join("lockgate.log"), &[port])
}

fn start(mut command: Command, log: &Path, ports: &[u16]) -> io::Result<Running> {
    let output = File::create(log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let mut running = Running(command.spawn()?);
    let began = Instant::now();
    for port in ports {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err() {
            if running.0.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(io::Error::other(format!(
                    "{} does not start:\n{said}",
                    command.get_program().display()
                )));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(running)
}
