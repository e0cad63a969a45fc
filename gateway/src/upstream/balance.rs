//! Which of the allowed regions: the better of two random ones, by expected time. Pure.

/// What a choice needs to know of a region.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Measured time of one request, in seconds.
    pub(crate) latency_s: f64,
    /// Requests that this node has there now.
    pub(crate) in_flight: usize,
    /// Added by the operator, in seconds.
    pub(crate) penalty_s: f64,
}

impl Load {
    /// Expected time of the next request there, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "requests in flight are few")]
    fn cost(self) -> f64 {
        self.latency_s.max(1e-6).mul_add((self.in_flight + 1) as f64, self.penalty_s)
    }
}

/// Index of the chosen one; `None` where there is none. `random` gives a number below its argument.
pub(crate) fn choose(loads: &[Load], mut random: impl FnMut(usize) -> usize) -> Option<usize> {
    let first = match loads.len() {
        0 => return None,
        1 => return Some(0),
        many => random(many),
    };
    let step = 1 + random(loads.len() - 1);
    let second = (first + step) % loads.len();
    let (a, b) = (loads.get(first)?, loads.get(second)?);
    Some(if b.cost() < a.cost() { second } else { first })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn load(latency_s: f64, in_flight: usize, penalty_s: f64) -> Load {
        Load { latency_s, in_flight, penalty_s }
    }

    #[test]
    fn the_faster_of_two_wins_until_it_is_full() {
        let fast = load(0.010, 0, 0.0);
        let slow = load(0.050, 0, 0.0);
        assert_eq!(choose(&[slow, fast], |_| 0), Some(1));
        assert_eq!(choose(&[slow, load(0.010, 9, 0.0)], |_| 0), Some(0));
        assert_eq!(choose(&[slow, load(0.010, 0, 1.0)], |_| 0), Some(0));
        assert_eq!(choose(&[], |_| 0), None);
    }

    proptest! {
        #[test]
        fn always_an_index_of_the_slice(costs in prop::collection::vec(0.0f64..10.0, 1..8), a in 0usize..100, b in 0usize..100) {
            let loads: Vec<_> = costs.iter().map(|cost| load(*cost, 0, 0.0)).collect();
            let mut numbers = [a, b].into_iter();
            let chosen = choose(&loads, |below| numbers.next().unwrap() % below).unwrap();
            prop_assert!(chosen < loads.len());
        }
    }
}
