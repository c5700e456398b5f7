//! Names of parameters that a text takes from its values: `set_config($1, $2, false)`. PostgreSQL lists its own parameters when it is asked what was
//! set, but those of applications only by their names, so the values of a Bind are looked through for what may be one.

use crate::wire::client::bind_values;
use crate::wire::frame;

use super::client::{Client, Stop};
use super::exchange::Exchange;
use super::statements::Traits;

/// A Bind up to this size is waited for and looked through; of a larger one what is here.
const BIND_MAX: usize = 16 * 1024;
/// Longer names are none.
const NAME_MAX: usize = 128;

impl Client {
    /// A Bind of a text with these traits, in front of its being sent.
    #[inline]
    pub(super) fn binds_names(&mut self, traits: bool, header: frame::Header, rest: &[u8], link: &mut Exchange) -> Result<(), Stop> {
        if traits { self.look_for_names(header, rest, link) } else { Ok(()) }
    }

    #[cold]
    fn look_for_names(&mut self, header: frame::Header, rest: &[u8], link: &mut Exchange) -> Result<(), Stop> {
        let body = self.text_of(header, rest, BIND_MAX)?;
        let sets: Vec<Box<[u8]>> = bind_values(body).filter(|value| is_custom_name(value)).map(Box::from).collect();
        link.suspicion.add(&Traits { sets, ..Traits::default() });
        Ok(())
    }
}

/// Whether it may be the name of an application's parameter: words joined by dots (`valid_custom_variable_name` in guc.c; what is not ASCII depends
/// on the encoding, and is not looked for).
pub(super) fn is_custom_name(name: &[u8]) -> bool {
    let is_word = |word: &[u8]| {
        word.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
            && word.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
    };
    name.len() <= NAME_MAX && name.contains(&b'.') && name.split(|&byte| byte == b'.').all(is_word)
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
