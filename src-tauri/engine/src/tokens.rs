//! The tokens by which running tasks are known.
//!
//! A token speaks for one task and dies with it. Only its hash is kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use nod_core::ids::{AttemptNumber, TaskId};
use sha2::{Digest as _, Sha256};

use crate::dispatcher::hex;

const LENGTH: usize = 32;

/// A task's token. Never shown, not even in a debug text.
#[derive(Clone)]
pub(crate) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    pub(crate) fn random() -> Self {
        let mut bytes = [0; LENGTH];
        getrandom::fill(&mut bytes).expect("the system has random bytes once it has booted");
        Self(hex(&bytes))
    }

    pub(crate) fn hash(&self) -> Vec<u8> {
        hash(&self.0)
    }

    /// Returns the text for the task's environment, and for nothing else.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

/// The hashes of the tokens of unfinished tasks, and whose they are.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    by_hash: Arc<RwLock<HashMap<Vec<u8>, Owner>>>,
}

/// A task, and which try of it.
pub(crate) type Owner = (TaskId, AttemptNumber);

impl Tokens {
    pub(crate) fn admit(&self, token: &Token, owner: Owner) {
        self.restore(token.hash(), owner);
    }

    pub(crate) fn restore(&self, hash: Vec<u8>, owner: Owner) {
        self.by_hash.write().unwrap_or_else(PoisonError::into_inner).insert(hash, owner);
    }

    pub(crate) fn revoke(&self, id: TaskId) {
        let mut tokens = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (task, _)| *task != id);
    }

    /// Returns the task and the try that a token speaks for.
    pub(crate) fn find(&self, token: &str) -> Option<Owner> {
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner).get(&hash(token)).copied()
    }
}

fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_speaks_for_one_task_until_it_ends() {
        let tokens = Tokens::default();
        let token = Token::random();
        let owner = (TaskId(1), AttemptNumber::FIRST);
        tokens.admit(&token, owner);
        assert_eq!(tokens.find(token.secret()), Some(owner));
        assert_eq!(tokens.find(Token::random().secret()), None);
        assert_eq!(tokens.find(""), None);
        tokens.revoke(TaskId(1));
        assert_eq!(tokens.find(token.secret()), None);
        assert!(!format!("{token:?}").contains(token.secret()));
    }
}
