//! The way from control to the data cores: post, and wake whoever sleeps.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::io::ring::Waker;
use crate::mail::{Mail, Poster};

/// Where control posts to data cores; all its tasks by one waker.
#[derive(Clone)]
pub struct Cores {
    outside: Arc<dyn Poster>,
    waker: Rc<RefCell<Waker>>,
}

impl Cores {
    pub fn new(outside: Arc<dyn Poster>, waker: Waker) -> Cores {
        Cores { outside, waker: Rc::new(RefCell::new(waker)) }
    }

    pub fn count(&self) -> usize {
        self.outside.cores()
    }

    pub fn post(&mut self, core: usize, mail: Mail) {
        if self.outside.post(core, mail) {
            self.waker.borrow_mut().wake(core);
        }
    }

    pub fn post_all(&mut self, mail: impl Fn() -> Mail) {
        for core in 0..self.count() {
            self.post(core, mail());
        }
    }
}
