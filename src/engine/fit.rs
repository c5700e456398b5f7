//! A server that was just granted is made to fit its client: the client's parameters, news about the server's own, and whether it lives at all.

use std::sync::atomic::Ordering;

use crate::io::Door;
use crate::mail::Desk;
use crate::wire::server::parameter_status;

use super::core::{Core, spare};
use super::guard::guard;
use super::peers::{ClientPeer, Peer, ServerStage};
use super::timers::{Timer, ns};

impl<D: Door, K: Desk> Core<D, K> {
    /// Makes a server's session fit the client at hand; true when the client's messages can go to it now. A server that was not heard of for a long
    /// time is asked whether it lives first: a network may have forgotten the connection without a word, and a request must not be lost to find out.
    pub(super) fn fit(&mut self, client: u32, server: u32) -> bool {
        let (now, stale_ns, keep, caching) = (self.now, self.stale_ns, self.keep, self.caching);
        let elsewhere = self.pubsub.channels_of(client);
        let (Peer::Client(peer), Some(Peer::Server(link))) = self.pair(client, server) else { return false };
        link.link.server.elsewhere = elsewhere;
        let schema = link.link.pool.state.schema.load(Ordering::Relaxed);
        peer.client.caches(caching);
        link.link.server.meets(peer.client.mode(), keep, schema, now);
        if let Some(news) = news_for(peer) {
            self.links.say(client, &news);
            return self.fit(client, server);
        }
        let fits = link.link.server.fits(&peer.profile, peer.number);
        let stale = now.saturating_sub(link.link.heard_at) > stale_ns;
        if fits && !stale {
            link.stage = ServerStage::Busy;
            if link.link.server.speaker.is_news() {
                let mut words = Vec::new();
                link.link.server.speaker.tell(&mut words);
                self.links.say(client, &words);
            }
            return true;
        }
        let (profile, number) = (peer.profile.clone(), peer.number);
        link.stage = ServerStage::Fitting;
        let mut sure = false;
        let mut verdicts = spare(&mut self.verdicts);
        if let Some(link) = self.peers[server as usize].server() {
            if !fits {
                match guard(|| link.link.server.bring_to(&profile, number, &mut verdicts)) {
                    Ok(is_sure) => sure = is_sure && !stale,
                    Err(why) => {
                        self.verdicts = Some(verdicts);
                        self.server_panicked(server, &why);
                        return false;
                    }
                }
            }
            if stale {
                if verdicts.words.is_empty() {
                    link.link.server.ask_if_alive(&mut verdicts);
                }
                link.link.checks += 1;
            }
        }
        self.links.say(server, &verdicts.words);
        // What cannot fail goes out in the same write as the client's first message.
        let nothing = verdicts.words.is_empty() || sure;
        self.verdicts = Some(verdicts);
        if nothing && let Some(link) = self.peers[server as usize].server() {
            link.stage = ServerStage::Busy;
        }
        if stale {
            let generation = self.links.generation(server);
            let timeout = ns(self.published.snapshot.general.healthcheck_timeout);
            self.wheel.arm(now.saturating_add(timeout), Timer::Probe { slot: server, generation });
        }
        nothing
    }

    /// A server that was asked whether it lives has not answered in time: its client gets another.
    pub(super) fn probe_due(&mut self, slot: u32) {
        let timeout = ns(self.published.snapshot.general.healthcheck_timeout);
        let now = self.now;
        let Some(peer) = self.peers[slot as usize].server() else { return };
        if matches!(peer.stage, ServerStage::Fitting) && now.saturating_sub(peer.granted_at) >= timeout {
            let spec = &peer.link.pool.spec;
            let server = format!("{}:{}", spec.host, spec.port);
            tracing::warn!(database = %spec.database, user = %spec.user, server, "a connection that was idle for long gives no answer; it is closed");
            self.server_lost(slot, false, "08006", "the server does not answer");
        }
    }

    /// What was sent in front of the client's messages failed, against all expectation: they are not for this session.
    #[cold]
    pub(super) fn unfit(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let (code, message) = peer.link.server.ours_error.take().unwrap_or_default();
        let client = peer.client;
        let hint = "A parameter of the session was refused that was taken before. The statement may or may not have been carried out.";
        self.end_both(client, slot, &code, &message, Some(hint));
    }
}

/// What a client has been told otherwise when it was greeted, as ParameterStatus messages: the server's configuration was reloaded since.
#[inline]
fn news_for(peer: &mut ClientPeer) -> Option<Vec<u8>> {
    let number = peer.pool.as_ref()?.state.reports.load(Ordering::Acquire);
    if peer.told_number == number { None } else { other_news(peer, number) }
}

/// The servers of another pool than the last are met, as at every other transaction of a database with shards, or the reports have changed. Pools
/// that report the same come to share one list, so that this is seen at a glance.
fn other_news(peer: &mut ClientPeer, number: u64) -> Option<Vec<u8>> {
    let told = peer.told.as_ref()?;
    if !peer.pool.as_ref()?.state.reports_as(told) {
        return tell_news(peer, number);
    }
    peer.told_number = number;
    None
}

#[cold]
fn tell_news(peer: &mut ClientPeer, number: u64) -> Option<Vec<u8>> {
    let told = peer.told.clone()?;
    let now = peer.pool.as_ref()?.state.parameters.load_full()?;
    let mut words = Vec::new();
    for (name, value) in now.iter().filter(|&known| peer.profile.get(&known.0).is_none() && !told.contains(known)) {
        // It came in one message from the server, so that it fits one now.
        let _ = parameter_status(&mut words, name.as_bytes(), value.as_bytes());
    }
    (peer.told, peer.told_number) = (Some(now), number);
    Some(words)
}
