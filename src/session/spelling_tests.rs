//! Spellings, as a PostgreSQL reports them when they come in a startup packet.

use super::spelled;

#[test]
fn parameters_are_spelled_as_the_server_does() {
    let own = |name: &str| match name {
        "DateStyle" => "ISO, MDY",
        "client_encoding" => "UTF8",
        "standard_conforming_strings" => "on",
        "IntervalStyle" => "postgres",
        _ => "UTC",
    };
    let cases = [
        ("client_encoding", "'utf-8'", "UTF8"),
        ("client_encoding", "unicode", "UTF8"),
        ("Client_Encoding", "ISO-8859-15", "LATIN9"),
        ("client_encoding", "windows_1252", "WIN1252"),
        ("client_encoding", "SQL_ASCII", "SQL_ASCII"),
        ("client_encoding", "no such", "no such"),
        ("DateStyle", "ISO", "ISO, MDY"),
        ("datestyle", "iso,dmy", "ISO, DMY"),
        ("DateStyle", "german", "German, DMY"),
        ("DateStyle", "mdy, german", "German, MDY"),
        ("DateStyle", "European", "ISO, DMY"),
        ("DateStyle", "PostgreSQL, US", "Postgres, MDY"),
        ("DateStyle", "sql, ymd", "SQL, YMD"),
        ("DateStyle", "stardate", "stardate"),
        ("DateStyle", "mdy german", "mdy german"),
        ("IntervalStyle", "ISO_8601", "iso_8601"),
        ("standard_conforming_strings", "fa", "off"),
        ("standard_conforming_strings", "1", "on"),
        ("standard_conforming_strings", "o", "o"),
        ("TimeZone", "utc", "UTC"),
        ("TimeZone", "Asia/Tokyo", "Asia/Tokyo"),
        ("application_name", "utc 2", "utc 2"),
    ];
    for (name, asked, expected) in cases {
        let own = own(["DateStyle", "client_encoding"].into_iter().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or(name));
        assert_eq!(spelled(name, asked, own), expected, "{name} = {asked}");
    }
}
