//! Which of a closed list of labels fits a text? By how likely a model that writes finds them together.
//!
//! A [`Template`] says how: `Product: {text}\nCategory: {label}` asks how likely the label is after the text, less how likely it is
//! after no text, so that common words do not win (Holtzman et al. 2021, arXiv 2104.08315). `Category: {label}\nProduct: {text}` asks
//! how likely the text is after each label, which small models tell better (Min et al. 2022, arXiv 2108.04106).

use crate::error::Result;
use crate::generator::{Answer, Generator};

/// What is said in place of a text to learn what a label is worth without one.
const NOTHING: &str = "N/A";

/// A text with one place for `{text}` and one for `{label}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Before, between and after the two places.
    parts: [String; 3],
    label_first: bool,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What was expected and what came.
    pub fn parse(text: &str) -> std::result::Result<Template, String> {
        let wrong = || format!("expected {{text}} and {{label}}, each once, got {text:?}");
        let (text_at, label_at) = (text.find("{text}").ok_or_else(wrong)?, text.find("{label}").ok_or_else(wrong)?);
        let label_first = label_at < text_at;
        let (first, second) = if label_first { ("{label}", "{text}") } else { ("{text}", "{label}") };
        let (before, rest) = text.split_once(first).ok_or_else(wrong)?;
        let (between, after) = rest.split_once(second).ok_or_else(wrong)?;
        let again = |part: &str| part.contains("{text}") || part.contains("{label}");
        if again(after) || again(between) || between.is_empty() {
            return Err(wrong());
        }
        Ok(Template { parts: [before, between, after].map(str::to_owned), label_first })
    }
}

/// Labels made ready for one template and model.
pub struct Labels<'a> {
    generator: &'a Generator,
    template: Template,
    labels: Vec<String>,
    /// How likely each label is without a text.
    priors: Vec<f32>,
}

impl<'a> Labels<'a> {
    /// Makes labels ready.
    ///
    /// # Errors
    /// Labels that are too long for the model.
    pub fn new(generator: &'a Generator, template: Template, labels: &[String]) -> Result<Labels<'a>> {
        let mut ready = Labels { generator, template, labels: labels.to_vec(), priors: vec![0.0; labels.len()] };
        if !ready.template.label_first {
            ready.priors = ready.likelihoods(NOTHING)?;
        }
        Ok(ready)
    }

    /// How well each label fits; the largest fits best.
    ///
    /// # Errors
    /// A text that is too long for the model.
    pub fn fit(&self, text: &str) -> Result<Vec<f32>> {
        let found = self.likelihoods(text)?;
        Ok(found.iter().zip(&self.priors).map(|(log, prior)| log - prior).collect())
    }

    fn likelihoods(&self, text: &str) -> Result<Vec<f32>> {
        let wording = self.generator.wording();
        let [before, between, after] = &self.template.parts;
        let of_label = |label: &String| {
            if self.template.label_first {
                let (_, space) = spaced(before);
                let mut tokens = wording.tokens(&format!("{space}{label}{}", spaced(between).0));
                let from = tokens.len();
                tokens.extend(wording.tokens(&format!("{}{text}{after}", spaced(between).1)));
                Answer { tokens, from }
            } else {
                Answer { tokens: wording.tokens(&format!("{}{label}{after}", spaced(between).1)), from: 0 }
            }
        };
        let question = match self.template.label_first {
            true => spaced(before).0.to_owned(),
            false => format!("{before}{text}{}", spaced(between).0),
        };
        let answers: Vec<Answer> = self.labels.iter().map(of_label).collect();
        self.generator.likelihoods(&wording.tokens(&question), &answers)
    }
}

/// A text without the spaces at its end, and those: a space belongs to the word that follows.
fn spaced(text: &str) -> (&str, &str) {
    text.split_at(text.trim_end_matches(' ').len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_each_place_once_in_either_order() {
        assert!(Template::parse("a {label} b {text}").unwrap().label_first);
        assert!(!Template::parse("{text}: {label}.").unwrap().label_first);
        for wrong in ["", "{text}", "{label}{text}", "{text} {label} {text}", "{text} {label} {label}"] {
            let why = Template::parse(wrong).unwrap_err();
            assert!(why.contains("each once") && why.contains(&format!("{wrong:?}")), "{why}");
        }
    }
}
