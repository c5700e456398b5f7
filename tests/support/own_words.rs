//! The SQL that pg_dog says to a server of its own accord, read as a server would: what is set, cleaned and asked. For servers that are models; a
//! client's texts are theirs to read. Shares nothing with `wire::set` or `session::inquiry`: only the text that went over the wire counts.

/// One statement of pg_dog's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// parameters set for the session, or (None) set back to what it began with; one column for each
    Set(Vec<(String, Option<String>)>),
    /// what is left in the session
    Ask(Vec<Part>),
    ResetAll,
    DiscardAll,
    DiscardTemp,
    /// a prepared statement is dropped
    Deallocate(String),
    /// what SQL has prepared, two columns
    Left,
    /// what no server understands: it is to fail
    Fails,
    /// what changes nothing at servers that have no such things; the tag that it is answered with
    Other(&'static str),
}

/// A part of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// whether there is something of this kind; its letter
    Is(char),
    /// all parameters that were set in the session, but those that no list has
    Listed,
    /// for whom the session speaks, if not for who logged in
    Speaker,
    /// one parameter, NULL if there is none
    Value(String),
    /// prepared statements with names that are not pg_dog's, with the texts of SQL's PREPARE or without
    Statements { texts: bool },
}

/// A prepared statement as the question wants it: its name, and its PREPARE if it is of SQL.
pub type Prepared = (String, Option<String>);

/// Three columns of an answer.
pub type Row = [Option<String>; 3];

/// Reads one statement; None: pg_dog does not say that.
pub fn read(text: &str) -> Option<Own> {
    let text = text.trim();
    Some(match text {
        "RESET ALL" => Own::ResetAll,
        "DISCARD ALL" => Own::DiscardAll,
        "DISCARD TEMP" => Own::DiscardTemp,
        "DISCARD SEQUENCES" => Own::Other("DISCARD SEQUENCES"),
        "CLOSE ALL" => Own::Other("CLOSE CURSOR ALL"),
        "SET SESSION AUTHORIZATION DEFAULT" => Own::Other("SET"),
        "RESET SESSION AUTHORIZATION" => Own::Other("RESET"),
        "UNLISTEN *" => Own::Other("UNLISTEN"),
        "SELECT pg_catalog.pg_advisory_unlock_all()" => Own::Other("SELECT 1"),
        _ if text.starts_with("pg_dog ") => Own::Fails,
        _ if text.starts_with("SELECT pg_catalog.set_config(") => Own::Set(settings(text)?),
        _ if text.starts_with("SELECT 'left',pg_catalog.encode(") && text.ends_with(" FROM pg_catalog.pg_prepared_statements WHERE from_sql") => {
            Own::Left
        }
        _ if text.starts_with("SELECT '") || text.starts_with("SELECT CASE WHEN from_sql") => {
            Own::Ask(text.split(" UNION ALL ").map(part).collect::<Option<Vec<Part>>>()?)
        }
        _ => Own::Deallocate(text.strip_prefix("DEALLOCATE ").filter(|name| name.starts_with("__pgdog_"))?.to_string()),
    })
}

/// `set_config('name', 'value', false) IS NULL`, several of them.
fn settings(text: &str) -> Option<Vec<(String, Option<String>)>> {
    let mut all = Vec::new();
    for call in text.strip_prefix("SELECT ")?.split(" IS NULL") {
        let call = call.trim_start_matches([',', ' ']);
        if call.is_empty() {
            continue;
        }
        let (name, rest) = literal(call.strip_prefix("pg_catalog.set_config(")?)?;
        let rest = rest.strip_prefix(", ")?;
        let (value, rest) = match rest.strip_prefix("NULL") {
            Some(rest) => (None, rest),
            None => literal(rest).map(|(value, rest)| (Some(value), rest))?,
        };
        if rest != ", false)" {
            return None;
        }
        all.push((name.to_ascii_lowercase(), value));
    }
    Some(all)
}

