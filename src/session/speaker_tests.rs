//! Who was told what, when servers and clients change.

use super::*;

fn speaker() -> Speaker {
    let mut speaker = Speaker::default();
    let begins = [("session_authorization", "boss"), ("is_superuser", "on"), ("TimeZone", "UTC")];
    speaker.begins(&begins.map(|(name, value)| (name.to_string(), value.to_string())));
    speaker
}

/// What the client is told now.
fn told(speaker: &mut Speaker) -> String {
    let mut words = Vec::new();
    if speaker.is_news() {
        speaker.tell(&mut words);
    }
    assert!(!speaker.is_news());
    let text: String = words.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { ' ' }).collect();
    text.split_whitespace().filter(|word| word.len() > 1).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_client_is_told_what_has_changed_without_it() {
    let mut speaker = speaker();
    assert_eq!(told(&mut speaker), "");
    // Its own doing it has heard.
    speaker.says("is_superuser", "off", true);
    assert_eq!(told(&mut speaker), "");
    // It goes, the server is given back to its own, and another comes that knows of nothing.
    let first = speaker.leaves();
    speaker.says("is_superuser", "on", false);
    speaker.meets(None);
    assert_eq!(told(&mut speaker), "");
    assert_eq!(speaker.leaves(), None);
    // The first comes back, and it has not got back what it had.
    speaker.meets(first);
    assert_eq!(told(&mut speaker), "is_superuser on");
    assert_eq!(speaker.leaves(), None);
    // What another has left is news to whoever comes to it.
    speaker.says("session_authorization", "app", false);
    speaker.says("is_superuser", "off", false);
    speaker.meets(None);
    assert_eq!(told(&mut speaker), "session_authorization app is_superuser off");
    speaker.says("TimeZone", "CET", true);
    assert!(is_spoken("is_superuser") && !is_spoken("TimeZone"));
    assert_eq!(told(&mut speaker), "");
}
