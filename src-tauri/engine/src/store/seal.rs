//! Environments at rest: sealed with a key that lies beside the database.
//!
//! A queued task needs its whole environment after a restart, secrets
//! included. The database alone, copied or sent in a bug report, tells none.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit as _, Nonce};
use hmac::{Hmac, Mac as _};
use nod_core::environment::Environment;
use sha2::Sha256;

use super::StoreError;

const KEY_LENGTH: usize = 32;
const NONCE_LENGTH: usize = 12;

/// Seals and opens environments.
#[derive(Clone)]
pub(crate) struct Seal {
    key: [u8; KEY_LENGTH],
}

/// An environment as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedEnvironment {
    /// Names the content; tells nothing of it without the key.
    pub digest: Vec<u8>,
    pub sealed: Vec<u8>,
}

impl Seal {
    /// Returns the key of the file, which is made when it is not there.
    pub(crate) fn load(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Key { path: path.to_owned(), source };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_key(path).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        let key = bytes.try_into().map_err(|_bytes| {
            failed(io::Error::new(io::ErrorKind::InvalidData, "the file does not hold a key"))
        })?;
        Ok(Self { key })
    }

    /// Returns the sealed form, the same for the same environment.
    #[must_use]
    pub(crate) fn seal(&self, environment: &Environment) -> SealedEnvironment {
        let plain = serde_json::to_vec(environment).expect("a map of strings is JSON");
        let mut mac =
            <Hmac<Sha256> as hmac::Mac>::new_from_slice(&self.key).expect("HMAC takes any key");
        mac.update(&plain);
        let digest = mac.finalize().into_bytes().to_vec();
        // The nonce follows from the content, so it is used twice only for what is the same.
        let nonce = Nonce::clone_from_slice(&digest[..NONCE_LENGTH]);
        let sealed =
            self.cipher().encrypt(&nonce, plain.as_slice()).expect("an environment is short");
        SealedEnvironment { digest, sealed }
    }

    /// Returns what was sealed.
    pub(crate) fn open(&self, sealed: &SealedEnvironment) -> Result<Environment, StoreError> {
        let nonce = sealed.digest.get(..NONCE_LENGTH).ok_or(StoreError::Seal)?;
        let plain = self
            .cipher()
            .decrypt(Nonce::from_slice(nonce), sealed.sealed.as_slice())
            .map_err(|_opaque| StoreError::Seal)?;
        serde_json::from_slice(&plain).map_err(|_invalid| StoreError::Seal)
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(Key::from_slice(&self.key))
    }
}

fn create_key(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_LENGTH];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    // Whole or not at all: half a key would open nothing, ever.
    let fresh = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        [("API_TOKEN".to_owned(), "hunter2".to_owned())].into()
    }

    #[test]
    fn an_environment_opens_with_its_key_and_with_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let seal = Seal::load(&folder.path().join("one")).unwrap();
        let sealed = seal.seal(&environment());
        assert_eq!(seal.open(&sealed).unwrap(), environment());
        assert!(!sealed.sealed.windows(7).any(|part| part == b"hunter2"));
        let again = Seal::load(&folder.path().join("one")).unwrap();
        assert_eq!(again.seal(&environment()), sealed);
        let other = Seal::load(&folder.path().join("two")).unwrap();
        assert!(matches!(other.open(&sealed), Err(StoreError::Seal)));
    }
}
