//! Texts of clients for the query log: found in what their sessions have consumed, cut to a sample, and given away without waiting. All of it happens
//! only while the log is on; then each text costs a few allocations.

use crate::io::Door;
use crate::io::links::Bytes;
use crate::mail::{Asked, Desk};
use crate::wire::frame::{HEADER, client_header};

use super::core::Core;

/// Bytes of a Parse that may stand before its text: a statement's name, which PostgreSQL cuts at 63.
const NAME_MAX: usize = 256;

/// Where one client's bytes are.
#[derive(Debug, Default)]
pub struct Quoter {
    /// bytes of the message's body still to come
    left: usize,
    /// a Query or a Parse; 0 = no text is in it, or its beginning was not seen
    kind: u8,
    body: Vec<u8>,
}

impl Quoter {
    /// The session has consumed `bytes`, in the middle of a message of which `left` bytes were to come.
    fn consumed(&mut self, mut bytes: &[u8], left: usize, sample: usize, found: &mut dyn FnMut(String)) {
        if self.left != left {
            (self.left, self.kind) = (left, 0);
            self.body.clear();
        }
        loop {
            let (here, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= here.len();
            if self.kind != 0 {
                let room = (sample * 4 + NAME_MAX).saturating_sub(self.body.len());
                self.body.extend_from_slice(&here[..here.len().min(room)]);
            }
            if self.left > 0 {
                return;
            }
            if self.kind != 0 {
                found(text(self.kind, &self.body, sample));
                self.kind = 0;
                self.body = Vec::new();
            }
            // A session consumes no part of a header.
            let Ok(Some(header)) = client_header(rest) else { return };
            self.kind = if matches!(header.kind, b'Q' | b'P') { header.kind } else { 0 };
            self.left = header.body;
            bytes = &rest[HEADER..];
        }
    }
}

/// The text in the body of a Query or a Parse, as far as it is logged.
fn text(kind: u8, body: &[u8], sample: usize) -> String {
    let mut parts = body.split(|byte| *byte == 0);
    let text = parts.nth(usize::from(kind == b'P')).unwrap_or_default();
    String::from_utf8_lossy(text).chars().take(sample).collect()
}

impl<D: Door, K: Desk> Core<D, K> {
    /// The query log is on, and a client's session has consumed these bytes; before, `left` bytes of a message were still to come.
    #[cold]
    pub(super) fn quote(&mut self, client: u32, bytes: Bytes, left: usize, sample: usize) {
        let (desk, tally) = (&self.desk, &self.shared.tallies[self.id]);
        let Some(peer) = self.peers[client as usize].client() else { return };
        let mut quoter = peer.quoter.take().unwrap_or_default();
        quoter.consumed(bytes.view(), left, sample, &mut |text| {
            if !desk.asked(Asked { database: peer.database.clone(), user: peer.user.clone(), text }) {
                tally.unlogged.add(1);
            }
        });
        peer.quoter = Some(quoter);
    }
}

#[cfg(test)]
#[path = "quote_tests.rs"]
mod tests;
