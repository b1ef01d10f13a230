//! `kill -9` of a real process, on real files, while it writes and makes checkpoints: what it had said is
//! acknowledged is there.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{config, get, put, start_with};

/// Where the child is told its directory; without it, it is no child.
const DIRECTORY: &str = "QUORATE_TEST_KILL_DIRECTORY";

fn busy(directory: &Path) -> quorate_raft::NodeConfig {
    let mut config = config(directory);
    config.limits.apply.checkpoint_interval = Duration::from_millis(10);
    config.limits.log.kept_bytes = 64 << 10;
    config
}

/// Not a test by itself: the process that is killed. Prints the key of every write that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let directory = Path::new(&directory);
    let (node, store) = start_with(directory, busy(directory)).await.unwrap();
    let begin = store.revision();
    let writers = (0..8).map(|writer| {
        let node = node.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let key = format!("key/{begin}/{writer}/{number}");
                put(&node, &key, key.as_bytes()).await.unwrap();
                // The test's own output is captured; this is not.
                let mut out = std::io::stdout().lock();
                writeln!(out, "{key}").unwrap();
                out.flush().unwrap();
            }
        })
    });
    futures::future::join_all(writers).await;
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Gone already, if the test has killed it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..6 {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_writes_until_it_is_killed", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Killed(child);
        let out = BufReader::new(child.0.stdout.take().unwrap());
        // The harness may print on the same line as the first key.
        let keys = out.lines().map_while(Result::ok);
        let mut keys = keys.filter_map(|line| Some(line[line.find("key/")?..].to_owned()));
        acknowledged.extend(keys.by_ref().take(50 + 97 * round));
        child.0.kill().unwrap();
        // What it could still say before it was gone, but for a line cut off in its middle.
        let mut rest: Vec<String> = keys.collect();
        rest.pop();
        acknowledged.extend(rest);
        child.0.wait().unwrap();
    }
    assert!(acknowledged.len() > 1500);
    let (_node, store) = start_with(directory.path(), busy(directory.path()))
        .await
        .unwrap();
    for key in acknowledged {
        assert_eq!(get(&store, &key).as_deref(), Some(key.as_bytes()), "{key}");
    }
}
