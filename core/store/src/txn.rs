//! Txn: decide the branches, check what will run, then run it.

use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::response_op::Response;
use quorate_proto::etcdserverpb::{RequestOp, ResponseOp, TxnRequest, TxnResponse};
use redb::ReadableTable;

use crate::compare::branch;
use crate::error::{EtcdError, Stop, StoreFault};
use crate::range::header;
use crate::revision::RowKey;
use crate::validate;
use crate::view::Reader;
use crate::writing::Writing;

/// Whether a transaction can be answered from local state. Any nested transaction counts as a
/// write, as in etcd.
#[must_use]
pub fn is_read_only(request: &TxnRequest) -> bool {
    request
        .success
        .iter()
        .chain(&request.failure)
        .all(|operation| matches!(operation.request, Some(Request::RequestRange(_))))
}

impl Writing<'_, '_> {
    /// Runs a transaction. Everything that can be refused is refused before the first write.
    pub(crate) fn txn(&mut self, request: TxnRequest) -> Result<TxnResponse, Stop> {
        let mut path = Vec::new();
        self.reader().decide(&request, &mut path)?;
        self.check(&request, &mut path.iter().copied())?;
        let response = self.run(request, &mut path.into_iter());
        response.map_err(|stop| match stop {
            // Half of it may be written: going on would be worse than stopping.
            Stop::Refused(error) => {
                StoreFault::damaged(format!("a checked operation was refused: {error}")).into()
            }
            fault @ Stop::Fault(_) => fault,
        })
    }

    fn check(
        &self,
        request: &TxnRequest,
        path: &mut impl Iterator<Item = bool>,
    ) -> Result<(), EtcdError> {
        for operation in branch(request, taken(path)) {
            match &operation.request {
                None => return Err(EtcdError::KeyNotFound),
                Some(Request::RequestRange(request)) => {
                    validate::range(request)?;
                    self.reader().at(request.revision)?;
                }
                Some(Request::RequestPut(request)) => self.check_put(request)?,
                Some(Request::RequestDeleteRange(_)) => {}
                Some(Request::RequestTxn(nested)) => self.check(nested, path)?,
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        request: TxnRequest,
        path: &mut impl Iterator<Item = bool>,
    ) -> Result<TxnResponse, Stop> {
        let succeeded = taken(path);
        let operations = if succeeded {
            request.success
        } else {
            request.failure
        };
        let mut responses = Vec::with_capacity(operations.len());
        for operation in operations {
            responses.push(ResponseOp {
                response: Some(self.run_one(operation, path)?),
            });
        }
        Ok(TxnResponse {
            header: header(self.revision()),
            succeeded,
            responses,
        })
    }

    fn run_one(
        &mut self,
        operation: RequestOp,
        path: &mut impl Iterator<Item = bool>,
    ) -> Result<Response, Stop> {
        Ok(match operation.request {
            None => return Err(EtcdError::KeyNotFound.into()),
            Some(Request::RequestRange(request)) => {
                Response::ResponseRange(self.reader().range(&request)?)
            }
            Some(Request::RequestPut(request)) => Response::ResponsePut(self.put(request)?),
            Some(Request::RequestDeleteRange(request)) => {
                Response::ResponseDeleteRange(self.delete_range(&request)?)
            }
            Some(Request::RequestTxn(nested)) => Response::ResponseTxn(self.run(nested, path)?),
        })
    }
}

impl<T> Reader<'_, T>
where
    T: ReadableTable<&'static RowKey, &'static [u8]>,
{
    /// Answers a transaction that only reads; all of it from the same revision.
    pub(crate) fn read_txn(&self, request: &TxnRequest) -> Result<TxnResponse, Stop> {
        let mut path = Vec::new();
        self.decide(request, &mut path)?;
        let succeeded = taken(&mut path.into_iter());
        let mut responses = Vec::new();
        for operation in branch(request, succeeded) {
            let Some(Request::RequestRange(request)) = &operation.request else {
                return Err(EtcdError::KeyNotFound.into());
            };
            responses.push(ResponseOp {
                response: Some(Response::ResponseRange(self.range(request)?)),
            });
        }
        Ok(TxnResponse {
            header: header(self.revision),
            succeeded,
            responses,
        })
    }
}

/// The next decision; `decide` has made one for each transaction that runs.
fn taken(path: &mut impl Iterator<Item = bool>) -> bool {
    path.next().unwrap_or(false)
}

#[cfg(test)]
mod tests;
