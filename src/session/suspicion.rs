//! What a client's texts may have left in a shared session, gathered until its transaction ends: then the server is asked (`inquiry`), because
//! only it knows what was rolled back, which branch of a DO was taken, what a function did. And `Pins`: what was found that needs this very
//! server.

use crate::sql::look::{Look, Statement as Text};
use crate::sql::may::May;
use crate::wire::frame::HEADER;

use super::statements::{Resets, Traits};
use super::values::is_custom_name;

/// Names of parameters that are remembered, and of channels; when there are more, all parameters are asked about, and channels are still heard.
const NAMES_MAX: usize = 64;

/// Why a client keeps its server between transactions: a set of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins(u16);

impl Pins {
    pub const NONE: Pins = Pins(0);
    /// temporary tables or other temporary objects
    pub const TEMPORARY: Pins = Pins(1);
    /// cursors WITH HOLD
    pub const CURSORS: Pins = Pins(2);
    /// session-level advisory locks
    pub const LOCKS: Pins = Pins(4);
    /// LISTEN
    pub const LISTENS: Pins = Pins(8);
    /// statements of PREPARE
    pub const PREPARED: Pins = Pins(16);
    /// `SET pgdog.pin`
    pub const BY_HAND: Pins = Pins(32);
    /// a named statement that cannot be prepared elsewhere: too large to be kept, or `prepared_statements = "disabled"`
    pub const NAMED: Pins = Pins(64);
    /// the server could not be asked what there is
    pub const UNKNOWN: Pins = Pins(128);
    /// currval() and lastval() outside of the transaction that has used the sequence
    pub const SEQUENCES: Pins = Pins(256);

    /// All reasons and their words, in the order of their bits.
    pub const ALL: [(Pins, &str); 9] = [
        (Pins::TEMPORARY, "temporary tables"),
        (Pins::CURSORS, "cursors with hold"),
        (Pins::LOCKS, "advisory locks"),
        (Pins::LISTENS, "listen"),
        (Pins::PREPARED, "prepare"),
        (Pins::BY_HAND, "pgdog.pin"),
        (Pins::NAMED, "named statements"),
        (Pins::UNKNOWN, "unknown"),
        (Pins::SEQUENCES, "sequences"),
    ];
    /// What an answer of the server decides.
    pub const ASKED: Pins = Pins(1 | 2 | 4 | 8 | 16 | 32 | 128);

    /// There is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All of `other`'s are among them.
    pub fn contains(self, other: Pins) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those of both.
    pub fn with(self, other: Pins) -> Pins {
        Pins(self.0 | other.0)
    }

    /// Those that are not `other`'s.
    pub fn without(self, other: Pins) -> Pins {
        Pins(self.0 & !other.0)
    }

    /// Their words, separated by commas.
    pub fn words(self) -> String {
        let words: Vec<&str> = Pins::ALL.iter().filter(|(pin, _)| self.contains(*pin)).map(|&(_, words)| words).collect();
        words.join(", ")
    }
}

/// What may have been left.
#[derive(Clone, Debug, Default)]
pub struct Suspicion {
    pub may: May,
    /// parameters that were set (true) or reset, as the texts call them
    pub names: Vec<(Box<[u8]>, bool)>,
    /// parameters were set for the rest of the transaction
    local: bool,
    /// channels that its texts UNLISTEN (empty: all), until an error or a ROLLBACK may have undone that; not asked about
    pub unlistens: Vec<Box<[u8]>>,
}

