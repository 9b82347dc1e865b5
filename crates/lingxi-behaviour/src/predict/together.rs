//! Which candidates foretell best together? A few picks, each the one that lowers the log-loss on validation most; a candidate can
//! be picked again and so weighs more (Caruana et al. 2004, Ensemble selection from libraries of models).

use lingxi_train::logistic::log_loss;

/// Picks at most: few, so that validation is not learned by heart.
const PICKS: usize = 6;

/// Numbers of the picked among `logits` (candidates by rows), which all came out as `came`; ascending, at least one unless there is none.
pub(super) fn pick(logits: &[Vec<f64>], came: &[bool]) -> Vec<usize> {
    let mut sum = vec![0.0; came.len()];
    let (mut picks, mut least) = (Vec::new(), f64::INFINITY);
    while picks.len() < PICKS {
        let share = 1.0 / (picks.len() + 1) as f64;
        let loss = |of: &Vec<f64>| -> f64 {
            let rows = sum.iter().zip(of).zip(came);
            rows.map(|((sum, z), came)| log_loss((sum + z) * share, f64::from(u8::from(*came)))).sum()
        };
        let best = logits.iter().map(loss).enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((at, loss)) = best.filter(|(_, loss)| *loss < least) else { break };
        sum.iter_mut().zip(&logits[at]).for_each(|(sum, z)| *sum += z);
        least = loss;
        picks.push(at);
    }
    picks.sort_unstable();
    picks
}

/// The mean of the rows of `logits`.
pub(super) fn mean_of(logits: &[Vec<f64>]) -> Vec<f64> {
    let rows = logits.first().map_or(0, Vec::len);
    (0..rows).map(|row| logits.iter().map(|of| of[row]).sum::<f64>() / logits.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_the_truth_are_picked_together_and_what_misleads_is_not() {
        let came: Vec<bool> = (0..64).map(|i| i % 4 > 1).collect();
        // Each half knows every other row; the liar says the contrary of all.
        let know = |which: usize| -> Vec<f64> {
            (0..64).map(|i| if i % 2 == which { [-2.0, 2.0][usize::from(came[i])] } else { 0.0 }).collect()
        };
        let halves = [know(0), know(1)];
        let liar: Vec<f64> = came.iter().map(|came| [1.0, -1.0][usize::from(*came)]).collect();
        let all = [liar, halves[0].clone(), halves[1].clone()];
        assert_eq!(pick(&all, &came), [1, 2]);
        assert_eq!(pick(&all[..2], &came), [1]);
        assert!(pick(&[], &came).is_empty());
        assert_eq!(mean_of(&all[1..])[..2], [-1.0, -1.0]);
    }
}
