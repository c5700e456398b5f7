//! Clients of the admin console: their commands go to the control core, the answers come back as bytes. Simple queries only.

use crate::admin::console::CommandError;
use crate::io::Door;
use crate::io::links::Bytes;
use crate::mail::{Asker, Desk, Word};
use crate::wire::frame::{self, HEADER};
use crate::wire::server;

use super::core::Core;
use super::logins::pid;
use super::peers::Stage;

/// Longest command that is read at all (the console has its own, smaller bound).
const COMMAND_MAX: usize = 64 * 1024;

impl<D: Door, K: Desk> Core<D, K> {
    pub(super) fn greet_admin(&mut self, slot: u32) {
        let core = self.id;
        let Some(peer) = self.peers[slot as usize].client() else { return };
        let mut words = Vec::new();
        let reported = [
            ("server_version", concat!("15.0 (pg_dog ", env!("CARGO_PKG_VERSION"), ")")),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("integer_datetimes", "on"),
            ("standard_conforming_strings", "on"),
        ];
        for (name, value) in reported {
            // Fixed and short.
            let _ = server::parameter_status(&mut words, name.as_bytes(), value.as_bytes());
        }
        let _ = server::backend_key_data(&mut words, pid(core, slot), peer.secret());
        server::ready(&mut words, b'I');
        self.links.say(slot, &words);
    }

    pub(super) fn feed_admin(&mut self, slot: u32, bytes: Bytes) -> usize {
        let bytes = bytes.view();
        let mut at = 0;
        loop {
            let Some(Stage::Admin { busy: false, skipping }) = self.peers[slot as usize].client().map(|peer| &mut peer.stage) else { return at };
            let header = match frame::client_header(&bytes[at..]) {
                Ok(Some(header)) if header.body > COMMAND_MAX => {
                    self.client_fatal(slot, "54000", "the command is too long", None);
                    return at;
                }
                Ok(Some(header)) if bytes.len() - at >= header.total() => header,
                Ok(_) => return at,
                Err(error) => {
                    self.client_fatal(slot, error.code().unwrap_or("08P01"), &error.to_string(), None);
                    return at;
                }
            };
            let body = &bytes[at + HEADER..at + header.total()];
            at += header.total();
            let mut words = Vec::new();
            match header.kind {
                b'X' => {
                    self.client_gone(slot);
                    return at;
                }
                b'S' => {
                    *skipping = false;
                    server::ready(&mut words, b'I');
                }
                _ if *skipping => {}
                b'Q' => self.command(slot, body),
                b'H' | b'd' | b'c' | b'f' => {}
                _ => {
                    *skipping = true;
                    let refusal = CommandError::SimpleOnly;
                    let text = refusal.to_string();
                    server::error(
                        &mut words,
                        &server::ErrorFields { severity: "ERROR", code: refusal.sqlstate(), message: &text, detail: None, hint: refusal.hint() },
                    );
                }
            }
            self.links.say(slot, &words);
        }
    }

    fn command(&mut self, slot: u32, body: &[u8]) {
        let asker = Asker { core: self.id, slot, generation: self.links.generation(slot) };
        if let Some(Stage::Admin { busy, .. }) = self.peers[slot as usize].client().map(|peer| &mut peer.stage) {
            *busy = true;
        }
        let text = body.strip_suffix(b"\0").unwrap_or(body);
        self.desk.word(Word::Command { asker, text: String::from_utf8_lossy(text).into_owned() });
    }

    /// The control core's answer.
    pub(super) fn answer_admin(&mut self, slot: u32, generation: u32, bytes: &[u8]) {
        if !self.links.is_open(slot, generation) {
            return;
        }
        self.links.say(slot, bytes);
        if let Some(Stage::Admin { busy, .. }) = self.peers[slot as usize].client().map(|peer| &mut peer.stage) {
            *busy = false;
        }
        self.feed_later(slot);
    }
}
