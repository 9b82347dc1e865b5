//! When to stop: held-out losses come in one by one; a verdict goes out for each, and training ends when the loss has not
//! fallen for a while.

/// What a held-out loss means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The lowest so far: keep these parameters.
    Best,
    /// Not the lowest, but not yet hopeless.
    Worse,
    /// `patience` losses in a row were not the lowest: stop and return to the best.
    Stop,
}

/// Watches held-out losses; lower is better.
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    patience: usize,
    least_fall: f64,
    best: f64,
    since: usize,
}

impl EarlyStopping {
    /// Stops after `patience` losses in a row that did not fall below the best by more than `least_fall`.
    pub fn new(patience: usize, least_fall: f64) -> EarlyStopping {
        EarlyStopping { patience, least_fall, best: f64::INFINITY, since: 0 }
    }

    /// What a checkpoint needs: the best loss, and how many have come since.
    pub fn state(&self) -> (f64, usize) {
        (self.best, self.since)
    }

    /// The watch of a checkpoint.
    pub fn restore(patience: usize, least_fall: f64, best: f64, since: usize) -> EarlyStopping {
        EarlyStopping { patience, least_fall, best, since }
    }

    /// Judges the next loss; a loss that is no number is never the best.
    pub fn judge(&mut self, loss: f64) -> Verdict {
        if loss < self.best - self.least_fall || (self.best.is_infinite() && loss.is_finite()) {
            (self.best, self.since) = (loss, 0);
            return Verdict::Best;
        }
        self.since += 1;
        if self.since >= self.patience { Verdict::Stop } else { Verdict::Worse }
    }

    /// The lowest loss so far; infinite before the first.
    pub fn best(&self) -> f64 {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_when_the_loss_has_not_fallen_for_the_given_patience() {
        let mut watch = EarlyStopping::new(2, 0.01);
        let verdicts: Vec<Verdict> = [3.0, 2.0, 1.995, 1.5, f64::NAN, 1.6].map(|l| watch.judge(l)).to_vec();
        use Verdict::{Best, Stop, Worse};
        assert_eq!(verdicts, [Best, Best, Worse, Best, Worse, Stop]);
        assert_eq!(watch.best(), 1.5);
    }
}
