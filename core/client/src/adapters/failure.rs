//! What it says of an instance when a request to it ends without an answer.

use std::error::Error as StdError;
use std::io::ErrorKind;

use quorate_balance::Outcome;

/// Reads the error and what caused it. `ConnectFail` only if the request cannot have been sent.
pub(super) fn outcome_of(error: &(dyn StdError + 'static)) -> Outcome {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(outcome) = told_by(error) {
            return outcome;
        }
        next = error.source();
        // An I/O error made of another error does not give that for its source, but that one's source.
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(inner) = io.get_ref()
        {
            next = Some(inner);
        }
    }
    Outcome::Fail
}

fn told_by(error: &(dyn StdError + 'static)) -> Option<Outcome> {
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<::reqwest::Error>() {
        if error.is_connect() {
            return Some(Outcome::ConnectFail);
        }
        return error.is_timeout().then_some(Outcome::Timeout);
    }
    if error.is::<::tonic::ConnectError>() {
        return Some(Outcome::ConnectFail);
    }
    if error.is::<::tonic::TimeoutExpired>() {
        return Some(Outcome::Timeout);
    }
    // hyper cancels what was still in its queue when the connection closed.
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        if error.is_canceled() {
            return Some(Outcome::ConnectFail);
        }
        return error.is_timeout().then_some(Outcome::Timeout);
    }
    match error.downcast_ref::<std::io::Error>()?.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::AddrNotAvailable => Some(Outcome::ConnectFail),
        ErrorKind::TimedOut => Some(Outcome::Timeout),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error;

    #[test]
    fn the_cause_decides() {
        let refused = || Error::from(ErrorKind::ConnectionRefused);
        assert_eq!(outcome_of(&refused()), Outcome::ConnectFail);
        let wrapped = Error::other(refused());
        assert_eq!(outcome_of(&wrapped), Outcome::ConnectFail);
        let late = Error::from(ErrorKind::TimedOut);
        assert_eq!(outcome_of(&late), Outcome::Timeout);
        let broken = Error::from(ErrorKind::ConnectionReset);
        assert_eq!(outcome_of(&broken), Outcome::Fail);
    }
}
