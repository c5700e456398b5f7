//! Damage: bits, bytes, length words, cuts, splices, repeats, and messages where none were.

use crate::dice::Dice;
use crate::raw;

/// Length words that have broken other programs.
#[rustfmt::skip]
const LENGTHS: [u32; 22] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
    // The last that PostgreSQL takes of a short message, a startup packet, a password, a long message, and of a server; and the first it does not.
    10_000, 10_001, 10_004, 10_005, 65_535, 65_536, 0x3fff_fffe, 0x3fff_ffff, 0x4000_0002, 0x4000_0003,
];
const BYTES: [u8; 14] = [0, 1, 3, 4, 5, 0x7f, 0x80, 0xff, b'\\', b'=', b',', b'$', b'S', b'Z'];

/// Damages `bytes` once; `other` is a second input for splices.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], messages: bool, dice: &mut Dice) {
    let at = dice.below(bytes.len());
    match dice.below(if messages { 12 } else { 8 }) {
        _ if bytes.is_empty() => bytes.extend_from_slice(other),
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = BYTES[dice.below(BYTES.len())],
        2 => bytes[at] = dice.next() as u8,
        3 => bytes.truncate(at),
        4 => {
            let end = (at + 1 + dice.below(32)).min(bytes.len());
            bytes.drain(at..end);
        }
        5 => {
            let from = dice.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        6 => {
            let end = (at + 1 + dice.below(64)).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            for _ in 0..=dice.below(3) {
                bytes.splice(at..at, piece.iter().copied());
            }
        }
        7 => bytes.insert(at, dice.next() as u8),
        8 | 9 => edit_length(bytes, dice),
        _ => {
            let starts = starts(bytes);
            let at = starts[dice.below(starts.len())];
            bytes.splice(at..at, message(dice));
        }
    }
}

/// Where messages start, as far as the bytes can be followed: a startup packet (no type) is told by its first byte.
fn starts(bytes: &[u8]) -> Vec<usize> {
    let (mut starts, mut at) = (vec![0], 0);
    while at < bytes.len() {
        let word = if bytes[at] == 0 { at } else { at + 1 };
        let Some(length) = bytes.get(word..word + 4) else { break };
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length < 4 || word + length > bytes.len() {
            break;
        }
        at = word + length;
        starts.push(at);
    }
    starts
}

fn edit_length(bytes: &mut [u8], dice: &mut Dice) {
    let starts = starts(bytes);
    let start = if dice.below(4) == 0 { dice.below(bytes.len()) } else { starts[dice.below(starts.len())] };
    let word = start + usize::from(bytes.get(start).is_some_and(|&byte| byte != 0));
    let Some(place) = bytes.get_mut(word..word + 4) else { return };
    let now = u32::from_be_bytes([place[0], place[1], place[2], place[3]]);
    let length = match dice.below(4) {
        0 => now.wrapping_add(1),
        1 => now.wrapping_sub(1),
        _ => LENGTHS[dice.below(LENGTHS.len())],
    };
    place.copy_from_slice(&length.to_be_bytes());
}

/// A whole message of either side.
fn message(dice: &mut Dice) -> Vec<u8> {
    let bodies: [&[u8]; 8] = [b"", b"I", b"S\0", b"\0", b"\0\0\0\0", b"name\0value\0", b"SERROR\0C42601\0Mno\0\0", b"\0\0\0\x0a"];
    match dice.below(10) {
        0 => raw::query("SELECT 1"),
        1 => raw::parse("", "SELECT 1", &[]),
        2 => raw::bind("", "", &[]),
        3 => raw::execute("", 0),
        4 => raw::sync(),
        5 => raw::copy_data(b"1\n"),
        6 => raw::frame(b'p', b"secret\0"),
        7 => raw::ssl_request(),
        _ => raw::frame(b"QPBDECHSXFdcfpTZRSKNAE123nstVIGWv\xff"[dice.below(34)], bodies[dice.below(bodies.len())]),
    }
}
