//! How long nobody is answered when the gateway is killed and started again at once.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::contenders::{Kind, Stage};
use super::load::Exchange;
use super::wire::Wire;

/// How often it is killed.
pub(super) const ROUNDS: usize = 30;
/// Time until a client that was not answered tries again.
const AGAIN: Duration = Duration::from_micros(500);
/// Time for an answer: whoever is slower has hung.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Milliseconds from the signal to the first right answer of the next process, by round.
pub(super) async fn measure(stage: &Stage) -> Result<Vec<f64>, String> {
    let mut gateway = stage.start(Kind::Gateway).await?;
    let exchange = Exchange::chat(true);
    let mut took_ms = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let killed = Instant::now();
        gateway.process.signal(Signal::KILL)?;
        let next = stage.start_at(gateway.address, Kind::Gateway)?;
        loop {
            let asked = async {
                exchange
                    .once(&mut Wire::connect(gateway.address).await.ok()?)
                    .await
                    .ok()
            };
            if asked.await.is_some() {
                break;
            }
            if killed.elapsed() > ANSWER_MAX {
                return Err(format!("no answer within {ANSWER_MAX:?}"));
            }
            tokio::time::sleep(AGAIN).await;
        }
        took_ms.push(killed.elapsed().as_secs_f64() * 1e3);
        gateway.process = next;
    }
    Ok(took_ms)
}
