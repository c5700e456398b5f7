//! Texts that come again byte for byte, as those of prepared statements do, with what was read of them: no lexer for the next time.
//!
//! Invariant: what is found was read of an equal text under equal circumstances; a hash only says where to look. Each place has one text, and the
//! next that wants it gets it.

use std::hash::Hasher;
use std::sync::Arc;

use ahash::AHasher;

use super::directive::Directives;
use super::literal::Literal;
use super::plan::Plan;
use super::texts::{Read, Reading};

/// Texts that are kept.
pub const WHOLES_MAX: usize = 512;
/// Bytes of a text that is kept.
pub const WHOLE_BYTES: usize = 4 << 10;

#[derive(Debug)]
struct Whole {
    text: Box<[u8]>,
    reading: Reading,
    plans: Arc<[Plan]>,
    literals: Box<[Literal]>,
    directives: Directives,
}

/// The texts.
#[derive(Debug, Default)]
pub struct Wholes {
    /// empty until the first is kept
    places: Vec<Option<Whole>>,
}

impl Wholes {
    /// Where a text would be; None: it is too long to be kept. `mask` is what of a hash is used.
    pub fn place(text: &[u8], mask: u64) -> Option<usize> {
        let mut hasher = AHasher::default();
        hasher.write(text);
        // The remainder is less than `WHOLES_MAX`.
        (text.len() <= WHOLE_BYTES).then(|| ((hasher.finish() & mask) % WHOLES_MAX as u64) as usize)
    }

    /// Whether it is there.
    pub fn has(&self, place: usize, text: &[u8], reading: Reading) -> bool {
        self.places.get(place).and_then(Option::as_ref).is_some_and(|whole| *whole.text == *text && whole.reading == reading)
    }

    /// What was read of the text at a place.
    pub fn get(&self, place: usize) -> Option<Read<'_>> {
        let whole = self.places.get(place)?.as_ref()?;
        Some(Read { plans: whole.plans.clone(), literals: &whole.literals, directives: &whole.directives })
    }

    /// Keeps what was read of a text.
    pub fn put(&mut self, place: usize, text: &[u8], reading: Reading, plans: Arc<[Plan]>, literals: &[Literal], directives: &Directives) {
        if self.places.is_empty() {
            self.places.resize_with(WHOLES_MAX, || None);
        }
        if let Some(free) = self.places.get_mut(place) {
            *free = Some(Whole { text: text.into(), reading, plans, literals: literals.into(), directives: directives.clone() });
        }
    }
}
