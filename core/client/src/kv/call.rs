//! The key-value calls of a [`Client`].

use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest,
};
use quorate_types::{Error, ErrorCode};
use tonic::transport::Channel;

use super::txn::delete_request;
use super::{KeyValue, PutOptions, PutResult, RangeOptions, RangeResult, Txn, TxnResult};
use super::{prefix_end, unsigned};
use crate::Client;
use crate::driver::call::{Calls, MAX_ANSWER, Repeat, timed};
use crate::error::Operation;

impl Client {
    /// Writes a key.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for an empty key; [`ErrorCode::ResourceExhausted`] if it is
    /// too large or the store is full; [`ErrorCode::Unavailable`] and [`ErrorCode::Timeout`], after
    /// which the write may still have taken effect if the message says so.
    pub async fn put(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> Result<PutResult, Error> {
        self.put_with(key, value, PutOptions::new()).await
    }

    /// Writes a key, with a lease or asking for the previous version.
    ///
    /// # Errors
    /// As [`Client::put`]; [`ErrorCode::NotFound`] if the lease is not there.
    pub async fn put_with(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        options: PutOptions,
    ) -> Result<PutResult, Error> {
        let request = options.into_wire(key.into(), value.into())?;
        put(&self.inner.calls, &request).await
    }

    /// Reads a key; `None` if it is not there.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for an empty key; [`ErrorCode::Unavailable`],
    /// [`ErrorCode::Timeout`].
    pub async fn get(&self, key: impl Into<Vec<u8>>) -> Result<Option<KeyValue>, Error> {
        let result = self.range(RangeOptions::key(key)).await?;
        Ok(result.kvs.into_iter().next())
    }

    /// Reads a range of keys.
    ///
    /// # Errors
    /// As [`Client::get`]; [`ErrorCode::OutOfRange`] if the revision asked for is compacted away or
    /// in the future.
    pub async fn range(&self, options: RangeOptions) -> Result<RangeResult, Error> {
        range(&self.inner.calls, &options.into_wire()?).await
    }

    /// Deletes a key; answers how many are gone, 0 or 1.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn delete(&self, key: impl Into<Vec<u8>>) -> Result<u64, Error> {
        self.delete_range(delete_request(key.into(), Vec::new())?)
            .await
    }

    /// Deletes all keys that begin with `prefix`; answers how many are gone. An empty prefix is
    /// refused: it would delete everything.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn delete_prefix(&self, prefix: impl Into<Vec<u8>>) -> Result<u64, Error> {
        let prefix = prefix.into();
        let end = prefix_end(&prefix);
        self.delete_range(delete_request(prefix, end)?).await
    }

    async fn delete_range(&self, request: DeleteRangeRequest) -> Result<u64, Error> {
        let calls = &self.inner.calls;
        let attempt = |channel, time| {
            let request = timed(request.clone(), time);
            async move { connect(channel).delete_range(request).await }
        };
        let operation = Operation::on("delete", &request.key);
        let response = calls.call(operation, Repeat::IfNotSent, attempt).await?;
        Ok(unsigned(response.deleted))
    }

    /// Does a transaction.
    ///
    /// # Errors
    /// As [`Client::put`]. A transaction that only reads is repeated as a read is.
    pub async fn txn(&self, txn: Txn) -> Result<TxnResult, Error> {
        let repeat = txn.repeat();
        txn_call(&self.inner.calls, &txn.into_wire()?, repeat).await
    }

    /// Forgets all versions older than `revision`: reads and watches before it become
    /// [`ErrorCode::OutOfRange`].
    ///
    /// # Errors
    /// [`ErrorCode::OutOfRange`] if that is done already or the revision is in the future.
    pub async fn compact(&self, revision: i64) -> Result<(), Error> {
        if revision <= 0 {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("compact to revision {revision}: revisions begin at 1"),
            ));
        }
        let request = CompactionRequest {
            revision,
            physical: false,
        };
        let attempt =
            |channel, time| async move { connect(channel).compact(timed(request, time)).await };
        let operation = Operation::plain("compact");
        let calls = &self.inner.calls;
        calls.call(operation, Repeat::IfNotSent, attempt).await?;
        Ok(())
    }
}

async fn put(calls: &Calls, request: &PutRequest) -> Result<PutResult, Error> {
    let attempt = |channel, time| {
        let request = timed(request.clone(), time);
        async move { connect(channel).put(request).await }
    };
    let operation = Operation::on("put", &request.key);
    let response = calls.call(operation, Repeat::IfNotSent, attempt).await?;
    Ok(response.into())
}

pub(crate) async fn range(calls: &Calls, request: &RangeRequest) -> Result<RangeResult, Error> {
    let attempt = |channel, time| {
        let request = timed(request.clone(), time);
        async move { connect(channel).range(request).await }
    };
    let operation = Operation::on("get", &request.key);
    let response = calls.call(operation, Repeat::Safe, attempt).await?;
    Ok(response.into())
}

/// A transaction whose caller knows whether it may be repeated.
pub(crate) async fn txn_call(
    calls: &Calls,
    request: &TxnRequest,
    repeat: Repeat,
) -> Result<TxnResult, Error> {
    let attempt = |channel, time| {
        let request = timed(request.clone(), time);
        async move { connect(channel).txn(request).await }
    };
    let key = request.compare.first().map_or(&[][..], |first| &first.key);
    let operation = Operation::on("txn", key);
    let response = calls.call(operation, repeat, attempt).await?;
    Ok(response.into())
}

fn connect(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}
