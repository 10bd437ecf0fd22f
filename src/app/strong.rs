//! The strong side, as the faces hold it: it may be off.

use std::sync::Arc;

use crate::strong::engine::{Engine, Role, Status, View};

use super::health::{Check, Severity};

/// The strong side of this member. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Strong(Option<Engine>);

/// The strong side is off on this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the strong side is off: start the members with --voters or --cluster-size")]
pub struct StrongOff;

impl Strong {
    /// There is none.
    pub const fn off() -> Self {
        Self(None)
    }

    /// This engine.
    pub const fn on(engine: Engine) -> Self {
        Self(Some(engine))
    }

    /// The engine.
    ///
    /// # Errors
    /// [`StrongOff`] if the member was started without one.
    pub fn engine(&self) -> Result<&Engine, StrongOff> {
        self.0.as_ref().ok_or(StrongOff)
    }

    /// The state of the strong side as it is on this member, however old; none: it is off.
    pub fn local(&self) -> Option<Arc<View>> {
        self.0.as_ref().map(Engine::local)
    }

    /// Whether it works here. Never a failure: the eventual side serves without it.
    pub fn check(&self) -> Check {
        let (ok, detail) = match &self.0 {
            Some(engine) => told(&engine.status()),
            None => (
                true,
                "off: this member has neither --voters nor --cluster-size".to_owned(),
            ),
        };
        Check {
            code: "strong-side",
            ok,
            severity: Severity::Warning,
            detail,
        }
    }
}

/// Whether it works, and how it stands in a line.
fn told(status: &Status) -> (bool, String) {
    if let Some(why) = &status.why {
        return (false, format!("{}: {why}", status.state));
    }
    let voters = status.voters().count();
    let alive = voters - status.missing().count();
    let missing: Vec<&str> = status.missing().map(|part| part.name.as_str()).collect();
    let missing = match missing[..] {
        [] => String::new(),
        _ => format!("; missing: {}", missing.join(", ")),
    };
    let term = status.term;
    match (status.leading(), status.role) {
        (Some(_), Role::Leader) => (
            true,
            format!(
                "this member leads, term {term}; {alive} of {voters} voters are alive{missing}"
            ),
        ),
        (Some(leader), role) => (
            true,
            format!(
                "{}; {} leads, term {term}; {alive} of {voters} voters are alive{missing}",
                role.word(),
                leader.name
            ),
        ),
        (None, role) => (
            false,
            format!(
                "{}; nobody leads, term {term}; {alive} of {voters} voters are alive, {} are \
                 needed{missing}",
                role.word(),
                voters / 2 + 1
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MemberId;
    use crate::strong::engine::{Part, Plan, VoterId};

    fn status() -> Status {
        let part = |number: u64, name: &str, alive| Part {
            voter: VoterId(number),
            member: MemberId::from_u64(number),
            name: name.to_owned(),
            votes: true,
            lacks: None,
            alive,
            silent: false,
        };
        Status {
            plan: Plan::Size(3),
            state: "working",
            why: None,
            group: None,
            voter: VoterId(1),
            leader: Some(MemberId::from_u64(2)),
            term: 4,
            last: 9,
            applied: 9,
            snapshot: 0,
            age: None,
            members: vec![part(1, "a", true), part(2, "b", true), part(3, "c", false)],
            role: Role::Follower,
            committed: 9,
            entries: 9,
            leads: 1,
            changing: false,
            majority: true,
            strangers: Vec::new(),
        }
    }

    #[test]
    fn a_group_that_works_is_well_and_the_missing_are_named() {
        let (ok, detail) = told(&status());
        assert!(ok);
        let expected = "follower; b leads, term 4; 2 of 3 voters are alive; missing: c";
        assert_eq!(detail, expected);
    }

    #[test]
    fn without_a_leader_it_is_told_how_many_are_needed() {
        let (ok, detail) = told(&Status {
            leader: None,
            role: Role::Candidate,
            ..status()
        });
        assert!(!ok);
        assert!(detail.contains("nobody leads, term 4; 2 of 3 voters are alive, 2 are needed"));
    }

    #[test]
    fn a_disk_that_failed_is_told_as_it_is() {
        let (ok, detail) = told(&Status {
            state: "failed",
            why: Some("EIO".to_owned()),
            leader: None,
            ..status()
        });
        assert_eq!((ok, &*detail), (false, "failed: EIO"));
    }
}
