//! The numbers of types that users have made: each shard has its own for an enum, a composite or an extension's type. Answers of several shards say
//! those of shard 0; what one shard alone answers without a coordinator passes as it is.
//!
//! Invariant: a type is told as shard 0's of the same schema and name, or as it is. What stands in binary values (the element type of an array, the
//! types of a row's fields) is left as the server said it. Which types differ is known from the comparison of the shards (`route::drift`).

use crate::route::cluster::Cluster;
use crate::route::request::Refused;
use crate::wire::frame::HEADER;

/// A RowDescription or ParameterDescription of `shard` in the numbers of shard 0. None: it is something else, or the same.
pub fn on_first(cluster: &Cluster, shard: u16, message: &[u8]) -> Option<Vec<u8>> {
    if shard == 0 || !matches!(message.first(), Some(b'T' | b't')) {
        return None;
    }
    let drift = &cluster.schema().ok()?.drift;
    renumbered(message, |oid| drift.on_first(shard, oid))
}

fn renumbered(message: &[u8], number: impl Fn(u32) -> u32) -> Option<Vec<u8>> {
    let mut made: Option<Vec<u8>> = None;
    let mut at = HEADER + 2;
    loop {
        let oid = match message[0] {
            b't' => at,
            // Behind the name: the table's OID and the column's number there.
            _ => at + message.get(at..)?.iter().position(|byte| *byte == 0)? + 7,
        };
        let Some(bytes) = message.get(oid..).and_then(|rest| rest.first_chunk::<4>()) else { break };
        let (is, wanted) = (u32::from_be_bytes(*bytes), number(u32::from_be_bytes(*bytes)));
        if wanted != is {
            made.get_or_insert_with(|| message.to_vec())[oid..oid + 4].copy_from_slice(&wanted.to_be_bytes());
        }
        // Behind the type of a column: its size, modifier and format.
        at = oid + if message[0] == b't' { 4 } else { 12 };
        if at >= message.len() {
            break;
        }
    }
    made
}

/// Why parameters of these types (OIDs of four bytes each, as a Parse says them) cannot be given to several shards; None: they can.
pub fn refuses(cluster: &Cluster, types: &[u8]) -> Option<Box<Refused>> {
    let drift = &cluster.schema().ok()?.drift;
    let oid = types.chunks_exact(4).map(|oid| u32::from_be_bytes([oid[0], oid[1], oid[2], oid[3]])).find(|oid| drift.differs(*oid))?;
    let message = format!("a parameter of the type with OID {oid}, which has another OID on other shards");
    Some(Refused::unsupported(message, "Leave the parameter's type to PostgreSQL (OID 0), or write it into the text: $1::type."))
}

#[cfg(test)]
#[path = "numbers_tests.rs"]
mod tests;
