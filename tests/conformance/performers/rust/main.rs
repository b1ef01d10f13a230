//! Rust's performer: does through the crate `quorate` what the conformance runner says; see
//! `tests/conformance/PERFORMER.md`.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Mutex;

use futures::future::{AbortHandle, Abortable};
use quorate_tests::conformance::line::{Answer, Fields};
use tokio::io::{AsyncBufReadExt, BufReader};

mod arguments;
mod clients;
mod discovery;
mod holdings;
mod keys;
mod names;
mod values;
mod watches;

use arguments::Arguments;
use names::Names;

/// What a command comes to.
type Done = Result<Fields, Answer>;

static NAMES: Names = Names::new();
/// Commands under way, to be cancelled.
static UNDER_WAY: Mutex<Option<HashMap<u64, AbortHandle>>> = Mutex::new(None);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    say("hello language=rust lacks=");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let mut parts = line.splitn(3, ' ');
        let id = parts.next().and_then(|id| id.parse::<u64>().ok());
        let (Some(id), Some(op)) = (id, parts.next()) else {
            eprintln!("neither ID nor command: {line:?}");
            continue;
        };
        let op = op.to_owned();
        let fields = match Fields::read(parts.next().unwrap_or_default()) {
            Ok(fields) => fields,
            Err(error) => {
                let answer = Answer::refused("performer:malformed", format!("{error:#}"));
                say(&answer.line(id));
                continue;
            }
        };
        let (handle, registration) = AbortHandle::new_pair();
        under_way(|commands| commands.insert(id, handle));
        let command = Abortable::new(perform(op, fields), registration);
        tokio::spawn(async move {
            let answer = match command.await {
                Ok(Ok(fields)) => Answer::Ok(fields),
                Ok(Err(error)) => error,
                Err(_) => Answer::refused("cancelled", "the future was dropped"),
            };
            under_way(|commands| commands.remove(&id));
            say(&answer.line(id));
        });
    }
    // Leaves `main` as it is: what is open is left to the exit path.
    std::process::exit(0)
}

async fn perform(op: String, fields: Fields) -> Done {
    let mut arguments = Arguments::new(fields);
    let arguments = &mut arguments;
    match op.as_str() {
        "open" => clients::open(arguments),
        "connected" => clients::connected(arguments).await,
        "close" => clients::close(arguments).await,
        "metrics" => clients::metrics(arguments),
        "server_status" => clients::server_status(arguments).await,
        "register" => discovery::register(arguments).await,
        "registration" => discovery::registration(arguments),
        "update" => discovery::update(arguments).await,
        "deregister" => discovery::deregister(arguments).await,
        "discover" => discovery::discover(arguments).await,
        "view" => discovery::view(arguments),
        "list_services" => discovery::list_services(arguments).await,
        "pick" => discovery::pick(arguments),
        "report" => discovery::report(arguments),
        "may_retry" => discovery::may_retry(arguments),
        "pick_many" => discovery::pick_many(arguments),
        "watch_service" => watches::watch_service(arguments),
        "watch" => watches::watch(arguments),
        "observe" => watches::observe(arguments),
        "next" => watches::next(arguments).await,
        "close_watch" => watches::close_watch(arguments),
        "lock" => holdings::lock(arguments).await,
        "try_lock" => holdings::try_lock(arguments).await,
        "unlock" => holdings::unlock(arguments).await,
        "campaign" => holdings::campaign(arguments).await,
        "proclaim" => holdings::proclaim(arguments).await,
        "resign" => holdings::resign(arguments).await,
        "leader" => holdings::leader(arguments).await,
        "lease" => holdings::lease(arguments).await,
        "lease_time_to_live" => holdings::lease_time_to_live(arguments).await,
        "revoke" => holdings::revoke(arguments).await,
        "held" => holdings::held(arguments),
        "wait_lost" => holdings::wait_lost(arguments).await,
        "put" => keys::put(arguments).await,
        "get" => keys::get(arguments).await,
        "range" => keys::range(arguments).await,
        "delete" => keys::delete(arguments).await,
        "txn" => keys::txn(arguments).await,
        "compact" => keys::compact(arguments).await,
        "drop" => names::let_go(arguments),
        "cancel" => cancel(arguments),
        other => Err(Answer::refused("performer:unknown_op", other)),
    }
}

fn cancel(arguments: &mut Arguments) -> Done {
    let id = arguments.needed("id", Arguments::number)?;
    arguments.end()?;
    under_way(|commands| {
        if let Some(command) = commands.get(&id) {
            command.abort();
        }
    });
    Ok(Fields::new())
}

fn under_way<T>(with: impl FnOnce(&mut HashMap<u64, AbortHandle>) -> T) -> T {
    let mut commands = UNDER_WAY.lock().expect("nobody panics with it");
    with(commands.get_or_insert_default())
}

/// Writes a line, whole.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // Who no longer reads has gone, and stdin will say so.
    drop(writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
}
