//! What a dry run has to say: why statements would be refused if there were shards, each reason once, with the text that was the first to meet it.
//!
//! Invariant: bounded in number and in bytes, whatever clients send. What is beyond the bound is counted with all others, by the router.

use super::request::Refused;

/// Reasons that are kept.
pub const REMARKS_MAX: usize = 100;
/// Characters that are kept of a text.
pub const TEXT_MAX: usize = 1_000;

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// SQLSTATE and message
    pub reason: String,
    /// the first text
    pub text: String,
    /// how often
    pub times: u64,
}

/// All of one database on one core.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<Remark>);

impl Remarks {
    pub(super) fn add(&mut self, text: &[u8], refused: &Refused) {
        let is = |remark: &Remark| remark.reason.strip_prefix(refused.code).and_then(|rest| rest.strip_prefix(": ")) == Some(&refused.message);
        let room = self.0.len() < REMARKS_MAX;
        match self.0.iter_mut().find(|remark| is(remark)) {
            Some(remark) => remark.times += 1,
            None if room => {
                let text = String::from_utf8_lossy(text).chars().take(TEXT_MAX).collect();
                let reason: String = format!("{}: {}", refused.code, refused.message).chars().take(TEXT_MAX).collect();
                self.0.push(Remark { reason, text, times: 1 });
            }
            None => {}
        }
    }

    pub(super) fn all(&self) -> &[Remark] {
        &self.0
    }
}

#[cfg(test)]
#[path = "remarks_tests.rs"]
mod tests;
