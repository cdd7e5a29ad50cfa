//! Random moments and growing pauses, so that many tunnels do not act in the same instant.

use std::time::Duration;

use lockgate_crypto::random;

/// A moment at random between now and `max`.
pub(crate) fn random_within(max: Duration) -> Duration {
    let mut bytes = [0; 4];
    random::fill(&mut bytes);
    max.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

/// Pauses between attempts: each up to twice as long as the one before, half of it at random.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    max: Duration,
}

impl Pauses {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { next: first, max }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let half = self.next / 2;
        self.next = (self.next * 2).min(self.max);
        half + random_within(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_are_never_the_whole_of_it_for_certain() {
        let ms = Duration::from_millis;
        let mut pauses = Pauses::new(ms(100), ms(1_000));
        for whole in [100, 200, 400, 800, 1_000, 1_000] {
            let pause = pauses.next();
            assert!(pause >= ms(whole / 2) && pause <= ms(whole), "{pause:?} of {whole} ms");
        }
        assert_eq!(random_within(Duration::ZERO), Duration::ZERO);
        assert!(random_within(ms(10)) <= ms(10));
    }
}
