//! For whom a session speaks, as PostgreSQL reports it of its own accord: `session_authorization`, and `is_superuser`, which nobody sets and which
//! follows from that and from `role`. What a server reports between its clients is heard by nobody. So what it has reported last stands here beside
//! what the client at hand was told last, and the client is told the difference when its session is its own again.
//!
//! In the steady state both are what sessions begin with, and nothing is compared or kept.

use crate::wire::server::parameter_status;

/// The parameters.
const SPOKEN: [&str; 2] = ["session_authorization", "is_superuser"];

/// Their values; None: what a session of the pool begins with.
pub type Spoken = Option<Box<[String; 2]>>;

/// Of one server.
#[derive(Debug, Default)]
pub struct Speaker {
    begins: [String; 2],
    said: Spoken,
    told: Spoken,
}

/// Which of them it is.
fn place(name: &str) -> Option<usize> {
    SPOKEN.iter().position(|spoken| *spoken == name)
}

/// Whether it is one of them.
pub fn is_spoken(name: &str) -> bool {
    place(name).is_some()
}

impl Speaker {
    /// What the session begins with.
    pub fn begins(&mut self, reported: &[(String, String)]) {
        for (name, value) in reported {
            if let Some(at) = place(name) {
                self.begins[at].clone_from(value);
            }
        }
    }

    /// The server has reported one; `heard`: and the client at hand is told so.
    #[cold]
    pub fn says(&mut self, name: &str, value: &str, heard: bool) {
        let Some(at) = place(name) else { return };
        let Speaker { begins, said, told } = self;
        for spoken in [Some(said), Some(told).filter(|_| heard)].into_iter().flatten() {
            let values = spoken.get_or_insert_with(|| Box::new(begins.clone()));
            values[at] = value.to_string();
            if **values == *begins {
                *spoken = None;
            }
        }
    }

    /// A client comes that was told this.
    #[inline]
    pub fn meets(&mut self, told: Spoken) {
        self.told = told;
    }

    /// It goes: what it was told.
    #[inline]
    pub fn leaves(&mut self) -> Spoken {
        self.told.take()
    }

    /// The client at hand was told something else than what is.
    #[inline]
    pub fn is_news(&self) -> bool {
        (self.said.is_some() || self.told.is_some()) && self.said != self.told
    }

    /// Tells it.
    #[cold]
    pub fn tell(&mut self, words: &mut Vec<u8>) {
        let (said, told) = (self.said.as_deref().unwrap_or(&self.begins), self.told.as_deref().unwrap_or(&self.begins));
        for (at, name) in SPOKEN.iter().enumerate().filter(|&(at, _)| said[at] != told[at]) {
            // It came in one message.
            let _ = parameter_status(words, name.as_bytes(), said[at].as_bytes());
        }
        self.told = self.said.clone();
    }
}

#[cfg(test)]
#[path = "speaker_tests.rs"]
mod tests;