impl Suspicion {
    /// Nothing was seen.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.may.is_nothing() && self.names.is_empty() && !self.local
    }

    /// Forgets everything.
    #[inline]
    pub fn clear(&mut self) {
        if !self.is_empty() {
            self.may = May::NOTHING;
            self.names.clear();
            self.local = false;
        }
    }

    /// Another client comes.
    #[inline]
    pub fn forget(&mut self) {
        self.clear();
        self.unlistens.clear();
    }

    /// A text is carried out.
    #[inline]
    pub fn add(&mut self, traits: &Traits) {
        if !traits.is_plain() {
            self.note(traits);
        }
    }

    #[cold]
    fn note(&mut self, traits: &Traits) {
        self.may |= traits.may;
        self.local |= traits.local;
        if self.unlistens.len() < NAMES_MAX {
            self.unlistens.extend(traits.unlistens.clone());
        }
        for name in &traits.sets {
            if let Some(known) = self.names.iter_mut().find(|(known, _)| known == name) {
                known.1 |= traits.resets == Resets::Nothing;
            } else if self.names.len() < NAMES_MAX {
                self.names.push((name.clone(), traits.resets == Resets::Nothing));
            } else {
                self.may |= May::SETS;
            }
        }
    }

    /// The server has reported that a parameter was changed.
    pub fn reported(&mut self) {
        self.local = true;
    }

    /// Parameters may differ from what the client's profile says.
    pub fn parameters(&self) -> bool {
        self.local || !self.names.is_empty() || self.may.contains(May::SETS) || self.may.contains(May::CALLS)
    }
}

/// What a text may do of which not all was seen.
pub const UNSEEN: May = May::ANYTHING.without(May::SEQUENCES);

/// What a text does each time it is executed; anything, if there is more of it than `text`.
pub fn traits(look: &Look<'_>, text: &[u8], cut: bool) -> Traits {
    if cut {
        return Traits { may: UNSEEN, ..Traits::default() };
    }
    // A text that cannot be read is hardly one that asks for a sequence's last value.
    let executes = look.may.contains(May::PREPARES) && look.statement == Text::Other;
    let may = if look.may == May::ANYTHING || executes { UNSEEN } else { look.may };
    let mut traits = Traits { may, ..Traits::default() };
    match &look.statement {
        // What is set for the transaction is gone when it ends.
        Text::Set { local: true, .. } => traits.local = true,
        Text::Set { name, .. } => {
            traits.sets.push(name.name().as_ref().into());
            if name.name().eq_ignore_ascii_case(b"session_authorization") {
                // Which ends the role that was taken.
                traits.sets.push(b"role"[..].into());
            }
            traits.resets = if ends_with_default(text) { Resets::Named } else { Resets::Nothing };
        }
        Text::Reset { name } => {
            traits.sets.push(name.name().as_ref().into());
            if name.name().eq_ignore_ascii_case(b"session_authorization") {
                traits.sets.push(b"role"[..].into());
            }
            traits.resets = Resets::Named;
        }
        Text::ResetAll | Text::DiscardAll => {
            traits.may |= May::SETS;
            let everything = matches!(look.statement, Text::DiscardAll);
            traits.resets = if everything { Resets::Everything } else { Resets::All };
            traits.unlistens = everything.then(Box::default);
        }
        // What it runs was looked at when it was prepared, and may have been anything.
        Text::Execute { .. } => traits.may = UNSEEN,
        Text::Prepare { .. } | Text::Deallocate { .. } | Text::DeallocateAll => traits.may |= May::PREPARES,
        Text::Listen { .. } => traits.may |= May::LISTENS,
        Text::Unlisten { channel } => {
            traits.may |= May::LISTENS;
            traits.unlistens = Some(channel.name().as_ref().into());
        }
        Text::UnlistenAll => {
            traits.may |= May::LISTENS;
            traits.unlistens = Some(Box::default());
        }
        // PostgreSQL lists parameters when it is asked for all, but not those of applications: their names have to come from here.
        _ if look.may.contains(May::SETS) => {
            traits.values = custom_names(text, &mut traits.sets);
            traits.back = resets_some(text);
            if resets_all(text) {
                traits.resets = Resets::All;
            }
        }
        _ => {}
    }
    traits
}

/// Whether several statements reset everything, as some drivers do when a connection goes back to their pool, and set nothing behind that.
fn resets_all(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').filter(|word| !word.is_empty());
    let mut all = false;
    let mut before: &[u8] = b"";
    words.all(|word| {
        all |= word == b"all" && matches!(before, b"reset" | b"discard");
        before = word;
        !(all && matches!(word, b"set" | b"set_config"))
    }) && all
}

