//! A few threads for what would make a data core wait: PBKDF2 (4096 rounds and more of HMAC for each new password). Results go where the job says;
//! the asker then gets `Mail::Made`.

use std::io;
#[allow(clippy::disallowed_types, reason = "only helpers take it, to take turns")]
use std::sync::Mutex;
use std::sync::mpsc;
use std::sync::{Arc, PoisonError};

use crate::auth::scram::{ClientKeys, Keys, Verifier, salted_password};
use crate::io::ring::{Doorbells, Waker};
use crate::mail::{Asker, Job, Mail, Poster};
use crate::session::greeting::SaltedKeys;

/// Threads; logins at start come in bursts, but two keep up with thousands of different users per second.
const THREADS: usize = 2;

/// Starts the helpers; they live as long as the process.
#[allow(clippy::disallowed_types, reason = "only helpers take it, to take turns")]
#[allow(clippy::disallowed_methods, reason = "one job at most for each client or server that logs in: bounded by what exists")]
pub fn start(outside: &Arc<dyn Poster>, bells: &Arc<Doorbells>) -> io::Result<mpsc::Sender<(Asker, Job)>> {
    let (sender, receiver) = mpsc::channel::<(Asker, Job)>();
    let receiver = Arc::new(Mutex::new(receiver));
    for number in 0..THREADS {
        let (receiver, outside, bells) = (receiver.clone(), outside.clone(), bells.clone());
        std::thread::Builder::new().name(format!("helper-{number}")).spawn(move || {
            let mut waker = match Waker::new(bells) {
                Ok(waker) => waker,
                Err(error) => return tracing::error!("a helper cannot start: {error}"),
            };
            loop {
                let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((asker, job)) = job else { return };
                // One job's bug must not take the thread with it: the asker is answered all the same, and finds nothing made.
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(job))).is_err() {
                    tracing::error!("a helper panicked over one job; the login that asked for it fails");
                }
                if outside.post(asker.core, Mail::Made { slot: asker.slot, generation: asker.generation }) {
                    waker.wake(asker.core);
                }
            }
        })?;
    }
    Ok(sender)
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
    }
}
