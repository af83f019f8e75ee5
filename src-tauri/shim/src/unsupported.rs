//! Where no shim exists yet: says so and runs nothing.

use std::path::Path;

#[derive(Debug, thiserror::Error)]
#[error("this system is not supported yet")]
pub(crate) struct Unsupported;

impl Unsupported {
    pub(crate) fn exit_code(&self) -> u8 {
        crate::UNUSABLE
    }
}

pub(crate) fn run(_folder: &Path) -> Result<(), Unsupported> {
    Err(Unsupported)
}