fn part(text: &str) -> Option<Part> {
    if let Some(rest) =
        text.strip_prefix("SELECT CASE WHEN from_sql THEN 's' ELSE 'c' END,pg_catalog.encode(pg_catalog.convert_to(name,'UTF8'),'hex'),")
    {
        let texts = rest.starts_with("CASE WHEN from_sql AND pg_catalog.octet_length(statement)<=");
        return rest.ends_with(" WHERE from_sql OR pg_catalog.left(name,8)<>'__pgdog_'").then_some(Part::Statements { texts });
    }
    let (kind, rest) = literal(text.strip_prefix("SELECT ")?)?;
    let rest = rest.strip_prefix(',')?;
    if kind != "p" {
        let known = "t pg_depend, h pg_cursors, a pg_locks, l pg_listening_channels, s pg_prepared_statements";
        let table = known.split(", ").find_map(|one| one.strip_prefix(&format!("{kind} ")))?;
        return (rest.starts_with("'',NULL WHERE EXISTS (") && rest.contains(table)).then(|| Part::Is(kind.chars().next().unwrap_or(' ')));
    }
    if rest.starts_with("name,") {
        return rest.contains("FROM pg_catalog.pg_settings WHERE source = 'session' AND name NOT IN ('transaction_").then_some(Part::Listed);
    }
    let (name, rest) = literal(rest)?;
    if rest.contains(" WHERE session_user <> ") {
        return Some(Part::Speaker);
    }
    let quoted = format!(",pg_catalog.encode(pg_catalog.convert_to(pg_catalog.current_setting('{name}',true),'UTF8'),'hex')");
    (rest == quoted).then_some(Part::Value(name.to_ascii_lowercase()))
}

/// A literal at the start, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let rest = text.strip_prefix('\'')?;
    let end = rest.find('\'')?;
    // Names and values here hold neither quotes nor backslashes.
    Some((rest[..end].to_string(), &rest[end + 1..]))
}

/// The answer: `is` says what the session has, `listed` what is set there, `value` what a parameter is, `prepared` what is prepared there.
pub fn answer(
    parts: &[Part],
    is: impl Fn(char) -> bool,
    listed: &[(String, String)],
    value: impl Fn(&str) -> Option<String>,
    prepared: &[Prepared],
) -> Vec<Row> {
    let parameter = |name: &str, value: Option<String>| [Some("p".to_string()), Some(name.to_string()), value.map(|value| hex(&value))];
    let mut rows = Vec::new();
    for part in parts {
        match part {
            Part::Is(letter) if is(*letter) => rows.push([Some(letter.to_string()), Some(String::new()), None]),
            Part::Is(_) | Part::Speaker => {}
            // What an application has made up is in no list.
            Part::Listed => {
                let listed = listed.iter().filter(|(name, _)| !name.contains('.'));
                rows.extend(listed.map(|(name, value)| parameter(name, Some(value.clone()))));
            }
            Part::Value(name) => rows.push(parameter(name, value(name))),
            Part::Statements { texts } => {
                rows.extend(prepared.iter().filter(|(name, text)| text.is_some() || !name.starts_with("__pgdog_")).map(|(name, text)| {
                    let kind = if text.is_some() { "s" } else { "c" };
                    [Some(kind.to_string()), Some(hex(name)), text.as_deref().filter(|_| *texts).map(hex)]
                }))
            }
        }
    }
    rows
}

fn hex(value: &str) -> String {
    value.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The rows of `Own::Left`.
pub fn left<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Vec<Option<String>>> {
    names.map(|name| vec![Some("left".to_string()), Some(hex(name))]).collect()
}

/// A DataRow's body.
pub fn row_body(row: &[Option<String>]) -> Vec<u8> {
    let mut body = vec![0, row.len() as u8];
    for column in row {
        let length = column.as_ref().map_or(-1, |column| column.len() as i32);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(column.as_deref().unwrap_or_default().as_bytes());
    }
    body
}
