//! Randomness as the machine gives it. Only boot, control and the desks of data cores take it; everybody else gets it as an argument.

/// Random bytes of the kernel's. Without them no login is safe, so that their lack ends the process.
#[allow(clippy::disallowed_methods, reason = "without randomness there is no login that could be trusted, on any core")]
pub fn random(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        tracing::error!("the kernel gives no random bytes: {error}");
        std::process::abort();
    }
}
