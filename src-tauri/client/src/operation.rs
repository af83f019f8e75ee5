//! Names for changes, made by the client so that a repeated call is known as one.

use nod_core::ids::OperationId;

use crate::error::ClientError;

/// Returns a name that nobody else has: 128 random bits in hexadecimal.
pub fn new_operation() -> Result<OperationId, ClientError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|source| ClientError::Random { source })?;
    Ok(OperationId(format!("{:032x}", u128::from_be_bytes(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_operations_have_two_names_of_32_digits() {
        let (one, two) = (new_operation().unwrap(), new_operation().unwrap());
        assert_ne!(one, two);
        assert!(one.0.len() == 32 && one.0.chars().all(|c| c.is_ascii_hexdigit()), "{one}");
    }
}
