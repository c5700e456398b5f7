//! RESET goes back to what the client asked for when it came, and the server's session does not know that: behind a text that resets parameters,
//! those are set again.

use crate::sql::may::May;
use crate::wire::client::query as query_message;
use crate::wire::set::settings;

use super::Verdicts;
use super::client::Client;
use super::exchange::{Exchange, OUR_QUERY, OUR_RESTORE, Status};
use super::statements::{Resets, Traits};
use super::suspicion::Pins;

impl Client {
    #[cold]
    pub(super) fn give_back(&mut self, link: &mut Exchange, out: &mut Verdicts) {
        let names = std::mem::take(&mut self.restoring);
        let text = settings(names.iter().filter_map(|name| Some((name.as_str(), Some(self.startup.get(name)?)))));
        // It came in one startup packet.
        out.to_server(|words| _ = query_message(words, text.as_bytes()));
        link.sent(OUR_RESTORE);
    }

    /// A text resets parameters: those that the client has asked for when it came are due.
    #[inline]
    pub(super) fn restores(&mut self, traits: &Traits) {
        if traits.resets == Resets::Nothing && traits.back.is_empty() || self.startup.is_empty() {
            return;
        }
        let taken = |name: &str| match traits.resets {
            Resets::Everything => true,
            Resets::All => !matches!(name, "role" | "session_authorization"),
            Resets::Named => traits.sets.iter().any(|set| set.eq_ignore_ascii_case(name.as_bytes())),
            Resets::Nothing => traits.back.iter().any(|set| set.eq_ignore_ascii_case(name.as_bytes())),
        };
        for name in self.startup.names().filter(|name| taken(name)) {
            if !self.restoring.iter().any(|known| known == name) {
                self.restoring.push(name.to_string());
            }
        }
    }
}

/// A text asks for what a sequence has given before. In the transaction that used it this server knows; outside of it another client's value may be
/// there, which goes, so that PostgreSQL says that there is none. From then on the client keeps this server, and its values.
#[inline]
pub(super) fn asks_sequences(traits: &Traits, link: &mut Exchange, out: &mut Verdicts) {
    if !traits.may.contains(May::SEQUENCES) {
        return;
    }
    let outside = link.is_quiet_but_for_ours() && link.status() == Status::Idle && !link.has_begun();
    if outside && !link.pins.contains(Pins::SEQUENCES) {
        // Fixed and short.
        out.to_server(|words| _ = query_message(words, b"DISCARD SEQUENCES"));
        link.sent(OUR_QUERY);
        link.pins = link.pins.with(Pins::SEQUENCES);
    }
}
