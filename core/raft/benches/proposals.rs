//! How many commands a member takes, how long each waits, and what it costs: on a real disk, without a network.
//!
//! `cargo bench -p quorate-raft [-- SECONDS [BATCHES_IN_FLIGHT]]`. The directory for the data is a temporary
//! one under `TMPDIR`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quorate_proto::etcdserverpb::PutRequest;
use quorate_proto::log::{Command, command::Op};
use quorate_raft::{Member, NoPeers, Node, NodeConfig};
use quorate_store::{Store, StoreOptions};

const KEYS: u64 = 10_000;

fn main() {
    // Cargo passes `--bench`.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let mut number = |default: u64| {
        arguments.next().map_or(default, |argument| {
            argument.parse().expect("arguments are numbers")
        })
    };
    let (seconds, in_flight) = (number(3), number(0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let node = start(directory.path(), in_flight as usize);
    println!(
        "{:>8} {:>8} {:>10} {:>9} {:>9} {:>9} {:>12} {:>10}",
        "what", "callers", "ops/s", "p50 us", "p99 us", "p99.9 us", "cpu us/op", "per entry"
    );
    for callers in [1, 8, 64, 256] {
        let before = node.status().last_log;
        let run = runtime.block_on(run(&node, callers, seconds, |node, number| async move {
            node.propose(put(number)).await.expect("a put succeeds");
        }));
        let entries = node.status().last_log - before;
        run.print("put", callers, Some(entries));
    }
    for callers in [1, 64] {
        let run = runtime.block_on(run(&node, callers, seconds, |node, _| async move {
            node.read_barrier().await.expect("a read passes");
        }));
        run.print("barrier", callers, None);
    }
    runtime.block_on(node.shutdown());
}

fn start(directory: &Path, in_flight: usize) -> Node {
    let path = directory.join("store");
    std::fs::create_dir(&path).expect("a directory for the store");
    let store = Store::open(&path, StoreOptions::default()).expect("the store opens");
    let mut config = NodeConfig::new(1, 1, Member::default(), directory.join("wal"));
    if in_flight > 0 {
        config.limits.propose.batches_in_flight = in_flight;
    }
    Node::start(config, store, Arc::new(NoPeers)).expect("the node starts")
}

fn put(number: u64) -> Command {
    Command {
        op: Some(Op::Put(PutRequest {
            key: format!("key/{:08}", number % KEYS).into_bytes(),
            value: vec![7; 256],
            ..PutRequest::default()
        })),
    }
}

struct Run {
    /// Sorted.
    latencies: Vec<Duration>,
    took: Duration,
    cpu: Duration,
}

async fn run<F, W>(node: &Node, callers: u64, seconds: u64, work: W) -> Run
where
    F: Future<Output = ()> + Send,
    W: Fn(Node, u64) -> F + Clone + Send + Sync + 'static,
{
    let ends = Arc::new(AtomicBool::new(false));
    let numbers = Arc::new(AtomicU64::new(0));
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let (begin, cpu) = (Instant::now(), cpu_time());
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (node, work) = (node.clone(), work.clone());
            let (ends, numbers, all) = (
                Arc::clone(&ends),
                Arc::clone(&numbers),
                Arc::clone(&latencies),
            );
            tokio::spawn(async move {
                let mut own = Vec::new();
                while !ends.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    work(node.clone(), numbers.fetch_add(1, Ordering::Relaxed)).await;
                    own.push(begin.elapsed());
                }
                all.lock().extend(own);
            })
        })
        .collect();
    // On a thread of its own: callers that never wait would starve a timer.
    let ending = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(seconds));
        ends.store(true, Ordering::Relaxed);
    });
    for caller in callers {
        caller.await.expect("a caller does not panic");
    }
    let (took, cpu) = (begin.elapsed(), cpu_time() - cpu);
    ending.join().expect("the timer does not panic");
    let mut latencies = std::mem::take(&mut *latencies.lock());
    latencies.sort_unstable();
    Run {
        latencies,
        took,
        cpu,
    }
}

impl Run {
    fn print(&self, what: &str, callers: u64, entries: Option<u64>) {
        let count = self.latencies.len();
        let at = |per_mille: usize| {
            let place = (count * per_mille / 1000).min(count.saturating_sub(1));
            self.latencies.get(place).map_or(0, Duration::as_micros)
        };
        println!(
            "{what:>8} {callers:>8} {:>10.0} {:>9} {:>9} {:>9} {:>12.2} {:>10}",
            count as f64 / self.took.as_secs_f64(),
            at(500),
            at(990),
            at(999),
            self.cpu.as_micros() as f64 / count as f64,
            entries.map_or("-".to_owned(), |entries| format!(
                "{:.1}",
                count as f64 / entries.max(1) as f64
            )),
        );
    }
}

/// User and system time of this process, load generator included.
fn cpu_time() -> Duration {
    // Fields 14 and 15 of proc(5), counted behind the name in parentheses; in ticks of 10 ms.
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    let fields = stat.rsplit(')').next().expect("there is a name");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks
        .map(|ticks| ticks.parse::<u64>().expect("ticks are a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}
