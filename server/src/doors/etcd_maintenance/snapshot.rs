//! Snapshots on the wire: a stream that goes at its reader's pace, for as long as it has one.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use quorate_proto::etcdserverpb::SnapshotResponse;
use quorate_store::backup::SnapshotSource;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::ETCD_VERSION;
use crate::doors::away::away;
use crate::doors::member::Member;
use crate::doors::status::{refused, server_stopped};

/// Snapshots made at a time. Each keeps what compaction would delete.
const AT_A_TIME: usize = 4;
/// Pieces ready before they are asked for.
const AHEAD: usize = 2;
/// Bytes in one message, at most: clients take 4 MiB unless told otherwise.
const LARGEST_BLOB: usize = 1 << 20;
/// A reader that takes nothing for so long has gone: compaction can't wait for it for ever.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) type Responses = BoxStream<'static, Result<SnapshotResponse, Status>>;

/// Makes snapshots, a few at a time.
pub(super) struct Snapshots {
    turns: Arc<Semaphore>,
}

impl Snapshots {
    pub(super) fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// Begins one of what is applied here so far.
    pub(super) async fn begin(&self, member: &Member) -> Result<Responses, Status> {
        let turn = Arc::clone(&self.turns)
            .try_acquire_owned()
            .map_err(|_| Status::resource_exhausted("etcdserver: too many requests"))?;
        let store = member.store().clone();
        let source = away(move || store.snapshot().map_err(refused)).await?;
        let (pieces, taken) = mpsc::channel(AHEAD);
        let (end, ended) = oneshot::channel();
        let member = member.clone();
        tokio::spawn(async move {
            let _turn = turn;
            // Nobody listens any more if this fails.
            let _ = end.send(produce(&member, source, pieces).await);
        });
        Ok(responses(taken, ended).boxed())
    }
}

/// All pieces, then how it ended if that was not well: a stream must not end as if it were whole.
fn responses(
    pieces: mpsc::Receiver<SnapshotResponse>,
    ended: oneshot::Receiver<Result<(), Status>>,
) -> impl Stream<Item = Result<SnapshotResponse, Status>> {
    let end = async {
        match ended.await {
            Ok(Ok(())) => None,
            Ok(Err(status)) => Some(Err(status)),
            Err(_) => Some(Err(server_stopped())),
        }
    };
    ReceiverStream::new(pieces)
        .map(Ok)
        .chain(stream::once(end).filter_map(std::future::ready))
}

/// Reads the snapshot, and sends it off as fast as it is taken.
async fn produce(
    member: &Member,
    mut source: SnapshotSource,
    pieces: mpsc::Sender<SnapshotResponse>,
) -> Result<(), Status> {
    let stopping = member.stopping();
    loop {
        let (next, piece) = away(move || {
            let piece = source.next_piece().map_err(refused)?;
            Ok((source, piece))
        })
        .await?;
        source = next;
        let Some(piece) = piece else {
            return Ok(());
        };
        let mut blobs = piece.chunks(LARGEST_BLOB).peekable();
        while let Some(blob) = blobs.next() {
            let response = SnapshotResponse {
                header: Some(member.header_at(source.revision())),
                // Some clients take none for the end.
                remaining_bytes: source.remaining().max(u64::from(blobs.peek().is_some())),
                blob: blob.to_vec(),
                version: ETCD_VERSION.to_owned(),
            };
            let sent = tokio::select! {
                sent = tokio::time::timeout(PATIENCE, pieces.send(response)) => sent,
                () = stopping.cancelled() => return Err(server_stopped()),
            };
            match sent {
                Ok(Ok(())) => {}
                // The reader has gone.
                Ok(Err(_)) => return Ok(()),
                Err(_) => {
                    return Err(Status::deadline_exceeded(format!(
                        "nobody took the snapshot's next piece for {PATIENCE:?}"
                    )));
                }
            }
        }
    }
}
