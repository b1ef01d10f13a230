//! How many retries a service can afford: a part of its requests plus a few, over the last 10 s (as Finagle's).
//! Without a budget, retries multiply the load on a service that is failing because of load.

use crate::config::RetryBudgetConfig;
use crate::moment::Moment;
use crate::window::{Count, WINDOW_SECONDS, Window};

#[derive(Debug)]
pub(crate) struct RetryBudget {
    ratio: f64,
    reserve: f64,
    window: Window,
}

impl RetryBudget {
    pub(crate) fn new(config: &RetryBudgetConfig) -> Self {
        Self {
            ratio: config.ratio.clamp(0.0, 1.0),
            reserve: f64::from(config.per_second) * f64::from(WINDOW_SECONDS),
            window: Window::default(),
        }
    }

    /// A request that is no retry earns its part.
    pub(crate) fn earn(&self, now: Moment) {
        self.window.add(Count::First, now);
    }

    /// Takes one retry out of the budget, if there is one.
    pub(crate) fn spend(&self, now: Moment) -> bool {
        self.window.add_if(Count::Second, now, || {
            let (requests, retries) = self.window.totals(now);
            f64::from(retries) + 1.0 <= self.reserve + self.ratio * f64::from(requests)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend_all(budget: &RetryBudget, now: Moment) -> u32 {
        (0..100_000).take_while(|_| budget.spend(now)).count() as u32
    }

    #[test]
    fn ten_a_second_without_requests() {
        let budget = RetryBudget::new(&RetryBudgetConfig::default());
        assert_eq!(spend_all(&budget, Moment::from_millis(100)), 100);
        assert_eq!(spend_all(&budget, Moment::from_millis(9_900)), 0);
        assert_eq!(spend_all(&budget, Moment::from_millis(10_000)), 100);
    }

    #[test]
    fn a_fifth_of_the_requests() {
        let budget = RetryBudget::new(&RetryBudgetConfig {
            per_second: 0,
            ..RetryBudgetConfig::default()
        });
        let now = Moment::from_millis(42);
        assert!(!budget.spend(now));
        for _ in 0..1000 {
            budget.earn(now);
        }
        assert_eq!(spend_all(&budget, now), 200);
    }

    #[test]
    fn threads_share_it() {
        let budget = RetryBudget::new(&RetryBudgetConfig::default());
        let now = Moment::from_millis(42);
        let spent: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| spend_all(&budget, now)))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(spent, 100);
    }

    #[test]
    fn absurd_settings_allow_nothing() {
        let budget = RetryBudget::new(&RetryBudgetConfig {
            ratio: f64::NAN,
            per_second: 0,
        });
        budget.earn(Moment::default());
        assert!(!budget.spend(Moment::default()));
    }
}
