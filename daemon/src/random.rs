//! Random bytes, from the system's generator.

use crate::failure::Failure;

/// So many random bytes.
///
/// # Errors
/// When the system has none.
pub fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Internal(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// So many random bytes as lower-case hexadecimal digits.
///
/// # Errors
/// When the system has none.
pub fn hex<const N: usize>() -> Result<String, Failure> {
    Ok(mooring_core::identity::hex(&bytes::<N>()?))
}
