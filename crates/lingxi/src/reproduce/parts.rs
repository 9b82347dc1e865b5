//! A recipe, and the same recipe without one of its parts -> what the part gives, paired over the same cases.

use crate::failure::UserError;
use crate::pipeline::{self, Read};
use crate::recipe::Recipe;
use crate::recipe::ablation::Ablation;
use crate::report::{ResultLine, metric, table};
use crate::site::Site;
use crate::stages::measure::{DRAWS, Measured};
use anyhow::Result;
use lingxi_eval::{Paired, Report, paired_test};
use serde_json::{Value, json};

/// What is left without a part.
pub struct Left {
    /// What is left, as the recipe calls it.
    pub name: String,
    /// Its figures: the blend that validation chose, and each model alone.
    pub measured: Measured,
    /// The whole recipe against it, under each protocol of the recipe.
    pub lost: Vec<Paired>,
}

/// A recipe by its parts.
pub struct Parts {
    /// The whole.
    pub whole: Measured,
    /// Without each part.
    pub left: Vec<Left>,
    /// The metric that they are compared by.
    pub main: String,
}

/// Measures the whole recipe and each of its ablations. What was read is read again where an ablation changes it.
///
/// # Errors
/// A recipe without ablations or with several folds, and whatever the models say.
pub fn parts(recipe: &Recipe, site: &Site) -> Result<Parts> {
    if recipe.ablation.is_empty() || recipe.turns().len() > 1 {
        let message = format!(
            "recipe {}: expected one division and at least one [[ablation]], got {} and {}",
            recipe.name,
            recipe.turns().len(),
            recipe.ablation.len()
        );
        return Err(UserError::new(message, "recipes/beauty.toml shows how a part is taken away").into());
    }
    let main = recipe.evaluate.main.clone();
    let read = |recipe: &Recipe| pipeline::read(recipe, &Default::default(), site);
    let all = read(recipe)?;
    let measure = |recipe: &Recipe, read: &Read| Ok::<_, anyhow::Error>(pipeline::evaluate_anew(recipe, read, site)?.1);
    let whole = measure(recipe, &all)?;
    let without = |part: &Ablation| -> Result<Left> {
        let varied = part.of(recipe)?;
        let same = (&varied.data, &varied.content) == (&recipe.data, &recipe.content);
        let measured = if same { measure(&varied, &all)? } else { measure(&varied, &read(&varied)?)? };
        let pairs = under_each(&whole).zip(under_each(&measured));
        let lost = pairs.map(|(all, less)| paired_test(all, less, &main, DRAWS, site.seed));
        Ok(Left { name: part.name.clone(), lost: lost.collect::<Result<_, _>>()?, measured })
    };
    let left = recipe.ablation.iter().map(without).collect::<Result<Vec<_>>>()?;
    Ok(Parts { whole, left, main })
}

/// The blend under the main protocol, then under the others.
fn under_each(measured: &Measured) -> impl Iterator<Item = &Report> {
    std::iter::once(&measured.result).chain(&measured.protocols)
}

impl Parts {
    fn figure(&self, of: &Report) -> f64 {
        of.metrics.get(&self.main).copied().unwrap_or(f64::NAN)
    }

    /// By how much the whole has more, as a share of what is left.
    fn gain(&self, all: &Report, less: &Report) -> f64 {
        self.figure(all) / self.figure(less) - 1.0
    }

    /// The line for programs.
    pub fn line(&self, name: &str) -> ResultLine<Value> {
        let mut line = ResultLine::new("reproduce", Some(name), json!(&self.whole.result));
        line.result["models"] = json!(&self.whole.models);
        for left in &self.left {
            let each = under_each(&self.whole).zip(under_each(&left.measured)).zip(&left.lost);
            line.others.extend(each.map(|((all, less), lost)| {
                json!({ "kind": "ablation", "left": left.name, "result": less, "models": left.measured.models,
                    "lost": { "metric": lost.metric, "difference": lost.difference, "interval": lost.interval,
                        "p": lost.p_randomisation, "relative": self.gain(all, less) } })
            }));
        }
        line
    }

    /// The tables for people, one for each protocol.
    pub fn table(&self) -> String {
        let header = ["what is left", self.main.as_str(), "95% interval", "the whole has", "paired difference"];
        let of = |(i, all): (usize, &Report)| {
            let mut whole = self.cells("all of it", all);
            whole.extend(["-".to_owned(), "-".to_owned()]);
            let left = self.left.iter().filter_map(|left| self.row(left, i, all));
            let rows: Vec<_> = std::iter::once(whole).chain(left).collect();
            format!("{}\n{}\n", all.protocol, table(&header, &rows, &[1, 2, 3, 4]))
        };
        under_each(&self.whole).enumerate().map(of).collect()
    }

    fn cells(&self, name: &str, of: &Report) -> Vec<String> {
        let [low, high] = of.interval.get(&self.main).copied().unwrap_or([f64::NAN; 2]);
        vec![name.to_owned(), metric(self.figure(of)), format!("{}-{}", metric(low), metric(high))]
    }

    fn row(&self, left: &Left, i: usize, all: &Report) -> Option<Vec<String>> {
        let (less, lost) = (under_each(&left.measured).nth(i)?, left.lost.get(i)?);
        let mut row = self.cells(&left.name, less);
        row.push(format!("{:+.1}%", 100.0 * self.gain(all, less)));
        row.push(format!("{:+.4} [{:+.4}, {:+.4}]", lost.difference, lost.interval[0], lost.interval[1]));
        Some(row)
    }
}
