//! What an answer says of the endpoint that gave it: HTTP statuses and gRPC codes as outcomes, the
//! same for every adapter in every language.

use std::time::Duration;

use crate::call::Outcome;

impl Outcome {
    /// What an HTTP status says. `retry_after` is the header of that name, if there is one; one
    /// that is a date counts as not saying how long.
    ///
    /// 429, and 503 with `Retry-After`, are overload; 504 is a timeout; other 5xx are failures, but
    /// for 501: the endpoint works as it was made. The rest, errors of the caller's making among
    /// them, is work done.
    #[must_use]
    pub fn of_http(status: u16, retry_after: Option<&str>) -> Self {
        let seconds = || retry_after?.trim().parse().ok().map(Duration::from_secs);
        match (status, retry_after) {
            (429, _) | (503, Some(_)) => Self::Overloaded {
                retry_after: seconds(),
            },
            (504, _) => Self::Timeout,
            (501, _) => Self::Ok,
            (500..=599, _) => Self::Fail,
            _ => Self::Ok,
        }
    }

    /// What a gRPC status code says. `pushback` is `grpc-retry-pushback-ms`, if there is one.
    ///
    /// `RESOURCE_EXHAUSTED` is overload, `DEADLINE_EXCEEDED` a timeout, `CANCELLED` says nothing;
    /// `UNKNOWN`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`, and numbers that gRPC does not know, are
    /// failures. The rest is work done.
    #[must_use]
    pub fn of_grpc(code: i32, pushback: Option<Duration>) -> Self {
        match code {
            1 => Self::Cancelled,
            4 => Self::Timeout,
            8 => Self::Overloaded {
                retry_after: pushback,
            },
            0 | 3 | 5..=7 | 9..=12 | 16 => Self::Ok,
            _ => Self::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overloaded(seconds: Option<u64>) -> Outcome {
        Outcome::Overloaded {
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    #[test]
    fn http_statuses_blame_whom_they_should() {
        for (status, retry_after, expected) in [
            (200, None, Outcome::Ok),
            (304, None, Outcome::Ok),
            (404, None, Outcome::Ok),
            (408, None, Outcome::Ok),
            (429, None, overloaded(None)),
            (429, Some("7"), overloaded(Some(7))),
            (500, Some("7"), Outcome::Fail),
            (501, None, Outcome::Ok),
            (502, None, Outcome::Fail),
            (503, None, Outcome::Fail),
            (503, Some(" 30 "), overloaded(Some(30))),
            (503, Some("Wed, 21 Oct 2026 07:28:00 GMT"), overloaded(None)),
            (503, Some("-1"), overloaded(None)),
            (504, None, Outcome::Timeout),
            (999, None, Outcome::Ok),
        ] {
            let outcome = Outcome::of_http(status, retry_after);
            assert_eq!(outcome, expected, "{status} {retry_after:?}");
        }
    }

    #[test]
    fn grpc_codes_blame_whom_they_should() {
        for code in [0, 3, 5, 6, 7, 9, 10, 11, 12, 16] {
            assert_eq!(Outcome::of_grpc(code, None), Outcome::Ok, "{code}");
        }
        for code in [2, 13, 14, 15, 17, -1] {
            assert_eq!(Outcome::of_grpc(code, None), Outcome::Fail, "{code}");
        }
        assert_eq!(Outcome::of_grpc(1, None), Outcome::Cancelled);
        assert_eq!(Outcome::of_grpc(4, None), Outcome::Timeout);
        let pushback = Some(Duration::from_secs(2));
        assert_eq!(Outcome::of_grpc(8, pushback), overloaded(Some(2)));
    }
}
