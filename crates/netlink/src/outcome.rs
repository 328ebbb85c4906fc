//! What the answers to a batch mean.

use std::io;

use podwall_ruleset::Operation;

use crate::batch::Encoded;
use crate::describe::describe;
use crate::error::{ApplyError, Refusal};
use crate::wire::Answer;

/// All that came back after a batch was sent.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) answers: Vec<Answer>,
    /// The kernel had to drop answers, or reading them failed.
    pub(crate) lost: Option<io::Error>,
}

/// Decides what became of a batch. The kernel answers before the sending returns: with an error for each message
/// that it refused, or, if it does so at all (`acknowledges`), with an acknowledgement of the batch's end. One
/// error means that nothing was changed, even if other answers were lost.
pub(crate) fn outcome(
    encoded: &Encoded,
    operations: &[Operation],
    answers: Answers,
    acknowledges: bool,
) -> Result<(), ApplyError> {
    let mut refused: Vec<Refusal> = Vec::new();
    let mut whole = None;
    let mut acknowledged = false;
    for answer in answers.answers {
        if answer.errno == 0 {
            acknowledged |= answer.sequence == encoded.end_sequence();
        } else if let Some(index) = encoded.operation(answer.sequence) {
            // A list of elements in several messages may be refused several times.
            if refused.iter().all(|known| known.index != index) {
                let operation = describe(&operations[index]);
                refused.push(Refusal { index, operation, errno: answer.errno, text: answer.text });
            }
        } else if [encoded.begin_sequence(), encoded.end_sequence()].contains(&answer.sequence) {
            whole = Some(answer.errno);
        }
    }
    if !refused.is_empty() {
        refused.sort_by_key(|refusal| refusal.index);
        return Err(ApplyError::Refused { operations: refused });
    }
    if let Some(errno) = whole {
        return Err(ApplyError::RefusedWhole { source: io::Error::from_raw_os_error(errno) });
    }
    let unknown = |reason| Err(ApplyError::OutcomeUnknown { operations: operations.len(), reason });
    match answers.lost {
        _ if acknowledged => Ok(()),
        Some(error) => unknown(format!("answers were lost: {error}")),
        None if acknowledges => unknown("there was no acknowledgement".to_owned()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use podwall_ruleset::{Family, Name, TableId, Transaction};

    use super::*;
    use crate::batch::encode;

    fn decide(answers: &[(u32, i32)], lost: bool, acknowledges: bool) -> Result<(), ApplyError> {
        let table = TableId { family: Family::Inet, name: Name::new("t").unwrap() };
        let transaction = Transaction {
            operations: vec![Operation::AddTable(table.clone()), Operation::DeleteTable(table)],
        };
        let encoded = encode(&transaction, 10).unwrap();
        let answers = Answers {
            answers: answers
                .iter()
                .map(|(sequence, errno)| Answer { sequence: *sequence, errno: *errno, text: None })
                .collect(),
            lost: lost.then(|| io::Error::from_raw_os_error(libc::ENOBUFS)),
        };
        outcome(&encoded, &transaction.operations, answers, acknowledges)
    }

    #[test]
    fn silence_is_success_only_where_the_kernel_is_silent() {
        assert!(decide(&[], false, false).is_ok());
        assert!(matches!(decide(&[], false, true), Err(ApplyError::OutcomeUnknown { operations: 2, .. })));
        assert!(decide(&[(13, 0)], false, true).is_ok());
    }

    #[test]
    fn lost_answers_are_no_success() {
        assert!(matches!(decide(&[], true, false), Err(ApplyError::OutcomeUnknown { .. })));
        assert!(matches!(decide(&[(9, 0)], true, true), Err(ApplyError::OutcomeUnknown { .. })));
        assert!(decide(&[(13, 0)], true, true).is_ok());
    }

    #[test]
    fn one_error_is_a_refusal_whatever_was_lost() {
        for lost in [false, true] {
            let Err(ApplyError::Refused { operations }) = decide(&[(12, 2), (11, 17), (12, 2)], lost, true)
            else {
                panic!("not refused");
            };
            assert_eq!(
                operations.iter().map(|refusal| (refusal.index, refusal.errno)).collect::<Vec<_>>(),
                [(0, 17), (1, 2)]
            );
            assert_eq!(operations[1].operation, "delete table inet t");
        }
        assert!(matches!(decide(&[(10, 1)], false, true), Err(ApplyError::RefusedWhole { .. })));
    }

    #[test]
    fn answers_to_earlier_batches_are_not_ours() {
        assert!(decide(&[(5, 2), (13, 0)], false, true).is_ok());
    }
}
