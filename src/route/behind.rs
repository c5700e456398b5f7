//! Texts of several statements of which one changes how those behind it are read. PostgreSQL cuts the whole text into statements before it runs the
//! first (so `standard_conforming_strings` is that of its beginning), but looks up the names of each when its turn comes; here all of them are looked
//! up under what held before.
//!
//! Invariant: what may have been looked up wrongly is refused. A name that is in one schema only means the same under every path, so that
//! nothing is refused where all names are such.

use crate::sql::literal::Literal;
use crate::sql::outline::Session;
use crate::sql::plan::{Plan, Target};

use super::request::Refused;

/// What changes parameters without a SET.
const CALL: &[u8] = b"set_config";
/// What of it matters here.
const NAMES: [&[u8]; 4] = [b"search_path", b"role", b"session_authorization", b"client_encoding"];

/// Why a text of several statements, planned one by one, is not run as it is; None: it is. `paths`: some name is in several schemas.
pub fn refused(plans: &[Plan], text: &[u8], literals: &[Literal], paths: bool) -> Option<Box<Refused>> {
    let copies = |plans: &[Plan]| plans.iter().any(|plan| matches!(plan.target, Target::CopyRows { .. }));
    let behind = |session: Session| {
        let at = plans.iter().position(|plan| plan.target == Target::Session(session))?;
        plans.get(at + 1..)
    };
    let message = if paths && behind(Session::Path).is_some_and(|rest| rest.iter().any(looks_up)) {
        "a query that sets search_path or the role, and a statement behind it"
    } else if behind(Session::Path).is_some_and(copies) || behind(Session::Encoding).is_some_and(copies) {
        // RESET ALL is one of the first.
        "a query that sets client_encoding, and a COPY behind it"
    } else if (paths || copies(plans)) && plans.iter().filter(|plan| looks_up(plan)).count() > 1 && calls(text, literals) {
        "a query with set_config, and a statement that may be behind it"
    } else {
        return None;
    };
    Some(Refused::unsupported(message, "Send it by itself."))
}

/// Whether a statement may name a table.
fn looks_up(plan: &Plan) -> bool {
    !matches!(plan.target, Target::Session(_))
}

/// Whether some set_config may set one of `NAMES`. A call whose first argument is no plain literal may set any.
fn calls(text: &[u8], literals: &[Literal]) -> bool {
    // A name may be written so that it cannot be found.
    if contains(text, b"u&\"") {
        return true;
    }
    let mut spare = Vec::new();
    let places = (0..text.len().saturating_sub(CALL.len())).filter(|at| text[*at..at + CALL.len()].eq_ignore_ascii_case(CALL));
    for at in places {
        if literals.iter().any(|literal| (literal.start as usize..literal.end as usize).contains(&at)) {
            continue;
        }
        let blank = |at: usize| at + text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let open = blank(at + CALL.len());
        let first = blank((open + 1).min(text.len()));
        let literal = literals.iter().find(|literal| literal.start as usize == first).filter(|_| text.get(open) == Some(&b'('));
        let Some(literal) = literal.filter(|literal| text.get(blank(literal.end as usize)) == Some(&b',')) else { return true };
        spare.clear();
        match literal.string(text, &mut spare) {
            Some(name) if !NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) => {}
            _ => return true,
        }
    }
    false
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}
