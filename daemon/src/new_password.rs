//! Setting a new password: by the one that holds, or by the recovery code.
//!
//! The storage's record is replaced by compare-and-swap, so that of two devices which change it at
//! once one has to start again. A recovery code is good once: the next one goes to the person
//! before the record is replaced, because a code that nobody has seen would lock the person out.

use mooring_core::identity::{Password, Record, RecoveryCode};
use zbus::OwnedFd;

use crate::account::Account;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::record::{InStorage, Known};
use crate::secret;

/// A change of the password by whoever knows it.
#[derive(Debug)]
pub struct Change {
    /// The password that holds.
    pub password: Password,
    /// The one that is to hold.
    pub new_password: Password,
}

/// A change of the password by whoever has the recovery code.
#[derive(Debug)]
pub struct Reset {
    /// The recovery code.
    pub code: RecoveryCode,
    /// The password that is to hold.
    pub new_password: Password,
    /// Where the next recovery code goes.
    pub new_code: OwnedFd,
}

impl Broker {
    /// Checks the password that is to hold for an account from now on.
    fn expect_next(&self, id: &str, password: &Password) -> Result<(), Failure> {
        let account = self.published.borrow().account(id)?.account.clone();
        self.expect_long_enough(&account.identity, password)
    }

    /// Changes the password of an account.
    ///
    /// # Errors
    /// [`Failure::IncorrectPassword`], [`Failure::TooManyAttempts`]; [`Failure::InvalidArgument`]
    /// for a new one that is too short; [`Failure::Busy`] when another device was faster.
    pub async fn change_password(&self, id: &str, change: Change) -> Result<(), Failure> {
        self.expect_next(id, &change.new_password)?;
        let _alone = self.passwords.change_alone().await;
        let (account, record, text) = self.expect_stored(id).await?;
        self.passwords.check(&record, change.password).await?;
        let next = self
            .passwords
            .next_record(record, change.new_password)
            .await?;
        self.replace_record(&account, &text, &next).await?;
        tracing::info!(account = id, "the password was changed");
        Ok(())
    }

    /// Sets a new password and a new recovery code.
    ///
    /// # Errors
    /// As [`Broker::change_password`], with [`Failure::IncorrectCode`] and
    /// [`Failure::TooManyCodes`]; [`Failure::CodeVoid`] when the new code was given out already.
    pub async fn reset_password(&self, id: &str, reset: Reset) -> Result<(), Failure> {
        self.expect_next(id, &reset.new_password)?;
        let _alone = self.passwords.change_alone().await;
        let (account, record, text) = self.expect_stored(id).await?;
        self.passwords.check_code(&record, reset.code).await?;
        let (next, code) = self
            .passwords
            .next_record_and_code(record, reset.new_password)
            .await?;
        let fd = reset.new_code.into();
        secret::write("new recovery code", fd, code.words()).await?;
        drop(code);
        self.replace_record(&account, &text, &next)
            .await
            .map_err(|failure| match failure {
                unknown @ Failure::Unknown(_) => unknown,
                failure => Failure::CodeVoid(Box::new(failure)),
            })?;
        // Whoever forgot the password may have tried before; that wait is over.
        self.passwords.forgive(&next).await?;
        tracing::info!(account = id, "the password was reset");
        Ok(())
    }

    /// The account, the record that holds, and the exact text of the storage's, which is the same
    /// one or an earlier one.
    async fn expect_stored(&self, id: &str) -> Result<(Account, Record, String), Failure> {
        let Known { record, storage } = self.known_record(id).await?;
        let account = self.published.borrow().account(id)?.account.clone();
        match storage {
            InStorage::Same(text) | InStorage::Older(text) => Ok((account, record, text)),
            InStorage::OutOfReach(failure) => Err(failure),
            InStorage::Refused(word) => Err(Failure::Internal(format!(
                "the password cannot be changed, because the storage's identity record is not \
                 taken: {word}"
            ))),
        }
    }

    /// Replaces the storage's record, and takes the new one. After an error the storage is looked
    /// at: a worker that died may have done it all the same.
    async fn replace_record(
        &self,
        account: &Account,
        expected: &str,
        record: &Record,
    ) -> Result<(), Failure> {
        let text = record.to_toml()?;
        let replaced = self
            .workers
            .call(|live| {
                let storage = account.storage.clone();
                let (expected, text) = (expected.to_owned(), text.clone());
                Box::pin(async move {
                    Ok(live
                        .proxy()
                        .replace_identity(&storage, &expected, &text)
                        .await?)
                })
            })
            .await;
        if let Err(failure) = replaced {
            match self.stored_record(account).await {
                Ok(there) if there == text => {}
                Ok(there) if there == expected => return Err(failure),
                Ok(_) => {
                    return Err(Failure::Busy(
                        "another device changed the password meanwhile: start again, with the \
                         password that holds now"
                            .to_owned(),
                    ));
                }
                Err(_) => {
                    return Err(Failure::Unknown(format!(
                        "the storage was lost in the middle of it ({failure}), so the earlier \
                         password or the new one holds, and with it the earlier recovery code or \
                         the new one: keep both, reconnect the storage, and try"
                    )));
                }
            }
        }
        self.take_record(account, record)
    }
}
