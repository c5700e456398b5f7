//! The control core's letterbox. Everybody may post; the one task that reads it is woken. Locks are held for a push or a pop; data cores post here
//! only for admin commands and failures, never on the hot path.

use std::collections::VecDeque;
use std::future::poll_fn;
#[allow(clippy::disallowed_types, reason = "held for a push or a pop, by threads that may wait")]
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::{Poll, Waker};

use crate::admin::console::Scope;
use crate::mail::Word;

use super::reload::Outcome;

/// What the control core hears.
pub enum Heard {
    Word(Word),
    /// a signal that asks for an end (SIGINT, SIGTERM)
    End,
    /// shutdown_delay is over
    Drain,
    /// SIGHUP
    Reload,
    /// the configuration files have changed
    Changed,
    /// a reload has been made
    Loaded(Box<Outcome>),
    /// a command that waits may look again
    Again(u64),
    /// RECONNECT: connections that listen for these pools are made anew
    Relisten(Scope),
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Heard>,
    waker: Option<Waker>,
}

/// See the head of this file.
#[derive(Default)]
#[allow(clippy::disallowed_types, reason = "held for a push or a pop, by threads that may wait")]
pub struct Inbox(Mutex<Inner>);

impl Inbox {
    /// Adds a letter and wakes the reader.
    pub fn post(&self, heard: Heard) {
        let waker = {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            inner.queue.push_back(heard);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next letter.
    pub async fn next(&self) -> Heard {
        poll_fn(|context| {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match inner.queue.pop_front() {
                Some(heard) => Poll::Ready(heard),
                None => {
                    inner.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
