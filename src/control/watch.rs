//! Watches the two configuration files, when `[general] config_watch` asks for it. Somebody who writes a file needs a moment, and an editor may write
//! it twice: a change counts when the files look the same at two looks in a row.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::mail::Shared;

use super::inbox::{Heard, Inbox};
use super::publish::Files;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What tells one state of a file from another; None: it is not there.
type Look = Option<(u64, u64, i64, i64, u64)>;

fn look(path: &Path) -> Look {
    // Through a link, as Kubernetes mounts its files: what it points to is another file after a change.
    std::fs::metadata(path).ok().map(|data| (data.dev(), data.ino(), data.mtime(), data.mtime_nsec(), data.size()))
}

/// Looks for ever, at the files only while the setting is on.
pub async fn watch(files: Files, inbox: Arc<Inbox>, shared: Arc<Shared>) {
    let mut told = None;
    let mut before = None;
    loop {
        glommio::timer::sleep(LOOK).await;
        if !shared.published.load().snapshot.general.config_watch {
            (told, before) = (None, None);
            continue;
        }
        let (config, users) = (files.config.clone(), files.users.clone());
        // A file system that is stuck holds one thread of this core, not the core.
        let now = glommio::executor().spawn_blocking(move || (look(&config), look(&users))).await;
        let settled = before.replace(now) == Some(now);
        match told {
            // What is there when the watch begins has been read.
            None => told = Some(now),
            Some(last) if settled && last != now => {
                told = Some(now);
                inbox.post(Heard::Changed);
            }
            Some(_) => {}
        }
    }
}
