//! What approver and rejecter say.

use jiff::Timestamp;
use platform::auth::StaffMember;

use crate::domain::settlement::Decision;
use crate::domain::text;
use crate::error::Refusal;

/// The longest name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// The longest comment, in characters.
const MAX_COMMENT_CHARS: usize = 1_000;

/// The words of a decision, checked, in the name of the person whose token it is.
pub(super) fn decision(
    person: &StaffMember,
    name: Option<String>,
    comments: Option<String>,
    at: Timestamp,
) -> Result<Decision, Refusal> {
    let bounded = |field, text: Option<String>, max| {
        let checked = text
            .filter(|text| !text.is_empty())
            .map(|text| text::bounded(text, max))
            .transpose();
        checked.map_err(|error| Refusal::Text { field, error })
    };
    Ok(Decision {
        by: person.subject.clone(),
        name: bounded("approver_name", name, MAX_NAME_CHARS)?,
        comments: bounded("comments", comments, MAX_COMMENT_CHARS)?,
        at,
    })
}

/// 403 if somebody decides in another person's name.
pub(super) fn own_name(person: &StaffMember, approver_id: &str) -> Result<(), Refusal> {
    if approver_id == person.subject {
        Ok(())
    } else {
        Err(Refusal::ApproverMismatch)
    }
}