/// Parameters that one of several statements resets, and none sets behind that.
fn resets_some(text: &[u8]) -> Vec<Box<[u8]>> {
    let lower = text.to_ascii_lowercase();
    let words = lower.split(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'_' | b'.')).filter(|word| !word.is_empty());
    let mut back: Vec<Box<[u8]>> = Vec::new();
    // The word before, and those before it.
    let mut before: [&[u8]; 3] = [b""; 3];
    for word in words {
        match (before, word) {
            // Whom it names has no role.
            ([b"session", b"reset", _], b"authorization") | ([b"authorization", b"session", b"set"], b"default") => {
                back.retain(|known| **known != *b"session");
                back.extend([b"session_authorization"[..].into(), b"role"[..].into()]);
            }
            ([b"authorization", b"session", b"set"], _) => back.retain(|known| !matches!(&**known, b"session_authorization" | b"role")),
            ([b"reset", ..], _) if word != b"all" && back.len() < NAMES_MAX => back.push(word.into()),
            // It may have been undone at once.
            (_, b"rollback" | b"abort") => back.clear(),
            ([b"set" | b"session" | b"local" | b"set_config", ..], _) => back.retain(|known| **known != *word),
            _ => {}
        }
        before = [word, before[0], before[1]];
    }
    back
}

/// Names with a dot in them, of parameters that the text seems to set: a literal behind `set_config(`, a word behind SET or SET SESSION. Where
/// something else stands behind `set_config(` all literals that may be names are taken; true: and values may be.
fn custom_names(text: &[u8], names: &mut Vec<Box<[u8]>>) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$');
    let (mut at, mut computed) = (0, false);
    while let Some(found) = lower[at..].windows(3).position(|window| window == b"set") {
        at += found + 3;
        let mut rest = &lower[at..];
        let set_config = rest.starts_with(b"_config");
        if set_config {
            rest = rest[7..].trim_ascii_start();
            rest = rest.strip_prefix(b"(").unwrap_or(rest).trim_ascii_start();
            computed |= !matches!(rest, [b'\'', ..] | [b'e', b'\'', ..]);
            // In a text that is itself a literal.
            rest = &rest[rest.iter().take_while(|&&byte| matches!(byte, b'\'' | b'e')).count()..];
        } else {
            rest = rest.trim_ascii_start();
            rest = rest.strip_prefix(b"session ").unwrap_or(rest).trim_ascii_start();
        }
        let name = &rest[..rest.iter().take_while(|byte| is_word(byte)).count()];
        if name.contains(&b'.') && names.len() < NAMES_MAX && !names.iter().any(|known| **known == *name) {
            names.push(name.into());
        }
    }
    for name in lower.split(|byte| *byte == b'\'').filter(|name| computed && is_custom_name(name)) {
        if names.len() < NAMES_MAX && !names.iter().any(|known| **known == *name) {
            names.push(name.into());
        }
    }
    computed
}

/// Whether a function call is one of the large objects' (their oids in src/include/catalog/pg_proc.dat), whose descriptors end with the transaction.
pub(super) fn is_large_object(call: &[u8]) -> bool {
    let oid = call.get(HEADER..HEADER + 4).map(|oid| u32::from_be_bytes([oid[0], oid[1], oid[2], oid[3]]));
    matches!(oid, Some(715 | 764 | 767 | 952..=958 | 964 | 1004 | 3170..=3172))
}

/// Whether a SET sets its parameter back.
fn ends_with_default(text: &[u8]) -> bool {
    let end = text.iter().rposition(|byte| !matches!(byte, b';' | b' ' | b'\t' | b'\r' | b'\n')).map_or(0, |last| last + 1);
    // What the word may be the end of: an identifier, whose letters may be of any alphabet.
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
    end >= 8 && text[end - 7..end].eq_ignore_ascii_case(b"default") && !is_part(text[end - 8])
}
