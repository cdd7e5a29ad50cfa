//! The terminal, taken whole and given back as it was.

use std::io::{Read as _, Write as _, stdin, stdout};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// Another screen, no cursor, no wrapping of long lines.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";

/// Keys that wait to be looked at.
const KEYS_MAX: usize = 16;

/// A terminal that shows whole screens; dropping it gives it back.
pub(super) struct Terminal {
    before: Termios,
}

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Terminal {
    /// Takes it, if standard input is one that can be read key by key.
    pub(super) fn take() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        let terminal = Self { before };
        terminal.write(ENTER);
        Some(terminal)
    }

    /// Its size now; it may change between two looks.
    pub(super) fn size(&self) -> Size {
        let size = tcgetwinsize(stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        size.map_or(Size { columns: 80, rows: 24 }, |size| Size {
            columns: size.ws_col.into(),
            rows: size.ws_row.into(),
        })
    }

    /// Keys as they are pressed. Its thread ends with the process, since nothing can interrupt a read.
    pub(super) fn keys(&self) -> mpsc::Receiver<u8> {
        let (sender, keys) = mpsc::channel(KEYS_MAX);
        std::thread::spawn(move || {
            for key in stdin().lock().bytes().map_while(Result::ok) {
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        });
        keys
    }

    /// Shows these lines in place of what was there.
    pub(super) fn show(&self, lines: &[String]) {
        let mut text = String::from("\u{1b}[H");
        for (n, line) in lines.iter().enumerate() {
            let gap = if n == 0 { "" } else { "\r\n" };
            text.push_str(&format!("{gap}{line}\u{1b}[0m\u{1b}[K"));
        }
        text.push_str("\u{1b}[J");
        self.write(&text);
    }

    fn write(&self, text: &str) {
        let mut out = stdout().lock();
        // A terminal that is gone ends the process by its own signal.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.write(LEAVE);
        // Nothing can be done where it fails, and the shell that follows sets its own.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}
