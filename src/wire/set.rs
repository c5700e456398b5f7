//! The SQL that gives a server the parameters of a client. Names and values come from clients and other servers: whatever they hold, the text is
//! one statement that sets parameters, or one that PostgreSQL refuses. Which parameters, and when, is left to `session`.
//!
//! Why `set_config` and not SET: SET of a list (search_path, DateStyle, temp_tablespaces) takes a quoted string as *one* element, while set_config
//! takes the raw text, as a startup packet does. It answers with a row, which the sender has to swallow; `IS NULL` keeps the value out of that row,
//! as it need not be expressible in client_encoding. `pg_catalog.` keeps search_path out of it.
//!
//! Why the text is pure ASCII: it is read in the server's client_encoding, which may be another client's, and in some encodings (SJIS, BIG5, GBK)
//! the last byte of a character may swallow the quote after it. So everything beyond ASCII goes as `\u`, which PostgreSQL converts itself.

use std::fmt::Write;

/// Parameters per SELECT; PostgreSQL allows 1664 columns.
const PER_SELECT: usize = 1000;

/// The text of a Query that sets one parameter for the session: one row, one column, `f`. A zero byte in `name` or `value` makes a text
/// that the server refuses.
pub fn set_statement(name: &str, value: &str) -> String {
    settings([(name, Some(value))])
}

/// The text of a Query that sets parameters for the session, in order, in one SELECT per 1000 of them (one row each); empty for none. PostgreSQL
/// runs it as one transaction: it sets all or, when one is refused, none. None sets a parameter back to the session's default.
pub fn settings<'a>(parameters: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut text = String::new();
    for (index, (name, value)) in parameters.into_iter().enumerate() {
        text.push_str(match index {
            0 => "SELECT ",
            _ if index % PER_SELECT == 0 => "; SELECT ",
            _ => ", ",
        });
        text.push_str("pg_catalog.set_config(");
        literal(&mut text, name);
        text.push_str(", ");
        match value {
            Some(value) => literal(&mut text, value),
            None => text.push_str("NULL"),
        }
        text.push_str(", false) IS NULL");
    }
    text
}

/// Appends a string literal that means `value` under every setting of standard_conforming_strings, backslash_quote and client_encoding.
pub fn literal(text: &mut String, value: &str) {
    let plain = value.bytes().all(|byte| byte.is_ascii() && byte != b'\\' && byte != 0);
    text.push_str(if plain { "'" } else { "E'" });
    for c in value.chars() {
        match c {
            '\'' => text.push_str("''"),
            '\\' => text.push_str("\\\\"),
            '\x01'..='\x7f' => text.push(c),
            // Writing to a String cannot fail.
            _ => {
                let _ = write!(text, "\\U{:08X}", u32::from(c));
            }
        }
    }
    text.push('\'');
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
