//! Callers whose server, or whose task, is not there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use quorate_balance::{BalancerConfig, Moment};
use quorate_types::{ErrorCode, Instance, ServiceKey};
use tokio_util::sync::CancellationToken;

use super::task::Task;
use super::{Servers, SessionDriver, now};
use crate::builder::Options;

/// Of a client whose server nobody runs.
pub(super) fn options() -> Options {
    Options {
        endpoints: vec!["127.0.0.1:1".to_owned()],
        namespace: "default".to_owned(),
        cache_dir: None,
        static_instances: HashMap::new(),
        request_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        balancer: BalancerConfig::default(),
        client_name: "test".to_owned(),
    }
}

/// A session whose task does not run.
pub(super) fn start(options: &Options) -> (SessionDriver, Task) {
    let random = || fastrand::Rng::with_seed(7);
    let servers = Servers::new(options, random(), Arc::default()).unwrap();
    SessionDriver::start(options, &servers, random(), CancellationToken::new()).unwrap()
}

fn service() -> ServiceKey {
    ServiceKey::new("", "web").unwrap()
}

#[tokio::test]
async fn what_did_not_get_registered_is_forgotten() {
    let (driver, _task) = start(&options());
    let mut register = Box::pin(driver.register(service(), Instance::new("h:1")));
    assert!(register.as_mut().now_or_never().is_none(), "waits");
    {
        let mut core = driver.shared.core.lock();
        assert_eq!(core.standings.len(), 1);
        core.engine.timer(now() + Duration::from_secs(6));
        core.settle();
    }
    let error = register.await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    let core = driver.shared.core.lock();
    assert!(core.standings.is_empty());
    assert!(core.answers.is_empty());
}

#[tokio::test]
async fn who_waits_hears_when_the_task_ends_without_closing() {
    let (driver, task) = start(&options());
    let followed = driver.follow(service()).unwrap();
    let mut register = Box::pin(driver.register(service(), Instance::new("h:1")));
    assert!(register.as_mut().now_or_never().is_none(), "waits");
    // As when its runtime shuts down.
    drop(task);
    let closed = |error: quorate_types::Error| assert_eq!(error.code(), ErrorCode::Closed);
    closed(register.now_or_never().expect("is told").unwrap_err());
    let again = driver.register(service(), Instance::new("h:1"));
    closed(again.now_or_never().expect("is told").unwrap_err());
    assert!(followed.published().closed);
    closed(driver.follow(service()).map(|_| ()).unwrap_err());
}

/// When everything is idle that was used only now.
fn much_later() -> Moment {
    Moment::from_nanos(3_600_000_000_000)
}

fn is_followed(driver: &SessionDriver) -> bool {
    let core = driver.shared.core.lock();
    core.engine.subscription(&service()).is_some()
}

#[tokio::test]
async fn a_service_nobody_uses_is_forgotten() {
    let (driver, _task) = start(&options());
    drop(driver.follow(service()).unwrap());
    driver.shared.forget_idle(Moment::default());
    assert!(is_followed(&driver), "it was used just now");
    let held = driver.find("web").unwrap();
    driver.shared.forget_idle(much_later());
    assert!(is_followed(&driver), "somebody holds it");
    drop(held);
    driver.shared.forget_idle(much_later());
    assert!(!is_followed(&driver));
    assert!(driver.find("web").is_none());
}

#[tokio::test]
async fn a_service_looked_up_while_it_would_be_forgotten_is_kept() {
    let (driver, _task) = start(&options());
    drop(driver.follow(service()).unwrap());
    // Halfway through a look-up.
    let looking = driver.shared.index.load();
    driver.shared.forget_idle(much_later());
    let found = Arc::clone(looking.get("web").unwrap());
    drop(looking);
    assert!(is_followed(&driver), "or its view would never change again");
    assert!(Arc::ptr_eq(&found, &driver.find("web").unwrap()));
    drop(found);
    driver.shared.forget_idle(much_later());
    assert!(!is_followed(&driver));
}
