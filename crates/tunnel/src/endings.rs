//! Dates on which algorithms end, as the gateway tells them: each is said once.

use std::collections::HashSet;

use lockgate_crypto::{Ending, Phase};

/// Dates remembered as said; a catalog has some tens of algorithms.
const TOLD_MAX: usize = 256;

/// What has been said.
#[derive(Debug, Default)]
pub(crate) struct Told(HashSet<String>);

impl Told {
    /// Says what is new: loudly where the time to act has come.
    pub(crate) fn say(&mut self, endings: &[Ending]) {
        for ending in endings {
            if !self.is_new(ending) {
                continue;
            }
            let last_day = ending.not_after.as_deref().unwrap_or("a day not known yet");
            if ending.phase == Phase::Warned {
                tracing::warn!(
                    algorithm = ending.algorithm,
                    last_day,
                    "the gateway will give up an algorithm; links that use it move by themselves"
                );
            } else {
                tracing::info!(
                    algorithm = ending.algorithm,
                    last_day,
                    "the gateway has dated an algorithm's end"
                );
            }
        }
    }

    fn is_new(&mut self, ending: &Ending) -> bool {
        if self.0.len() >= TOLD_MAX {
            self.0.clear();
        }
        self.0.insert(format!("{} {:?} {:?}", ending.algorithm, ending.phase, ending.not_after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_told_once_checklist_07() {
        let ending = |phase| Ending {
            algorithm: "X".to_owned(),
            phase,
            warn_after: None,
            not_after: Some("2027-01-01".to_owned()),
        };
        let mut told = Told::default();
        assert!(told.is_new(&ending(Phase::Current)));
        assert!(!told.is_new(&ending(Phase::Current)));
        assert!(told.is_new(&ending(Phase::Warned)));
    }
}
