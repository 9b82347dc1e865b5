//! What is still to come from a place on?
//!
//! A shop's log seldom says more of a place than where it is and whether the best eligible item stood there. Slates
//! with that come in, an [`Outlook`] for cascade DR goes out: the mean reward still to come under the evaluation policy
//! for each place and case, learnt backwards from the last place (Kiyohara et al., arXiv 2202.01562) and
//! cross-fitted: even slates are predicted from odd ones and odd from even.

use super::slate::{Outlook, Slates};

/// What else is known of each place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cases {
    /// Whether the best eligible item stood there.
    pub best: Vec<bool>,
    /// The evaluation policy's chance of the best eligible item there.
    pub chance_of_best: Vec<f64>,
}

/// Learns from the slates and predicts each of their places.
pub fn outlook(slates: &Slates, cases: &Cases) -> Outlook {
    let longest = slates.starts.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0);
    let mut out = Outlook { predicted: vec![0.0; slates.reward.len()], expected: vec![0.0; slates.reward.len()] };
    for half in 0..2 {
        let means = learn(slates, cases, longest, |slate| slate % 2 != half);
        for (_, ends) in slates.starts.windows(2).enumerate().filter(|(slate, _)| slate % 2 == half) {
            for place in ends[0]..ends[1] {
                let of = means[place - ends[0]];
                out.predicted[place] = of[usize::from(cases.best[place])];
                out.expected[place] = expected(of, cases.chance_of_best[place]);
            }
        }
    }
    out
}

fn expected(of: [f64; 2], chance_of_best: f64) -> f64 {
    chance_of_best * of[1] + (1.0 - chance_of_best) * of[0]
}

/// For each place the mean reward to come where the best item stood (1) and where it did not (0). What no slate shows
/// is 0.
fn learn(slates: &Slates, cases: &Cases, longest: usize, learns: impl Fn(usize) -> bool) -> Vec<[f64; 2]> {
    let mut means = vec![[0.0; 2]; longest + 1];
    for k in (0..longest).rev() {
        let (mut sums, mut counts) = ([0.0; 2], [0.0; 2]);
        for (_, ends) in slates.starts.windows(2).enumerate().filter(|(slate, _)| learns(*slate)) {
            let place = ends[0] + k;
            if place >= ends[1] {
                continue;
            }
            let later = if place + 1 < ends[1] { expected(means[k + 1], cases.chance_of_best[place + 1]) } else { 0.0 };
            let case = usize::from(cases.best[place]);
            sums[case] += slates.reward[place] + later;
            counts[case] += 1.0;
        }
        (0..2).for_each(|case| means[k][case] = if counts[case] > 0.0 { sums[case] / counts[case] } else { 0.0 });
    }
    means
}
