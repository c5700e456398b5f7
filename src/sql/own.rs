//! PostgreSQL's own functions, and the words that may stand before `(` without being a function. Two lists made into one hash table when pg_dog is
//! compiled; looking a name up folds its case on the way and allocates nothing.
//!
//! `own.txt` is `SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace` of PostgreSQL 15 and 18 together, sorted,
//! without names that need quotes and without the functions that leave something in the session or run a text they are given: set_config,
//! pg_advisory_lock, pg_try_advisory_lock, pg_advisory_unlock and their forms (not those with `xact`), pg_create_logical_replication_slot,
//! pg_create_physical_replication_slot, pg_copy_logical_replication_slot, pg_copy_physical_replication_slot,
//! pg_replication_origin_session_setup and _reset, pg_backup_start, pg_backup_stop, query_to_xml and its forms, ts_stat, ts_rewrite,
//! binary_upgrade_*.

/// One name per line.
const FUNCTIONS: &str = include_str!("own.txt");

/// Words that PostgreSQL's grammar does not take as the name of a function (`pg_get_keywords()`, categories R and C).
#[rustfmt::skip]
const KEYWORDS: &str = "\
all\nanalyse\nanalyze\nand\nany\narray\nas\nasc\nasymmetric\nbetween\nbigint\nbit\nboolean\nboth\ncase\ncast\nchar\ncharacter\ncheck\ncoalesce\n\
collate\ncolumn\nconstraint\ncreate\ncurrent_catalog\ncurrent_date\ncurrent_role\ncurrent_time\ncurrent_timestamp\ncurrent_user\ndec\ndecimal\n\
default\ndeferrable\ndesc\ndistinct\ndo\nelse\nend\nexcept\nexists\nextract\nfalse\nfetch\nfloat\nfor\nforeign\nfrom\ngrant\ngreatest\ngroup\n\
grouping\nhaving\nin\ninitially\ninout\nint\ninteger\nintersect\ninterval\ninto\njson\njson_array\njson_arrayagg\njson_exists\njson_object\n\
json_objectagg\njson_query\njson_scalar\njson_serialize\njson_table\njson_value\nlateral\nleading\nleast\nlimit\nlocaltime\nlocaltimestamp\n\
merge_action\nnational\nnchar\nnone\nnormalize\nnot\nnull\nnullif\nnumeric\noffset\non\nonly\nor\norder\nout\noverlay\nplacing\nposition\n\
precision\nprimary\nreal\nreferences\nreturning\nrow\nselect\nsession_user\nsetof\nsmallint\nsome\nsubstring\nsymmetric\nsystem_user\ntable\n\
then\ntime\ntimestamp\nto\ntrailing\ntreat\ntrim\ntrue\nunion\nunique\nuser\nusing\nvalues\nvarchar\nvariadic\nwhen\nwhere\nwindow\nwith\n\
xmlattributes\nxmlconcat\nxmlelement\nxmlexists\nxmlforest\nxmlnamespaces\nxmlparse\nxmlpi\nxmlroot\nxmlserialize\nxmltable\n";

/// Slots of the table, a power of two; about a third is used.
const SLOTS: usize = 8192;

/// Where a name lies: its list (the highest bit: the keywords), its offset plus one, its length (the lowest byte). 0 = free.
static TABLE: [u32; SLOTS] = table();

const KEYWORD: u32 = 1 << 31;

const fn table() -> [u32; SLOTS] {
    let mut slots = [0; SLOTS];
    fill(&mut slots, FUNCTIONS.as_bytes(), 0);
    fill(&mut slots, KEYWORDS.as_bytes(), KEYWORD);
    slots
}

const fn fill(slots: &mut [u32; SLOTS], list: &[u8], mark: u32) {
    let (mut start, mut at, mut hash) = (0, 0, SEED);
    while at < list.len() {
        if list[at] != b'\n' {
            hash = step(hash, list[at]);
            at += 1;
            continue;
        }
        let mut slot = last(hash);
        while slots[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = mark | ((start as u32 + 1) << 8) | (at - start) as u32;
        at += 1;
        (start, hash) = (at, SEED);
    }
}

const SEED: u32 = 0x811c_9dc5;

/// FNV-1a over the folded bytes.
const fn step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte.to_ascii_lowercase() as u32).wrapping_mul(0x0100_0193)
}

const fn last(hash: u32) -> usize {
    (hash ^ (hash >> 15)) as usize % SLOTS
}

/// What an unquoted word without a schema is before `(`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// a function or a type of PostgreSQL
    Function,
    /// a word of the grammar
    Keyword,
    Unknown,
}

/// Looks an unquoted word up, in any case.
pub fn known(word: &[u8]) -> Known {
    let mut slot = last(word.iter().fold(SEED, |hash, byte| step(hash, *byte)));
    // Ends at a free slot, of which there are plenty.
    loop {
        let entry = TABLE[slot];
        if entry == 0 {
            return Known::Unknown;
        }
        let (list, known) = if entry & KEYWORD == 0 { (FUNCTIONS, Known::Function) } else { (KEYWORDS, Known::Keyword) };
        let (start, length) = (((entry & !KEYWORD) >> 8) as usize - 1, (entry & 0xff) as usize);
        if length == word.len() && list.as_bytes()[start..start + length].eq_ignore_ascii_case(word) {
            return known;
        }
        slot = (slot + 1) % SLOTS;
    }
}

#[cfg(test)]
#[path = "own_tests.rs"]
mod tests;
