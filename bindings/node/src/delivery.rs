//! Results on their way to JavaScript, as promises.
//!
//! The client's threads never wait for JavaScript, which would delay heartbeats. They put results
//! into a queue, one for each environment (the main thread, each worker), and wake it once per
//! batch. Its thread then makes values of them and settles their promises.
//!
//! The wake-up is a thread-safe function without a function. It is weak, so that it does not keep
//! the process alive, except while a promise is pending that should: see [`Pending`].
//!
//! The room's only `unsafe` that is not about arguments: Node-API for promises and wake-ups, which
//! napi-rs offers only as one wake-up per promise, and those always keep the process alive.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::future::Future;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use napi::bindgen_prelude::{JsValue, PromiseRaw, ToNapiValue};
use napi::{Env, JsError, check_status, sys};
use napi_derive::napi;
use parking_lot::Mutex;
use quorate::{Error, ErrorCode};
use quorate_bridge::EventQueue;
use tokio::task::AbortHandle;

use crate::errors::{Raised, Result, of_node, raise};
use crate::{logs, runtime};

/// More results than this cannot wait: each belongs to a promise, so the bound only ends a
/// program that starts operations without end.
const CAPACITY: usize = 1 << 20;

/// Makes a JavaScript value of a result; on the thread of its environment.
pub(crate) type Convert = Box<dyn FnOnce(&Env) -> Result<sys::napi_value> + Send>;
type Answer = std::result::Result<Convert, Error>;

/// What an operation gives, as a JavaScript value.
pub(crate) trait IntoJs: Send + 'static {
    fn into_js(self, env: &Env) -> Result<sys::napi_value>;
}

impl IntoJs for () {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        give(env, self)
    }
}

impl IntoJs for bool {
    fn into_js(self, env: &Env) -> Result<sys::napi_value> {
        give(env, self)
    }
}

/// A value that napi-rs knows how to make.
pub(crate) fn give(env: &Env, value: impl ToNapiValue) -> Result<sys::napi_value> {
    Ok(value.into_unknown(env).map_err(of_node)?.raw())
}

/// Whether the process may exit while a promise is pending.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    /// No: somebody awaits it.
    KeepsAlive,
    /// Yes: it only tells of something, should it happen.
    Background,
}

impl Pending {
    pub(crate) fn background(background: bool) -> Self {
        if background {
            Self::Background
        } else {
            Self::KeepsAlive
        }
    }
}

/// The operations under way of one environment.
pub(crate) struct Deliveries {
    /// Of no other environment of this process.
    environment: u64,
    queue: Arc<EventQueue<(u64, Answer)>>,
    bell: Arc<Bell>,
    waiting: RefCell<HashMap<u64, Waiting>>,
    next: Cell<u64>,
    /// How many of those that wait keep the process alive.
    keeping: Cell<usize>,
    /// Who gets the log records; see [`logs`].
    pub(crate) logger: RefCell<Option<logs::Logger>>,
}

struct Waiting {
    deferred: sys::napi_deferred,
    pending: Pending,
    task: AbortHandle,
}

/// Wakes the environment from any thread.
pub(crate) struct Bell(Mutex<Option<Function>>);

/// The thread-safe function. There as long as its environment is.
#[derive(Clone, Copy)]
struct Function(sys::napi_threadsafe_function);

// SAFETY: to be called from any thread is what a thread-safe function is for; referring and
// unreferring, which are not, are done by `Deliveries` alone, which is neither `Send` nor `Sync`.
unsafe impl Send for Function {}

impl Bell {
    /// Wakes it, if it is still there.
    pub(crate) fn ring(&self) {
        let function = self.0.lock();
        if let Some(Function(function)) = *function {
            // SAFETY: it is taken out of the bell, under this lock, before it ends. It does not
            // block. When it is closing there is nobody to wake, so its answer does not matter.
            unsafe {
                sys::napi_call_threadsafe_function(
                    function,
                    ptr::null_mut(),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                );
            }
        }
    }
}

impl Deliveries {
    /// Those of this environment.
    pub(crate) fn of(env: &Env) -> Result<Rc<Self>> {
        let found = env.get_instance_data::<Rc<Self>>().map_err(of_node)?;
        found
            .cloned()
            .ok_or_else(|| of_node(napi::Error::from_reason("the environment has ended")))
    }

