//! A few threads for what would make a data core wait: PBKDF2 (4096 rounds and more of HMAC for each new password), and reading large texts of SQL,
//! which has a thread of its own, so that no login waits behind it, and no two trees fill the memory at once. Results go where the job says; the
//! asker then gets `Mail::Made`.

use std::io;
#[allow(clippy::disallowed_types, reason = "only helpers take it, to take turns")]
use std::sync::Mutex;
use std::sync::mpsc;
use std::sync::{Arc, PoisonError};
use std::thread;

use crate::auth::scram::{ClientKeys, Keys, Verifier, salted_password};
use crate::io::ring::{Doorbells, Waker};
use crate::mail::{Asker, Job, Mail, Poster};
use crate::route::large::Question;
use crate::session::greeting::SaltedKeys;
use crate::sql::scan::HELPER_STACK;

/// Threads; logins at start come in bursts, but two keep up with thousands of different users per second.
const THREADS: usize = 2;

/// How helpers answer.
#[derive(Clone)]
struct Answers {
    outside: Arc<dyn Poster>,
    bells: Arc<Doorbells>,
}

/// Starts the helpers; they live as long as the process.
#[allow(clippy::disallowed_types, reason = "only helpers take it, to take turns")]
#[allow(clippy::disallowed_methods, reason = "one job at most for each client or server: bounded by what exists")]
pub fn start(outside: &Arc<dyn Poster>, bells: &Arc<Doorbells>) -> io::Result<mpsc::Sender<(Asker, Job)>> {
    let (sender, receiver) = mpsc::channel::<(Asker, Job)>();
    let (texts, unread) = mpsc::channel::<(Asker, Arc<Question>)>();
    let receiver = Arc::new(Mutex::new(receiver));
    let answers = Answers { outside: outside.clone(), bells: bells.clone() };
    for number in 0..THREADS {
        let (receiver, texts) = (receiver.clone(), texts.clone());
        let work = move |(asker, job)| match job {
            Job::Read(question) => {
                // The reader lives as long as we do.
                let _ = texts.send((asker, question));
                None
            }
            job => {
                work(job);
                Some(asker)
            }
        };
        let next = move || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
        let named = thread::Builder::new().name(format!("helper-{number}"));
        let answers = answers.clone();
        named.spawn(move || answers.run(next, work))?;
    }
    let read = |(asker, question): (Asker, Arc<Question>)| {
        question.read();
        Some(asker)
    };
    let named = thread::Builder::new().name("helper-sql".to_owned()).stack_size(HELPER_STACK);
    named.spawn(move || answers.run(move || unread.recv().ok(), read))?;
    Ok(sender)
}

impl Answers {
    /// Does one job after the other; what `work` returns is who waits for it.
    fn run<J: Asked>(self, next: impl Fn() -> Option<J>, work: impl Fn(J) -> Option<Asker>) {
        let mut waker = match Waker::new(self.bells) {
            Ok(waker) => waker,
            Err(error) => return tracing::error!("a helper cannot start: {error}"),
        };
        while let Some(job) = next() {
            let asker = job.asker();
            // One job's bug must not take the thread with it: the asker is answered all the same, and finds nothing made.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(job))).unwrap_or_else(|_| {
                tracing::error!("a helper panicked over one job; what asked for it fails");
                Some(asker)
            });
            if let Some(asker) = done
                && self.outside.post(asker.core, Mail::Made { slot: asker.slot, generation: asker.generation })
            {
                waker.wake(asker.core);
            }
        }
    }
}

/// A job with who waits for it.
trait Asked {
    fn asker(&self) -> Asker;
}

impl<W> Asked for (Asker, W) {
    fn asker(&self) -> Asker {
        self.0
    }
}

fn work(job: Job) {
    match job {
        Job::Verifier { cell, secrets, salt } => {
            // Many clients of one user may have asked before the first was answered.
            if cell.load().is_none() {
                cell.store(Verifier::of_secrets(&secrets, &salt).map(Arc::new));
            }
        }
        Job::Check(check) => {
            let keys = Keys::from_salted(&salted_password(&check.password, &check.salt, check.iterations));
            // Nobody else makes them.
            let _ = check.keys.set(keys);
        }
        Job::ServerKeys { pool, password, salt, iterations } => {
            let made = pool.state.server_keys.load();
            if made.as_ref().is_some_and(|keys| keys.password == password && keys.salt == salt && keys.iterations == iterations) {
                return;
            }
            let text = pool.spec.server_passwords.get(password).map_or("", String::as_str);
            let keys = ClientKeys::from_salted(&salted_password(text, &salt, iterations));
            pool.state.server_keys.store(Some(Arc::new(SaltedKeys { password, salt, iterations, keys })));
        }
        Job::Read(question) => question.read(),
    }
}
