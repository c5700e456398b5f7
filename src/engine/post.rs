//! A data core's letterbox: one ring of mail from each other core, one channel from control and helpers, and a flag that says that there is some.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc;

use crate::io::Door;
use crate::io::mailbox::{Flag, Receiver, Sender, channel};
use crate::mail::{Mail, Poster};

/// Letters between two cores that are in the ring; more wait at the sender. Bounded by the servers and clients that exist.
const RING: usize = 1024;

/// One core's end of all mailboxes.
pub struct Post {
    me: usize,
    to: Vec<Option<Sender<Mail>>>,
    from: Vec<Option<Receiver<Mail>>>,
    outside: mpsc::Receiver<Mail>,
    flags: Arc<Vec<Flag>>,
    waiting: VecDeque<(usize, Mail)>,
}

/// How control and helpers write to data cores: `post` says whether the core must be woken.
#[derive(Clone)]
pub struct Outside {
    to: Vec<mpsc::Sender<Mail>>,
    flags: Arc<Vec<Flag>>,
}

impl Poster for Outside {
    fn post(&self, core: usize, mail: Mail) -> bool {
        // A core that has ended takes no mail, and nobody waits for its answers.
        self.to[core].send(mail).is_ok() && self.flags[core].raise()
    }

    fn cores(&self) -> usize {
        self.to.len()
    }
}

/// All mailboxes of `cores` data cores.
#[allow(clippy::disallowed_methods, reason = "one letter at most for each job, report and admin client: bounded by what exists")]
pub fn mailboxes(cores: usize) -> (Vec<Post>, Outside) {
    let flags: Arc<Vec<Flag>> = Arc::new((0..cores).map(|_| Flag::default()).collect());
    let mut outside = Vec::new();
    let mut posts: Vec<Post> = (0..cores)
        .map(|me| {
            let (to, from) = mpsc::channel();
            outside.push(to);
            Post {
                me,
                to: (0..cores).map(|_| None).collect(),
                from: (0..cores).map(|_| None).collect(),
                outside: from,
                flags: flags.clone(),
                waiting: VecDeque::new(),
            }
        })
        .collect();
    for a in 0..cores {
        for b in (0..cores).filter(|&b| b != a) {
            let (sender, receiver) = channel(RING);
            posts[a].to[b] = Some(sender);
            posts[b].from[a] = Some(receiver);
        }
    }
    (posts, Outside { to: outside, flags })
}

impl Post {
    /// Sends, now or as soon as there is room.
    pub fn send(&mut self, core: usize, mail: Mail, door: &mut impl Door) {
        debug_assert!(core != self.me, "nobody writes to himself");
        if self.waiting.is_empty() {
            match self.try_send(core, mail, door) {
                Ok(()) => {}
                Err(mail) => self.waiting.push_back((core, mail)),
            }
        } else {
            self.waiting.push_back((core, mail));
        }
    }

    fn try_send(&mut self, core: usize, mail: Mail, door: &mut impl Door) -> Result<(), Mail> {
        let Some(sender) = &mut self.to[core] else { return Ok(()) };
        sender.post(mail)?;
        if self.flags[core].raise() {
            door.wake(core);
        }
        Ok(())
    }

    /// Sends what found no room before; true when there is still some left.
    pub fn send_waiting(&mut self, door: &mut impl Door) -> bool {
        while let Some((core, mail)) = self.waiting.pop_front() {
            if let Err(mail) = self.try_send(core, mail, door) {
                self.waiting.push_front((core, mail));
                return true;
            }
        }
        false
    }

    /// Whether there may be mail. The flag is lowered first and the boxes are looked at afterwards, so that nothing is missed.
    pub fn arrived(&mut self) -> bool {
        self.flags[self.me].clear()
    }

    /// The next letter, from any box.
    pub fn next_letter(&mut self) -> Option<Mail> {
        for receiver in self.from.iter_mut().flatten() {
            if let Some(mail) = receiver.take() {
                return Some(mail);
            }
        }
        self.outside.try_recv().ok()
    }
}
