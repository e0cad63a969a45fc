//! How many instances should wait for one hook: a pure function of how many were asked for.

use std::time::Duration;

/// After this time without demand, half as many wait.
const HALF_LIFE: Duration = Duration::from_millis(250);
/// Below this, none.
const NONE: f64 = 0.05;

/// Follows demand up at once and down slowly, since a stock that is empty costs more than one that waits.
#[derive(Default)]
pub(super) struct Level(f64);

impl Level {
    /// `asked` instances were asked for in the time that passed since this was last called. Returns how many should wait.
    pub(super) fn follow(&mut self, asked: u32, passed: Duration) -> u32 {
        let decayed = self.0 * (-passed.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        // A quarter and one on top, since what comes before a stock is filled again varies.
        let wanted = if asked == 0 { 0.0 } else { f64::from(asked) * 1.25 + 1.0 };
        self.0 = decayed.max(wanted);
        if self.0 < NONE {
            self.0 = 0.0;
        }
        self.target()
    }

    fn target(&self) -> u32 {
        // A level is finite and not negative, and its bound is far below `u32::MAX` times two.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let target = self.0.ceil() as u32;
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_follows_demand_up_at_once_and_down_slowly() {
        let mut level = Level::default();
        assert_eq!(level.target(), 0);
        level.follow(8, MS);
        assert_eq!(level.target(), 11);
        level.follow(0, HALF_LIFE);
        assert_eq!(level.target(), 6);
        level.follow(1, MS);
        assert_eq!(level.target(), 6);
    }

    #[test]
    fn without_demand_nothing_is_left_after_some_seconds() {
        let mut level = Level::default();
        level.follow(u32::MAX, MS);
        assert!(level.target() > 1_000_000);
        for _ in 0..10_000 {
            level.follow(0, MS);
        }
        assert_eq!(level.target(), 0);
    }

    #[test]
    fn one_call_now_and_then_keeps_one_or_two() {
        let mut level = Level::default();
        for _ in 0..20 {
            level.follow(1, Duration::from_millis(100));
            assert!((1..=3).contains(&level.target()));
        }
    }
}
