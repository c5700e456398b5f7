//! What is asked of a route, and what comes of it.

/// Which shards a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// whichever: all of them would answer alike
    Any,
    One(u16),
    /// there, and so does all that follows in its transaction: somebody has said so by hand
    Held(u16),
}

/// A request that goes nowhere, with what its client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// SQLSTATE
    pub code: &'static str,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<&'static str>,
}

impl Refused {
    /// What no shard can do by itself, with the reason.
    pub fn unsupported(message: impl Into<String>, hint: &'static str) -> Box<Refused> {
        Box::new(Refused { code: "0A000", message: message.into(), detail: None, hint: Some(hint) })
    }
}
