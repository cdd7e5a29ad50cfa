//! Pins of tool definitions on their way to the store.

use std::collections::VecDeque;
use std::sync::Arc;

use lockgate_detect::Pin;
use lockgate_store::{Store, StoreError};
use parking_lot::Mutex;

use crate::node::PINS;

/// The pins of one server that are in force but not in the store yet.
///
/// Detection trusts a new definition from the moment it sees it. A pin that is lost after that could be replaced by
/// whatever the server says after a restart, so a list is answered only when its pins are kept; those that the store
/// refused, or whose caller left, are tried again with the next list.
#[derive(Default)]
pub(crate) struct Unkept {
    waiting: Mutex<VecDeque<Pin>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Unkept {
    /// Keeps `pins` and those still waiting. Resolves when the store has them all.
    ///
    /// # Errors
    /// What the store says; what it has not taken goes on waiting.
    pub(crate) async fn keep(self: &Arc<Self>, store: &Store, pins: Vec<Pin>) -> Result<(), StoreError> {
        let is_empty = {
            let mut waiting = self.waiting.lock();
            waiting.extend(pins);
            waiting.is_empty()
        };
        if is_empty {
            return Ok(());
        }
        let turn = self.turn.clone().lock_owned().await;
        let (store, unkept) = (store.clone(), self.clone());
        // The store waits for the disk.
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            unkept.write(&store)
        });
        written.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    fn write(&self, store: &Store) -> Result<(), StoreError> {
        while let Some(pin) = self.first() {
            store.put_json(PINS, &pin.key(), &pin)?;
            self.waiting.lock().pop_front();
        }
        Ok(())
    }

    fn first(&self) -> Option<Pin> {
        self.waiting.lock().front().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(tool: &str, definition: String) -> Pin {
        let text = |text: &str| text.to_owned();
        let (server, tool, sha256) = (text("crm"), text(tool), text(""));
        Pin { server, tool, sha256, definition, first_seen_ms: 1, approved: false, accepted: Vec::new() }
    }

    #[tokio::test]
    async fn a_pin_that_the_store_refuses_is_refused_again_and_not_forgotten() {
        let store = Store::in_memory().unwrap();
        let unkept = Arc::new(Unkept::default());
        let kept = || store.list_json::<Pin>(PINS, "").unwrap().len();
        unkept.keep(&store, vec![pin("small", "{}".into())]).await.unwrap();
        assert_eq!(kept(), 1);

        let large = pin("large", "x".repeat(lockgate_store::VALUE_BYTES_MAX));
        unkept.keep(&store, vec![large]).await.unwrap_err();
        // Detection knows the definition by now and reports no new pin: the list must be refused all the same.
        unkept.keep(&store, Vec::new()).await.unwrap_err();
        assert_eq!(kept(), 1);
    }
}
