//! How PostgreSQL spells a parameter that a client asked for when it came: a driver that asks for `'utf-8'` is told `UTF8`, and one that asks for
//! `ISO` is told `ISO, MDY`. Only what can be known without a server is spelled here; all else stays as the client wrote it. Whether a value is
//! right at all is for the server to say.

use std::borrow::Cow;

/// Encodings by what is left of their names: letters and digits, in lower case.
#[rustfmt::skip]
const ENCODINGS: [(&str, &str); 80] = [
    ("abc", "WIN1258"), ("alt", "WIN866"), ("big5", "BIG5"), ("euccn", "EUC_CN"), ("eucjis2004", "EUC_JIS_2004"), ("eucjp", "EUC_JP"),
    ("euckr", "EUC_KR"), ("euctw", "EUC_TW"), ("gb18030", "GB18030"), ("gbk", "GBK"), ("iso88591", "LATIN1"), ("iso885910", "LATIN6"),
    ("iso885913", "LATIN7"), ("iso885914", "LATIN8"), ("iso885915", "LATIN9"), ("iso885916", "LATIN10"), ("iso88592", "LATIN2"),
    ("iso88593", "LATIN3"), ("iso88594", "LATIN4"), ("iso88595", "ISO_8859_5"), ("iso88596", "ISO_8859_6"), ("iso88597", "ISO_8859_7"),
    ("iso88598", "ISO_8859_8"), ("iso88599", "LATIN5"), ("johab", "JOHAB"), ("koi8", "KOI8R"), ("koi8r", "KOI8R"), ("koi8u", "KOI8U"),
    ("latin1", "LATIN1"), ("latin10", "LATIN10"), ("latin2", "LATIN2"), ("latin3", "LATIN3"), ("latin4", "LATIN4"), ("latin5", "LATIN5"),
    ("latin6", "LATIN6"), ("latin7", "LATIN7"), ("latin8", "LATIN8"), ("latin9", "LATIN9"), ("mskanji", "SJIS"), ("shiftjis", "SJIS"),
    ("shiftjis2004", "SHIFT_JIS_2004"), ("sjis", "SJIS"), ("sqlascii", "SQL_ASCII"), ("tcvn", "WIN1258"), ("tcvn5712", "WIN1258"),
    ("uhc", "UHC"), ("unicode", "UTF8"), ("utf8", "UTF8"), ("vscii", "WIN1258"), ("win", "WIN1251"), ("win1250", "WIN1250"),
    ("win1251", "WIN1251"), ("win1252", "WIN1252"), ("win1253", "WIN1253"), ("win1254", "WIN1254"), ("win1255", "WIN1255"),
    ("win1256", "WIN1256"), ("win1257", "WIN1257"), ("win1258", "WIN1258"), ("win866", "WIN866"), ("win874", "WIN874"), ("win932", "SJIS"),
    ("win936", "GBK"), ("win949", "UHC"), ("win950", "BIG5"), ("windows1250", "WIN1250"), ("windows1251", "WIN1251"),
    ("windows1252", "WIN1252"), ("windows1253", "WIN1253"), ("windows1254", "WIN1254"), ("windows1255", "WIN1255"),
    ("windows1256", "WIN1256"), ("windows1257", "WIN1257"), ("windows1258", "WIN1258"), ("windows866", "WIN866"), ("windows874", "WIN874"),
    ("windows932", "SJIS"), ("windows936", "GBK"), ("windows949", "UHC"), ("windows950", "BIG5"),
];

/// A value as the server would report it. `own` is what it reports when nobody asks for anything.
pub fn spelled<'a>(name: &str, asked: &'a str, own: &'a str) -> Cow<'a, str> {
    if asked.eq_ignore_ascii_case(own) {
        return own.into();
    }
    let known: Option<Cow<'a, str>> = match name.to_ascii_lowercase().as_str() {
        "client_encoding" => encoding(asked).map(Cow::from),
        "datestyle" => date_style(asked, own).map(Cow::from),
        "intervalstyle" => Some(asked.to_ascii_lowercase().into()),
        "standard_conforming_strings" => boolean(asked).map(|on| if on { "on" } else { "off" }.into()),
        _ => None,
    };
    known.unwrap_or(asked.into())
}

fn encoding(asked: &str) -> Option<&'static str> {
    let bare: String = asked.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    ENCODINGS.iter().find(|(name, _)| *name == bare).map(|(_, encoding)| *encoding)
}

/// A format and an order of day, month and year; what is not named stays as it was, but for a format that brings its order.
fn date_style(asked: &str, own: &str) -> Option<String> {
    let (mut format, mut order) = own.split_once(", ")?;
    let mut ordered = false;
    for word in asked.split(',') {
        let word = word.trim_ascii().to_ascii_lowercase();
        match word.as_str() {
            "iso" => format = "ISO",
            "sql" => format = "SQL",
            "german" => {
                format = "German";
                order = if ordered { order } else { "DMY" };
            }
            "ymd" => (order, ordered) = ("YMD", true),
            "mdy" | "us" => (order, ordered) = ("MDY", true),
            "dmy" => (order, ordered) = ("DMY", true),
            _ if word.starts_with("postgres") => format = "Postgres",
            _ if word.starts_with("euro") => (order, ordered) = ("DMY", true),
            _ if word.starts_with("noneuro") => (order, ordered) = ("MDY", true),
            _ => return None,
        }
    }
    Some(format!("{format}, {order}"))
}

/// The beginning of a word will do, where it is one word's only.
fn boolean(asked: &str) -> Option<bool> {
    let asked = asked.to_ascii_lowercase();
    let begins = |word: &str, least: usize| asked.len() >= least && word.starts_with(&asked);
    match () {
        () if begins("true", 1) || begins("yes", 1) || begins("on", 2) || asked == "1" => Some(true),
        () if begins("false", 1) || begins("no", 1) || begins("off", 2) || asked == "0" => Some(false),
        () => None,
    }
}

#[cfg(test)]
#[path = "spelling_tests.rs"]
mod tests;
