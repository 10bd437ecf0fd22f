//! What to do next, for whoever uses the command line. A member's own hints are for those who speak
//! HTTP to it; where they name headers, paths or parameters, a command has words of its own.

/// The hint for a problem of this code; none: the member's own is as good here.
pub(super) fn of(code: &str, has_password: bool) -> Option<&'static str> {
    Some(match code {
        "unauthorized" => auth(has_password),
        "bad-session" => {
            "give --session (GAGGLE_SESSION) another file, or remove this one, to begin a new \
             session"
        }
        "session-behind" => {
            "nothing was done: try again soon, or name more members with --server. Another file \
             for --session begins anew, and may see less"
        }
        "key-not-found" => "`gaggle ls NODE` lists the keys of a node",
        "node-not-found" => "`gaggle ls` lists the nodes",
        "version-not-found" => "`gaggle history NODE/KEY` lists the versions that are kept",
        "version-ambiguous" => "give more of the stamp",
        "version-deleted" => "`gaggle history NODE/KEY` shows who deleted it, and when",
        "member-not-found" => "`gaggle members --all` lists all members with their ids",
        "member-ambiguous" => "name it by its id; `gaggle members --all` lists them",
        "member-alive" => {
            "stop it first. With --force it is forgotten at once; it then sets its copy aside and \
             joins again as a new member"
        }
        "member-is-self" => {
            "ask another member (--server), after the one to be forgotten was stopped"
        }
        "precondition-failed" => {
            "somebody else wrote it: read it again (`gaggle get NODE KEY -o json` shows the \
             stamp), decide again"
        }
        "invalid-name" => "a name is UTF-8 without control characters; that of a node has no slash",
        "not-found" | "method-not-allowed" => {
            "is it a gaggle member, and of this version? `gaggle version` tells ours, `gaggle \
             members` theirs"
        }
        "too-many-attempts" => "wait some seconds; check --user and --password",
        "strong-side-off" => {
            "start all members with --voters or --cluster-size; docs/STRONG.md says which"
        }
        "counter-not-found" => "`gaggle counter ls` lists the counters",
        "lock-not-found" => "`gaggle lock --list` lists the locks",
        "log-not-found" => "`gaggle log ls` lists the logs; the first entry makes one",
        "lock-held" => {
            "--wait 1m waits for it; `gaggle lock --list NAME` shows who holds it and who waits"
        }
        "quorum-refused" => "`gaggle quorum` shows the group",
        _ => return None,
    })
}

/// What to do about missing or wrong credentials.
pub(super) fn auth(has_password: bool) -> &'static str {
    if has_password {
        "check --user and --password (GAGGLE_USER, GAGGLE_PASSWORD)"
    } else {
        "give a password: GAGGLE_PASSWORD, --password-file, or --data with the directory of a \
         member on this host that made its own"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::problem::Code;

    /// Every code whose hint names HTTP, as the members give it.
    #[test]
    fn where_a_member_hints_at_http_the_command_has_its_own_words() {
        for code in [
            Code::BadSession,
            Code::SessionBehind,
            Code::VersionNotFound,
            Code::VersionDeleted,
            Code::MemberNotFound,
            Code::MemberAlive,
            Code::PreconditionFailed,
            Code::InvalidName,
            Code::NotFound,
        ] {
            let hint = of(code.as_str(), true);
            let hint = hint.unwrap_or_else(|| panic!("{} has none", code.as_str()));
            for word in ["GET ", "header", "Accept", "%2F", "=true", "/v1", "ETag"] {
                assert!(!hint.contains(word), "{word}: {hint}");
            }
        }
        assert_eq!(of("disk-full", true), None);
    }

    #[test]
    fn without_a_password_the_hint_says_how_to_give_one() {
        assert!(of("unauthorized", false).is_some_and(|hint| hint.contains("GAGGLE_PASSWORD")));
        assert!(auth(true).contains("check"));
    }
}
