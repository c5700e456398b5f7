//! What a command's tag tells a pooler: which commands change statements, or what texts mean, or undo. What follows from it is left to `server`.

/// Whether a command's tag tells of anything but rows. The commonest are told apart by their first bytes.
#[inline]
pub fn matters(tag: &[u8]) -> bool {
    match tag.first() {
        Some(b'D') => tag.starts_with(b"DEALLOCATE") || tag.starts_with(b"DISCARD ALL") || alters(tag),
        Some(b'A' | b'C') => alters(tag),
        Some(b'P') => tag.starts_with(b"PREPARE\0"),
        Some(b'R') => tag == b"ROLLBACK\0",
        _ => false,
    }
}

/// Commands that change what there is in a schema.
fn alters(tag: &[u8]) -> bool {
    [&b"CREATE "[..], b"ALTER ", b"DROP "].iter().any(|known| tag.starts_with(known))
}

/// Commands after which the same text may return other columns.
pub(super) fn is_ddl(tag: &[u8]) -> bool {
    const TAGS: [&[u8]; 9] = [
        b"ALTER TABLE",
        b"ALTER VIEW",
        b"ALTER TYPE",
        b"ALTER DOMAIN",
        b"ALTER MATERIALIZED",
        b"CREATE VIEW",
        b"DROP TABLE",
        b"DROP VIEW",
        b"DROP TYPE",
    ];
    TAGS.iter().any(|known| tag.starts_with(known))
}