    pub(crate) fn environment(&self) -> u64 {
        self.environment
    }

    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Runs an operation on the client's threads; the promise is settled with what it gives.
    pub(crate) fn start<'env, T: IntoJs, V>(
        &self,
        env: &'env Env,
        pending: Pending,
        cancel: Option<&Cancel>,
        work: impl Future<Output = std::result::Result<T, Error>> + Send + 'static,
    ) -> Result<PromiseRaw<'env, V>> {
        let runtime = runtime::handle()?;
        let (mut deferred, mut promise) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the environment is live, and both places can be written to.
        let made = unsafe { sys::napi_create_promise(env.raw(), &mut deferred, &mut promise) };
        check_status!(made).map_err(of_node)?;
        let ticket = self.next.get();
        self.next.set(ticket + 1);
        let queue = Arc::clone(&self.queue);
        let task = runtime.spawn(async move {
            let answer = work.await.map(|value| {
                let convert: Convert = Box::new(move |env| value.into_js(env));
                convert
            });
            queue.push(None, (ticket, answer));
        });
        let waiting = Waiting {
            deferred,
            pending,
            task: task.abort_handle(),
        };
        self.waiting.borrow_mut().insert(ticket, waiting);
        if pending == Pending::KeepsAlive {
            self.keep(env, 1);
        }
        if let Some(cancel) = cancel {
            cancel.ticket.set(Some(ticket));
        }
        Ok(PromiseRaw::new(env.raw(), promise))
    }

    /// Settles what is done, in the order in which it was.
    fn deliver(&self, env: &Env) {
        for (ticket, answer) in self.queue.drain(usize::MAX) {
            // Withdrawn meanwhile: dropping the answer gives up what it holds.
            let Some(waiting) = self.take(env, ticket) else {
                continue;
            };
            let answer = answer.map_err(|error| raise(&error));
            settle(env, waiting.deferred, answer);
        }
        logs::deliver(env, self);
    }

    /// Withdraws an operation, if it is not settled yet.
    fn cancel(&self, env: &Env, ticket: u64) {
        if let Some(waiting) = self.take(env, ticket) {
            waiting.task.abort();
            let cancelled = Error::new(ErrorCode::Cancelled, "the call was cancelled");
            settle(env, waiting.deferred, Err(raise(&cancelled)));
        }
    }

    fn take(&self, env: &Env, ticket: u64) -> Option<Waiting> {
        let waiting = self.waiting.borrow_mut().remove(&ticket)?;
        if waiting.pending == Pending::KeepsAlive {
            self.keep(env, -1);
        }
        Some(waiting)
    }

    /// Keeps the process alive while at least one promise wants it.
    fn keep(&self, env: &Env, change: isize) {
        let before = self.keeping.get();
        let after = before.saturating_add_signed(change);
        self.keeping.set(after);
        let Some(Function(function)) = *self.bell.0.lock() else {
            return;
        };
        // SAFETY: on the environment's own thread, as this is not `Send`; the function is there
        // while it is in the bell. Neither fails for a live one.
        unsafe {
            match (before, after) {
                (0, 1..) => sys::napi_ref_threadsafe_function(env.raw(), function),
                (1.., 0) => sys::napi_unref_threadsafe_function(env.raw(), function),
                _ => sys::Status::napi_ok,
            };
        }
    }

    /// The environment ends: nothing is delivered any more, and what is under way is withdrawn.
    fn end(&self) {
        let function = self.bell.0.lock().take();
        self.queue.close();
        for (_, waiting) in self.waiting.borrow_mut().drain() {
            waiting.task.abort();
        }
        drop(self.queue.drain(usize::MAX));
        logs::forget(self);
        runtime::close_environment(self.environment);
        if let Some(Function(function)) = function {
            // SAFETY: nobody else has it any more, and Node has not ended it yet: its own hook,
            // older than the one that calls this, runs later.
            unsafe {
                sys::napi_release_threadsafe_function(
                    function,
                    sys::ThreadsafeFunctionReleaseMode::abort,
                );
            }
        }
    }
}

