//! Waits for a change in a directory: told by the kernel on Linux, by looking again elsewhere.

use std::io;
use std::path::Path;

#[cfg(target_os = "linux")]
pub(crate) struct Watch(rustix::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Watch {
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

        let inotify = init(CreateFlags::CLOEXEC)?;
        add_watch(&inotify, dir, WatchFlags::CREATE | WatchFlags::MODIFY)?;
        Ok(Self(inotify))
    }

    /// Returns at once when something changed since the last call.
    pub(crate) fn wait(&self) -> io::Result<()> {
        // What changed does not matter, only that something did.
        let mut events = [0; 4096];
        loop {
            match rustix::io::read(&self.0, &mut events) {
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(_) => return Ok(()),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) struct Watch;

#[cfg(not(target_os = "linux"))]
impl Watch {
    pub(crate) fn new(_: &Path) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn wait(&self) -> io::Result<()> {
        std::thread::sleep(std::time::Duration::from_millis(200));
        Ok(())
    }
}
