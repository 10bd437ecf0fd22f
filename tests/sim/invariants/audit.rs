//! Memory is what the disk has: the member's own comparison of the two, on which its scrub rests,
//! finds nothing once all is quiet.

use gaggle::app::App;
use gaggle::io::disk::Cursor;

use super::{Held, Violation};

/// Bytes that are compared in one go: few, so that there are several portions.
const PORTION: u64 = 4 << 10;

/// Compares everything that a member has.
pub(crate) fn check(host: usize, app: &App) -> Held {
    let broken = |what: String| {
        let invariant = "audit";
        let what = format!("[{host}] {what}");
        Err(Violation { invariant, what })
    };
    let mut at = Some(Cursor::default());
    while let Some(cursor) = at.take() {
        match app.look(&cursor, PORTION) {
            Err(error) => return broken(format!("cannot read its disk: {error}")),
            Ok(look) => {
                if let Some(finding) = look.findings.first() {
                    let found = look.findings.len();
                    return broken(format!("{found} findings, the first: {finding:?}"));
                }
                at = look.next;
            }
        }
    }
    Ok(())
}
