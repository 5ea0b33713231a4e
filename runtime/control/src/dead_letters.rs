//! Retries and drops dead letters. Both work whether or not a flow runs: dead letters are objects.

use tidemill_core::{Error, Result, record::AuditAction};
use tidemill_run::{DeadLetter, drop_dead_letter, list_dead_letters, retry_dead_letter};

use crate::{Change, Control, Entry, Principal};

/// A request to run the events of dead letters again.
#[derive(Debug, Clone, Default)]
pub struct RetryDeadLetters {
    /// Ids, or their first digits; empty for all that were not dropped.
    pub ids: Vec<String>,
}

/// A request to keep dead letters without counting them.
#[derive(Debug, Clone)]
pub struct DropDeadLetters {
    /// Ids, or their first digits.
    pub ids: Vec<String>,
}

impl Control {
    /// Retries dead letters and returns them. Their events run again with a new attempt.
    pub async fn retry_dead_letters(&self, principal: &Principal, request: RetryDeadLetters) -> Result<Vec<DeadLetter>> {
        let letters = select(list_dead_letters(&self.store).await?, &request.ids)?;
        for letter in &letters {
            let change = async {
                retry_dead_letter(&self.store, letter).await?;
                Ok(Change::new((), letter, &None::<()>))
            };
            self.perform(entry(principal, AuditAction::RetryDeadLetter, letter), change).await?;
        }
        Ok(letters)
    }

    /// Drops dead letters and returns them. They stay in the store and can still be retried by id.
    pub async fn drop_dead_letters(&self, principal: &Principal, request: DropDeadLetters) -> Result<Vec<DeadLetter>> {
        let letters = select(list_dead_letters(&self.store).await?, &request.ids)?;
        for letter in &letters {
            let change = async {
                drop_dead_letter(&self.store, letter).await?;
                Ok(Change::new(
                    (),
                    letter,
                    &DeadLetter {
                        dropped: true,
                        ..letter.clone()
                    },
                ))
            };
            self.perform(entry(principal, AuditAction::DropDeadLetter, letter), change).await?;
        }
        Ok(letters)
    }
}

fn entry<'a>(principal: &'a Principal, action: AuditAction, letter: &DeadLetter) -> Entry<'a> {
    Entry {
        principal,
        action,
        resource: letter.key().trim_end_matches(".json").to_owned(),
        reason: None,
    }
}

/// The letters that `ids` name, or all that were not dropped.
fn select(letters: Vec<DeadLetter>, ids: &[String]) -> Result<Vec<DeadLetter>> {
    if let Some(id) = ids
        .iter()
        .find(|id| !letters.iter().any(|letter| letter.id.starts_with(id.as_str())))
    {
        return Err(Error::not_found(format!(
            "no dead letter has the id `{id}`; `tidemill events` lists them"
        )));
    }
    let is_selected = |letter: &DeadLetter| match ids.is_empty() {
        true => !letter.dropped,
        false => ids.iter().any(|id| letter.id.starts_with(id.as_str())),
    };
    Ok(letters.into_iter().filter(is_selected).collect())
}
