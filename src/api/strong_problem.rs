//! What the strong side refuses or cannot do, as clients see it.

use crate::app::StrongOff;
use crate::strong::Refused;
use crate::strong::engine::StrongError;

use super::problem::{Code, Outcome, Problem};

impl From<StrongOff> for Problem {
    fn from(off: StrongOff) -> Self {
        Self::new(Code::StrongSideOff, off.to_string())
            .hint("docs/STRONG.md says which of the two flags is right for you")
    }
}

impl From<StrongError> for Problem {
    fn from(error: StrongError) -> Self {
        let detail = error.to_string();
        match error {
            StrongError::Off(_) => Self::new(Code::StrongSideDown, detail)
                .hint(
                    "ask another member; \"gaggle doctor\" on this one says what to do, \"gaggle \
                     quorum\" how it stands",
                )
                .retry_after(1),
            StrongError::NoQuorum | StrongError::Behind => Self::new(Code::NoQuorum, detail)
                .hint(
                    "it works again by itself when more than half of the voters see each other; \
                     \"gaggle quorum status\" says who is missing",
                )
                .retry_after(1),
            StrongError::Overloaded => Self::new(Code::Overloaded, detail).retry_after(1),
            StrongError::Unknown(_) => Self::new(Code::StrongTimeout, detail)
                .outcome(Outcome::Unknown)
                .hint(
                    "read before you write again; with an Idempotency-Key the same request can be \
                     sent again safely",
                ),
            StrongError::Impossible(why) => Self::new(Code::QuorumRefused, why),
            StrongError::Refused(refused) => Self::from(refused),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let problem = Self::new(code(&refused), refused.to_string());
        match refused {
            Refused::StaleFence { .. } => {
                problem.hint("another client has the lock since; stop, and acquire it again")
            }
            Refused::Trimmed { first } => Self {
                first: Some(first),
                ..problem
            },
            Refused::PreconditionFailed { .. } => {
                problem.hint("read it again, decide again, write with the new ETag")
            }
            _ => problem,
        }
    }
}

fn code(refused: &Refused) -> Code {
    match refused {
        Refused::NodeNotFound => Code::NodeNotFound,
        Refused::KeyNotFound => Code::KeyNotFound,
        Refused::CounterNotFound => Code::CounterNotFound,
        Refused::LockNotFound => Code::LockNotFound,
        Refused::LogNotFound => Code::LogNotFound,
        Refused::PreconditionFailed { .. } => Code::PreconditionFailed,
        Refused::StaleFence { .. } => Code::StaleFence,
        Refused::UnknownFence { .. } => Code::UnknownFence,
        Refused::CounterOverflow { .. } => Code::CounterOverflow,
        Refused::CounterDiffers { .. } => Code::CounterDiffers,
        Refused::LockHeld { .. } => Code::LockHeld,
        Refused::WaitOver => Code::WaitOver,
        Refused::WrongNonce => Code::WrongNonce,
        Refused::LimitDiffers { .. } => Code::LimitDiffers,
        Refused::LockDeleted => Code::LockDeleted,
        Refused::Trimmed { .. } => Code::Trimmed,
        Refused::KeyReused => Code::KeyReused,
        Refused::OverLimit { .. } => Code::OverLimit,
        Refused::BelowLeast { .. } => Code::BelowLeast,
        Refused::Full { .. } => Code::StrongSideFull,
        Refused::InTransaction { why, .. } => code(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_that_the_state_machine_names() {
        for refused in [
            Refused::NodeNotFound,
            Refused::LockHeld { until: None },
            Refused::WrongNonce,
            Refused::KeyReused,
            Refused::InTransaction {
                index: 3,
                why: Box::new(Refused::Trimmed { first: 9 }),
            },
        ] {
            assert_eq!(code(&refused).as_str(), refused.code());
        }
    }

    #[test]
    fn only_an_unanswered_command_leaves_the_outcome_open() {
        let outcome = |error: StrongError| Problem::from(error).outcome;
        let unknown = StrongError::Unknown("x".to_owned());
        assert_eq!(outcome(unknown), Outcome::Unknown);
        for error in [
            StrongError::NoQuorum,
            StrongError::Overloaded,
            StrongError::Off("x".to_owned()),
        ] {
            assert_eq!(outcome(error), Outcome::NotApplied);
        }
    }
}
