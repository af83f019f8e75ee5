//! Compiling schemas: one at a time, and the newest are kept.

use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::bounds::{FormError, check};
use super::shortened;

/// How many bytes the programs of all patterns of a schema may come to.
const PATTERNS_SIZE: usize = 2 << 20;

/// How many compiled schemas are kept, so that an answer need not wait for what the question did.
const KEPT: usize = 8;

/// The schemas of forms, compiled.
#[derive(Debug)]
pub(crate) struct Forms {
    /// The one used last comes last.
    compiled: Mutex<Vec<(Value, Arc<Validator>)>>,
    next: Semaphore,
}

impl Default for Forms {
    fn default() -> Self {
        Self { compiled: Mutex::default(), next: Semaphore::const_new(1) }
    }
}

impl Forms {
    /// Waits until it is this caller's turn, without taking a thread: those who ask wait here, and
    /// not in the place of others.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        self.next.acquire().await.expect("the semaphore is never closed")
    }

    /// Returns the compiled schema.
    ///
    /// One is compiled at a time, whoever asks for it: no flood of them takes more than one core,
    /// and the memory of one.
    pub(super) fn validator(&self, schema: &Value) -> Result<Arc<Validator>, FormError> {
        let patterns = check(schema)?;
        let mut kept = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(known, _)| known == schema);
        let (schema, validator) = match known {
            Some(at) => kept.remove(at),
            None => (schema.clone(), Arc::new(compiled(schema, patterns)?)),
        };
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((schema, Arc::clone(&validator)));
        Ok(validator)
    }
}

fn compiled(schema: &Value, patterns: usize) -> Result<Validator, FormError> {
    let each = (1 << 20).min(PATTERNS_SIZE / patterns.max(1));
    // The engine without backtracking: no pattern takes exponential time.
    let patterns = PatternOptions::regex().size_limit(each).dfa_size_limit(each);
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .with_pattern_options(patterns)
        .build(schema)
        .map_err(|error| FormError::Invalid(shortened(&error.to_string())))
}
