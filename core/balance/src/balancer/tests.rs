//! The balancer as a whole, on a clock and with chance held by the test.

mod health;
mod reports;
mod shares;
mod simulation;

use crate::*;
use fastrand::Rng;
use std::time::Duration;

/// A balancer, its clock and its chance. An endpoint's payload is its number.
struct Fixture {
    balancer: Balancer<u32>,
    now: Moment,
    rng: Rng,
}

impl Fixture {
    fn new(config: BalancerConfig, weights: &[u16]) -> Self {
        let fixture = Self {
            balancer: Balancer::new(config),
            now: Moment::from_millis(1000),
            rng: Rng::with_seed(42),
        };
        fixture.balancer.update(endpoints(weights), fixture.now);
        fixture
    }

    fn advance(&mut self, millis: u64) {
        self.now = self.now.after(Duration::from_millis(millis));
    }

    fn pick(&mut self) -> Picked<u32> {
        self.pick_without(&[])
    }

    fn pick_without(&mut self, exclude: &[&str]) -> Picked<u32> {
        self.balancer
            .pick(
                &PickContext {
                    exclude,
                    ..PickContext::at(self.now)
                },
                &mut self.rng,
            )
            .unwrap()
    }

    /// Picks, and gives up what was picked for another reason.
    fn pick_until(&mut self, why: Why) -> Picked<u32> {
        for _ in 0..1000 {
            let picked = self.pick();
            if picked.why == why {
                return picked;
            }
            self.balancer
                .report(picked.handle, Outcome::Cancelled, Duration::ZERO, self.now);
        }
        panic!("no {why:?} in 1000 picks")
    }

    fn ok(&self, picked: &Picked<u32>) -> bool {
        self.balancer.report(
            picked.handle,
            Outcome::Ok,
            Duration::from_millis(5),
            self.now,
        )
    }

    /// Makes the breaker of one endpoint trip, as a caller would.
    fn trip(&mut self, id: &str) {
        let others: Vec<_> = self
            .balancer
            .endpoints(self.now)
            .into_iter()
            .map(|e| e.id)
            .filter(|e| &**e != id)
            .collect();
        let others: Vec<&str> = others.iter().map(|id| &**id).collect();
        while self.state(id) == EndpointState::Serving {
            let picked = self.pick_without(&others);
            assert_eq!(&*picked.endpoint.id, id);
            self.balancer
                .report(picked.handle, Outcome::Fail, Duration::ZERO, self.now);
        }
    }

    fn view(&self, id: &str) -> EndpointView {
        self.balancer
            .endpoints(self.now)
            .into_iter()
            .find(|e| &*e.id == id)
            .unwrap()
    }

    fn state(&self, id: &str) -> EndpointState {
        self.view(id).state
    }

    fn warmth(&self, index: u32) -> f32 {
        self.view(&index.to_string()).warmth
    }
}

/// Endpoints `0`, `1`, ... up for a day.
fn endpoints(weights: &[u16]) -> Vec<EndpointSpec<u32>> {
    let day = Duration::from_secs(86_400);
    let endpoint = |(i, &weight): (u32, &u16)| {
        EndpointSpec::new(i.to_string(), format!("10.0.0.{i}:80"), weight, i)
    };
    (0..)
        .zip(weights)
        .map(endpoint)
        .map(|e| e.age(day))
        .collect()
}

fn config(algorithm: Algorithm) -> BalancerConfig {
    BalancerConfig {
        algorithm,
        seed: 7,
        ..BalancerConfig::default()
    }
}
