//! Streams: service events, key changes, leaders; read one by one.

use std::rc::Rc;

use futures::StreamExt;
use napi::bindgen_prelude::{Null, PromiseRaw, Unknown};
use napi::{Env, sys};
use napi_derive::napi;
use quorate::Error;
use quorate_bridge::Delivery;

use crate::delivery::{Cancel, Convert, Deliveries, IntoJs, Pending, give};
use crate::errors::{Result, raise};

/// A stream that ends when it is closed or its client is.
#[napi]
pub struct Stream {
    items: quorate_bridge::Stream<Convert>,
    deliveries: Rc<Deliveries>,
}

impl Stream {
    pub(crate) fn new<T: IntoJs>(
        deliveries: &Rc<Deliveries>,
        items: impl futures::Stream<Item = std::result::Result<T, Error>> + Send + 'static,
    ) -> Self {
        let items = items.map(|item| {
            item.map(|item| {
                let convert: Convert = Box::new(move |env| item.into_js(env));
                convert
            })
        });
        Self {
            items: quorate_bridge::Stream::new(items),
            deliveries: Rc::clone(deliveries),
        }
    }
}

#[napi]
impl Stream {
    /// The next item; `null` at the end. An item whose reader was cancelled is not lost.
    #[napi]
    pub fn next<'env>(
        &self,
        env: &'env Env,
        background: bool,
        cancel: Option<&Cancel>,
    ) -> Result<PromiseRaw<'env, Unknown<'env>>> {
        let next = self.items.next().map_err(|error| raise(&error))?;
        let pending = Pending::background(background);
        self.deliveries
            .start(env, pending, cancel, async move { Ok(next.await) })
    }

    /// Ends it; who waits for its next item is told that there is none.
    #[napi]
    pub fn close(&self) -> Result<()> {
        self.items.close().map_err(|error| raise(&error))
    }
}

impl IntoJs for Delivery<Convert> {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        match self.take() {
            None => give(env, Null),
            Some(Ok(convert)) => convert(env),
            Some(Err(error)) => Err(raise(&error)),
        }
    }
}