/// Resolves or rejects.
fn settle(env: &Env, deferred: sys::napi_deferred, answer: std::result::Result<Convert, Raised>) {
    let (env, mut scope) = (env, ptr::null_mut());
    // SAFETY: on the environment's thread, called by Node; the scope is closed below. `deferred`
    // was taken out of those that wait, so it is settled only here. A failure means that the
    // environment ends, when nobody waits any more.
    unsafe {
        sys::napi_open_handle_scope(env.raw(), &mut scope);
        match answer.and_then(|convert| convert(env)) {
            Ok(value) => sys::napi_resolve_deferred(env.raw(), deferred, value),
            Err(error) => {
                let error = JsError::from(error).into_value(env.raw());
                sys::napi_reject_deferred(env.raw(), deferred, error)
            }
        };
        sys::napi_close_handle_scope(env.raw(), scope);
    }
}

/// Withdraws one call: hand it to the call, then `cancel()` it.
#[napi]
pub struct Cancel {
    deliveries: Rc<Deliveries>,
    ticket: Cell<Option<u64>>,
}

#[napi]
impl Cancel {
    /// For one call.
    #[napi(constructor)]
    pub fn new(env: &Env) -> Result<Self> {
        Ok(Self {
            deliveries: Deliveries::of(env)?,
            ticket: Cell::new(None),
        })
    }

    /// Rejects the call with `cancelled`; does nothing once it is settled.
    #[napi]
    pub fn cancel(&self, env: &Env) {
        if let Some(ticket) = self.ticket.take() {
            self.deliveries.cancel(env, ticket);
        }
    }
}

/// Makes the environment's deliveries; runs once in each, when the addon is loaded there.
#[napi(module_exports)]
pub fn start(_exports: napi::bindgen_prelude::Object<'_>, env: Env) -> napi::Result<()> {
    static ENVIRONMENTS: AtomicU64 = AtomicU64::new(0);
    let bell = Arc::new(Bell(Mutex::new(None)));
    let wake = Arc::clone(&bell);
    let deliveries = Rc::new(Deliveries {
        environment: ENVIRONMENTS.fetch_add(1, Ordering::Relaxed),
        queue: Arc::new(EventQueue::new(CAPACITY, move || wake.ring())),
        bell,
        waiting: RefCell::default(),
        next: Cell::new(0),
        keeping: Cell::new(0),
        logger: RefCell::default(),
    });
    let function = wake_up(&env, &deliveries)?;
    *deliveries.bell.0.lock() = Some(function);
    env.add_env_cleanup_hook(Rc::clone(&deliveries), |deliveries| deliveries.end())?;
    env.set_instance_data(deliveries, (), |_| {})
}

/// A weak thread-safe function that delivers.
fn wake_up(env: &Env, deliveries: &Rc<Deliveries>) -> napi::Result<Function> {
    let name = env.create_string("quorate")?.raw();
    let context = Rc::into_raw(Rc::clone(deliveries)).cast_mut().cast();
    let mut function = ptr::null_mut();
    // SAFETY: the environment is live and `name` one of its values. Node calls `on_wake` with
    // `context`, which stays until `on_end` takes it back.
    unsafe {
        check_status!(sys::napi_create_threadsafe_function(
            env.raw(),
            ptr::null_mut(),
            ptr::null_mut(),
            name,
            0,
            1,
            ptr::null_mut(),
            Some(on_end),
            context,
            Some(on_wake),
            &mut function,
        ))?;
        check_status!(sys::napi_unref_threadsafe_function(env.raw(), function))?;
    }
    Ok(Function(function))
}

/// Node calls this on the environment's thread after a wake-up.
unsafe extern "C" fn on_wake(
    env: sys::napi_env,
    _function: sys::napi_value,
    context: *mut c_void,
    _data: *mut c_void,
) {
    // Without an environment it is only to free `data`, and there is none.
    if !env.is_null() {
        // SAFETY: `wake_up` made `context` of an `Rc`, and only `on_end` gives it back.
        let deliveries = unsafe { &*context.cast::<Deliveries>() };
        deliveries.deliver(&Env::from_raw(env));
    }
}

/// Node calls this once, when nothing will wake any more.
unsafe extern "C" fn on_end(_env: sys::napi_env, _data: *mut c_void, context: *mut c_void) {
    // SAFETY: the reference that `wake_up` gave away.
    drop(unsafe { Rc::from_raw(context.cast::<Deliveries>()) });
}
