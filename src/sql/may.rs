//! A set of suspicions: what a text may do to its session. Each is an upper bound: a bit that is not set is a promise (as far as a text can make one;
//! `look` names what no text shows), one that is set a reason to ask the server.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// What a text may do to the session, beyond what its `Statement` says.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct May(u16);

impl May {
    pub const NOTHING: May = May(0);
    /// may set parameters
    pub const SETS: May = May(1);
    /// may call something that is not PostgreSQL's own
    pub const CALLS: May = May(1 << 1);
    /// may make temporary objects
    pub const TEMPORARY: May = May(1 << 2);
    /// may leave an open cursor
    pub const HOLDS: May = May(1 << 3);
    /// may take advisory locks of the session
    pub const LOCKS: May = May(1 << 4);
    /// may listen to channels, or stop
    pub const LISTENS: May = May(1 << 5);
    /// may prepare, use or drop statements by their SQL names
    pub const PREPARES: May = May(1 << 6);
    /// may give back what kept a session: unlock, close, drop, discard, ...
    pub const FREES: May = May(1 << 7);
    /// has a literal that means another value at another time
    pub const NOW: May = May(1 << 8);
    /// may begin a transaction block
    pub const BEGINS: May = May(1 << 9);
    /// asks for what a sequence gave in this session before
    pub const SEQUENCES: May = May(1 << 10);
    /// nothing is known
    pub const ANYTHING: May = May((1 << 11) - 1);

    pub(super) const NAMES: [(May, &'static str); 11] = [
        (May::SETS, "SETS"),
        (May::CALLS, "CALLS"),
        (May::TEMPORARY, "TEMPORARY"),
        (May::HOLDS, "HOLDS"),
        (May::LOCKS, "LOCKS"),
        (May::LISTENS, "LISTENS"),
        (May::PREPARES, "PREPARES"),
        (May::FREES, "FREES"),
        (May::NOW, "NOW"),
        (May::BEGINS, "BEGINS"),
        (May::SEQUENCES, "SEQUENCES"),
    ];

    /// Whether every suspicion of `other` is among these.
    #[inline]
    pub const fn contains(self, other: May) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether one of `other` is among these.
    #[inline]
    pub const fn meets(self, other: May) -> bool {
        self.0 & other.0 != 0
    }

    /// These and those.
    pub const fn with(self, other: May) -> May {
        May(self.0 | other.0)
    }

    /// These, but not those.
    #[inline]
    pub const fn without(self, other: May) -> May {
        May(self.0 & !other.0)
    }

    /// Nothing is suspected.
    #[inline]
    pub const fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for May {
    type Output = May;

    fn bitor(self, other: May) -> May {
        self.with(other)
    }
}

impl BitOrAssign for May {
    fn bitor_assign(&mut self, other: May) {
        *self = self.with(other);
    }
}

impl fmt::Debug for May {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(May::NAMES.iter().filter(|(bit, _)| self.contains(*bit)).map(|(_, name)| name)).finish()
    }
}
